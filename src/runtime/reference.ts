import { functionKernels } from './reference-activate.js';
import { floatKernels } from './reference-float.js';
import { integerKernels } from './reference-integer.js';
import { ReferenceMemory } from './reference-memory.js';
import type { Kernels } from './types.js';

/** Kernels without WebAssembly, in memory of their own: plain loops that define every bit. */
export function referenceKernels(): Kernels {
  const memory = new ReferenceMemory();
  return {
    ...{ backend: 'reference', hasAll: true, base: 1024, memory, reserve: (end) => memory.reserve(end) },
    ...integerKernels(memory),
    ...floatKernels(memory),
    ...functionKernels(memory),
  };
}
