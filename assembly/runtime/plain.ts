// What runs plain networks from integers alone: build/runtime-plain.wasm, what a page loads first. The same kernels as in
// build/runtime.wasm (index.ts).

export { arenaBase, bitnibbleAbi } from '../module';
export { activate, combine, softmax } from './activate';
export { convolve } from './direct';
export { fill, move } from './move';
export { decodePanel, decodeWinograd } from './panels';
export { pool } from './pool';
export { quantize, range } from './quantize';
export { useScratch } from './scratch';
export { convolveWinograd } from './winograd';
