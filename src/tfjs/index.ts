/**
 * Keras models, float or packed, in TensorFlow.js, which is handed in by the caller and never imported.
 * @module bitnibble/tfjs
 */
export { type LayersModelFiles, type LayersModelOptions, layersModelFiles } from './artifacts.js';
export { type PackedHandlerOptions, type PackedSource, packedHandler } from './handler.js';
export { loadLayersModel } from './load.js';
export { registerLayers } from './register.js';
export { type Topology, type TopologyOptions, toTopology } from './topology.js';
export type { TensorFlow } from './types.js';
