/**
 * Paths instead of bytes, for Node.js: files, datasets, networks, TensorFlow.js.
 * @module bitnibble/node
 */
export {
  cacheFolder,
  type IdxPaths,
  type NetworkInput,
  type OpenDatasetOptions,
  openDataset,
  type Split,
} from './datasets.js';
export type { Remote } from './download.js';
export { fileSource } from './files.js';
export { openKeras, openModel, saveModelWeights, saveQuantized } from './models.js';
export { loadNetwork } from './networks.js';
export { saveOnnx } from './onnx.js';
export { type OpenModel, type QuantizeToFileOptions, quantizeToFile } from './packed.js';
export { type LoadedTensorFlow, type LoadTensorFlowOptions, loadTensorFlow } from './tfjs.js';
