// The same in every runtime: a packed model, loaded once, answers requests.

import { type LoadNetworkOptions, loadNetwork } from 'bitnibble/runtime';

/**
 * @param file a packed model with one input, images with values from 0 to 1, and one output, the scores of the classes
 * @param options `module`, where the host compiles no WebAssembly from bytes
 * @returns a handler: POST pixels, a byte each, and get the scores
 * @throws BitnibbleError naming the first layer that the runtime cannot run
 */
export async function classifier(file: Uint8Array, options: LoadNetworkOptions = {}) {
  const network = await loadNetwork(file, options);
  const { inputs, outputs } = network;
  const [image] = inputs;
  if (!image || inputs.length !== 1 || outputs.length !== 1)
    throw new Error(
      `the model: expected one input and one output, got ${inputs.length} and ${outputs.length}`,
    );
  const size = image.shape.reduce((a, b) => a * b, 1);
  return async (request: Request): Promise<Response> => {
    const pixels = new Uint8Array(await request.arrayBuffer());
    if (pixels.length !== size) {
      const fault = `expected ${size} bytes, one for each pixel, got ${pixels.length}\n`;
      return new Response(fault, { status: 400 });
    }
    const scores = [...network.run(Float32Array.from(pixels, (pixel) => pixel / 255))];
    return Response.json({ class: scores.indexOf(Math.max(...scores)), scores });
  };
}
