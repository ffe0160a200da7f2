// What the configuration of a layer says whatever its class.
import { isObject, type Json, type JsonObject } from '../model.js';

/** Where Keras's own classes come from. Of what cannot be imported, such as a class of a notebook, Keras writes no module. */
export const OWN_MODULE = /^(keras|keras_core|tf_keras|tensorflow|builtins)(\.|$)/;

/** What stands before the names of Keras's own, where a package does. */
const OWN_PACKAGE = /^(keras(\.[\w.]*)?|builtins)>/;

/** A name without Keras's own package. */
export const withoutKeras = (name: string): string => name.replace(OWN_PACKAGE, '');

/** The class of an entry: with its package, or its module, where another than Keras defines it. */
export function classOf(entry: JsonObject): string {
  const name = String(entry.class_name);
  const { module, registered_name: registered } = entry;
  const isOwn = module === undefined || (typeof module === 'string' && OWN_MODULE.test(module));
  const isPackaged = typeof registered === 'string' && /^[^>]+>/.test(registered);
  if (isPackaged && (isOwn || !OWN_PACKAGE.test(registered))) return registered;
  return isOwn ? name : `${typeof module === 'string' ? module : 'Custom'}>${name}`;
}

const MODELS = /^(Sequential|Functional|Model|Container)$/;

/** Whether a model is of a class of Keras's own, whose layers say all that it computes. */
export const isKerasModel = (entry: JsonObject): boolean => MODELS.test(withoutKeras(classOf(entry)));

/** Words of Keras 1 that Keras 2 and 3 do not have. */
export const isOfKeras1 = (config: JsonObject): boolean =>
  ['W_regularizer', 'W_constraint', 'nb_filter'].some((key) => key in config);

/** How Keras itself quantized the weights, where it did. */
export function quantizationMode({ dtype }: JsonObject): string | undefined {
  const mode = isObject(dtype) && isObject(dtype.config) ? dtype.config.mode : undefined;
  return typeof mode === 'string' ? mode : undefined;
}

/** Whether a configuration is none that can be computed, whatever its class; `foreignReason` says why. */
export const isForeign = (config: JsonObject): boolean =>
  config.padding === 'full' || isOfKeras1(config) || quantizationMode(config) !== undefined;

/** Name of a number type or of a policy: `float32`, `{ class_name: 'DTypePolicy', config: { name } }`. */
export function dtypeName(value: Json | undefined): string | undefined {
  const name = isObject(value) ? (isObject(value.config) ? value.config.name : value.name) : value;
  return typeof name === 'string' ? name : undefined;
}

/** The number type of a layer that none is known to compute with. */
export function unknownType(value: Json | undefined): string | undefined {
  const name = dtypeName(value);
  return /^(float|bfloat|mixed_|u?int(8|16|32|64)$|bool$)/.test(name ?? 'float') ? undefined : name;
}

const TRAINING =
  /_(initializer|regularizer|constraint)$|^(trainable|unit_forget_bias|rate|stddev|dropout|recurrent_dropout|noise_shape|momentum)$/;

/** What a configuration says of training alone. */
export function trainingOf(config: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(config).filter(([key]) => TRAINING.test(key)));
}
