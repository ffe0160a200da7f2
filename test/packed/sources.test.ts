// Bytes that arrive over time, whoever sends them: streams of every kind, and answers to range requests.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadDecoder } from '../../src/kernels/reader.js';
import {
  openPacked,
  openRemotePacked,
  packedBytes,
  QuantizedModel,
  streamPacked,
} from '../../src/packed/index.js';
import { takeAny } from '../../src/packed/shards/whole.js';
import { ByteInput, bodyOf, concat, isResponse } from '../../src/packed/source.js';
import { root } from '../support/needs.js';
import { rejects } from '../support/throws.js';

const golden = JSON.parse(readFileSync(path.join(root, 'test/fixtures/golden/golden.json'), 'utf8'));
const file = new Uint8Array(Buffer.from(golden.packed, 'base64'));
const decoder = await loadDecoder();
const whole = openPacked(file, decoder);

async function* chunks(...all: unknown[]): AsyncGenerator<Uint8Array> {
  yield* all as Uint8Array[];
}

const count = (from: number, to: number) => Uint8Array.from({ length: to - from }, (_, i) => from + i);

test('what is a response, and what is a stream', async () => {
  assert.is(isResponse(new Response('')), true);
  assert.is(isResponse({ headers: 0, bodyUsed: 0 }), true);
  for (const value of [
    null,
    undefined,
    'text',
    7,
    {},
    { headers: 0 },
    { bodyUsed: false },
    new Blob([]).stream(),
  ])
    assert.is(isResponse(value), false);
  for (const value of [null, undefined, 'text', 7, {}, [1]])
    await rejects(
      () => new ByteInput(value as never, 'm'),
      'TypeError',
      '"source" expected a Response or a stream of bytes',
    );
});

test('a stream that has a reader and no iterator, as in some browsers', async () => {
  const seen = { at: 0, isCancelled: false };
  const reader = {
    read: async () => (seen.at < 3 ? { done: false, value: count(seen.at, ++seen.at) } : { done: true }),
    cancel: async () => {
      seen.isCancelled = true;
    },
  };
  const input = new ByteInput({ getReader: () => reader } as never, 'm');
  assert.equal(await input.take(2), count(0, 2));
  await input.stop();
  assert.ok(seen.isCancelled);
});

test('bytes are taken in any lengths, and no more is asked for than is needed', async () => {
  const progress: (number | undefined)[] = [];
  const given = chunks(count(0, 3), count(3, 10), new Uint8Array(0), count(10, 12));
  const input = new ByteInput(given, 'm', 12, (done, total) => progress.push(done, total));
  assert.equal(await input.take(0), new Uint8Array(0));
  assert.equal(progress, []);
  assert.equal(await input.take(2), count(0, 2));
  assert.equal(progress, [3, 12]);
  assert.equal(await input.take(4), count(2, 6));
  assert.equal(await input.take(6), count(6, 12));
  assert.equal(progress, [3, 12, 10, 12, 12, 12], 'nothing is said of an empty piece');
  await input.end();
  assert.equal(await input.take(0), new Uint8Array(0));
});

test('a length of many megabytes: room grows with what arrives, and every byte is there', async () => {
  const size = 5 * 2 ** 20 + 77;
  const big = Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) & 255);
  for (const step of [700_001, 2 ** 20, 3_000_000, size]) {
    const parts = Array.from({ length: Math.ceil(size / step) }, (_, i) =>
      big.subarray(i * step, (i + 1) * step),
    );
    const input = new ByteInput(chunks(...parts), 'm');
    assert.equal(Buffer.compare(await input.take(size - 5), big.subarray(0, -5)), 0);
    assert.equal(await input.take(9, true), big.slice(-5), 'what is left where it may end');
    await input.end();
  }
});

test('bytes that were taken before stand in front, however many', async () => {
  const before = Uint8Array.from({ length: 3 * 2 ** 20 }, (_, i) => (i * 7) & 255);
  const bytes = await new ByteInput(chunks(count(0, 4)), 'm').take(before.length + 3, false, before);
  assert.is(bytes.length, before.length + 3);
  assert.is(Buffer.compare(bytes.subarray(0, before.length), before), 0);
  assert.equal(bytes.slice(before.length), count(0, 3));
});

