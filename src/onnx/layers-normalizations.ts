// Normalizations that ONNX has operations for, where their axes lie so; the others are those of every format.
import { axesOf, axisOf, bounded, each, floatOf, known } from '../export/context.js';
import { groupsOf, NORMALIZATIONS as SHARED } from '../export/layers-normalizations.js';
import { channelsFirst, plainOrder, Tensor } from '../export/tensor.js';
import type { Emit } from './context.js';

const batchNormalization: Emit = (c) => {
  const { graph, node } = c;
  const x = floatOf(c.inputs[0] as Tensor);
  const axis = axisOf(c.attributes.axis, x.rank);
  const at = x.order.indexOf(axis);
  const epsilon = Number(c.attributes.epsilon);
  if (at === 1 && x.rank > 2) {
    const mean = c.values('moving_mean') as Float32Array;
    const vector = (role: string, value: number) =>
      graph.floats(`${node.layer}/${role}`, c.values(role) ?? new Float32Array(mean.length).fill(value));
    const inputs = [
      vector('gamma', 1),
      vector('beta', 0),
      vector('moving_mean', 0),
      vector('moving_variance', 1),
    ];
    const attributes = { epsilon: { float: epsilon } };
    return [
      each(x, (val) => graph.add('BatchNormalization', [val, ...inputs], { shape: val.shape }, attributes)),
    ];
  }
  return (SHARED.BatchNormalization as Emit)(c);
};

const layerNormalization: Emit = (c) => {
  const { graph, attributes: a, node } = c;
  const x = floatOf(c.inputs[0] as Tensor);
  const axes = axesOf(a.axis, x.rank);
  const epsilon = Number(a.epsilon);
  const isLast = axes.every((axis, i) => axis === x.rank - axes.length + i);
  if (isLast && a.rms_scaling !== true) {
    const shape = axes.map((axis) => known(x.shape[axis], 'normalized axes'));
    const n = bounded(
      shape.reduce((all, one) => all * one, 1),
      'factors',
    );
    const gamma = graph.floats(
      `${node.layer}/gamma`,
      c.values('gamma') ?? new Float32Array(n).fill(1),
      shape,
    );
    const beta = c.values('beta');
    const inputs = [x.plain, gamma, beta && graph.floats(`${node.layer}/beta`, beta, shape)];
    const attributes = { axis: axes[0] as number, epsilon: { float: epsilon } };
    return [Tensor.of(graph, graph.add('LayerNormalization', inputs, { shape: x.shape }, attributes))];
  }
  return (SHARED.LayerNormalization as Emit)(c);
};

const groupNormalization: Emit = (c) => {
  const { graph, attributes: a, node } = c;
  const x = floatOf(c.inputs[0] as Tensor);
  const { axis, channels, groups } = groupsOf(c, x);
  const order = axis === 1 ? plainOrder(x.rank) : channelsFirst(x.rank);
  const val = x.in(order);
  const own = (role: string, fallback: number) =>
    graph.floats(`${node.layer}/${role}`, c.values(role) ?? new Float32Array(channels).fill(fallback));
  const attributes = { num_groups: groups, epsilon: { float: Number(a.epsilon) } };
  const inputs = [val, own('gamma', 1), own('beta', 0)];
  return [Tensor.of(graph, graph.add('GroupNormalization', inputs, { shape: val.shape }, attributes), order)];
};

export const NORMALIZATIONS: Readonly<Record<string, Emit>> = {
  BatchNormalization: batchNormalization,
  LayerNormalization: layerNormalization,
  GroupNormalization: groupNormalization,
};
