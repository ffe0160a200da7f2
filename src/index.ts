/**
 * The core: kernels, schemes and the packed format. It needs no file system, no HDF5 and no TensorFlow.js.
 * @module bitnibble
 */
export { BitnibbleError, type ErrorCode } from './errors.js';
export { type LoadKernelsOptions, loadKernels } from './kernels/index.js';
export type { KernelModule } from './kernels/instance.js';
export type {
  Decoder,
  Difference,
  FloatSink,
  HalfArray,
  HalfSink,
  Kernels,
  Lent,
  Projection,
} from './kernels/types.js';
export type {
  Dtype,
  Json,
  JsonObject,
  ModelInfo,
  ModelSource,
  QuantizableModel,
  StoredForm,
  WeightInfo,
} from './model.js';
export {
  type ByteStream,
  type OnProgress,
  openPacked,
  openRemotePacked,
  type PackedWeight,
  packedBytes,
  QuantizedModel,
  type RemoteOptions,
  RemotePacked,
  type StreamedWeight,
  type StreamOptions,
  streamPacked,
  writePacked,
} from './packed/index.js';
export { GRIDS, type Grid } from './schemes/grids.js';
export { packLevels, unpackLevels } from './schemes/levels.js';
export { dequantizeTensor, quantizedBytes, quantizeTensor } from './schemes/quantize.js';
export type { DecodeTarget } from './schemes/target.js';
export type {
  Coding,
  QuantizedTensor,
  QuantizeOptions,
  ScaleDtype,
  ScaleRule,
  SchemeName,
} from './schemes/types.js';
export { type BlockLayout, blockLayout, type Granularity } from './shape.js';
