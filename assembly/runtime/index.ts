// What runs a network from integers: build/runtime.wasm. Pointers and sizes in; nothing is allocated. Kernels may read up to 64
// bytes behind the end of what they are given, and write only what they say.

export { arenaBase, bitnibbleAbi } from '../module';
export { activate, combine, normalize, softmax } from './activate';
export { convolve } from './direct';
export { convolveFloat, depthwise, pool } from './float';
export { fill, interpolate, move, scatter } from './move';
export { decodePanel, decodeRow, decodeWinograd, packPanels } from './panels';
export { border, quantize, range } from './quantize';
export { useScratch } from './scratch';
export { convolveWinograd } from './winograd';
