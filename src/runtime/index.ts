/**
 * Runs a network from packed integers: no TensorFlow.js, one small WebAssembly module, one block of memory. What networks of plain
 * layers do without is loaded when a network has it.
 * @module bitnibble/runtime
 */
import { LATER } from './later-all.js';
import { type ComingSource, type LoadNetworkOptions, loadWith } from './load.js';
import type { RunnableNetwork } from './network.js';

export { BitnibbleError, type ErrorCode } from '../errors.js';
export type { KernelModule } from '../kernels/instance.js';
export type { ModelSource } from '../model.js';
export { whyNotRunnable } from './check.js';
export type { Spawn } from './crew.js';
export type { ComingSource, LoadNetworkOptions, NetworkSource } from './load.js';
export {
  type LayerSummary,
  type NetworkArray,
  type NetworkInputs,
  type NetworkPort,
  type NetworkSummary,
  type Outputs,
  RunnableNetwork,
} from './network.js';
export { NotFiniteError } from './product-integer.js';
export type { ThreadStart } from './thread.js';
export type { Kernels } from './types.js';

/**
 * Makes a network ready to run.
 *
 *     const network = await loadNetwork(fetch('/model.safetensors'));
 *     const scores = network.run(pixels);
 *
 * @param source a packed file or an open model, or a promise of it: a file then travels while the WebAssembly is compiled. A promise that
 *   is rejected rejects with the same reason
 * @throws BitnibbleError `unsupported-layer` naming what cannot be run and why, what opening a packed file throws,
 *   `missing-weight` and `shape-mismatch` where weights are not those of the architecture, `too-large` beyond `memoryLimit`,
 *   `no-simd`, `no-compile`, `bad-module`; TypeError and RangeError for wrong options
 */
export const loadNetwork = (
  source: ComingSource,
  options: LoadNetworkOptions = {},
): Promise<RunnableNetwork> => loadWith(LATER, source, options);
