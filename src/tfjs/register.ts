import { registerActivations } from './layers/activations.js';
import { attentionLayers } from './layers/attention.js';
import { convLayers } from './layers/conv.js';
import { convLstmLayers } from './layers/conv-lstm.js';
import { defineLayer, type LayerSpec, PREFIX } from './layers/define.js';
import { imageLayers } from './layers/images.js';
import { maskLayers } from './layers/masks.js';
import { normalizationLayers } from './layers/normalization.js';
import { operationLayers } from './layers/operations.js';
import { poolingLayers } from './layers/pooling.js';
import { recurrentLayers } from './layers/recurrent.js';
import { shapingLayers } from './layers/shaping.js';
import type { TensorFlow } from './types.js';

/** Every layer that bitnibble adds to TensorFlow.js. */
export const LAYERS: readonly LayerSpec[] = [
  ...convLayers,
  ...convLstmLayers,
  ...recurrentLayers,
  ...normalizationLayers,
  ...attentionLayers,
  ...imageLayers,
  ...maskLayers,
  ...poolingLayers,
  ...shapingLayers,
  ...operationLayers,
  ...maskLayers,
];

/**
 * Registers bitnibble's layers and activations with TensorFlow.js, under names that begin with `bitnibble>`; its own
 * classes stay as they are. Call it before `tf.loadLayersModel(packedHandler(...))` and before loading converted
 * models whose report names such classes. Further calls do nothing.
 */
export function registerLayers(tf: TensorFlow): void {
  const { classNameMap } = tf.serialization.SerializationMap.getMap();
  if (LAYERS.every(({ className }) => PREFIX + className in classNameMap)) return;
  for (const layer of LAYERS) defineLayer(tf, layer);
  registerActivations(tf);
}
