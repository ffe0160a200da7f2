import { refuse } from '../export/refusal.js';
import type { JsonObject } from '../model.js';
import { activationNamed } from './activations.js';
import { type Context, type Emit, each, floatOf, known, numbersOf, resultShape } from './context.js';
import type { GraphBuilder } from './graph.js';
import { channelsFirst, plainOrder, Tensor } from './tensor.js';
import type { Dim, Val } from './types.js';
import { isFirst, windowAttributes } from './windows.js';

/** The order in which an image has its channels first. */
const firstOrder = (c: Context, rank: number) => (isFirst(c) ? plainOrder(rank) : channelsFirst(rank));

/** The axes between batch and channels in the order that a tensor has. */
function spatialAxes(c: Context, x: Tensor): number[] {
  const from = isFirst(c) ? 2 : 1;
  return Array.from({ length: x.rank - 2 }, (_, i) => x.order.indexOf(i + from));
}

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

const globalPooling =
  (op: 'Max' | 'Average'): Emit =>
  (c) => {
    const { graph, attributes: a } = c;
    const x = floatOf(c.inputs[0] as Tensor);
    const mask = c.inputs[1];
    if (mask) return [maskedMean(graph, x, mask, a)];
    const keep = a.keepdims === true;
    const order = firstOrder(c, x.rank);
    // As a pooling where the image is there with its channels first, else a mean over axes.
    if (x.has(order) && x.rank === 4 && !keep) {
      const val = x.in(order);
      const pooled = graph.add(`Global${op}Pool`, [val], { shape: [...val.shape.slice(0, 2), 1, 1] });
      return [
        Tensor.of(graph, graph.add('Flatten', [pooled], { shape: val.shape.slice(0, 2) }, { axis: 1 })),
      ];
    }
    const made = graph.reduce(op === 'Max' ? 'ReduceMax' : 'ReduceMean', x.own, spatialAxes(c, x), keep);
    return [keep ? Tensor.of(graph, made, x.order) : Tensor.of(graph, made)];
  };

/** The mean over steps that a mask `[batch, time]` lets through. */
function maskedMean(graph: GraphBuilder, x: Tensor, mask: Tensor, a: JsonObject): Tensor {
  if (a.data_format === 'channels_first') refuse('a mask of an input with channels first');
  const keep = a.keepdims === true;
  const weight = graph.unsqueeze(graph.cast(mask.plain, 'float'), [2]);
  const sum = graph.reduce('ReduceSum', graph.binary('Mul', x.plain, weight), [1], keep);
  return Tensor.of(graph, graph.binary('Div', sum, graph.reduce('ReduceSum', weight, [1], keep)));
}

/** Numbers before and behind each spatial axis as parts of the axes of the order that a tensor has. */
function edges(c: Context, x: Tensor, given: unknown) {
  const pairs = given as readonly (readonly [number, number])[];
  return spatialAxes(c, x).map((axis, i) => ({ axis, pair: pairs[i] as readonly [number, number] }));
}

const zeroPadding: Emit = (c) => {
  const x = c.inputs[0] as Tensor;
  return [each(x, (val) => pad(c.graph, val, edges(c, x, c.attributes.padding)))];
};

export function pad(
  graph: GraphBuilder,
  x: Val,
  ends: readonly { readonly axis: number; readonly pair: readonly [number, number] }[],
  value = 0,
): Val {
  const padded = ends.filter(({ pair }) => pair[0] + pair[1] > 0);
  if (padded.length === 0) return x;
  const shape = [...x.shape];
  for (const { axis, pair } of padded) {
    const n = shape[axis];
    shape[axis] = typeof n === 'number' ? n + pair[0] + pair[1] : null;
  }
  const pads = [...padded.map(({ pair }) => pair[0]), ...padded.map(({ pair }) => pair[1])];
  // Without its axes ONNX Runtime 1.30 makes the padding a part of a pooling behind it, where it may be too wide for one.
  const axes = graph.ints(padded.map(({ axis }) => axis));
  return graph.add('Pad', [x, graph.ints(pads), graph.scalar(value, x.type), axes], { shape });
}

const cropping: Emit = (c) => {
  const { graph } = c;
  const x = c.inputs[0] as Tensor;
  const parts = edges(c, x, c.attributes.cropping).map(({ axis, pair: [before, after] }) => {
    const n = x.own.shape[axis] as Dim;
    const length = typeof n === 'number' ? n - before - after : null;
    return { axis, start: before, end: after === 0 ? Number.MAX_SAFE_INTEGER : -after, length };
  });
  return [each(x, (val) => graph.slice(val, parts))];
};

