import type { JsonObject } from '../model.js';
import type { NetworkNode, Value } from '../network/index.js';
import type { Builder } from './builder.js';
import { refuse } from './refusal.js';
import { type Order, Tensor } from './tensor.js';
import type { Dim, ElementType, Shape, Val } from './values.js';
import type { Weights } from './weights.js';

/** What follows a product and is computed with it. */
export interface Tail {
  /** Multiplied with the weights of each channel: a folded normalization. */
  readonly factors: ArrayLike<number> | undefined;
  /** Of each channel; undefined for none. */
  readonly bias: Float32Array | undefined;
}

/** A product of the last axis with a weight of which some axes are its rows and some its columns. */
export interface Rows {
  readonly id: string;
  /** What bias and nodes are called after. */
  readonly name: string;
  readonly rows: readonly number[];
  readonly columns: readonly number[];
  /** Rows in another order; not with scales for groups of rows. */
  readonly rowOrder?: readonly number[] | undefined;
  readonly factors?: ArrayLike<number> | undefined;
  readonly bias?: Float32Array | undefined;
}

/** A node that is turned into a few operations of a format. */
export interface Context<G extends Builder = Builder, W extends Weights = Weights> {
  readonly graph: G;
  readonly weights: W;
  readonly node: NetworkNode;
  readonly attributes: JsonObject;
  readonly inputs: readonly Tensor[];
  /** What the network says of its outputs, without axes of steps. */
  readonly results: readonly Value[];
  /** Zeros before and behind each spatial axis of the input that the node has to add. */
  readonly border: readonly (readonly [number, number])[] | undefined;
  /** Rows of the kernel in the order in which the input has its features, where it is another than Keras's. */
  readonly rowOrder: readonly number[] | undefined;
  /** Values of a weight; undefined where the node has none of that role. */
  values(role: string): Float32Array | undefined;
  /** Id of a weight; undefined where the node has none of that role. */
  id(role: string): string | undefined;
  /** Bias, and factors of a normalization that is taken into the kernel of a role. */
  tail(kernel: string): Tail;
  /** Adds a product of rows, and a bias where there is one. @returns `[..., columns]` */
  product(x: Val, rows: Rows): Val;
  /** Rows of a weight by their numbers. @returns `[..., features]` */
  rowsOf(id: string, indices: Val): Val;
}

/** Adds the nodes of a node. @returns its outputs */
export type Emit<C = Context> = (context: C) => readonly Tensor[];

/** Whether a layer has its channels before the image. */
export const isFirst = (c: Context): boolean => c.attributes.data_format === 'channels_first';

export const numbersOf = (value: unknown): readonly number[] => value as readonly number[];

/** An axis counted from the start. */
export function axisOf(axis: unknown, rank: number): number {
  const at = Number(axis);
  const own = at < 0 ? at + rank : at;
  if (!(own >= 0 && own < rank)) refuse(`axis: ${String(axis)} of ${rank} axes`);
  return own;
}

/** Axes counted from the start and sorted: one, a list, or null for all. */
export function axesOf(axis: unknown, rank: number): number[] {
  if (axis === null || axis === undefined) return Array.from({ length: rank }, (_, i) => i);
  const list = Array.isArray(axis) ? axis : [axis];
  return list.map((one) => axisOf(one, rank)).sort((a, b) => a - b);
}

/** A length that has to be known. */
export function known(n: Dim | undefined, what: string): number {
  return typeof n === 'number' ? n : refuse(`${what} of a length that is not known`);
}

/** Numbers that a constant may have which no weight of the file stands behind. */
const MOST_NUMBERS = 2 ** 24;

/** A count of numbers that are to be written out, which a file may claim to be any. */
export function bounded(count: number, what: string): number {
  return count <= MOST_NUMBERS ? count : refuse(`${what} of ${count} numbers`);
}

export const ELEMENTS: Readonly<Record<string, ElementType>> = {
  float32: 'float',
  int32: 'int32',
  bool: 'bool',
};

/** The shape of an output, its batch that of the first input. */
export function resultShape({ results, inputs }: Context, at = 0): Shape {
  const shape = results[at]?.shape;
  if (!shape) return refuse('an output of unknown rank');
  return shape.map((n, i) => (n === null && i === 0 ? (inputs[0]?.shape[0] ?? null) : n));
}

/** The first input, whose element type is float. */
export const floatOf = (x: Tensor): Tensor =>
  x.type === 'float' ? x : Tensor.of(x.graph, x.graph.cast(x.own, 'float'), x.order);

/** A tensor element by element, in the order that it has. */
export const each = (x: Tensor, work: (val: Val) => Val): Tensor => Tensor.of(x.graph, work(x.own), x.order);

/** Values along some axes of a tensor, shaped to spread over it in an order. */
export function along(graph: Builder, values: Val, axes: readonly number[], order: Order): Val {
  const inOrder = order.filter((axis) => axes.includes(axis));
  const turned = graph.transpose(
    values,
    inOrder.map((axis) => axes.indexOf(axis)),
  );
  const shape = order.map((axis) =>
    axes.includes(axis) ? (turned.shape[inOrder.indexOf(axis)] as number) : 1,
  );
  // What is before the first axis spreads by itself.
  const first = shape.findIndex((n) => n !== 1);
  return graph.reshape(turned, first < 0 ? [] : shape.slice(first));
}
