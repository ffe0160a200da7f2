import { BitnibbleError } from '../errors.js';
import { exportsOf } from '../kernels/instance.js';
import { Refusal } from './refusal.js';
import { aligned } from './tensor.js';
import type { KernelName, Kernels, LoadRuntimeKernelsOptions } from './types.js';

/** What `assembly/runtime/index.ts` exports. */
export type Abi = Readonly<Record<KernelName, (...args: number[]) => void>> & {
  readonly memory: WebAssembly.Memory;
  bitnibbleAbi(): number;
  arenaBase(): number;
};

/** Version of the export list. */
const ABI_VERSION = 2;

/** Pages that small networks are given at once: each growth costs a call of the host and makes a new buffer. */
const STEP = 16;

/** Bytes that kernels may read behind what they are given. */
const OVERREAD = 64;

/** Kernels of a module that was handed in, or of bytes: each call makes a new instance. @throws what compiling throws, `bad-module` */
export async function kernelsOf(
  bytes: () => Promise<Uint8Array<ArrayBuffer>>,
  { module, isPlain = false }: LoadRuntimeKernelsOptions,
): Promise<Kernels> {
  const kernels = simdKernels(await exportsOf<Abi>(module, bytes, 'runtime.wasm'));
  if (isPlain || kernels.hasAll) return kernels;
  throw new BitnibbleError('bad-module', '"module" expected runtime.wasm, got runtime-plain.wasm');
}

export function simdKernels(abi: Abi): Kernels {
  if (typeof abi.convolveWinograd !== 'function' || abi.bitnibbleAbi?.() !== ABI_VERSION)
    throw new BitnibbleError('bad-module', '"module" expected runtime.wasm of this version of bitnibble');
  const { memory } = abi;
  return {
    ...(abi as unknown as Pick<Kernels, KernelName>),
    ...{ backend: 'simd', hasAll: 'normalize' in abi, base: aligned(abi.arenaBase()) },
    memory,
    reserve(end) {
      const missing = end + OVERREAD - memory.buffer.byteLength;
      if (missing <= 0) return;
      const pages = Math.ceil(missing / 65536);
      try {
        memory.grow(pages < STEP && end < STEP * 65536 ? STEP : pages);
      } catch (cause) {
        const need = `${Math.ceil(end / 2 ** 20)} MiB of WebAssembly memory`;
        throw Object.assign(new Refusal(`${need} are needed, the host gives less`, 'too-large'), { cause });
      }
    },
  };
}