const centerCrop: Emit = (c) => {
  const { graph, attributes: a } = c;
  const x = c.inputs[0] as Tensor;
  const parts = spatialAxes(c, x).map((axis, i) => {
    const n = known(x.own.shape[axis], 'an image');
    const length = Number(i === 0 ? a.height : a.width);
    const start = Math.floor((n - length) / 2);
    if (start < 0) refuse('an image that is smaller than what is cut out of it, which Keras resizes');
    return { axis, start, end: start + length, length };
  });
  return [each(x, (val) => graph.slice(val, parts))];
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

/** Values of `from` moved to `to`, as Keras does it: by way of 0 to 1. */
function ranged(g: GraphBuilder, x: Val, from: readonly number[], to: readonly number[]): Val {
  const [a, b] = from as [number, number];
  const [low, high] = to as [number, number];
  if (a === low && b === high) return x;
  const share = g.binary('Div', g.binary('Sub', x, a), b - a);
  return g.binary('Add', g.binary('Mul', share, high - low), low);
}

/** Stretches each channel of each image over the whole range of values; Keras takes axes 1 and 2 for rows and columns. */
const autoContrast: Emit = (c) => {
  const { graph: g } = c;
  const x = floatOf(c.inputs[0] as Tensor).plain;
  const [a, b] = numbersOf(c.attributes.value_range ?? [0, 255]) as [number, number];
  const range = [Math.min(a, b), Math.max(a, b)];
  const image = ranged(g, x, range, [0, 255]);
  const low = g.reduce('ReduceMin', image, [1, 2], true);
  const width = g.binary('Sub', g.reduce('ReduceMax', image, [1, 2], true), low);
  const isFlat = g.binary('Equal', width, 0, 'bool');
  const scale = g.binary('Div', g.scalar(255), g.where(isFlat, g.scalar(1), width));
  const stretched = g.binary('Sub', g.binary('Mul', image, scale), g.binary('Mul', low, scale));
  const clipped = g.add('Clip', [stretched, g.scalar(0), g.scalar(255)], { shape: x.shape });
  return [Tensor.of(g, g.where(isFlat, x, ranged(g, clipped, [0, 255], range)))];
};

/** Several tensors to one, element by element. */
const merging =
  (op: 'Add' | 'Mul' | 'Max' | 'Min' | 'Sub', isMean = false): Emit =>
  (c) => {
    const { graph } = c;
    const rank = Math.max(...c.inputs.map((x) => x.rank));
    const areOfOneRank = c.inputs.every((x) => x.rank === rank);
    const inputs = c.inputs.map((x) => (c.results[0]?.dtype === 'float32' ? floatOf(x) : x));
    // In the order that most of the inputs are there in.
    const order = areOfOneRank ? (inputs[0] as Tensor).order : plainOrder(rank);
    const vals = inputs.map((x) => {
      if (areOfOneRank) return x.in(order);
      // Inputs of fewer axes get axes of length 1 behind the batch.
      return graph.unsqueeze(
        x.plain,
        Array.from({ length: rank - x.rank }, (_, i) => i + 1),
      );
    });
    let sum = vals[0] as Val;
    for (const other of vals.slice(1)) sum = graph.binary(op, sum, other);
    const mean = isMean ? graph.binary('Mul', sum, 1 / vals.length) : sum;
    const made = Tensor.of(graph, mean, order);
    const activation = activationNamed(c.attributes.activation ?? 'linear');
    return [each(made, (val) => activation(graph, val, made.order))];
  };

const ranks = (name: (n: number) => string, emit: Emit) =>
  Object.fromEntries([1, 2, 3].map((n) => [name(n), emit]));

/** Layers over images and sequences without weights, and merges. */
export const IMAGES: Readonly<Record<string, Emit>> = {
  ...ranks((n) => `MaxPooling${n}D`, pooling('MaxPool')),
  ...ranks((n) => `AveragePooling${n}D`, pooling('AveragePool')),
  ...ranks((n) => `GlobalMaxPooling${n}D`, globalPooling('Max')),
  ...ranks((n) => `GlobalAveragePooling${n}D`, globalPooling('Average')),
  ...ranks((n) => `ZeroPadding${n}D`, zeroPadding),
  ...ranks((n) => `Cropping${n}D`, cropping),
  ...ranks((n) => `UpSampling${n}D`, upSampling),
  CenterCrop: centerCrop,
  Resizing: resizing,
  AutoContrast: autoContrast,
  Add: merging('Add'),
  Subtract: merging('Sub'),
  Multiply: merging('Mul'),
  Average: merging('Add', true),
  Maximum: merging('Max'),
  Minimum: merging('Min'),
};
