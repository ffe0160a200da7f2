/**
 * Datasets from bytes: CIFAR-10, MNIST-style IDX files, arrays (`.npz`, `.npy`, `.safetensors`), tables, images, samples as they
 * come; batches of float32.
 * @module bitnibble/data
 */

export type { ReadOptions } from '../formats/gzip.js';
export { type PngImage, readPng, withChannels } from '../formats/png.js';
export type { RandomAccess } from '../formats/random-access.js';
export {
  type ArrayNames,
  readNpyDataset,
  readNpzDataset,
  readSafetensorsDataset,
  type Split,
} from './archives.js';
export { type NamedBytes, type NamedSource, readIdxDataset } from './arrays.js';
export { CIFAR10_CLASSES, readCifar10 } from './cifar10.js';
export { type CsvOptions, readCsvDataset } from './csv.js';
export {
  type ArrayDataset,
  arrayDataset,
  type Batch,
  type BatchOptions,
  type Dataset,
  type Preprocessing,
  type SampleDataset,
  type SampleInput,
  sampleDataset,
  type Targets,
} from './dataset.js';
export {
  type AnswerFile,
  isAnswerFile,
  joinFiles,
  type NetworkInput,
  readDataFile,
} from './files.js';
export { type Folder, type FolderFile, imageFolder, type WantedShape } from './folder.js';
export { type GatherOptions, gatherSamples, type Sample, type SampleValues } from './gather.js';
export {
  type DecodedImage,
  type ImageCodec,
  type ImageFile,
  type ImageOptions,
  imageDataset,
  type StoredImage,
} from './images.js';
export { type Preprocess, type PreprocessTexts, parsePreprocess } from './preprocess.js';
export { arraysOf, inputsOf, joinInputs, type NamedDataset, pickSamples, samplesFrom } from './several.js';
