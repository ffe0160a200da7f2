/**
 * `loadNetwork` for networks of plain layers alone, in files as `bitnibble quantize` writes them: convolutions, dense layers, pools,
 * batch normalizations, sums. For hosts that take one file of JavaScript and charge for its length, such as Workers; what it
 * does not take, `bitnibble/runtime` may.
 * @module bitnibble/runtime/plain
 */
import { BitnibbleError, expected } from '../errors.js';
import { kernelsOf } from './kernels-simd.js';
import type { Later } from './later.js';
import { type ComingSource, type LoadNetworkOptions, loadWith, settled } from './load.js';
import type { RunnableNetwork } from './network.js';
import { FLOAT_ROWS } from './rows-float.js';

export { BitnibbleError, type ErrorCode } from '../errors.js';
export type { ComingSource, LoadNetworkOptions, NetworkSource } from './load.js';
export type { NetworkArray, NetworkInputs, NetworkPort, NetworkSummary, RunnableNetwork } from './network.js';

const other = (name: string, what: string): never => {
  const hint = 'bitnibble/runtime may take it, or says why not';
  throw new BitnibbleError(
    'unsupported-layer',
    `${name}: bitnibble/runtime/plain takes ${what} alone: ${hint}`,
  );
};
const file = async (_: unknown, name: string) => other(name, 'packed files as they were written');

const embedded = async () => (await import('../kernels/embedded-runtime.js')).kernelBytes();

const NOTHING: Later = {
  kernels: (options) => kernelsOf(embedded, options),
  network: async (model) => other(model.file, 'networks of plain layers'),
  floatRows: async () => FLOAT_ROWS,
  allRows: async () => other('the network', 'plain layers'),
  packed: file,
  body: file,
  ranges: async (model) => other(model.file, 'ranges: "sample"'),
  threads: async () => other('the network', 'threads: 1'),
};

/**
 * As `loadNetwork` of `bitnibble/runtime`, with the same bits.
 *
 * @throws BitnibbleError `unsupported-layer` for any file that is not plain, right or wrong; TypeError for the options `threads`,
 *   `backend` and `ranges`, which are those of `bitnibble/runtime`
 */
export async function loadNetwork(
  source: ComingSource,
  options: Omit<LoadNetworkOptions, 'threads' | 'spawn' | 'backend' | 'ranges'> = {},
): Promise<RunnableNetwork> {
  const coming = settled(source);
  for (const key of ['threads', 'spawn', 'backend', 'ranges'] as const)
    if (key in options)
      throw new TypeError(
        expected(key, 'nothing: an option of bitnibble/runtime', typeof options[key as never]),
      );
  return loadWith(NOTHING, coming, options);
}
