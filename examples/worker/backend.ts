// TensorFlow.js in a Worker: its WebAssembly backend with the kernels that network.ts needs. Whole, TensorFlow.js costs
// every start of a Worker more CPU than the answers do, so files are imported instead of packages; wrangler.toml does
// the same for what these files import.

import '@tensorflow/tfjs-core/dist/flags.js'; // first: the others ask for flags when they are imported
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm/dist/base.js';
import { addConfig } from '@tensorflow/tfjs-backend-wasm/dist/kernels/Add.js';
import { avgPoolConfig } from '@tensorflow/tfjs-backend-wasm/dist/kernels/AvgPool.js';
import { batchMatMulConfig } from '@tensorflow/tfjs-backend-wasm/dist/kernels/BatchMatMul.js';
import { castConfig } from '@tensorflow/tfjs-backend-wasm/dist/kernels/Cast.js';
import { conv2DConfig } from '@tensorflow/tfjs-backend-wasm/dist/kernels/Conv2D.js';
import { eluConfig } from '@tensorflow/tfjs-backend-wasm/dist/kernels/Elu.js';
import { maxPoolConfig } from '@tensorflow/tfjs-backend-wasm/dist/kernels/MaxPool.js';
import { reluConfig } from '@tensorflow/tfjs-backend-wasm/dist/kernels/Relu.js';
import { reshapeConfig } from '@tensorflow/tfjs-backend-wasm/dist/kernels/Reshape.js';
import { sigmoidConfig } from '@tensorflow/tfjs-backend-wasm/dist/kernels/Sigmoid.js';
import { softmaxConfig } from '@tensorflow/tfjs-backend-wasm/dist/kernels/Softmax.js';
import { tanhConfig } from '@tensorflow/tfjs-backend-wasm/dist/kernels/Tanh.js';
import {
  add,
  avgPool,
  conv2d,
  elu,
  env,
  matMul,
  maxPool,
  registerKernel,
  relu,
  reshape,
  setBackend,
  sigmoid,
  softmax,
  tanh,
  tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import type { TensorFlow } from './network.ts';

const KERNELS = [
  ...[addConfig, avgPoolConfig, batchMatMulConfig, castConfig, conv2DConfig, eluConfig, maxPoolConfig],
  ...[reluConfig, reshapeConfig, sigmoidConfig, softmaxConfig, tanhConfig],
];

/**
 * Starts the backend. It fetches its WebAssembly and compiles the bytes, which Workers refuse: so what is fetched is
 * the module, and what compiles takes that.
 *
 * @param module `tfjs-backend-wasm-simd.wasm`, as the Worker imports it
 */
export async function startBackend(module: WebAssembly.Module): Promise<TensorFlow> {
  for (const kernel of KERNELS) registerKernel(kernel);
  env().setPlatform('worker', {
    fetch: async () => ({ ok: true, arrayBuffer: async () => module }) as unknown as Response,
    now: () => Date.now(),
    encode: (text) => new TextEncoder().encode(text),
    decode: (bytes, encoding) => new TextDecoder(encoding).decode(bytes),
    isTypedArray: (value): value is Float32Array => value instanceof Float32Array,
  });
  env().set('WASM_HAS_SIMD_SUPPORT', true);
  env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  setWasmPaths('', true);
  const { instantiate } = WebAssembly;
  WebAssembly.instantiate = (async (_: Response, imports: WebAssembly.Imports) => {
    return { module, instance: await instantiate(module, imports) };
  }) as unknown as typeof instantiate;
  try {
    if (!(await setBackend('wasm')))
      throw new Error('the backend expected tfjs-backend-wasm-simd.wasm, got another module');
  } finally {
    WebAssembly.instantiate = instantiate;
  }
  return { add, avgPool, conv2d, elu, matMul, maxPool, relu, reshape, sigmoid, softmax, tanh, tensor, tidy };
}
