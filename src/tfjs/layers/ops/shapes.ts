import type { Json } from '../../../model.js';
import type { Tensor, TensorFlow } from '../../types.js';
import { positiveAxis, type Shape } from '../define.js';
import { getItem } from './slices.js';
import {
  type Attributes,
  axesOf,
  float,
  moved,
  numberOf,
  product,
  reversed,
  type TensorOperation,
  unary,
} from './spec.js';

const numbers = (value: Json | undefined): number[] =>
  [value ?? []].flat().map((n) => (n === null ? -1 : Number(n)));
const axisOf = (axis: Json | undefined, rank: number, fallback = 0) =>
  positiveAxis(numberOf(axis, fallback), rank);

type ShapeOf = (shape: Shape, attributes: Attributes) => Shape;
type Compute = (tf: TensorFlow, x: Tensor, attributes: Attributes) => Tensor;

/** One tensor to one of another shape. */
const reshaping = (
  shape: ShapeOf,
  compute: Compute,
  attributes: Attributes = {},
  refuse?: TensorOperation['refuse'],
): TensorOperation => ({
  operands: 1,
  attributes,
  ...(refuse ? { refuse } : {}),
  shape: ([given = []], all) => shape(given, all),
  compute: (tf, [x], all) => compute(tf, x as Tensor, all),
});

/** One whose shape says all that there is to do: the numbers stay in their order. */
const sameOrder = (shape: ShapeOf, attributes: Attributes = {}): TensorOperation =>
  reshaping(shape, (tf, x, all) => tf.reshape(x, shape(x.shape, all) as number[]), attributes);

/** One whose axes change places. */
const permuting = (order: (rank: number, all: Attributes) => number[], attributes: Attributes) =>
  reshaping(
    (shape, all) => order(shape.length, all).map((axis) => shape[axis] ?? null),
    (tf, x, all) => tf.transpose(x, order(x.rank, all)),
    attributes,
  );

function reshapedShape(shape: Shape, target: readonly number[]): Shape {
  const known = target.filter((n) => n !== -1).reduce((a, b) => a * b, 1);
  const total = product(shape);
  return target.map((n) => (n === -1 ? (total === null ? null : total / known) : n));
}

function squeezed(shape: Shape, axis: Json | undefined): Shape {
  if (axis === null || axis === undefined) return shape.filter((n) => n !== 1);
  const axes = axesOf(axis, shape.length);
  return shape.filter((_, i) => !axes.includes(i));
}

function expanded(shape: Shape, axis: Json | undefined): Shape {
  const list = [axis ?? 0].flat();
  const axes = list.map((a) => positiveAxis(Number(a), shape.length + list.length));
  const rest = [...shape];
  return Array.from({ length: shape.length + axes.length }, (_, i) =>
    axes.includes(i) ? 1 : (rest.shift() ?? null),
  );
}

function swapped(rank: number, { axis1, axis2 }: Attributes): number[] {
  const order = Array.from({ length: rank }, (_, i) => i);
  const [a, b] = [axisOf(axis1, rank), axisOf(axis2, rank)];
  [order[a], order[b]] = [b, a];
  return order;
}

function movedAxes(rank: number, { source, destination }: Attributes): number[] {
  const from = axesOf(source, rank);
  const to = axesOf(destination, rank);
  const rest = Array.from({ length: rank }, (_, i) => i).filter((axis) => !from.includes(axis));
  return Array.from({ length: rank }, (_, i) =>
    to.includes(i) ? (from[to.indexOf(i)] as number) : (rest.shift() as number),
  );
}

/** Amounts before and after each axis. */
function padding(width: Json | undefined, rank: number): [number, number][] {
  const list = Array.isArray(width) ? width : [width ?? 0];
  const pairs = list.map((n): [number, number] => {
    const [a = 0, b = a] = numbers(n);
    return [a, b];
  });
  const [first = [0, 0]] = pairs;
  if (typeof list[0] === 'number' && list.length === 2)
    return Array(rank).fill([Number(list[0]), Number(list[1])]) as [number, number][];
  return pairs.length === 1 ? (Array(rank).fill(first) as [number, number][]) : pairs;
}

