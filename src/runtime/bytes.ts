// Bytes of the kernels. The two modules have most functions in common, so they stand next to each other where one file holds both: gzip
// looks back 32 kB, and the second then takes 1 kB instead of 8.
import { kernelBytes } from '../kernels/embedded-runtime-plain.js';
import { chunk } from './chunk.js';

/** Those of plain networks come with the first chunk: a request of their own would be one more that waits for another. */
export const plainBytes = async () => kernelBytes();
export const allBytes = async () => (await chunk(import('./later/kernels.js'))).kernelBytes();
