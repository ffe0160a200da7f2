export { loadLayersModel } from './load.js';
export { toTopology } from './topology.js';
export type { TensorFlow } from './types.js';
