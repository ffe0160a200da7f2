import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { BitnibbleError } from '../../src/errors.js';
import { loadKernels } from '../../src/kernels/index.js';
import { openModel } from '../../src/node/models.js';
import { quantizeToFile } from '../../src/node/packed.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { packedBytes } from '../../src/packed/index.js';
import {
  type PackedHandlerOptions,
  type PackedSource,
  packedHandler,
  registerLayers,
} from '../../src/tfjs/index.js';
import { tempDir } from '../support/needs.js';
import { rejects } from '../support/throws.js';
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

test('a model in shards: by path, file URL and address, with shards beside the index', async () => {
  registerLayers(tf);
  const { float, packed: model } = await quantized('lstm_tagger', kernels);
  const index = path.join(tempDir(), 'm #1.safetensors.index.json');
  const shardSize = 60;
  await quantizeToFile(float, { default: { scheme: 'int4' } }, { kernels, shardSize }, float, index);
  const listed = [...new Set(Object.values(JSON.parse(readFileSync(index, 'utf8')).weight_map))] as string[];
  assert.ok(listed.length > 2);
  const server = createServer((request, response) => {
    const name = decodeURIComponent((request.url ?? '').slice(1));
    response.end(readFileSync(path.join(path.dirname(index), name)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/m%20%231.safetensors.index.json`;
  const load = async (source: PackedSource, options: PackedHandlerOptions = {}) => {
    const { weightData } = (await packedHandler(source, { kernels, ...options }).load?.()) ?? {};
    return (weightData as ArrayBuffer[]).map((buffer) => Buffer.from(buffer).toString('base64'));
  };
  try {
    const wanted = await load(model);
    for (const source of [index, pathToFileURL(index), url, await fetch(url)])
      assert.equal(await load(source), wanted, String(source));
    const openShard = (name: string) => fetch(new URL(encodeURIComponent(name), url));
    assert.equal(await load(new Uint8Array(readFileSync(index)), { openShard }), wanted);
    rmSync(path.join(path.dirname(index), listed[1] as string));
    const error = await load(index).catch((thrown: unknown) => thrown);
    assert.is((error as BitnibbleError).code, 'not-found');
    assert.match((error as Error).message, `${listed[1]}: cannot be read: there is no such file`);
  } finally {
    server.close();
    server.closeAllConnections();
    float.close();
  }
});

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
      // What nobody says beforehand, the header does.
      const isRight = (all: number | undefined) => all === total || (total === undefined && all === length);
      assert.is(seen.at(-1)?.[0], length, what);
      const done = seen.map(([n]) => n);
      assert.equal(
        done,
        [...new Set(done)].sort((a, b) => a - b),
        `${what}: ${done}`,
      );
      assert.ok(
        seen.every(([, all]) => isRight(all)),
        what,
      );
    }
    await rejected(`${url}/other.safetensors`, 'download', /HTTP status 404/);
    await rejected(await fetch(`${url}/other.safetensors`), 'download', /HTTP status 404/);
    await rejected(new File([new Uint8Array(9)], 'mine.safetensors'), 'not-safetensors', /mine\.safetensors/);
  } finally {
    server.close();
    float.close();
  }
});

/** A packed file of one kept weight of so many bytes, its data left out. */
function headOf(length: number): Uint8Array<ArrayBuffer> {
  const stored = { id: 'd/kernel', layer: 'd', class: 'Dense', name: 'kernel', shape: [length], dtype: 'U8' };
  const weights = JSON.stringify([{ ...stored, scheme: 'keep', reason: 'integers' }]);
  const entry = { dtype: 'U8', shape: [length], data_offsets: [0, length] };
  const metadata = { format: 'bitnibble', format_version: '1', weights };
  const json = new TextEncoder().encode(JSON.stringify({ __metadata__: metadata, 'd/kernel': entry }));
  const bytes = new Uint8Array(8 + json.length);
  new DataView(bytes.buffer).setUint32(0, json.length, true);
  bytes.set(json, 8);
  return bytes;
}

test('large files are read piece by piece', async () => {
  const head = headOf(5 * 2 ** 20 + 7);
  const file = path.join(tempDir(), 'large.safetensors');
  writeFileSync(file, head);
  truncateSync(file, head.length + 5 * 2 ** 20 + 7);
  const seen: [number, number | undefined][] = [];
  const handler = packedHandler(file, { onProgress: (...progress) => seen.push(progress) });
  await handler.load?.().then(
    () => assert.unreachable(),
    (error) => assert.is(error.code, 'no-model-config'),
  );
  assert.ok(seen.length > 5, String(seen));
  assert.equal(seen.at(-1), [head.length + 5 * 2 ** 20 + 7, head.length + 5 * 2 ** 20 + 7]);
});

test('what has no end, or more than its header states, is given up', async () => {
  const zeros = new Uint8Array(2 ** 16);
  const endless = (first: Uint8Array) => {
    const seen = { sent: 0, cancelled: false };
    const stream = new ReadableStream({
      pull: (controller) => {
        controller.enqueue(seen.sent === 0 ? first : zeros);
        seen.sent += seen.sent === 0 ? first.length : zeros.length;
      },
      cancel: () => {
        seen.cancelled = true;
      },
    });
    return { response: new Response(stream), seen };
  };
  for (const [first, code, most] of [
    [zeros, 'not-safetensors', 2 ** 18],
    [headOf(100), 'corrupt-file', 2 ** 18],
    [headOf(2 ** 20), 'corrupt-file', 2 ** 21],
    [headOf(2 ** 40), 'too-large', 2 ** 18],
    [headOf(2 ** 30), 'too-large', 2 ** 18],
  ] as const) {
    const { response, seen } = endless(first);
    await rejected(response, code, /packed model/);
    assert.ok(seen.sent <= most && seen.cancelled, `${code}: ${JSON.stringify(seen)}`);
  }
  const { response } = endless(headOf(1000));
  await rejected(response, 'too-large', /states a file of \d+ bytes, the limit is 100/, { limit: 100 });
  const sparse = path.join(tempDir(), 'sparse.safetensors');
  writeFileSync(sparse, '');
  truncateSync(sparse, 1.9e9);
  const before = process.memoryUsage.rss();
  await rejected(sparse, 'not-safetensors', /sparse\.safetensors/);
  await openModel(sparse, kernels).then(
    () => assert.unreachable(),
    (error) => assert.is(error.code, 'unknown-format'),
  );
  assert.ok(process.memoryUsage.rss() - before < 2 ** 27);
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

const rejected = (source: PackedSource, code: string, text: RegExp, options: PackedHandlerOptions = {}) =>
  rejects(async () => packedHandler(source, options).load?.(), code, text);

test('faults name the source', async () => {
  await rejected(
    path.join(tempDir(), 'none.safetensors'),
    'not-found',
    /none\.safetensors: .*there is no such file/,
  );
  await rejected(tempDir(), 'not-found', /it is a folder/);
  await rejected(
    'http://127.0.0.1:1/model.safetensors',
    'download',
    /127\.0\.0\.1:1\/model\.safetensors: cannot be downloaded/,
  );
  await rejected(new Uint8Array(20), 'not-safetensors', /packed model/);
  const response = new Response(new Uint8Array(4));
  await response.arrayBuffer();
  await rejected(response, 'download', /read before/);
  assert.throws(
    () => packedHandler(7 as unknown as string),
    /"source" expected a path, a URL, .* got number/,
  );
  assert.throws(() => packedHandler(null as unknown as string), /got null/);
});

test.run();
