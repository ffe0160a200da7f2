import { plainDecoder } from './decoder.js';
import { loadRuntimeKernels } from './kernels.js';
import type { Later } from './later.js';

/** Everything, each in a chunk of its own. */
export const LATER: Later = {
  kernels: loadRuntimeKernels,
  network: async (model) => (await import('../network/open.js')).openNetwork(model),
  floatRows: async () => (await import('./rows-float.js')).FLOAT_ROWS,
  allRows: async () => (await import('./rows-all.js')).ALL_ROWS,
  packed: async (bytes, name, limit, openShard) => {
    const [{ openPacked }, { wholeOf }] = await Promise.all([
      import('../packed/read.js'),
      import('../packed/shards/whole.js'),
    ]);
    return openPacked(await wholeOf(bytes, name, { limit, openShard }), plainDecoder, name);
  },
  body: async (stream, name, limit, response, openShard) =>
    (await import('../packed/shards/whole.js')).takeAny(stream, name, { limit, response, openShard }),
  ranges: async (model) => (await import('../packed/ranges.js')).readRanges(model),
  crew: () => import('./crew.js'),
  sharing: async () => (await import('./crew-parts.js')).SHARING,
};
