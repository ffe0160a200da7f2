/**
 * Keras files, of every kind that Keras 1, 2 and 3 wrote: opened, read weight by weight, and written with other weights.
 * @module bitnibble/keras
 */
export { type Role, roleOf } from './axes.js';
export type { LayerNode } from './config.js';
export { type KerasInt4File, kerasInt4File } from './int4-file.js';
export { type Container, type KerasFiles, KerasModel } from './keras-model.js';
export type { KerasWeight, LeftOut } from './keras-weight.js';
export { type OpenKerasOptions, openKeras, openKerasFolder } from './open.js';
export {
  type LayerWeights,
  loadModelWeights,
  type NewValues,
  type NewWeights,
  saveModelWeights,
  writeWeights,
} from './save.js';
export { type ByteSource, bytesSource } from './source.js';
