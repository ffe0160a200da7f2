import type { Builder } from './builder.js';
import {
  along,
  axesOf,
  axisOf,
  bounded,
  type Context,
  type Emit,
  each,
  floatOf,
  known,
  numbersOf,
} from './context.js';
import { refuse } from './refusal.js';
import type { Order, Tensor } from './tensor.js';
import type { Dim, Val } from './values.js';

/** A batch normalization as factors and what is added, in float64. */
export function affineOf(
  values: Context['values'],
  epsilon: number,
): { scale: Float64Array; shift: Float64Array } {
  const mean = values('moving_mean');
  const variance = values('moving_variance');
  if (!mean || !variance) return refuse('no moving mean and variance');
  const gamma = values('gamma');
  const beta = values('beta');
  const scale = Float64Array.from(variance, (v, i) => (gamma?.[i] ?? 1) / Math.sqrt(v + epsilon));
  const shift = Float64Array.from(mean, (m, i) => (beta?.[i] ?? 0) - m * (scale[i] as number));
  return { scale, shift };
}

/** `x * scale + shift`, both along some axes. */
function affine(c: Context, x: Tensor, axes: readonly number[], scale: Val, shift: Val | undefined): Tensor {
  const { graph } = c;
  return each(x, (val) => {
    const product = graph.binary('Mul', val, along(graph, scale, axes, x.order));
    return shift ? graph.binary('Add', product, along(graph, shift, axes, x.order)) : product;
  });
}

const batchNormalization: Emit = (c) => {
  const { graph, node } = c;
  const x = floatOf(c.inputs[0] as Tensor);
  const axis = axisOf(c.attributes.axis, x.rank);
  const epsilon = Number(c.attributes.epsilon);
  const { scale, shift } = affineOf(c.values, epsilon);
  const factors = graph.floats(`${node.layer}/factor`, Float32Array.from(scale));
  return [affine(c, x, [axis], factors, graph.floats(`${node.layer}/offset`, Float32Array.from(shift)))];
};

/** A weight along some axes, in the order that a tensor has. */
function vector(c: Context, role: string, axes: readonly number[], order: Order): Val | undefined {
  const values = c.values(role);
  const id = c.id(role);
  if (!values || !id) return undefined;
  const own = c.graph.floats(`${c.node.layer}/${role}`, values, c.weights.infoOf(id).shape);
  return along(c.graph, own, axes, order);
}

/** `(x - mean) / sqrt(variance + epsilon)` over axes of the order that a value has. */
function standardized(
  graph: Builder,
  x: Val,
  axes: readonly number[],
  epsilon: number,
  isCentered: boolean,
): Val {
  const mean = graph.reduce('ReduceMean', x, axes, true);
  const less = graph.binary('Sub', x, mean);
  const variance = graph.reduce('ReduceMean', graph.binary('Mul', less, less), axes, true);
  const deviation = graph.unary('Sqrt', graph.binary('Add', variance, epsilon));
  return graph.binary('Div', isCentered ? less : x, deviation);
}

const layerNormalization: Emit = (c) => {
  const { graph, attributes: a } = c;
  const x = floatOf(c.inputs[0] as Tensor);
  const axes = axesOf(a.axis, x.rank);
  const epsilon = Number(a.epsilon);
  return [
    each(x, (val) => {
      const own = axes.map((axis) => x.order.indexOf(axis));
      const made = standardized(graph, val, own, epsilon, a.rms_scaling !== true);
      const gamma = vector(c, 'gamma', axes, x.order);
      const beta = vector(c, 'beta', axes, x.order);
      const scaled = gamma ? graph.binary('Mul', made, gamma) : made;
      return beta ? graph.binary('Add', scaled, beta) : scaled;
    }),
  ];
};

/** `x / sqrt(mean(x^2) + epsilon) * scale` */
const rmsNormalization: Emit = (c) => {
  const { graph, attributes: a } = c;
  const x = floatOf(c.inputs[0] as Tensor);
  const axes = axesOf(a.axis, x.rank);
  return [
    each(x, (val) => {
      const own = axes.map((axis) => x.order.indexOf(axis));
      const mean = graph.reduce('ReduceMean', graph.binary('Mul', val, val), own, true);
      const length = graph.unary('Sqrt', graph.binary('Add', mean, Number(a.epsilon)));
      const made = graph.binary('Div', val, length);
      const scale = vector(c, 'scale', axes, x.order);
      return scale ? graph.binary('Mul', made, scale) : made;
    }),
  ];
};

/** Channels and groups of a GroupNormalization, whose channels are the last axis or the one behind the batch. */
export function groupsOf(c: Context, x: Tensor): { axis: number; channels: number; groups: number } {
  const { attributes: a } = c;
  const axis = axisOf(a.axis, x.rank);
  if (axis !== 1 && axis !== x.rank - 1) refuse(`axis: ${String(a.axis)}`);
  const channels = bounded(known(x.shape[axis], 'channels'), 'channels');
  const groups = Number(a.groups) === -1 ? channels : Number(a.groups);
  if (channels % groups !== 0) refuse(`${groups} groups of ${channels} channels`);
  return { axis, channels, groups };
}

