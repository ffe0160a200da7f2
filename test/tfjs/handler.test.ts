import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
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

/** Serves bytes at `/whole`, without a length at `/chunked`, compressed at `/gzip`; all in pieces. */
async function serve(bytes: Uint8Array) {
  const server = createServer((request, response) => {
    const headers: Record<string, Record<string, string | number>> = {
      '/whole': { 'content-length': bytes.length },
      '/chunked': {},
      '/gzip': { 'content-encoding': 'gzip' },
    };
    const found = headers[request.url ?? ''];
    response.writeHead(found ? 200 : 404, found);
    const body = Buffer.from(request.url === '/gzip' ? gzipSync(bytes) : bytes);
    for (let at = 0; found && at < body.length; at += 4096) response.write(body.subarray(at, at + 4096));
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

test('every kind of source, with progress', async () => {
  registerLayers(tf);
  registerLayers(tf);
  const bytes = await packed('lstm_tagger');
  const { length } = bytes;
  const file = path.join(tempDir(), 'tagger.safetensors');
  writeFileSync(file, bytes);
  const { server, url } = await serve(bytes);
  const { float, packed: model } = await quantized('lstm_tagger', kernels);
  // What progress tells as the total: the length, undefined where nobody says it, or nothing at all is read.
  const unread = null;
  const sources: [what: string, source: PackedSource, total: number | undefined | null][] = [
    ['a path', file, length],
    ['a relative path', path.relative('.', file), length],
    ['a file URL', pathToFileURL(file), length],
    ['a file URL as text', pathToFileURL(file).href, length],
    ['a URL as text', `${url}/whole`, length],
    ['a URL', new URL(`${url}/whole`), length],
    ['a URL without a length', `${url}/chunked`, undefined],
    ['a URL with compression', `${url}/gzip`, undefined],
    ['a response', await fetch(`${url}/whole`), length],
    ['a response without a length', await fetch(`${url}/chunked`), undefined],
    ['a response made by hand', new Response(bytes), undefined],
    ['a blob', new Blob([bytes]), length],
    ['a file', new File([bytes], 'tagger.safetensors'), length],
    ['bytes', bytes, unread],
    ['bytes at an offset', new Uint8Array([0, ...bytes]).subarray(1), unread],
    ['a buffer', bytes.buffer.slice(0), unread],
    ['a packed model', model, unread],
    ['a float model', float, unread],
  ];
  try {
    for (const [what, source, total] of sources) {
      const seen: [number, number | undefined][] = [];
      const onProgress = (done: number, all: number | undefined) => seen.push([done, all]);
      const network = await tf.loadLayersModel(packedHandler(source, { kernels, onProgress }));
      const error = await largestError(tf, network, 'lstm_tagger', source === float ? 'y' : 'q');
      assert.ok(error <= 1e-4, `${what}: ${error}`);
      network.dispose();
      if (total === unread) {
        assert.equal(seen, [], what);
        continue;
      }
      assert.equal(seen.at(-1), [length, total], what);
      const done = seen.map(([n]) => n);
      assert.equal(
        done,
        [...new Set(done)].sort((a, b) => a - b),
        `${what}: ${done}`,
      );
      assert.ok(
        seen.every(([, all]) => all === total),
        what,
      );
    }
    await rejects(`${url}/other.safetensors`, 'download', /HTTP status 404/);
    await rejects(await fetch(`${url}/other.safetensors`), 'download', /HTTP status 404/);
    await rejects(new File([new Uint8Array(9)], 'mine.safetensors'), 'not-safetensors', /mine\.safetensors/);
  } finally {
    server.close();
    float.close();
  }
});

test('large files are read piece by piece', async () => {
  const bytes = new Uint8Array(5 * 2 ** 20 + 7);
  new DataView(bytes.buffer).setBigUint64(0, 2n, true);
  const file = path.join(tempDir(), 'large.safetensors');
  writeFileSync(file, bytes);
  const done: number[] = [];
  const handler = packedHandler(file, { onProgress: (n) => done.push(n) });
  await handler.load?.().then(
    () => assert.unreachable(),
    (error) => assert.is(error.code, 'not-safetensors'),
  );
  assert.ok(done.length > 5, String(done));
  assert.is(done.at(-1), bytes.length);
});

test('a source is read again at each load, a response once', async () => {
  const bytes = await packed('cifar10');
  const { server, url } = await serve(bytes);
  try {
    for (const source of [`${url}/whole`, new Blob([bytes]), bytes]) {
      const handler = packedHandler(source, { tf, kernels });
      for (let times = 0; times < 2; times++) {
        const network = await tf.loadLayersModel(handler);
        assert.ok((await largestError(tf, network, 'cifar10', 'q')) <= 1e-4);
        network.dispose();
      }
    }
    const handler = packedHandler(await fetch(`${url}/whole`), { tf, kernels });
    (await tf.loadLayersModel(handler)).dispose();
    await handler.load?.().then(
      () => assert.unreachable(),
      (error) => assert.is(error.code, 'download'),
    );
  } finally {
    server.close();
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