test('streams that end too soon, go on too long, break off or give no bytes', async () => {
  const of = (...all: unknown[]) => new ByteInput(chunks(...all), 'm.bin');
  await rejects(
    () => of(count(0, 3)).take(5),
    'corrupt-file',
    'm.bin: cut off at 3 bytes, 2 more were expected',
  );
  await rejects(() => of().take(1), 'corrupt-file', 'cut off at 0 bytes, 1 more were expected');
  assert.equal(await of(count(0, 3)).take(5, true), count(0, 3));
  const long = of(count(0, 3), count(3, 5));
  await long.take(2);
  await rejects(() => long.end(), 'corrupt-file', 'm.bin: expected 2 bytes in all, got more');
  const longer = of(count(0, 3), count(3, 5));
  await longer.take(3);
  await rejects(() => longer.end(), 'corrupt-file', 'm.bin: expected 3 bytes in all, got more');
  for (const value of ['text', [1, 2], new ArrayBuffer(2), null])
    await rejects(() => of(value).take(1), 'TypeError', '"source" expected chunks of Uint8Array');
  const broken = async function* () {
    yield count(0, 1);
    throw new Error('gone');
  };
  await rejects(() => new ByteInput(broken(), 'm').take(2), 'download', 'm: the download broke off: gone');
  const stuck = { getReader: () => ({ cancel: async () => Promise.reject(new Error('no')) }) };
  await new ByteInput(stuck as never, 'm').stop();
});

test('concat', () => {
  assert.equal(concat(count(0, 2), count(2, 5)), count(0, 5));
});

test('the body of a response, and the length where the server says it', async () => {
  const of = (headers: Record<string, string>) => bodyOf(new Response('abc', { headers }), 'm').total;
  assert.is(of({ 'content-length': '3' }), 3);
  assert.is(of({}), undefined);
  assert.is(of({ 'content-length': '3', 'content-encoding': 'gzip' }), undefined);
  const used = new Response('abc');
  await used.arrayBuffer();
  await rejects(() => bodyOf(used, 'm'), 'download', 'm: the response was read before');
  await rejects(() => bodyOf(new Response('', { status: 500 }), 'm'), 'download', 'HTTP status 500');
  const response = { ok: true, bodyUsed: false, headers: new Headers(), body: null };
  const whole = { ...response, arrayBuffer: async () => count(0, 4).buffer } as unknown as Response;
  assert.equal(await new ByteInput(bodyOf(whole, 'm').stream, 'm').take(4), count(0, 4));
  const streamed = { ...whole, body: chunks(count(0, 2)) } as unknown as Response;
  assert.equal(await new ByteInput(bodyOf(streamed, 'm').stream, 'm').take(2), count(0, 2));
});

test('a stream is named in errors as its user says, else as its address says', async () => {
  const drain = async (source: Parameters<typeof streamPacked>[0], name?: string) => {
    for await (const _ of streamPacked(source, decoder, { name })) _;
  };
  await rejects(() => drain(chunks(count(0, 3)), 'mine'), 'not-safetensors', /^mine: /);
  await rejects(() => drain(chunks(count(0, 3))), 'not-safetensors', /^packed model: /);
  const response = new Response(count(0, 3));
  await rejects(() => drain(response), 'not-safetensors', /^packed model: /);
  Object.defineProperty(response, 'url', { value: 'http://x/m' });
  const again = Object.defineProperty(new Response(count(0, 3)), 'url', { value: 'http://x/m' });
  await rejects(() => drain(again), 'not-safetensors', /^http:\/\/x\/m: /);
});

test('the header says how long a file is, whatever length the response claims', async () => {
  const headers = { 'content-length': String(file.length + 1) };
  const ids: string[] = [];
  for await (const { id } of streamPacked(new Response(file, { headers }), decoder)) ids.push(id);
  assert.ok(ids.length > 0);
});

test('a model knows its file, and gives memory of its own', async () => {
  const info = { file: 'm.h5', architecture: undefined, kerasVersion: '3', backend: 'jax' };
  const model = new QuantizedModel(info, whole.weights, decoder);
  const { file: name, architecture, kerasVersion, backend } = model;
  assert.equal({ file: name, architecture, kerasVersion, backend }, info);
  await rejects(() => model.read('nobody'), 'missing-weight', 'm.h5: no weight named nobody');
  await rejects(() => model.weight('nobody'), 'missing-weight', 'm.h5: no weight named nobody');
  for (const { id } of model.weights) {
    const first = model.read(id);
    const before = first.slice();
    first.fill(99);
    assert.equal(model.read(id), before, `${id} is not shared`);
  }
});

