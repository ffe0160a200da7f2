import { chunk } from './chunk.js';
import { plainDecoder } from './decoder.js';
import { loadRuntimeKernels } from './kernels.js';
import type { Later } from './later.js';

/** Everything else, each in a chunk of its own. */
export const LATER: Later = {
  kernels: loadRuntimeKernels,
  network: async (model) => (await chunk(import('./later/network.js'))).openNetwork(model),
  floatRows: async () => (await chunk(import('./later/float.js'))).FLOAT_ROWS,
  allRows: async () => (await chunk(import('./later/all.js'))).ALL_ROWS,
  packed: async (bytes, name, limit, openShard) => {
    const { openPacked, wholeOf } = await chunk(import('./later/packed.js'));
    return openPacked(await wholeOf(bytes, name, { limit, openShard }), plainDecoder, name);
  },
  body: async (stream, name, limit, response, openShard) =>
    (await chunk(import('./later/packed.js'))).takeAny(stream, name, { limit, response, openShard }),
  ranges: async (model) => (await chunk(import('./later/ranges.js'))).readRanges(model),
  threads: () => chunk(import('./later/threads.js')),
};
