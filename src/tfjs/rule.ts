import type { TensorShape } from '../keras/shapes.js';
import type { Json, JsonObject } from '../model.js';
import { PREFIX } from './layers/define.js';

/** A layer to be converted, its config clean. */
export interface Given {
  readonly className: string;
  readonly config: JsonObject;
  readonly isKeras3: boolean;
  /** What its inputs are, call by call the same. */
  readonly roles: readonly string[];
  /** Arguments of its calls. */
  readonly flags: JsonObject;
  /** Output shape where it is known, batch included. */
  readonly shape: TensorShape | undefined;
  /** Converts the layer inside a wrapper. */
  readonly inner: (entry: Json | undefined) => Converted | undefined;
}

/** A layer for TensorFlow.js. */
export interface Converted {
  readonly className: string;
  readonly config: JsonObject;
  /**
   * Names of its weights in TensorFlow.js, in the order in which Keras stores them, without the layer's own name;
   * null: stored by Keras and not needed. `any`: whatever Keras stores is not needed.
   */
  readonly weights: readonly (string | null)[] | 'any';
}

/** The layer inside a wrapper cannot be run, which was said of it. */
export const INSIDE = 'the layer inside';

/** What a layer becomes, or why it cannot be run. */
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
