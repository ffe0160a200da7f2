import type { ElementType, LazyBytes } from '../export/values.js';

/** Number types by their numbers in `TensorType`. */
export const TYPES = {
  float: 0,
  int32: 2,
  uint8: 3,
  int64: 4,
  bool: 6,
  int8: 9,
  int4: 17,
  int2: 19,
} as const satisfies Readonly<Record<ElementType, number>>;

/** What the integers of a tensor stand for: `scale (q - zero)`. */
export interface Quantization {
  /** One, or one for each place of an axis. */
  readonly scales: ArrayLike<number>;
  /** One for all. */
  readonly zero: number;
  readonly axis: number;
}

/** A tensor: stored in the file, given from outside or made by an operation. */
export interface StoredTensor {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
  /** Little-endian, C order; values of less than a byte packed lowest bits first. */
  readonly data?: Uint8Array | LazyBytes;
  readonly quantization?: Quantization;
}

/** Options of an operation: fields of its table by their names in the schema. */
export type Options = Readonly<Record<string, number | boolean | readonly number[]>>;

/** An operation on tensors, by their names; an empty one is left out. */
export interface Operation {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly options: Options;
}

/** A graph: the model itself, or what a loop does. */
export interface Graph {
  readonly name: string;
  readonly tensors: readonly StoredTensor[];
  readonly operations: readonly Operation[];
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** A whole model. */
export interface Model {
  /** The first is the model. */
  readonly graphs: readonly Graph[];
  /** Names of inputs and outputs for callers, beside those of their tensors. */
  readonly inputs: readonly (readonly [name: string, tensor: string])[];
  readonly outputs: readonly (readonly [name: string, tensor: string])[];
  readonly description: string;
  readonly metadata: Readonly<Record<string, string>>;
}
