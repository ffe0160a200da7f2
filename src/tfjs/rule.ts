import type { JsonObject } from '../model.js';
import type { Shape } from '../network/types.js';
import { PREFIX } from './layers/define.js';

/** A node of a network to be converted. */
export interface Given {
  /** Its operation. */
  readonly className: string;
  /** Its attributes in the words of TensorFlow.js, with name, initializers and regularizers. */
  readonly config: JsonObject;
  /** What its inputs are. */
  readonly roles: readonly string[];
  /** Shape of its first output where it is known, batch included, without the axes of TimeDistributed. */
  readonly shape: Shape | undefined;
  /** The same of its first input. */
  readonly inputShape?: Shape | undefined;
  /** Whether it computes with whole numbers that may be too large for float32. */
  readonly isWhole?: boolean;
}

/** A layer for TensorFlow.js. */
export interface Converted {
  readonly className: string;
  readonly config: JsonObject;
  /**
   * Names of its weights in TensorFlow.js in the order of the operation's roles, those of no use left out, without the
   * layer's own name.
   */
  readonly weights: readonly string[];
}

/** What a node becomes, or why it cannot be run. */
export type Rule = (given: Given) => Converted | string;

/** The name of the bias, where there is one. */
export const bias = (config: JsonObject) => (config.use_bias === false ? [] : ['bias']);
/** bitnibble's class. */
export const own = (
  className: string,
  config: JsonObject,
  weights: Converted['weights'] = [],
): Converted => ({
  className: PREFIX + className,
  config,
  weights,
});
/** TensorFlow.js's class. */
export const native = (
  className: string,
  config: JsonObject,
  weights: Converted['weights'] = [],
): Converted => ({
  className,
  config,
  weights,
});
