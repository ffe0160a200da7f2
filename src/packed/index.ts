export { type PackedWeight, QuantizedModel } from './quantized-model.js';
export { openPacked } from './read.js';
export { packedBytes, writePacked } from './write.js';