/** Mean and variance of each sample over a group of channels and all other axes. */
const groupNormalization: Emit = (c) => {
  const { graph, attributes: a } = c;
  const x = floatOf(c.inputs[0] as Tensor);
  const { axis, channels, groups } = groupsOf(c, x);
  const { order } = x;
  const at = order.indexOf(axis);
  return [
    each(x, (val) => {
      const apart: Dim[] = val.shape.flatMap((n, i) => (i === at ? [groups, channels / groups] : [n]));
      const axes = apart.flatMap((_, i) => (order[i > at ? i - 1 : i] === 0 || i === at ? [] : [i]));
      const made = standardized(graph, graph.reshape(val, apart), axes, Number(a.epsilon), true);
      const whole = graph.reshape(made, val.shape);
      const gamma = vector(c, 'gamma', [axis], order);
      const beta = vector(c, 'beta', [axis], order);
      const scaled = gamma ? graph.binary('Mul', whole, gamma) : whole;
      return beta ? graph.binary('Add', scaled, beta) : scaled;
    }),
  ];
};

/** `x / sqrt(max(sum(x^2), least))` */
export function unitLength(graph: Builder, x: Tensor, axes: readonly number[], least: number): Tensor {
  return each(x, (val) => {
    const own = axes.map((axis) => x.order.indexOf(axis));
    const sum = graph.reduce('ReduceSum', graph.binary('Mul', val, val), own, true);
    return graph.binary('Div', val, graph.unary('Sqrt', graph.binary('Max', sum, least)));
  });
}

const unitNormalization: Emit = (c) => {
  const x = floatOf(c.inputs[0] as Tensor);
  return [unitLength(c.graph, x, axesOf(c.attributes.axis, x.rank), 1e-12)];
};

const flat = (value: unknown): number[] =>
  Array.isArray(value) ? (value.flat(9) as number[]) : [Number(value)];

/** `(x - mean) / max(sqrt(variance), 1e-7)`, or its inverse. */
const normalization: Emit = (c) => {
  const { graph, attributes: a, node } = c;
  const x = floatOf(c.inputs[0] as Tensor);
  const axes = a.axis === null ? [] : axesOf(a.axis, x.rank);
  const given = (name: string) =>
    a[name] === null || a[name] === undefined ? c.values(name) : flat(a[name]);
  const [mean, variance] = [given('mean'), given('variance')];
  if (!mean || !variance) return refuse('statistics that are not there');
  const deviation = Array.from(variance, (v) => Math.max(Math.sqrt(v), 1e-7));
  const isInverse = a.invert === true;
  const scale = Float32Array.from(deviation, (d) => (isInverse ? d : 1 / d));
  const shift = Float32Array.from(mean, (m, i) => (isInverse ? m : -m / (deviation[i] as number)));
  const count = axes.map((axis) => x.shape[axis]);
  const n = count.reduce<number>((all, one) => (typeof one === 'number' ? all * one : Number.NaN), 1);
  if (mean.length !== 1 && mean.length !== n) refuse('statistics of another shape than the axes');
  const shape = mean.length === 1 ? [] : (count as number[]);
  const own = (role: string, values: Float32Array) => graph.floats(`${node.layer}/${role}`, values, shape);
  return [affine(c, x, mean.length === 1 ? [] : axes, own('factor', scale), own('offset', shift))];
};

/** Factors and offsets: one for all, or one for each place of the last axis. */
const rescaling: Emit = (c) => {
  const { graph, attributes: a, node } = c;
  const x = floatOf(c.inputs[0] as Tensor);
  const own = (role: string, value: unknown): Val | undefined => {
    const list = flat(value);
    if (list.length > 1 && list.length !== x.shape.at(-1))
      refuse(`${list.length} numbers beside the last axis`);
    if (list.every((one) => one === (role === 'scale' ? 1 : 0))) return undefined;
    return list.length === 1
      ? graph.constant('float', list, [])
      : along(graph, graph.floats(`${node.layer}/${role}`, Float32Array.from(list)), [x.rank - 1], x.order);
  };
  const [scale, offset] = [own('scale', a.scale ?? 1), own('offset', a.offset ?? 0)];
  return [
    each(x, (val) => {
      const product = scale ? graph.binary('Mul', val, scale) : val;
      return offset ? graph.binary('Add', product, offset) : product;
    }),
  ];
};

const prelu: Emit = (c) => {
  const { graph, node } = c;
  const x = floatOf(c.inputs[0] as Tensor);
  const alpha = c.values('alpha') as Float32Array;
  const shape = c.weights.infoOf(c.id('alpha') as string).shape;
  // Slopes have no axis for the batch.
  const axes = numbersOf(shape.map((_, i) => i + 1));
  const slope = along(graph, graph.floats(`${node.layer}/alpha`, alpha, shape), axes, x.order);
  return [each(x, (val) => graph.prelu(val, slope))];
};

/** Normalizations, and factors along axes. */
export const NORMALIZATIONS: Readonly<Record<string, Emit>> = {
  BatchNormalization: batchNormalization,
  LayerNormalization: layerNormalization,
  RMSNormalization: rmsNormalization,
  GroupNormalization: groupNormalization,
  UnitNormalization: unitNormalization,
  Normalization: normalization,
  Rescaling: rescaling,
  PReLU: prelu,
};
