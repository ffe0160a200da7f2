// What the configuration of a layer says whatever its class.
import { isObject, type Json, type JsonObject } from '../model.js';

/** The class of an entry: with its package where another package than Keras registered it. */
export function classOf(entry: JsonObject): string {
  const name = String(entry.class_name);
  const { registered_name: registered } = entry;
  return typeof registered === 'string' && registered.endsWith(`>${name}`) ? registered : name;
}

/** Why a configuration is none that can be computed, whatever its class. */
export function foreignReason(config: JsonObject): string | undefined {
  if (config.padding === 'full') return 'padding: full';
  const keras1 = ['W_regularizer', 'W_constraint', 'nb_filter'].some((key) => key in config);
  if (keras1) return 'its configuration is that of Keras 1: load the model with Keras 2 and save it again';
  const policy =
    isObject(config.dtype) && isObject(config.dtype.config) ? config.dtype.config.mode : undefined;
  return typeof policy === 'string'
    ? `its weights were quantized by Keras (${policy}), and the file has too little to decode them`
    : undefined;
}

/** Name of a number type or of a policy: `float32`, `{ class_name: 'DTypePolicy', config: { name } }`. */
export function dtypeName(value: Json | undefined): string | undefined {
  const name = isObject(value) ? (isObject(value.config) ? value.config.name : value.name) : value;
  return typeof name === 'string' ? name : undefined;
}

/** What number types make of a layer. */
export function dtypeFaults(value: Json | undefined): string[] {
  const name = dtypeName(value);
  if (name === undefined || /^(float|bfloat|mixed_|u?int(8|16|32|64)$|bool$)/.test(name)) return [];
  return [`values of type ${name}`];
}

const TRAINING =
  /_(initializer|regularizer|constraint)$|^(trainable|unit_forget_bias|rate|stddev|dropout|recurrent_dropout|noise_shape|momentum)$/;

/** What a configuration says of training alone. */
export function trainingOf(config: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(config).filter(([key]) => TRAINING.test(key)));
}
