// The same in every runtime: a packed model, opened once, answers requests.

import { type Decoder, openPacked } from 'bitnibble/reader';
import { openNetwork, type TensorFlow } from './network.ts';

/**
 * @param file a packed model of images with values from 0 to 1
 * @param tf TensorFlow.js, its backend ready
 * @returns a handler: POST pixels, a byte each, and get the scores of the classes
 */
export function classifier(file: Uint8Array, decoder: Decoder, tf: TensorFlow) {
  const { shape, scores: scoresOf } = openNetwork(openPacked(file, decoder), tf);
  const size = shape.reduce((a, b) => a * b, 1);
  return async (request: Request): Promise<Response> => {
    const pixels = new Uint8Array(await request.arrayBuffer());
    if (pixels.length !== size) {
      const fault = `expected ${size} bytes, one for each pixel, got ${pixels.length}\n`;
      return new Response(fault, { status: 400 });
    }
    const scores = scoresOf(Float32Array.from(pixels, (pixel) => pixel / 255));
    return Response.json({ class: scores.indexOf(Math.max(...scores)), scores });
  };
}
