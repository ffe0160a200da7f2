// What the first chunk shares with others. Every file of `later/` reaches all of it: esbuild and Rolldown make a chunk of the modules
// that the same files reach, so this is one chunk. It was eleven where each file reached its own part.
export { packedLength } from '../export/arrange.js';
export { kernelBytes as plainBytes } from '../kernels/embedded-runtime-plain.js';
export { readPlain } from '../network/plain.js';
export { requireRunnable } from '../network/runnable.js';
export { openQuick } from '../packed/quick.js';
export { PLAIN_ROWS } from './rows.js';
