/**
 * Keras models, float or packed, in TensorFlow.js.
 * @module
 */
export { loadLayersModel } from './load.js';
export { registerLayers } from './register.js';
export { type LayerWeightNames, type Topology, type TopologyOptions, toTopology } from './topology.js';
export type { TensorFlow } from './types.js';