interface Answered {
  readonly headers?: Record<string, string | undefined>;
  readonly bytes?: Uint8Array;
  readonly status?: number;
}

/** A server of the golden file in place of `fetch`: `change` answers a request otherwise. */
function server(
  change: (from: number, to: number, nth: number) => Answered | undefined = () => undefined,
  content: Uint8Array = file,
) {
  const seen = { ranges: [] as string[], cancelled: 0 };
  const fetch = async (_url: string | URL, init: RequestInit): Promise<Response> => {
    const range = (init.headers as Record<string, string>).range as string;
    const [from, last] = range.slice('bytes='.length).split('-').map(Number) as [number, number];
    const to = Math.min(content.length, last + 1);
    const {
      headers: more = {},
      bytes = content.slice(from, to),
      status = 206,
    } = change(from, to, seen.ranges.length) ?? {};
    seen.ranges.push(range);
    const headers = new Headers();
    const all = { 'content-range': `bytes ${from}-${to - 1}/${content.length}`, etag: 'a', ...more };
    for (const [key, value] of Object.entries(all)) if (value !== undefined) headers.set(key, value);
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(bytes),
      pull: (controller) => controller.close(),
      cancel: () => {
        seen.cancelled++;
      },
    });
    return new Response(body, { status, headers });
  };
  return { seen, open: () => openRemotePacked('http://x/m', decoder, { fetch }) };
}

const id = 'head/kernel';

test('a remote file: what it says of itself, and the bytes that are asked for', async () => {
  const { seen, open } = server();
  const remote = await open();
  assert.equal(seen.ranges, ['bytes=0-65535']);
  assert.equal([remote.file, remote.bytes], ['http://x/m', file.length]);
  assert.equal([remote.kerasVersion, remote.backend], [whole.kerasVersion, whole.backend]);
  assert.ok(whole.kerasVersion !== '' && whole.backend !== '');
  assert.equal(
    remote.weights.map((weight) => weight.id),
    whole.weights.map((weight) => weight.id),
  );
  assert.equal(await remote.read(id), whole.read(id));
  await rejects(() => remote.read('nobody'), 'missing-weight', 'http://x/m: no weight named nobody');
});

test('answers that are as good: identity, "*" for the size, no range shown', async () => {
  const good: ((from: number) => Answered)[] = [
    () => ({ headers: { 'content-encoding': 'identity' } }),
    (from) => ({ headers: from === 0 ? {} : { 'content-range': undefined } }),
    (from) => (from === 0 ? {} : { headers: { 'content-range': undefined, 'x-range': 'bytes' } }),
  ];
  for (const answer of good) {
    const remote = await server(answer).open();
    assert.equal(await remote.read(id), whole.read(id));
  }
  const star = await server((from, to) =>
    from === 0 ? undefined : { headers: { 'content-range': `bytes ${from}-${to - 1}/*` } },
  ).open();
  assert.equal(await star.read(id), whole.read(id));
});

