export { type Role, roleOf } from './axes.js';
export type { LayerNode } from './config.js';
export { KerasModel } from './keras-model.js';
export type { KerasWeight } from './keras-weight.js';
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
