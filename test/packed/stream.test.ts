// Packed files that arrive in pieces, from streams and from servers that answer range requests.
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import { decodeHalf, floatToHalf } from '../../src/formats/float16.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { loadKernels } from '../../src/kernels/index.js';
import { loadDecoder } from '../../src/kernels/reader.js';
import {
  openPacked,
  openRemotePacked,
  type PackedWeight,
  packedBytes,
  QuantizedModel,
  type StreamOptions,
  streamPacked,
} from '../../src/packed/index.js';
import { quantizeTensor } from '../../src/schemes/quantize.js';
import { root } from '../support/needs.js';

const golden = JSON.parse(readFileSync(path.join(root, 'test/fixtures/golden/golden.json'), 'utf8'));
const fromBase64 = (text: string) => new Uint8Array(Buffer.from(text, 'base64'));
const ordered = fromBase64(golden.packed);
const reversed = fromBase64(golden.reversed);
const kernels = await loadKernels();
const decoder = await loadDecoder();

/** A stream of the bytes in pieces of `size`, which counts what was asked of it. */
function pieces(bytes: Uint8Array, size: number) {
  const seen = { pulled: 0, cancelled: false };
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const part = bytes.subarray(seen.pulled, seen.pulled + size);
        if (part.length === 0) return controller.close();
        seen.pulled += part.length;
        controller.enqueue(part.slice());
      },
      cancel() {
        seen.cancelled = true;
      },
    },
    { highWaterMark: 0 },
  );
  return { stream, seen };
}

async function codeOf(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
  } catch (error) {
    if (error instanceof BitnibbleError) return error.code;
    assert.instance(error, Error);
    return (error as Error).name;
  }
  return 'ok';
}

async function all(source: Parameters<typeof streamPacked>[0], options?: StreamOptions) {
  const found = new Map<string, ArrayLike<number>>();
  for await (const { id, values } of streamPacked(source, decoder, options)) found.set(id, values);
  return found;
}

test('any cut of the bytes gives the values of openPacked', async () => {
  for (const bytes of [ordered, reversed]) {
    const model = openPacked(bytes, kernels);
    for (const size of [1, 2, 7, 64, 1000, bytes.length]) {
      const found = await all(pieces(bytes, size).stream);
      assert.is(found.size, model.weights.length);
      for (const { id } of model.weights) assert.equal(found.get(id), model.read(id), `${id}, ${size}`);
    }
  }
});

test('every kind of source, with progress and a header', async () => {
  async function* generator() {
    yield ordered.subarray(0, 100);
    yield ordered.subarray(100);
  }
  const response = new Response(ordered, { headers: { 'content-length': String(ordered.length) } });
  const sources = [generator(), new Blob([ordered]).stream(), response, new Response(ordered)];
  for (const source of sources) {
    const seen: [number, number | undefined][] = [];
    const headers: string[] = [];
    const found = await all(source, {
      onProgress: (done, total) => seen.push([done, total]),
      onHeader: ({ kerasVersion }, weights) => headers.push(`${kerasVersion} ${weights.length}`),
    });
    assert.is(found.size, 9);
    assert.equal(seen.at(-1), [ordered.length, source === response ? ordered.length : undefined]);
    assert.equal(headers, ['3.15.1 9']);
  }
});

test('a weight is decoded before the bytes of the next are asked for', async () => {
  const { stream, seen } = pieces(ordered, 16);
  const length = new DataView(ordered.buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(ordered.subarray(8, 8 + length)));
  let count = 0;
  for await (const { id } of streamPacked(stream, decoder)) {
    const end = 8 + length + (header[`${id}.codes`] ?? header[id]).data_offsets[1];
    assert.ok(
      seen.pulled >= end && seen.pulled < end + 16,
      `${id} at ${seen.pulled}, its bytes end at ${end}`,
    );
    count++;
  }
  assert.is(count, 9);
});

test('"Nothing is kept": a weight that was given is free when the next but one is there', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const given: WeakRef<object>[] = [];
  const read = async () => {
    const stream = streamPacked(pieces(ordered, 64).stream, decoder);
    for (;;) {
      const { value, done } = await stream.next();
      if (done) return;
      const weight = value.weight as PackedWeight;
      if (weight.kind === 'quantized') given.push(new WeakRef(weight.tensor.codes));
      await new Promise((resolve) => setTimeout(resolve));
      collect();
      if (given.length > 2) assert.is(given.at(-3)?.deref(), undefined);
    }
  };
  await read();
  assert.ok(given.length > 2);
});

test('leaving the loop cancels the download', async () => {
  const { stream, seen } = pieces(ordered, 100);
  for await (const _ of streamPacked(stream, decoder)) break;
  assert.ok(seen.cancelled);
  assert.ok(seen.pulled < ordered.length);
});

