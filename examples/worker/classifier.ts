// The same in every runtime: a packed model, opened once, answers requests.

import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as core from '@tensorflow/tfjs-core';
import * as layers from '@tensorflow/tfjs-layers';
import { type Decoder, openPacked } from 'bitnibble/reader';
import { packedHandler } from 'bitnibble/tfjs';

const tf = { ...core, ...layers } as unknown as typeof import('@tensorflow/tfjs');

/**
 * TensorFlow.js fetches its WebAssembly module and compiles the bytes, which Workers refuse. So `fetch` answers with
 * the compiled module, and `instantiate` takes it for bytes.
 */
async function useBackend(module: WebAssembly.Module): Promise<void> {
  const { instantiate } = WebAssembly;
  const hostFetch = globalThis.fetch;
  const path = 'https://bitnibble.invalid/';
  const isOurs = (url: unknown) => typeof url === 'string' && url.startsWith(path);
  try {
    globalThis.fetch = (async (url: string, init?: RequestInit) =>
      isOurs(url) ? { ok: true, arrayBuffer: async () => module } : hostFetch(url, init)) as typeof fetch;
    WebAssembly.instantiate = (async (source: BufferSource, imports: WebAssembly.Imports) =>
      source === (module as unknown)
        ? { module, instance: await instantiate(module, imports) }
        : instantiate(source, imports)) as typeof instantiate;
    setWasmPaths(path, true);
    await tf.setBackend('wasm');
  } finally {
    globalThis.fetch = hostFetch;
    WebAssembly.instantiate = instantiate;
  }
}

/**
 * @param file a packed model of images with values from 0 to 1
 * @param tfjs `tfjs-backend-wasm-simd.wasm`, compiled
 * @returns a handler: POST pixels, a byte each, and get the scores of the classes
 */
export async function classifier(
  file: Uint8Array,
  decoder: Decoder,
  tfjs: WebAssembly.Module,
): Promise<(request: Request) => Promise<Response>> {
  await useBackend(tfjs);
  const network = await tf.loadLayersModel(packedHandler(openPacked(file, decoder), { tf }));
  const shape = network.inputs[0]?.shape.slice(1) as number[];
  const size = shape.reduce((a, b) => a * b, 1);
  const scoresOf = (pixels: Uint8Array): number[] =>
    tf.tidy(() => {
      const image = tf.tensor(
        Float32Array.from(pixels, (pixel) => pixel / 255),
        [1, ...shape],
      );
      return [...(network.predict(image) as core.Tensor).dataSync()];
    });
  scoresOf(new Uint8Array(size)); // the first time takes twice as long
  return async (request) => {
    const pixels = new Uint8Array(await request.arrayBuffer());
    if (pixels.length !== size) {
      const fault = `expected ${size} bytes, one for each pixel, got ${pixels.length}\n`;
      return new Response(fault, { status: 400 });
    }
    const scores = scoresOf(pixels);
    return Response.json({ class: scores.indexOf(Math.max(...scores)), scores });
  };
}
