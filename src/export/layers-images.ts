import type { JsonObject } from '../model.js';
import { activationNamed } from './activations.js';
import type { Binary, Builder } from './builder.js';
import { type Context, type Emit, each, floatOf, isFirst, known, numbersOf } from './context.js';
import { refuse } from './refusal.js';
import { plainOrder, Tensor } from './tensor.js';
import type { Dim, Val } from './values.js';

/** The axes between batch and channels in the order that a tensor has. */
export function spatialAxes(c: Context, x: Tensor): number[] {
  const from = isFirst(c) ? 2 : 1;
  return Array.from({ length: x.rank - 2 }, (_, i) => x.order.indexOf(i + from));
}

const globalPooling =
  (op: 'ReduceMax' | 'ReduceMean'): Emit =>
  (c) => {
    const { graph, attributes: a } = c;
    const x = floatOf(c.inputs[0] as Tensor);
    const mask = c.inputs[1];
    if (mask) return [maskedMean(graph, x, mask, a)];
    const keep = a.keepdims === true;
    const made = graph.reduce(op, x.own, spatialAxes(c, x), keep);
    return [keep ? Tensor.of(graph, made, x.order) : Tensor.of(graph, made)];
  };

/** The mean over steps that a mask `[batch, time]` lets through. */
function maskedMean(graph: Builder, x: Tensor, mask: Tensor, a: JsonObject): Tensor {
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
  return [each(x, (val) => c.graph.pad(val, edges(c, x, c.attributes.padding)))];
};

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

/** Values of `from` moved to `to`, as Keras does it: by way of 0 to 1. */
function ranged(g: Builder, x: Val, from: readonly number[], to: readonly number[]): Val {
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
  const clipped = g.clip(stretched, 0, 255);
  return [Tensor.of(g, g.where(isFlat, x, ranged(g, clipped, [0, 255], range)))];
};

/** Several tensors to one, element by element. */
const merging =
  (op: Binary, isMean = false): Emit =>
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

export const ranks = <E>(name: (n: number) => string, emit: E): Record<string, E> =>
  Object.fromEntries([1, 2, 3].map((n) => [name(n), emit]));

/** Layers over images and sequences that need no windows, and merges. */
export const IMAGES: Readonly<Record<string, Emit>> = {
  ...ranks((n) => `GlobalMaxPooling${n}D`, globalPooling('ReduceMax')),
  ...ranks((n) => `GlobalAveragePooling${n}D`, globalPooling('ReduceMean')),
  ...ranks((n) => `ZeroPadding${n}D`, zeroPadding),
  ...ranks((n) => `Cropping${n}D`, cropping),
  CenterCrop: centerCrop,
  AutoContrast: autoContrast,
  Add: merging('Add'),
  Subtract: merging('Sub'),
  Multiply: merging('Mul'),
  Average: merging('Add', true),
  Maximum: merging('Max'),
  Minimum: merging('Min'),
};