/** `[before, n, after]`: an axis with all before and all behind it. */
function around(x: Tensor, axis: number): [number, number, number] {
  const volume = (sizes: readonly number[]) => sizes.reduce((a, b) => a * b, 1);
  return [volume(x.shape.slice(0, axis)), x.shape[axis] as number, volume(x.shape.slice(axis + 1))];
}

const replaced = (shape: readonly number[], axis: number, n: number) =>
  shape.map((m, i) => (i === axis ? n : m));

/** Every place `count` times in a row. */
function repeated(tf: TensorFlow, x: Tensor, count: number, axis: number): Tensor {
  const [before, n, after] = around(x, axis);
  const rows = tf.tile(tf.reshape(x, [before, n, 1, after]), [1, 1, count, 1]);
  return tf.reshape(rows, replaced(x.shape, axis, n * count));
}

/** The last `shift` places come first. */
function rolled(tf: TensorFlow, x: Tensor, shift: number, axis: number): Tensor {
  const [before, n, after] = around(x, axis);
  const by = n === 0 ? 0 : ((shift % n) + n) % n;
  if (by === 0) return x.clone();
  const rows = tf.reshape(x, [before, n, after]);
  const parts = [
    tf.slice(rows, [0, n - by, 0], [before, by, after]),
    tf.slice(rows, [0, 0, 0], [before, n - by, after]),
  ];
  return tf.reshape(tf.concat(parts, 1), x.shape);
}

/** Sizes of the parts of an axis: a number of equal ones, or the places where it is cut. */
function parts(n: number | null, sections: Json | undefined): (number | null)[] {
  if (typeof sections === 'number') return Array(sections).fill(n === null ? null : n / sections) as number[];
  const cuts = [0, ...numbers(sections)];
  return cuts.map((from, i) => {
    const to = cuts[i + 1] ?? n;
    return to === null ? null : to - from;
  });
}

const isNumber = (value: Json | undefined): value is number => typeof value === 'number';

/** Ones where `column - row <= k` (tril) or `>= k` (triu), of the last two axes. */
const triangle = (isLower: boolean) =>
  unary(
    (tf, x, { k }) => {
      const [rows, columns] = x.shape.slice(-2) as [number, number];
      const values = Float32Array.from({ length: rows * columns }, (_, i) => {
        const distance = (i % columns) - Math.floor(i / columns);
        return (isLower ? distance <= numberOf(k) : distance >= numberOf(k)) ? 1 : 0;
      });
      const isKept = tf.equal(tf.tensor(values, [rows, columns]), 1);
      return moved(tf, [x], (own) => tf.where(isKept, own as Tensor, tf.zerosLike(own as Tensor)));
    },
    { k: 0 },
  );

/** Tensors of one type. What comes out of a layer is float32, whatever the layer gave; an input is what it says. */
const alike = (tf: TensorFlow, all: readonly Tensor[]): Tensor[] =>
  all.every(({ dtype }) => dtype === all[0]?.dtype) ? [...all] : all.map((x) => float(tf, x));

/** Values as another of Keras's types. */
function cast(tf: TensorFlow, x: Tensor, dtype: Json | undefined): Tensor {
  const name = String(dtype);
  if (name === 'bool') return tf.notEqual(x, 0);
  return tf.cast(x, name.includes('int') ? 'int32' : 'float32');
}

