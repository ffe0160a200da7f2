import { expected } from '../errors.js';
import { compile } from '../kernels/instance.js';
import { allBytes, plainBytes } from './bytes.js';
import { chunk } from './chunk.js';
import { type Abi, kernelsOf, simdKernels } from './kernels-simd.js';
import type { Kernels, LoadRuntimeKernelsOptions } from './types.js';

export type { Kernels } from './types.js';

/**
 * Kernels with memory of their own: each call makes a new instance.
 *
 * @throws BitnibbleError `no-simd`, `no-compile`, `bad-module`; TypeError for a `module` or `backend` of another kind
 */
export async function loadRuntimeKernels(options: LoadRuntimeKernelsOptions = {}): Promise<Kernels> {
  const { backend = 'simd' } = options;
  if (backend === 'reference') return (await chunk(import('./later/reference.js'))).referenceKernels();
  if (backend !== 'simd') throw new TypeError(expected('backend', '"simd" or "reference"', backend));
  const bytes = options.isPlain ? plainBytes : allBytes;
  return options.isShared ? sharedKernels(await bytes()) : kernelsOf(bytes, options);
}

/** @throws what compiling throws, RangeError where there is no shared memory */
async function sharedKernels(own: Uint8Array): Promise<Kernels> {
  const { sharedMemory, withSharedMemory } = await chunk(import('./later/threads.js'));
  const { bytes, pages } = withSharedMemory(own);
  const memory = sharedMemory(pages);
  const module = await compile(async () => bytes, 'runtime.wasm');
  const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
  return { ...simdKernels({ ...(exports as unknown as Abi), memory }), shared: { module, memory } };
}
