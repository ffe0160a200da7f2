import type { ElementType, LazyBytes, Val } from '../export/values.js';

/** Element types by their numbers in `TensorProto.DataType`. */
export const TYPES = {
  float: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  int4: 22,
  int2: 26,
} as const satisfies Readonly<Record<ElementType, number>>;

/** A tensor that is stored in the file. */
export interface Initializer {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
  /** Little-endian, C order; values of less than a byte packed lowest bits first. */
  readonly data: Uint8Array | LazyBytes;
}

export type AttributeValue = number | { readonly float: number } | string | readonly number[];

/** Attributes of a node: whole numbers and lists of them; floats are said to be floats, `{ floats }` is a list of them. */
export type Attributes = Readonly<
  Record<
    string,
    | AttributeValue
    | { readonly floats: readonly number[] }
    | { readonly texts: readonly string[] }
    | { readonly graph: Graph }
    | undefined
  >
>;

export interface Node {
  readonly name: string;
  readonly op: string;
  /** Empty: ONNX's own. */
  readonly domain: string;
  /** Names of values; empty where an optional one is left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Attributes;
}

/** A graph, or the body of a loop, which sees the values around it. */
export interface Graph {
  readonly name: string;
  readonly nodes: readonly Node[];
  readonly initializers: readonly Initializer[];
  readonly inputs: readonly Val[];
  readonly outputs: readonly Val[];
  /** Types and shapes of the values between. */
  readonly values: readonly Val[];
}

/** A whole model. */
export interface Model {
  readonly graph: Graph;
  readonly irVersion: number;
  /** Version of ONNX's operations, and of those of other domains that are used. */
  readonly opsets: Readonly<Record<string, number>>;
  readonly producer: { readonly name: string; readonly version: string };
  readonly metadata: Readonly<Record<string, string>>;
}
