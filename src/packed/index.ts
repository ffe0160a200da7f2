export { type PackedWeight, QuantizedModel } from './quantized-model.js';
export { openPacked } from './read.js';
export { openRemotePacked, type RemoteOptions, RemotePacked } from './remote.js';
export type { ByteStream, OnProgress } from './source.js';
export { type StreamedWeight, type StreamOptions, streamPacked } from './stream.js';
export { packedBytes, writePacked } from './write.js';
