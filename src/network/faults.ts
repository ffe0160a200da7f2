// Why models and layers cannot be computed, whatever their class, in words.
import type { JsonObject } from '../model.js';
import {
  classOf,
  isForeign,
  isKerasModel,
  isOfKeras1,
  OWN_MODULE,
  quantizationMode,
  withoutKeras,
} from './config.js';

/**
 * Why a model cannot be computed by its layers, whatever they are: a class of its own may call them in another way, and a file
 * does not hold that code.
 */
export function modelFault(entry: JsonObject): string | undefined {
  if (isKerasModel(entry)) return undefined;
  const isOfKeras = typeof entry.module === 'string' && OWN_MODULE.test(entry.module);
  return isOfKeras && !withoutKeras(classOf(entry)).includes('>')
    ? 'a layer that bitnibble does not know'
    : 'a model of a class of its own, whose code is not in the file: if it only trains in another way, save keras.Model(model.inputs, model.outputs)';
}

/** Why a configuration is none that can be computed, whatever its class. */
export function foreignReason(config: JsonObject): string | undefined {
  if (!isForeign(config)) return undefined;
  if (config.padding === 'full') return 'padding: full';
  return isOfKeras1(config)
    ? 'its configuration is that of Keras 1: load the model with Keras 2 and save it again'
    : `its weights were quantized by Keras (${quantizationMode(config)}), and the file has too little to decode them`;
}
