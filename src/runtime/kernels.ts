import { BitnibbleError, expected } from '../errors.js';
import { compile, exportsOf, type KernelModule } from '../kernels/instance.js';
import { Refusal } from './refusal.js';
import { sharedMemory, withSharedMemory } from './shared.js';
import { aligned } from './tensor.js';
import type { KernelName, Kernels } from './types.js';

export type { KernelModule } from '../kernels/instance.js';
export type { Kernels } from './types.js';

export interface LoadRuntimeKernelsOptions {
  /** `bitnibble/runtime.wasm`, compiled elsewhere, for hosts that refuse to compile bytes. */
  readonly module?: KernelModule;
  /** `'simd'` (default) or `'reference'`: the same bits without WebAssembly, many times slower. */
  readonly backend?: 'simd' | 'reference';
  /** In a memory that threads share. */
  readonly isShared?: boolean;
}

/** What `assembly/runtime/index.ts` exports. */
type Abi = Readonly<Record<KernelName, (...args: number[]) => void>> & {
  readonly memory: WebAssembly.Memory;
  bitnibbleAbi(): number;
  arenaBase(): number;
};

/** Version of the export list. */
const ABI_VERSION = 2;

/** Bytes that kernels may read behind what they are given. */
const OVERREAD = 64;

/**
 * Kernels with memory of their own: each call makes a new instance.
 *
 * @throws BitnibbleError `no-simd`, `no-compile`, `bad-module`; TypeError for a `module` or `backend` of another kind
 */
export async function loadRuntimeKernels(options: LoadRuntimeKernelsOptions = {}): Promise<Kernels> {
  const { module, backend = 'simd' } = options;
  if (backend === 'reference') return (await import('./reference.js')).referenceKernels();
  if (backend !== 'simd') throw new TypeError(expected('backend', '"simd" or "reference"', backend));
  const embedded = async () => (await import('../kernels/embedded-runtime.js')).kernelBytes();
  if (options.isShared === true) return sharedKernels(await embedded());
  return simdKernels(await exportsOf<Abi>(module, embedded, 'runtime.wasm'));
}

/** @throws what compiling throws, RangeError where there is no shared memory */
async function sharedKernels(own: Uint8Array): Promise<Kernels> {
  const { bytes, pages } = withSharedMemory(own);
  const memory = sharedMemory(pages);
  const module = await compile(async () => bytes, 'runtime.wasm');
  const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
  return { ...simdKernels({ ...(exports as unknown as Abi), memory }), shared: { module, memory } };
}

function simdKernels(abi: Abi): Kernels {
  if (typeof abi.convolveWinograd !== 'function' || abi.bitnibbleAbi?.() !== ABI_VERSION)
    throw new BitnibbleError('bad-module', '"module" expected runtime.wasm of this version of bitnibble');
  const { memory } = abi;
  return {
    ...(abi as unknown as Pick<Kernels, KernelName>),
    ...{ backend: 'simd', base: aligned(abi.arenaBase()) },
    memory,
    reserve(end) {
      const missing = end + OVERREAD - memory.buffer.byteLength;
      if (missing <= 0) return;
      try {
        memory.grow(Math.ceil(missing / 65536));
      } catch (cause) {
        const need = `${Math.ceil(end / 2 ** 20)} MiB of WebAssembly memory`;
        throw Object.assign(new Refusal(`${need} are needed, the host gives less`, 'too-large'), { cause });
      }
    },
  };
}
