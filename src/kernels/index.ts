import { expected } from '../errors.js';
import { exportsOf, type KernelModule } from './instance.js';
import type { Kernels } from './types.js';
import type { Abi } from './wasm-arena.js';

export type { Decoder, Difference, Kernels, Lent, Projection } from './types.js';

/** Where the kernels come from. */
export interface LoadKernelsOptions {
  /**
   * bitnibble's kernels made elsewhere, for hosts that refuse to compile bytes (Workers) or import `.wasm` files
   * themselves: a `WebAssembly.Module`, a `WebAssembly.Instance`, or its exports.
   */
  readonly module?: KernelModule;
  /** `'simd'` (default) or `'reference'`: the same bytes without WebAssembly, 20 to 100 times slower. */
  readonly backend?: 'simd' | 'reference';
  /** Bytes of wasm memory that tensors stream through, at least 32 KiB. For tests; results do not depend on it. @internal */
  readonly arenaBytes?: number;
}

/**
 * Loads the kernels: the embedded module by default.
 *
 * @throws BitnibbleError `no-simd` where the host has no WebAssembly SIMD, `no-compile` where it refuses to compile
 *   bytes, `bad-module` for a module that is not bitnibble's
 * @throws TypeError for a `module` or `backend` of another kind
 */
export async function loadKernels(options: LoadKernelsOptions = {}): Promise<Kernels> {
  const { module, backend = 'simd', arenaBytes } = options;
  if (backend === 'reference') return (await import('./reference.js')).referenceKernels;
  if (backend !== 'simd') throw new TypeError(expected('backend', '"simd" or "reference"', backend));
  const embedded = async () => (await import('./embedded.js')).kernelBytes();
  const abi = await exportsOf<Abi>(module, embedded, 'kernels.wasm');
  return (await import('./wasm.js')).wasmKernels(abi, arenaBytes);
}
