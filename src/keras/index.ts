export { type Role, roleOf } from './axes.js';
export type { LayerNode } from './config.js';
export { KerasModel, type KerasWeight } from './keras-model.js';
export { openKeras } from './open.js';
export { type LayerWeights, loadModelWeights, saveModelWeights, writeWeights } from './save.js';
export { type ByteSource, bytesSource } from './source.js';