/** Operations that move, repeat, cut and join numbers. */
export const shapes: Readonly<Record<string, TensorOperation>> = {
  getItem,
  reshape: sameOrder((shape, { newshape }) => reshapedShape(shape, numbers(newshape)), { newshape: [] }),
  ravel: sameOrder((shape) => [product(shape)]),
  squeeze: sameOrder((shape, { axis }) => squeezed(shape, axis), { axis: null }),
  expandDims: sameOrder((shape, { axis }) => expanded(shape, axis), { axis: 0 }),
  transpose: permuting(
    (rank, { axes }) => (Array.isArray(axes) ? axesOf(axes, rank) : axesOf(null, rank).reverse()),
    { axes: null },
  ),
  swapaxes: permuting(swapped, { axis1: 0, axis2: 1 }),
  moveaxis: permuting(movedAxes, { source: 0, destination: 0 }),
  flip: unary((tf, x, { axis }) => reversed(tf, x, axesOf(axis, x.rank)), { axis: null }),
  roll: {
    ...unary(
      (tf, x, { shift, axis }) =>
        isNumber(axis)
          ? rolled(tf, x, numberOf(shift), axisOf(axis, x.rank))
          : tf.reshape(rolled(tf, tf.reshape(x, [-1]), numberOf(shift), 0), x.shape),
      { shift: 0, axis: null },
    ),
    refuse: ({ shift, axis }) =>
      isNumber(shift) && !Array.isArray(axis) ? undefined : 'shifts of several axes',
  },
  repeat: reshaping(
    (shape, { repeats, axis }) => {
      const count = numberOf(repeats, 1);
      const times = (n: number | null) => (n === null ? null : n * count);
      return isNumber(axis)
        ? shape.map((n, i) => (i === axisOf(axis, shape.length) ? times(n) : n))
        : [times(product(shape))];
    },
    (tf, x, { repeats, axis }) =>
      isNumber(axis)
        ? repeated(tf, x, numberOf(repeats, 1), axisOf(axis, x.rank))
        : repeated(tf, tf.reshape(x, [-1]), numberOf(repeats, 1), 0),
    { repeats: 1, axis: null },
    ({ repeats }) => (isNumber(repeats) ? undefined : 'repeats of their own for each place'),
  ),
  tile: reshaping(
    (shape, { repeats }) => {
      const [sizes, times] = aligned(shape, numbers(repeats));
      return sizes.map((n, i) => (n === null ? null : n * (times[i] as number)));
    },
    (tf, x, { repeats }) => {
      const [sizes, times] = aligned(x.shape, numbers(repeats));
      return times.reduce<Tensor>(
        (y, count, axis) => {
          if (count === 1) return y;
          const [before, n, after] = around(y, axis);
          const rows = tf.tile(tf.reshape(y, [before, n * after]), [1, count]);
          return tf.reshape(rows, replaced(y.shape, axis, n * count));
        },
        tf.reshape(x, sizes as number[]),
      );
    },
    { repeats: 1 },
  ),
  pad: reshaping(
    (shape, { padWidth }) => {
      const amounts = padding(padWidth, shape.length);
      return shape.map((n, i) => (n === null ? null : n + (amounts[i]?.[0] ?? 0) + (amounts[i]?.[1] ?? 0)));
    },
    (tf, x, { padWidth, mode, constantValues }) => {
      const amounts = padding(padWidth, x.rank);
      if (mode === 'reflect' || mode === 'symmetric') return tf.mirrorPad(x, amounts, mode);
      return tf.pad(x, amounts, numberOf(constantValues));
    },
    { padWidth: 0, mode: 'constant', constantValues: null },
    ({ mode }) =>
      /^(constant|reflect|symmetric)$/.test(String(mode)) ? undefined : `the mode ${String(mode)}`,
  ),
  broadcastTo: reshaping(
    (_, { shape }) => numbers(shape),
    (tf, x, { shape }) => tf.broadcastTo(x, numbers(shape)),
    { shape: [] },
    ({ shape }) => (numbers(shape).includes(-1) ? 'a shape that is not known' : undefined),
  ),
  concatenate: {
    operands: 'list',
    attributes: { axis: 0 },
    shape: (all, { axis }) => {
      const [first = []] = all;
      const at = axisOf(axis, first.length);
      const total = all.reduce<number | null>(
        (n, shape) => (n === null || shape[at] == null ? null : n + shape[at]),
        0,
      );
      return first.map((n, i) =>
        i === at ? total : (n ?? all.find((shape) => shape[i] !== null)?.[i] ?? null),
      );
    },
    compute: (tf, all, { axis }) => tf.concat(alike(tf, all), axisOf(axis, (all[0] as Tensor).rank)),
  },
  stack: {
    operands: 'list',
    attributes: { axis: 0 },
    shape: (all, { axis }) => {
      const [first = []] = all;
      const at = axisOf(axis, first.length + 1);
      return [...first.slice(0, at), all.length, ...first.slice(at)];
    },
    compute: (tf, all, { axis }) => tf.stack(alike(tf, all), axisOf(axis, (all[0] as Tensor).rank + 1)),
  },
  split: {
    operands: 1,
    attributes: { indicesOrSections: 1, axis: 0 },
    shape: ([shape = []], { indicesOrSections, axis }) => {
      const at = axisOf(axis, shape.length);
      return parts(shape[at] ?? null, indicesOrSections).map((n) => shape.map((m, i) => (i === at ? n : m)));
    },
    compute: (tf, [x], { indicesOrSections, axis }) => {
      const at = axisOf(axis, (x as Tensor).rank);
      return tf.split(
        x as Tensor,
        parts((x as Tensor).shape[at] as number, indicesOrSections) as number[],
        at,
      );
    },
  },
  unstack: {
    operands: 1,
    attributes: { num: null, axis: 0 },
    shape: ([shape = []], { num, axis }) => {
      const at = axisOf(axis, shape.length);
      return Array.from({ length: numberOf(num, shape[at] ?? 0) }, () => shape.filter((_, i) => i !== at));
    },
    compute: (tf, [x], { axis }) => tf.unstack(x as Tensor, axisOf(axis, (x as Tensor).rank)),
  },
  /** Places along an axis by their numbers, the second operand; negative ones count from the end. */
  take: {
    operands: 2,
    attributes: { axis: null },
    shape: ([shape = [], index = []], { axis }) => {
      if (!isNumber(axis)) return [...index];
      const at = axisOf(axis, shape.length);
      return [...shape.slice(0, at), ...index, ...shape.slice(at + 1)];
    },
    compute: (tf, [x, given], { axis }) => {
      const values = isNumber(axis) ? (x as Tensor) : tf.reshape(x as Tensor, [-1]);
      const at = isNumber(axis) ? axisOf(axis, values.rank) : 0;
      const index = tf.cast(given as Tensor, 'int32');
      const n = tf.scalar(values.shape[at] as number, 'int32');
      return tf.gather(values, tf.where(tf.less(index, 0), tf.add(index, n), index), at);
    },
  },
  tril: triangle(true),
  triu: triangle(false),
  zerosLike: unary((tf, x, { dtype }) => cast(tf, tf.zerosLike(x), dtype ?? x.dtype), { dtype: null }),
  onesLike: unary((tf, x, { dtype }) => cast(tf, tf.onesLike(x), dtype ?? x.dtype), { dtype: null }),
  cast: {
    ...unary((tf, x, { dtype }) => cast(tf, x, dtype), { dtype: 'float32' }),
    refuse: ({ dtype }) =>
      /^(bool|float(16|32|64)|bfloat16|int32|int64|uint32)$/.test(String(dtype))
        ? undefined
        : `the type ${String(dtype)}`,
  },
};

/** A shape and repeats of one length, ones before the shorter. */
function aligned(shape: Shape, repeats: number[]): [Shape, number[]] {
  const rank = Math.max(shape.length, repeats.length);
  const ones = (n: number) => Array(n).fill(1) as number[];
  return [
    [...ones(rank - shape.length), ...shape],
    [...ones(rank - repeats.length), ...repeats],
  ];
}