test('into memory of the caller: float32, half bits, where the host has it Float16Array', async () => {
  const model = openPacked(ordered, kernels);
  const id = 'body/dense/kernel';
  const exact = model.read(id);
  const bits = new Uint16Array(exact.length + 1).fill(7);
  const floats = new Float32Array(exact.length);
  for (const out of [bits, floats]) {
    const found = await all(pieces(ordered, 50).stream, {
      into: (weight) => (weight.id === id ? out : undefined),
    });
    assert.is(found.get(id), out);
    assert.instance(found.get('head/kernel'), Float32Array);
  }
  assert.equal(floats, exact);
  assert.equal(bits.subarray(0, -1), floatToHalf(exact));
  assert.is(bits.at(-1), 7, 'what lies behind stays');
  const Half = (globalThis as { Float16Array?: new (length: number) => Float32Array }).Float16Array;
  if (Half) {
    const halves = model.readInto(id, new Half(exact.length));
    assert.equal(
      [...halves],
      [...floatToHalf(exact)].map((half) => decodeHalf(half)),
    );
  }
  assert.throws(() => model.readInto(id, new Float32Array(3)), /"out" expected at least 270 floats, got 3/);
  assert.throws(() => model.readInto(id, new Int8Array(999) as never), /"out" expected a Float32Array or a/);
  assert.throws(
    () => model.readInto('head/bias', new Uint16Array(2)),
    /at least 3 floats, got 2 \(tensor head/,
  );
});

test('what half precision cannot hold is refused, not made infinite', () => {
  const options = { scheme: 'int4', granularity: 'tensor' } as const;
  const tensorOf = (largest: number) =>
    quantizeTensor(kernels, Float32Array.of(largest, 1, -3), [3], options, 'big');
  const info = { file: 'm', architecture: undefined, kerasVersion: '', backend: '' };
  const weight = (largest: number) => ({
    ...{ id: 'big', layer: 'd', className: 'Dense', name: 'kernel', shape: [3], dtype: 'F32' as const },
    ...{ kind: 'quantized' as const, tensor: tensorOf(largest) },
  });
  const read = (largest: number) =>
    new QuantizedModel(info, [weight(largest)], kernels).readInto('big', new Uint16Array(3));
  assert.is(decodeHalf(read(65000)[0] as number), 64992);
  assert.throws(() => read(66000), /"out" expected a Float32Array for the value 66000, got "half/);
});

test('every truncation and any byte more is refused', async () => {
  for (let length = 0; length < ordered.length; length += 7) {
    const code = await codeOf(() => all(pieces(ordered.subarray(0, length), 100).stream));
    assert.ok(['not-safetensors', 'corrupt-file'].includes(code), `length ${length}: ${code}`);
  }
  const longer = new Uint8Array([...ordered, 0]);
  assert.is(await codeOf(() => all(pieces(longer, 64).stream)), 'corrupt-file');
});

test('1,000 seeded bit flips end in a coded error or in what openPacked reads', async () => {
  let state = 1;
  for (let flip = 0; flip < 1000; flip++) {
    state = (state * 1664525 + 1013904223) >>> 0;
    const copy = ordered.slice();
    const at = state % copy.length;
    copy[at] = (copy[at] as number) ^ (1 << (state >>> 29));
    const streamed = await codeOf(() => all(pieces(copy, 333).stream));
    const whole = await codeOf(async () => {
      const model = openPacked(copy, kernels);
      for (const { id } of model.weights) model.read(id);
    });
    assert.is(streamed === 'ok', whole === 'ok', `byte ${at}: ${streamed}, ${whole}`);
    assert.ok(!/Error$/.test(streamed), `byte ${at}: ${streamed}`);
  }
});

test('a header that claims terabytes takes no memory', async () => {
  const id = 'huge';
  const stored = { id, layer: 'd', class: 'Dense', name: 'kernel', shape: [2 ** 42], dtype: 'F32' };
  const weights = JSON.stringify([{ ...stored, scheme: 'keep', reason: 'vector' }]);
  const metadata = { format: 'bitnibble', format_version: '1', weights };
  const entry = { dtype: 'F32', shape: [2 ** 42], data_offsets: [0, 2 ** 44] };
  const json = new TextEncoder().encode(JSON.stringify({ __metadata__: metadata, [id]: entry }));
  const bytes = new Uint8Array(8 + json.length + 1000);
  new DataView(bytes.buffer).setUint32(0, json.length, true);
  bytes.set(json, 8);
  assert.is(await codeOf(() => all(pieces(bytes, 100).stream)), 'corrupt-file');
  const length = { 'content-length': String(bytes.length) };
  assert.is(await codeOf(() => all(new Response(bytes, { headers: length }))), 'corrupt-file');
});

test('faults of streams', async () => {
  const broken = async function* () {
    yield ordered.subarray(0, 500);
    throw new Error('gone');
  };
  assert.is(await codeOf(() => all(broken())), 'download');
  assert.is(await codeOf(() => all(new Response('', { status: 404 }))), 'download');
  assert.is(await codeOf(() => all(7 as never)), 'TypeError');
  assert.is(await codeOf(() => all({} as never)), 'TypeError');
  const texts = async function* () {
    yield 'text' as unknown as Uint8Array;
  };
  assert.is(await codeOf(() => all(texts())), 'TypeError');
});

type Answer = (request: IncomingMessage, response: ServerResponse, bytes: Uint8Array) => void;

/** Serves the bytes under `answer` while `work` runs; counts requests and bytes. */
async function serving(
  bytes: Uint8Array,
  answer: Answer,
  work: (url: string, count: { requests: number; sent: number }) => Promise<void>,
): Promise<void> {
  const count = { requests: 0, sent: 0 };
  const server = createServer((request, response) => {
    count.requests++;
    const { end } = response;
    response.end = ((chunk?: Uint8Array) => {
      count.sent += chunk?.length ?? 0;
      return end.call(response, chunk, 'latin1');
    }) as typeof response.end;
    answer(request, response, bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}/m.safetensors`, count);
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

/** RFC 9110, section 14. */
function ranges(
  change: (from: number, to: number, size: number) => Record<string, string> = () => ({}),
): Answer {
  return (request, response, bytes) => {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')?.map(Number) ?? [];
    assert.type(first, 'number');
    const to = Math.min(bytes.length - 1, last as number);
    const headers = { 'content-range': `bytes ${first}-${to}/${bytes.length}`, etag: '"1"' };
    response.writeHead(206, { ...headers, ...change(first as number, to, bytes.length) });
    response.end(bytes.subarray(first as number, to + 1));
  };
}

test('one weight by ranges: its codes and its scales, and nothing else', async () => {
  await serving(ordered, ranges(), async (url, count) => {
    const remote = await openRemotePacked(url, decoder);
    assert.is(count.requests, 1);
    assert.is(remote.bytes, ordered.length);
    assert.is(remote.file, url);
    assert.equal(remote.architecture, openPacked(ordered, kernels).architecture);
    const model = openPacked(ordered, kernels);
    for (const { id } of remote.weights) assert.equal(await remote.read(id), model.read(id), id);
    count.requests = count.sent = 0;
    const out = new Uint16Array(270);
    assert.is(await remote.readInto('body/dense/kernel', out), out);
    assert.equal(out, floatToHalf(model.read('body/dense/kernel')));
    assert.equal(count, { requests: 2, sent: 135 + 4 * 4 * 9 });
    assert.is(await codeOf(() => remote.read('nobody')), 'missing-weight');
  });
});

test('a header longer than the first request, and a large weight', async () => {
  const weights = Float32Array.from({ length: 400_000 }, (_, i) => Math.fround(Math.sin(i)));
  const tensor = quantizeTensor(kernels, weights, [1000, 400], { scheme: 'int4' });
  const info = { layer: 'd', className: 'Dense', name: 'kernel', shape: [1000, 400], dtype: 'F32' as const };
  const filler = { class_name: 'x'.repeat(100_000), config: {} };
  const model = new QuantizedModel(
    { file: 'm', architecture: filler, kerasVersion: '', backend: '' },
    [
      { ...info, id: 'a', kind: 'quantized', tensor },
      { ...info, id: 'b', kind: 'quantized', tensor },
    ],
    kernels,
  );
  const bytes = packedBytes(model);
  await serving(bytes, ranges(), async (url, count) => {
    const remote = await openRemotePacked(url, decoder);
    assert.is(count.requests, 2);
    assert.equal(await remote.read('b'), model.read('b'));
    assert.ok(count.sent < bytes.length - 190_000, `${count.sent} of ${bytes.length}`);
  });
});

test('another origin that shows no Content-Range', async () => {
  const hide: Answer = (request, response, bytes) => {
    const { setHeader, writeHead } = response;
    response.writeHead = ((status: number) => writeHead.call(response, status)) as typeof writeHead;
    assert.ok(setHeader);
    ranges()(request, response, bytes);
  };
  await serving(ordered, hide, async (url) => {
    assert.is(
      await codeOf(() => openRemotePacked(url, decoder)),
      'no-ranges',
      'nothing tells versions apart',
    );
    const remote = await openRemotePacked(url, decoder, { allowUnversioned: true });
    assert.is(remote.bytes, ordered.length);
    assert.equal(await remote.read('head/kernel'), openPacked(ordered, kernels).read('head/kernel'));
  });
});

test('a server without versions: the header is compared with every weight', async () => {
  const plain = { etag: '' };
  let file = ordered;
  const answer: Answer = (request, response) => {
    const { writeHead } = response;
    response.writeHead = ((status: number, { etag: _, ...headers }: Record<string, string>) =>
      writeHead.call(response, status, headers)) as typeof writeHead;
    ranges(() => plain)(request, response, file);
  };
  await serving(ordered, answer, async (url, count) => {
    const remote = await openRemotePacked(url, decoder, { allowUnversioned: true });
    count.requests = 0;
    await remote.read('head/kernel');
    assert.is(count.requests, 3);
    file = ordered.slice();
    const at = Buffer.from(file).indexOf('keras_version');
    file[at] = 0x4b;
    assert.is(await codeOf(() => remote.read('head/kernel')), 'download');
  });
  const dated: Answer = (request, response, bytes) => {
    const { writeHead } = response;
    response.writeHead = ((status: number, { etag: _, ...headers }: Record<string, string>) =>
      writeHead.call(response, status, {
        ...headers,
        'last-modified': 'Sun, 29 Nov 2026 00:00:00 GMT',
      })) as typeof writeHead;
    ranges()(request, response, bytes);
  };
  await serving(ordered, dated, async (url) => {
    assert.ok((await (await openRemotePacked(url, decoder)).read('head/kernel')).length > 0);
  });
});

test('the length of the transport is for progress alone', async () => {
  // As a page of another origin sees a compressed response: its length, and not that it is compressed.
  for (const length of [10, 10 ** 9]) {
    const response = new Response(ordered, { headers: { 'content-length': String(length) } });
    const seen: (number | undefined)[] = [];
    const found = await all(response, { onProgress: (_, total) => seen.push(total) });
    assert.is(found.size, openPacked(ordered, kernels).weights.length);
    assert.is(seen[0], length);
  }
  const seen: (number | undefined)[] = [];
  await all(pieces(ordered, 100).stream, { onProgress: (_, total) => seen.push(total) });
  assert.is(seen[0], undefined);
  assert.is(seen.at(-1), ordered.length);
});

test('servers that do no ranges, or do them wrong', async () => {
  const opens = (answer: Answer) => async (code: string, text: RegExp) => {
    await serving(ordered, answer, async (url) => {
      try {
        const remote = await openRemotePacked(url, decoder);
        await remote.read('head/kernel');
      } catch (error) {
        assert.is((error as BitnibbleError).code, code, String(error));
        assert.match((error as Error).message, text);
        assert.match((error as Error).message, url);
        return;
      }
      assert.unreachable(`expected ${code}`);
    });
  };
  const whole: Answer = (_, response, bytes) => response.writeHead(200).end(bytes);
  await opens(whole)('no-ranges', /no range requests, it answers 200: use streamPacked/);
  await opens((_, response) => response.writeHead(404).end())('download', /HTTP status 404/);
  await opens((_, response) => response.writeHead(416).end())('download', /HTTP status 416/);
  await opens(ranges(() => ({ 'content-encoding': 'x-none' })))('no-ranges', /encodes them \(x-none\)/);
  await opens(ranges(() => ({ 'content-range': 'bytes 5-9/10' })))('no-ranges', /sent bytes 5-9\/10/);
  await opens(ranges(() => ({ 'content-range': 'pages 1-2' })))('no-ranges', /the range "pages 1-2"/);
  await opens(ranges((from) => ({ etag: from === 0 ? '"1"' : '"2"' })))('download', /changed on the server/);
  const short: Answer = (request, response, bytes) => ranges()(request, response, bytes.subarray(0, -100));
  await opens(short)('corrupt-file', /expected 3487 bytes in all, got 3387/);
  const more: Answer = (request, response, bytes) => {
    const { end } = response;
    response.end = ((chunk: Uint8Array) =>
      end.call(response, new Uint8Array([...chunk, 1]), 'latin1')) as typeof end;
    ranges()(request, response, bytes);
  };
  await opens(more)('corrupt-file', /got more/);
  assert.is(await codeOf(() => openRemotePacked('http://127.0.0.1:1/m', decoder)), 'download');
});

test('headers, signal and fetch are the caller’s', async () => {
  const seen: string[] = [];
  const fetch = async (url: string | URL, { headers, signal }: RequestInit) => {
    seen.push(`${url} ${(headers as Record<string, string>).authorization} ${signal?.aborted}`);
    throw new Error('no network');
  };
  const options = { fetch, headers: { authorization: 'me' }, signal: AbortSignal.abort() };
  assert.is(await codeOf(() => openRemotePacked('x:y', decoder, options)), 'download');
  assert.equal(seen, ['x:y me true']);
});

test('a foreign safetensors file is named as such', async () => {
  const bytes = [...writeSafetensors([], [['format', 'pt']])].at(0) as Uint8Array;
  assert.is(await codeOf(() => all(pieces(bytes, 10).stream)), 'unknown-format');
});

test.run();