test('answers that are not what was asked for', async () => {
  const bad = async (
    change: (from: number, to: number) => Answered | undefined,
    code: string,
    text: RegExp,
  ) => {
    const { seen, open } = server((from, to, nth) => (nth === 0 ? undefined : change(from, to)));
    const remote = await open();
    await rejects(() => remote.read(id), code, text);
    return seen;
  };
  const range = (make: (from: number, to: number) => string) => (from: number, to: number) => ({
    headers: { 'content-range': make(from, to) },
  });
  const size = file.length;
  for (const make of [
    (from: number, to: number) => `xbytes ${from}-${to - 1}/${size}`,
    (from: number, to: number) => `bytes ${from}-${to - 1}/${size}x`,
    (_: number, to: number) => `bytes -${to - 1}/${size}`,
    (from: number) => `bytes ${from}-/${size}`,
    (from: number, to: number) => `bytes ${from}-${to - 1}/`,
    () => '',
  ])
    await bad(range(make), 'no-ranges', /the server sent the range "/);
  const otherwise = /^http:\/\/x\/m: asked for bytes \d+-\d+, the server sent bytes /;
  await bad(
    range((from, to) => `bytes ${from + 1}-${to - 1}/${size}`),
    'no-ranges',
    otherwise,
  );
  await bad(
    range((from, to) => `bytes ${from}-${to}/${size}`),
    'no-ranges',
    otherwise,
  );
  await bad(
    range((from, to) => `bytes ${from}-${to - 2}/${size}`),
    'no-ranges',
    otherwise,
  );
  await bad(
    range((from, to) => `bytes ${from}-${to - 2}/${to - 1}`),
    'no-ranges',
    otherwise,
  );
  await bad(
    range((from, to) => `bytes ${from}-${to - 1}/${size + 1}`),
    'download',
    /changed on the server/,
  );
  await bad(() => ({ headers: { etag: 'b' } }), 'download', /changed on the server/);
  await bad(() => ({ headers: { etag: undefined } }), 'download', /changed on the server/);
  await bad((from, to) => ({ bytes: file.slice(from, to - 1) }), 'corrupt-file', /cut off at/);
  await bad((from, to) => ({ bytes: file.slice(from, to + 1) }), 'corrupt-file', /got more/);
  await bad(() => ({ status: 200 }), 'no-ranges', /it answers 200: use streamPacked/);
  const seen = await bad(
    () => ({ headers: { 'content-encoding': 'br' } }),
    'no-ranges',
    /it encodes them \(br\)/,
  );
  assert.ok(seen.cancelled > 0, 'what is not wanted is not downloaded');
});

test('a file longer than the first request, whose size the server does not say; a weight without values', async () => {
  const base = {
    layer: 'd',
    className: 'Dense',
    name: 'kernel',
    dtype: 'F32',
    kind: 'kept',
    reason: '',
  } as const;
  const long = new Uint8Array(100_000).map((_, i) => (i % 4 === 0 ? i / 400 : 0));
  const model = new QuantizedModel(
    { file: 'm', architecture: undefined, kerasVersion: '', backend: '' },
    [
      { ...base, id: 'long', shape: [25_000], bytes: () => long },
      { ...base, id: 'none', shape: [0], bytes: () => new Uint8Array(0) },
    ],
    decoder,
  );
  const { seen, open } = server(() => ({ headers: { 'content-range': undefined } }), packedBytes(model));
  const remote = await open();
  assert.equal(await remote.read('long'), model.read('long'));
  assert.is(seen.ranges.length, 2);
  assert.equal(await remote.read('none'), new Float32Array(0));
  assert.is(seen.ranges.length, 2, 'nothing is asked for where there is nothing');
});

test('without an etag the date tells that a file changed', async () => {
  const dated = (date: (from: number) => string) =>
    server((from) => ({ headers: { etag: undefined, 'last-modified': date(from) } })).open();
  assert.equal(await (await dated(() => 'Monday')).read(id), whole.read(id));
  const changing = await dated((from) => (from === 0 ? 'Monday' : 'Tuesday'));
  await rejects(() => changing.read(id), 'download', /changed on the server/);
});

test('the first answer may end with the file, and only there', async () => {
  const first = (make: (to: number) => string, bytes = file.slice()) =>
    server((from, to) => (from === 0 ? { headers: { 'content-range': make(to) }, bytes } : undefined)).open();
  await rejects(
    () => first((to) => `bytes 0-${to - 2}/${file.length}`, file.slice(0, -1)),
    'no-ranges',
    /asked for bytes 0-65535, the server sent/,
  );
  await rejects(() => first(() => `bytes 0-65536/70000`), 'no-ranges', /asked for bytes 0-65535/);
  assert.is((await first((to) => `bytes 0-${to - 1}/${to}`)).bytes, file.length);
});

test('a whole file off its stream, which ends with the limit and with a fault', async () => {
  let isCancelled = false;
  const stream = new ReadableStream<Uint8Array>({
    pull: (to) => to.enqueue(file),
    cancel: () => {
      isCancelled = true;
    },
  });
  const response = new Response(file);
  assert.equal(await takeAny(response, 'file', { limit: file.length }), file);
  assert.equal(
    await takeAny(chunks(file.subarray(0, 9), file.subarray(9)), 'file', { limit: file.length }),
    file,
  );
  await rejects(takeAny(stream, 'file', { limit: file.length - 1 }), 'too-large', /the limit is/);
  assert.ok(isCancelled);
  const other = file.slice();
  other.set(new TextEncoder().encode('BIT'), new TextDecoder().decode(file).indexOf('bitnibble'));
  const damaged = new Response(other);
  await rejects(takeAny(damaged, 'file', { limit: file.length }), 'unknown-format', /file/);
});

test.run();
