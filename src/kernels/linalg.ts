import { expected } from '../errors.js';
import { compile, exportsOf } from './instance.js';
import type { LinearAlgebra } from './linalg-types.js';
import type { LinearAbi } from './linalg-wasm.js';

export type { Convolution, LinearAlgebra, Operand, Room } from './linalg-types.js';

/** Where the linear algebra comes from. */
export interface LoadLinearAlgebraOptions {
  /** `bitnibble/linalg.wasm`, compiled elsewhere, for hosts that refuse to compile bytes. */
  readonly module?: WebAssembly.Module;
  /** `'simd'` (default) or `'reference'`: the same bits without WebAssembly, many times slower. */
  readonly backend?: 'simd' | 'reference';
}

/**
 * Loads the products of matrices that calibration is made of: a module of its own, apart from the kernels.
 *
 * @throws BitnibbleError `no-simd`, `no-compile`, `bad-module`; TypeError for a `module` or `backend` of another kind
 */
export async function loadLinearAlgebra(options: LoadLinearAlgebraOptions = {}): Promise<LinearAlgebra> {
  const { module, backend = 'simd' } = options;
  if (backend === 'reference') return (await import('./linalg-reference.js')).referenceLinearAlgebra;
  if (backend !== 'simd') throw new TypeError(expected('backend', '"simd" or "reference"', backend));
  if (module !== undefined && !(module instanceof WebAssembly.Module))
    throw new TypeError(expected('module', 'a WebAssembly.Module', typeof module));
  const embedded = async () => (await import('./embedded-linalg.js')).kernelBytes();
  const compiled = module ?? (await compile(embedded, 'linalg.wasm'));
  // Two instances: the arrays of a problem must not move while products need room of their own.
  const make = () => exportsOf<LinearAbi>(compiled, embedded, 'linalg.wasm');
  const { wasmLinearAlgebra } = await import('./linalg-wasm.js');
  return wasmLinearAlgebra(await make(), await make());
}
