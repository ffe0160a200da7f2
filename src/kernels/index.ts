import { BitnibbleError, expected } from '../errors.js';
import type { Kernels } from './types.js';
import type { Abi } from './wasm-arena.js';

export type { Difference, Kernels, Projection } from './types.js';

export interface LoadKernelsOptions {
  /**
   * bitnibble's kernels made elsewhere, for hosts that refuse to compile bytes (Workers) or import `.wasm` files
   * themselves: a `WebAssembly.Module`, a `WebAssembly.Instance`, or its exports.
   */
  readonly module?: WebAssembly.Module | WebAssembly.Instance | object;
  /** `'simd'` (default) or `'reference'`: the same bytes without WebAssembly, 20 to 100 times slower. */
  readonly backend?: 'simd' | 'reference';
  /** Bytes of wasm memory that tensors stream through, at least 32 KiB. For tests; results do not depend on it. @internal */
  readonly arenaBytes?: number;
}

/** An empty function that makes a v128 constant: valid only where SIMD is. */
const SIMD_PROBE = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0],
  ...[10, 9, 1, 7, 0, 65, 0, 253, 15, 26, 11],
);

/**
 * Loads the kernels: the embedded module by default.
 *
 * @throws BitnibbleError `no-simd` where the host has no WebAssembly SIMD, `bad-module` for a module that is not bitnibble's
 * @throws TypeError for a `module` or `backend` of another kind
 */
export async function loadKernels(options: LoadKernelsOptions = {}): Promise<Kernels> {
  const { module, backend = 'simd', arenaBytes } = options;
  if (backend === 'reference') return (await import('./reference.js')).referenceKernels;
  if (backend !== 'simd') throw new TypeError(expected('backend', '"simd" or "reference"', backend));
  if (module !== undefined && (typeof module !== 'object' || module === null)) {
    const what = 'a WebAssembly.Module, a WebAssembly.Instance or its exports';
    throw new TypeError(expected('module', what, module === null ? 'null' : typeof module));
  }
  const { wasmKernels } = await import('./wasm.js');
  return wasmKernels(await exportsOf(module ?? (await compileEmbedded())), arenaBytes);
}

async function compileEmbedded(): Promise<WebAssembly.Module> {
  if (typeof WebAssembly !== 'object' || !WebAssembly.validate(SIMD_PROBE)) {
    const hint = `use backend: 'reference'`;
    throw new BitnibbleError('no-simd', `this host has no WebAssembly SIMD: ${hint}`);
  }
  const { kernelBytes } = await import('./embedded.js');
  return WebAssembly.compile(kernelBytes());
}

/** Exports of any of the things that hosts make of a `.wasm` file. */
async function exportsOf(module: object): Promise<Abi> {
  if (typeof WebAssembly === 'object') {
    if (module instanceof WebAssembly.Instance) return module.exports as unknown as Abi;
    if (module instanceof WebAssembly.Module) {
      try {
        return (await WebAssembly.instantiate(module)).exports as unknown as Abi;
      } catch (cause) {
        const message = '"module" expected the kernels of bitnibble, got a module that needs imports';
        throw new BitnibbleError('bad-module', message, { cause });
      }
    }
  }
  return module as Abi;
}
