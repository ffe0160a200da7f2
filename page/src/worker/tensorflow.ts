import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import simd from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url';
import * as core from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import type { TensorFlow } from 'bitnibble/tfjs';

/**
 * The parts of TensorFlow.js that run a layers model on its WebAssembly backend: no WebGL, no converter, no data.
 * bitnibble's kernels need SIMD, so the build with SIMD is the only one that is shipped.
 */
export async function loadTensorFlow(): Promise<TensorFlow> {
  const { href } = new URL(simd, import.meta.url);
  setWasmPaths({
    'tfjs-backend-wasm.wasm': href,
    'tfjs-backend-wasm-simd.wasm': href,
    'tfjs-backend-wasm-threaded-simd.wasm': href,
  });
  core.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  await core.setBackend('wasm');
  return { ...core, ...layers } as unknown as TensorFlow;
}
