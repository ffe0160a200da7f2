import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import { loadKernels } from '../../src/kernels/index.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { packedBytes } from '../../src/packed/index.js';
import { type PackedSource, packedHandler, registerLayers } from '../../src/tfjs/index.js';
import { tempDir } from '../support/needs.js';
import { largestError, names, quantized } from './support.js';

const { tf } = await loadTensorFlow();
const kernels = await loadKernels();

async function packed(name: string): Promise<Uint8Array<ArrayBuffer>> {
  const { float, packed } = await quantized(name, kernels);
  const bytes = packedBytes(packed);
  float.close();
  return bytes as Uint8Array<ArrayBuffer>;
}

for (const name of names) {
  test(`tf.loadLayersModel(packedHandler(bytes)) of ${name} equals Keras after int4`, async () => {
    const model = await tf.loadLayersModel(packedHandler(await packed(name), { tf }));
    assert.ok((await largestError(tf, model, name, 'q')) <= 1e-4);
    model.dispose();
  });
}

test('every kind of source, with progress', async () => {
  registerLayers(tf);
  registerLayers(tf);
  const bytes = await packed('lstm_tagger');
  const file = path.join(tempDir(), 'tagger.safetensors');
  writeFileSync(file, bytes);
  const server = createServer((request, response) => {
    const found = request.url === '/tagger.safetensors';
    response.writeHead(found ? 200 : 404, found ? { 'content-length': bytes.length } : {});
    response.end(found ? bytes : undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { float, packed: model } = await quantized('lstm_tagger', kernels);
  const sources: PackedSource[] = [
    file,
    pathToFileURL(file),
    pathToFileURL(file).href,
    `${url}/tagger.safetensors`,
    new URL(`${url}/tagger.safetensors`),
    await fetch(`${url}/tagger.safetensors`),
    new Response(bytes),
    new Blob([bytes]),
    bytes,
    bytes.buffer.slice(0),
    model,
    float,
  ];
  try {
    for (const source of sources) {
      const seen: [number, number | undefined][] = [];
      const onProgress = (done: number, total: number | undefined) => seen.push([done, total]);
      const network = await tf.loadLayersModel(packedHandler(source, { kernels, onProgress }));
      assert.ok((await largestError(tf, network, 'lstm_tagger', source === float ? 'y' : 'q')) <= 1e-4);
      if (seen.length > 0) assert.is(seen.at(-1)?.[0], bytes.length);
      const isStreamed = typeof source === 'string' || source instanceof URL || source instanceof Blob;
      if (isStreamed) assert.equal(seen.at(-1), [bytes.length, bytes.length]);
      network.dispose();
    }
    await rejects(`${url}/other.safetensors`, 'download', /HTTP status 404/);
  } finally {
    server.close();
    float.close();
  }
});

async function rejects(source: PackedSource, code: string, message: RegExp): Promise<void> {
  try {
    await packedHandler(source).load?.();
  } catch (error) {
    assert.instance(error, BitnibbleError);
    assert.is((error as BitnibbleError).code, code);
    assert.match((error as Error).message, message);
    return;
  }
  assert.unreachable('nothing was thrown');
}

test('faults name the source', async () => {
  await rejects(
    path.join(tempDir(), 'none.safetensors'),
    'not-found',
    /none\.safetensors: .*there is no such file/,
  );
  await rejects(tempDir(), 'not-found', /it is a folder/);
  await rejects(
    'http://127.0.0.1:1/model.safetensors',
    'download',
    /127\.0\.0\.1:1\/model\.safetensors: cannot be downloaded/,
  );
  await rejects(new Uint8Array(20), 'not-safetensors', /packed model/);
  const response = new Response(new Uint8Array(4));
  await response.arrayBuffer();
  await rejects(response, 'download', /read before/);
  assert.throws(
    () => packedHandler(7 as unknown as string),
    /"source" expected a path, a URL, .* got number/,
  );
  assert.throws(() => packedHandler(null as unknown as string), /got null/);
});

test.run();
