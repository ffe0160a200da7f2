// What runs a network: build/runtime.wasm. Pointers and sizes in; nothing is allocated. Kernels may read up to 64 bytes behind the
// end of what they are given, and write only what they say.

export { arenaBase, bitnibbleAbi } from '../module';
export {
  activateAny as activate,
  combineAny as combine,
  normalize,
  softmaxAny as softmax,
} from './activate-more';
export { convolve } from './direct';
export { border, convolveFloat, depthwise, packPanels } from './float';
export { fill, move } from './move';
export { decodeRow, interpolate, scatter } from './move-more';
export { decodePanel, decodeWinograd } from './panels';
export { pool } from './pool';
export { quantize, range } from './quantize';
export { useScratch } from './scratch';
export { convolveWinograd } from './winograd';
