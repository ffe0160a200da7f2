import { plainDecoder } from './decoder.js';
import { loadRuntimeKernels } from './kernels.js';
import type { Later } from './later.js';

/** Everything, each in a chunk of its own. */
export const LATER: Later = {
  kernels: loadRuntimeKernels,
  network: async (model) => (await import('../network/open.js')).openNetwork(model),
  rows: async () => (await import('./rows-all.js')).ALL_ROWS,
  packed: async (bytes, name) => (await import('../packed/read.js')).openPacked(bytes, plainDecoder, name),
  body: async (source, name, limit) => (await import('../packed/whole.js')).takeBody(source, name, limit),
  ranges: async (model) => (await import('../packed/ranges.js')).readRanges(model),
  crew: () => import('./crew.js'),
};
