import type { Json } from '../../../model.js';
import type { Tensor, TensorFlow } from '../../types.js';
import { positiveAxis, type Shape } from '../define.js';

/** Attributes of an operation: arguments of Keras's class in camel case, numbers and lists as JSON has them. */
export type Attributes = Readonly<Record<string, Json>>;

/** An operation of keras.ops on tensors as data. */
export interface TensorOperation {
  /** How many tensors it takes, constants among them; `list`: any number, as one list or one by one. */
  readonly operands: number | 'list';
  /** Its attributes and what Keras takes where nothing is said. */
  readonly attributes: Attributes;
  /** Why it cannot be computed with such attributes; undefined: it can. */
  readonly refuse?: (attributes: Attributes) => string | undefined;
  /** Shape of what it gives, the batch included; a list of shapes where it gives several tensors. */
  readonly shape: (shapes: readonly Shape[], attributes: Attributes) => Shape | Shape[];
  readonly compute: (
    tf: TensorFlow,
    operands: readonly Tensor[],
    attributes: Attributes,
  ) => Tensor | Tensor[];
}

/** Shapes aligned at their last axes; 1 gives way to any length. */
export function spread(shapes: readonly Shape[]): Shape {
  const rank = Math.max(...shapes.map(({ length }) => length));
  return Array.from({ length: rank }, (_, i) => {
    const sizes = shapes
      .map((shape) => shape[shape.length - rank + i])
      .filter((n) => n !== undefined && n !== 1);
    return sizes.length === 0 ? 1 : (sizes.find((n) => n !== null) ?? null);
  });
}

type Unary = (tf: TensorFlow, x: Tensor, attributes: Attributes) => Tensor;
type Binary = (tf: TensorFlow, x: Tensor, y: Tensor, attributes: Attributes) => Tensor;

/** An operation on each element; `attributes` with their defaults. */
export const unary = (compute: Unary, attributes: Attributes = {}): TensorOperation => ({
  operands: 1,
  attributes,
  shape: ([shape = []]) => [...shape],
  compute: (tf, [x], given) => compute(tf, x as Tensor, given),
});

/** {@link unary} in float32, whatever the numbers are. */
export const floating = (compute: Unary, attributes: Attributes = {}): TensorOperation =>
  unary((tf, x, given) => compute(tf, float(tf, x), given), attributes);

/** An operation on each pair of elements, operands spread as in NumPy. */
export const binary = (compute: Binary): TensorOperation => ({
  operands: 2,
  attributes: {},
  shape: spread,
  compute: (tf, [x, y], given) => compute(tf, x as Tensor, y as Tensor, given),
});

/** Tensors of one type, as Keras promotes them: TensorFlow.js joins only those, or takes the bits of one for the other. */
export function ofOneType(tf: TensorFlow, all: readonly Tensor[]): Tensor[] {
  const type = (['float32', 'int32'] as const).find((own) => all.some(({ dtype }) => dtype === own));
  return all.map((x) => (type === undefined || x.dtype === type ? x : tf.cast(x, type)));
}

export const float = (tf: TensorFlow, x: Tensor): Tensor =>
  x.dtype === 'float32' ? x : tf.cast(x, 'float32');

/** Truth of numbers. A cast to bool keeps the last byte of a number on the WebAssembly backend: 256 becomes false. */
export const truth = (tf: TensorFlow, x: Tensor): Tensor => (x.dtype === 'bool' ? x : tf.notEqual(x, 0));

/**
 * Moves or chooses truth values by way of whole numbers. The WebAssembly backend of TensorFlow.js 4.22 takes them for numbers of
 * four bytes: its `reverse` and `where` give other values, and write outside of the result's memory.
 */
export function moved(tf: TensorFlow, all: readonly Tensor[], move: (...all: Tensor[]) => Tensor): Tensor {
  if (!all.every(({ dtype }) => dtype === 'bool')) return move(...all);
  return tf.cast(move(...all.map((x) => tf.cast(x, 'int32'))), 'bool');
}

/** `tf.reverse`, of truth values too. */
export const reversed = (tf: TensorFlow, x: Tensor, axes: number | number[]): Tensor =>
  moved(tf, [x], (own) => tf.reverse(own as Tensor, axes));

export const numberOf = (value: Json | undefined, fallback = 0): number =>
  typeof value === 'number' ? value : fallback;

/** Axes as Keras gives them, one, a list or null for all, counted from the start. */
export function axesOf(axis: Json | undefined, rank: number): number[] {
  if (axis === null || axis === undefined) return Array.from({ length: rank }, (_, i) => i);
  return [axis].flat().map((a) => positiveAxis(Number(a), rank));
}

/** Product of sizes; null where one of them is. */
export const product = (dims: Shape): number | null =>
  dims.reduce<number | null>((n, size) => (n === null || size === null ? null : n * size), 1);
