// Fetched when somebody calibrates: what calibration takes of TensorFlow.js, from the page's own server. The packages are those that
// the library is tested with, of the repository.
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import wasmUrl from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url';
import * as core from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-core/dist/public/chained_ops/register_all_chained_ops.js';
import * as layers from '@tensorflow/tfjs-layers';
import type { TensorFlow } from '../../../src/tfjs/types.js';

/** TensorFlow.js on its WebAssembly backend, on one thread: its sums are then the same in every host. */
export async function loadTensorFlow(): Promise<TensorFlow> {
  core.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  const { href } = new URL(wasmUrl, import.meta.url);
  // bitnibble's own kernels need SIMD as well.
  const names = [
    'tfjs-backend-wasm.wasm',
    'tfjs-backend-wasm-simd.wasm',
    'tfjs-backend-wasm-threaded-simd.wasm',
  ];
  setWasmPaths(Object.fromEntries(names.map((name) => [name, href])));
  if (!(await core.setBackend('wasm')))
    throw new Error('the WebAssembly backend of TensorFlow.js does not start');
  return { ...core, ...layers } as unknown as TensorFlow;
}
