import { floatOf, isFirst, known, numbersOf, resultShape } from '../export/context.js';
import { ranks, IMAGES as SHARED } from '../export/layers-images.js';
import { refuse } from '../export/refusal.js';
import { channelsFirst, plainOrder, Tensor } from '../export/tensor.js';
import type { Dim, Val } from '../export/values.js';
import type { Context, Emit } from './context.js';
import type { GraphBuilder } from './graph.js';
import { windowAttributes } from './windows.js';

/** The order in which an image has its channels first. */
const firstOrder = (c: Context, rank: number) => (isFirst(c) ? plainOrder(rank) : channelsFirst(rank));

const pooling =
  (op: 'MaxPool' | 'AveragePool'): Emit =>
  (c) => {
    const x = floatOf(c.inputs[0] as Tensor);
    const order = firstOrder(c, x.rank);
    const val = x.in(order);
    const plain = resultShape(c);
    const shape = order.map((axis) => plain[axis] as Dim);
    const attributes = windowAttributes(c, val, x.rank - 2);
    return [Tensor.of(c.graph, c.graph.add(op, [val], { shape }, attributes), order)];
  };

/** As a pooling where the image is there with its channels first, else a mean or the largest over axes. */
const globalPooling =
  (op: 'Max' | 'Average'): Emit =>
  (c) => {
    const { graph } = c;
    const x = floatOf(c.inputs[0] as Tensor);
    const order = firstOrder(c, x.rank);
    if (c.inputs.length > 1 || !x.has(order) || x.rank !== 4 || c.attributes.keepdims === true)
      return (SHARED[c.node.operation] as Emit)(c);
    const val = x.in(order);
    const pooled = graph.add(`Global${op}Pool`, [val], { shape: [...val.shape.slice(0, 2), 1, 1] });
    return [Tensor.of(graph, graph.flatten(pooled))];
  };

/** Images of another size, pixels at half-integers as in Keras. */
function resize(c: Context, mode: 'nearest' | 'linear', scale: readonly number[] | undefined): Tensor {
  const { graph } = c;
  const given = c.inputs[0] as Tensor;
  const x = mode === 'linear' ? floatOf(given) : given;
  const order = firstOrder(c, x.rank);
  const val = x.in(order);
  const plain = resultShape(c);
  const shape = order.map((axis) => plain[axis] as Dim);
  const attributes = {
    mode,
    coordinate_transformation_mode: mode === 'nearest' && scale ? 'asymmetric' : 'half_pixel',
    ...(mode === 'nearest' ? { nearest_mode: scale ? 'floor' : 'round_prefer_ceil' } : {}),
  };
  const inputs = scale
    ? [val, undefined, graph.constant('float', [1, 1, ...scale])]
    : [val, undefined, undefined, sizes(graph, val, shape)];
  return Tensor.of(graph, graph.add('Resize', inputs, { shape }, attributes), order);
}

function sizes(graph: GraphBuilder, x: Val, shape: readonly Dim[]): Val {
  const inner = shape.slice(2).map((n) => known(n, 'an image'));
  const outer = graph.add('Shape', [x], { shape: [2], type: 'int64' }, { start: 0, end: 2 });
  return graph.concat([outer, graph.ints(inner)], 0);
}

const upSampling: Emit = (c) => {
  const how = c.attributes.interpolation ?? 'nearest';
  if (how !== 'nearest' && how !== 'bilinear') refuse(`interpolation: ${String(how)}`);
  return [resize(c, how === 'nearest' ? 'nearest' : 'linear', numbersOf(c.attributes.size))];
};

const resizing: Emit = (c) => {
  const { interpolation: how } = c.attributes;
  if (how !== 'nearest' && how !== 'bilinear') refuse(`interpolation: ${String(how)}`);
  return [resize(c, how === 'nearest' ? 'nearest' : 'linear', undefined)];
};

/** Windows over images, and images of another size. */
export const IMAGES: Readonly<Record<string, Emit>> = {
  ...ranks((n) => `MaxPooling${n}D`, pooling('MaxPool')),
  ...ranks((n) => `AveragePooling${n}D`, pooling('AveragePool')),
  ...ranks((n) => `GlobalMaxPooling${n}D`, globalPooling('Max')),
  ...ranks((n) => `GlobalAveragePooling${n}D`, globalPooling('Average')),
  ...ranks((n) => `UpSampling${n}D`, upSampling),
  Resizing: resizing,
};
