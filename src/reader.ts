/**
 * What opens packed files and decodes them, and nothing else: a third of the kernels, no writer, no quantizer.
 * @module bitnibble/reader
 */
export { BitnibbleError, type ErrorCode } from './errors.js';
export { type LoadDecoderOptions, loadDecoder } from './kernels/reader.js';
export type { Decoder } from './kernels/types.js';
export type { Dtype, ModelInfo, ModelSource, WeightInfo } from './model.js';
export { type PackedWeight, QuantizedModel } from './packed/quantized-model.js';
export { openPacked } from './packed/read.js';
export { openRemotePacked, type RemoteOptions, RemotePacked } from './packed/remote.js';
export type { ByteStream, OnProgress } from './packed/source.js';
export { type StreamedWeight, type StreamOptions, streamPacked } from './packed/stream.js';
export type { DecodeTarget } from './schemes/target.js';
