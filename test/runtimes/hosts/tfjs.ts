// The demo model in TensorFlow.js, loaded over HTTP with packedHandler, on the backends that the page finds.
import * as tf from '@tensorflow/tfjs';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import { packedHandler } from '../../../src/tfjs/index.js';

export interface Predictions {
  /** By backend: one row of ten scores for each image, or why there is none. */
  readonly [backend: string]: number[] | string;
}

async function predict(backend: string): Promise<number[] | string> {
  if (!(await tf.setBackend(backend).catch(() => false))) return `there is no backend ${backend}`;
  const network = await tf.loadLayersModel(packedHandler('digits.safetensors', { tf }));
  const bytes = new Uint8Array(await (await fetch('digits.bin')).arrayBuffer());
  const images = tf.tensor(
    Float32Array.from(bytes, (pixel) => pixel / 255),
    [bytes.length / 784, 28, 28, 1],
  );
  const scores = network.predict(images) as tf.Tensor;
  return [...(await scores.data())];
}

async function all(): Promise<Predictions> {
  setWasmPaths(new URL('./', location.href).href);
  const found: Record<string, number[] | string> = {};
  for (const backend of ['wasm', 'webgl', 'cpu']) found[backend] = await predict(backend);
  return found;
}

Object.assign(globalThis, { predictions: all() });
