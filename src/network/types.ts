import type { ErrorCode } from '../errors.js';
import type { JsonObject } from '../model.js';

/** A tensor's shape, the batch first; null where a length is not fixed. */
export type Shape = readonly (number | null)[];

/** Number types that values of a network have: TensorFlow.js's, which every consumer has as well. */
export type ValueType = 'float32' | 'int32' | 'bool' | 'string';

/** Whole numbers by the width in which Keras holds them. */
export type IntegerType = `${'' | 'u'}int${8 | 16 | 32 | 64}`;

/** A value: what a node makes or the network is given. */
export interface Value {
  /** Undefined where a node before it is not known. */
  readonly shape: Shape | undefined;
  readonly dtype: ValueType;
  /** Where Keras has whole numbers: their type there, by which results wrap. Merges of them are float32 here. */
  readonly integer?: IntegerType;
}

/** One application of an operation. */
export interface NetworkNode {
  /**
   * Keras 3's name of the layer class (`Conv2D`), whatever the file's Keras calls it; `ops.Mean` for an operation on
   * tensors, a function of `keras.ops` or of TensorFlow's.
   */
  readonly operation: string;
  /** All attributes of the operation by Keras 3's names, defaults filled in, sizes as lists. */
  readonly attributes: JsonObject;
  /** Values that it takes, in order. */
  readonly inputs: readonly number[];
  /** What each input is to it: `x`, `state`, `mask`, `query`, ... */
  readonly roles: readonly string[];
  readonly outputs: readonly number[];
  /** Ids of its weights by role: `kernel`, `bias`, `forward/kernel`. Nodes of a shared layer have the same. */
  readonly weights: Readonly<Record<string, string>>;
  /** Path of the layer that it comes from, models that hold it before: `encoder/dense`. */
  readonly layer: string;
  /** Class of the layer as its file says, wrappers before it: `TimeDistributed/Dense`. */
  readonly className: string;
  /** Axes behind the batch over which the operation is applied step by step: 1 inside TimeDistributed, 2 inside two. */
  readonly steps: number;
  /** Initializers, regularizers and the like as the file has them: of use to who trains on. */
  readonly training: JsonObject;
}

/** An input or output of the network. */
export interface Port {
  /** Name of the layer that it belongs to; of a dictionary, its key. */
  readonly name: string;
  readonly value: number;
}

/** What about a layer is not known or not possible. */
export interface Problem {
  readonly layer: string;
  readonly className: string;
  readonly reason: string;
  /** `unsupported-layer` unless the file contradicts itself. */
  readonly code: ErrorCode;
}

/**
 * A model of any Keras as plain data: numbered values and nodes in an order in which they can be run. Models inside are
 * taken apart; a shared layer has one set of weights and several nodes; only what the outputs need is there.
 */
export interface Network {
  readonly name: string;
  readonly values: readonly Value[];
  readonly nodes: readonly NetworkNode[];
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** Layers that no consumer can run, and why; their nodes are there with what is known. */
  readonly problems: readonly Problem[];
}
