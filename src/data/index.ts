/**
 * Datasets from bytes: CIFAR-10, MNIST-style IDX files, `.npz`; batches of float32.
 * @module bitnibble/data
 */

export type { ReadOptions } from '../formats/gzip.js';
export { type PngImage, readPng, withChannels } from '../formats/png.js';
export type { RandomAccess } from '../formats/random-access.js';
export { type NamedBytes, type NamedSource, readIdxDataset, readNpzDataset } from './arrays.js';
export { CIFAR10_CLASSES, readCifar10 } from './cifar10.js';
export {
  type ArrayDataset,
  arrayDataset,
  type Batch,
  type BatchOptions,
  type Dataset,
  type SampleDataset,
  sampleDataset,
  samplesFrom,
} from './dataset.js';
export { type Preprocess, type PreprocessTexts, parsePreprocess } from './preprocess.js';
