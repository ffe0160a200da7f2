// Packed models in shards: what they hold, however they are read, and what is refused.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import { bytesAccess } from '../../src/formats/random-access.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { openKeras } from '../../src/keras/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import { loadDecoder } from '../../src/kernels/reader.js';
import { openPacked, openRemotePacked, packedBytes, streamPacked } from '../../src/packed/index.js';
import { besideUrl, takeIndexFrom } from '../../src/packed/shards/beside.js';
import { openPackedShards, openRemoteShards, streamShards } from '../../src/packed/shards/index.js';
import { MOST_SHARDS, readShardIndex } from '../../src/packed/shards/list.js';
import { takeAny, wholeOf } from '../../src/packed/shards/whole.js';
import { layoutShards } from '../../src/packed/shards/write.js';
import { ByteInput } from '../../src/packed/source.js';
import { tensorsOf } from '../../src/packed/write.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { loadNetwork } from '../../src/runtime/index.js';
import { root } from '../support/needs.js';

const golden = JSON.parse(readFileSync(path.join(root, 'test/fixtures/golden/golden.json'), 'utf8'));
const decoder = await loadDecoder();
const model = openPacked(new Uint8Array(Buffer.from(golden.packed, 'base64')), decoder);
const single = packedBytes(model);

/** Files by their names. */
type Files = Map<string, Uint8Array>;
const INDEX = 'm.safetensors.index.json';

/** A model in shards. */
function shardsOf(most: number, of = model): Files {
  const { shards, shardOf, index } = layoutShards(of, of.weights, most);
  const names = shards.map((_, i) => `m-${i + 1}.safetensors`).sort();
  const files: Files = new Map(
    shards.map(({ head, size }, i) => {
      const bytes = new Uint8Array(size);
      bytes.set(head);
      return [names[i] as string, bytes];
    }),
  );
  for (const tensor of of.weights.flatMap(tensorsOf)) {
    const at = shardOf.get(tensor.name) as number;
    files.get(names[at] as string)?.set(tensor.bytes(), shards[at]?.places.get(tensor.name));
  }
  return files.set(INDEX, index(names));
}

const fileOf = (files: Files, name: string): Uint8Array => {
  const bytes = files.get(name);
  if (!bytes) throw new BitnibbleError('not-found', `${name}: there is no such file`);
  return bytes;
};
const opened = (files: Files) =>
  openPackedShards(fileOf(files, INDEX), (name) => bytesAccess(fileOf(files, name)), decoder, INDEX);
async function* chunks(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
}
const openShard = (files: Files) => (name: string) => chunks(fileOf(files, name));

async function streamed(files: Files): Promise<Map<string, ArrayLike<number>>> {
  const found = new Map<string, ArrayLike<number>>();
  const source = chunks(fileOf(files, INDEX));
  for await (const { id, values } of streamShards(source, decoder, {
    name: INDEX,
    openShard: openShard(files),
  }))
    found.set(id, values);
  return found;
}

const whole = (files: Files, limit = 2 ** 30) =>
  takeAny(chunks(fileOf(files, INDEX)), INDEX, { limit, openShard: openShard(files) });

/** A server of the files in place of `fetch`, which answers ranges. */
function server(files: Files, { version = (): string | undefined => 'a' } = {}) {
  const asked: string[] = [];
  const fetch = async (given: string | URL, init?: RequestInit): Promise<Response> => {
    const url = new URL(given);
    const name = decodeURIComponent(url.pathname.slice(1));
    const bytes = files.get(name);
    const range = new Headers(init?.headers).get('range');
    asked.push(`${name} ${range ?? 'whole'}`);
    if (!bytes) return new Response('', { status: 404 });
    const [from = 0, last = bytes.length - 1] =
      /(\d+)-(\d+)/
        .exec(range ?? '')
        ?.slice(1)
        .map(Number) ?? [];
    const to = Math.min(bytes.length, last + 1);
    const headers = new Headers(range ? { 'content-range': `bytes ${from}-${to - 1}/${bytes.length}` } : {});
    const own = version();
    if (own) headers.set('etag', own);
    const response = new Response(bytes.slice(from, to), { status: range ? 206 : 200, headers });
    return Object.defineProperty(response, 'url', { value: String(url) });
  };
  return { asked, fetch };
}

/** Work while the global `fetch` is that of a server. */
async function serving(files: Files, work: (own: ReturnType<typeof server>) => Promise<void>) {
  const given = globalThis.fetch;
  const own = server(files);
  globalThis.fetch = own.fetch as typeof globalThis.fetch;
  try {
    await work(own);
  } finally {
    globalThis.fetch = given;
  }
}

async function refused(work: () => unknown, kind: string, text: string): Promise<void> {
  try {
    await work();
  } catch (error) {
    assert.is(error instanceof BitnibbleError ? error.code : (error as Error).name, kind, String(error));
    assert.match((error as Error).message, text);
    return;
  }
  assert.unreachable(`not refused: ${text}`);
}

const SIZES = [1, 60, 100, 300, 1e9];

test('shards of any size hold what one file holds, and together are its bytes', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(fc.constantFrom(...SIZES), fc.integer({ min: 1, max: 2 * single.length })),
      async (most) => {
        const files = shardsOf(most);
        const again = opened(files);
        assert.equal(
          again.weights.map(({ id }) => id),
          model.weights.map(({ id }) => id),
        );
        for (const { id } of model.weights) assert.equal(again.read(id), model.read(id), id);
        assert.is(Buffer.compare(packedBytes(again), single), 0);
        assert.is(Buffer.compare(await whole(files), single), 0);
      },
    ),
    { numRuns: 40 },
  );
});

test('a shard takes weights up to its size, in their order, and a larger weight alone', () => {
  const { shards, index } = layoutShards(model, model.weights, 100);
  const order: string[] = [];
  for (const [i, { ordered, head, size }] of shards.entries()) {
    const bytes = size - head.length;
    const owners = new Set(ordered.map(({ name }) => name.replace(/\.(codes|scales)$/, '')));
    assert.ok(bytes <= 100 || owners.size === 1, `${bytes} bytes of ${[...owners]}`);
    const next = shards[i + 1];
    const first = model.weights.find(({ id }) => next?.ordered.some(({ name }) => name.startsWith(id)));
    if (first) {
      const more = tensorsOf(first).reduce((sum, tensor) => sum + tensor.bytes().length, 0);
      assert.ok(bytes + more > 100, 'the next weight would have fitted');
    }
    order.push(...model.weights.filter(({ id }) => owners.has(id)).map(({ id }) => id));
  }
  assert.equal(
    order,
    model.weights.map(({ id }) => id),
  );
  const { metadata } = JSON.parse(new TextDecoder().decode(index(shards.map((_, i) => `${i}`))));
  assert.is(
    metadata.total_size,
    model.weights.flatMap(tensorsOf).reduce((sum, t) => sum + t.bytes().length, 0),
  );
  assert.equal(Object.keys(metadata).slice(0, 3), ['total_size', 'format', 'format_version']);
});

test('streamed: shard after shard, with the weights known before them', async () => {
  for (const most of SIZES)
    assert.equal(
      await streamed(shardsOf(most)),
      new Map(model.weights.map(({ id }) => [id, model.read(id)])),
    );
  const files = shardsOf(100);
  const asked: string[] = [];
  const heard: string[] = [];
  const progress: (number | undefined)[] = [];
  const stream = streamShards(chunks(fileOf(files, INDEX)), decoder, {
    openShard: (name) => {
      asked.push(name);
      return chunks(fileOf(files, name));
    },
    onHeader: (info, weights) => heard.push(info.kerasVersion, ...weights.map(({ id }) => id)),
    onProgress: (done, total) => progress.push(done, total),
  });
  for await (const _ of stream) break;
  assert.equal(heard, [model.kerasVersion, ...model.weights.map(({ id }) => id)]);
  assert.equal(asked, ['m-1.safetensors'], 'shards that nobody comes to are not opened');
  assert.is(progress.at(-1), readShardIndex(fileOf(files, INDEX), INDEX).totalSize);
});

/** The golden model with its tensors dealt out as told. */
function dealt(
  shardFor: (name: string) => string,
  { metadata = {} as object, map = {} as object } = {},
): Files {
  const tensors = model.weights.flatMap(tensorsOf);
  const index = JSON.parse(new TextDecoder().decode(fileOf(shardsOf(1e9), INDEX)));
  const names = [...new Set(tensors.map(({ name }) => shardFor(name)))];
  const files: Files = new Map();
  for (const name of names) {
    const own = tensors.filter((tensor) => shardFor(tensor.name) === name);
    files.set(name, Buffer.concat([...writeSafetensors(own, [])]));
  }
  index.weight_map = Object.fromEntries(tensors.map(({ name }) => [name, shardFor(name)]));
  Object.assign(index.weight_map, map);
  Object.assign(index.metadata, metadata);
  return files.set(INDEX, new TextEncoder().encode(JSON.stringify(index)));
}

test('weights whose codes and scales lie in two shards, and shards with names of all kinds', async () => {
  const files = dealt((name) => (name.endsWith('.codes') ? 'a #1?%.bin' : 'z'));
  for (const { id } of model.weights) assert.equal(opened(files).read(id), model.read(id));
  assert.equal((await streamed(files)).size, model.weights.length);
  assert.is(Buffer.compare(await whole(files), single), 0);
  const remote = await openRemoteShards(`http://x/${INDEX}?token=1`, decoder, { fetch: server(files).fetch });
  for (const { id } of model.weights) assert.equal(await remote.read(id), model.read(id));
});

test('by ranges: the index, a header of each shard, then what is read', async () => {
  const files = shardsOf(100);
  const { asked, fetch } = server(files);
  const headers = { authorization: 'me' };
  const remote = await openRemoteShards(`http://x/${INDEX}`, decoder, { fetch, headers });
  assert.equal(asked, [
    `${INDEX} whole`,
    ...[...files.keys()].filter((name) => name !== INDEX).map((name) => `${name} bytes=0-65535`),
  ]);
  assert.equal(
    remote.weights.map(({ id }) => id),
    model.weights.map(({ id }) => id),
  );
  assert.is(
    remote.bytes,
    [...files].reduce((sum, [name, { length }]) => (name === INDEX ? sum : sum + length), 0),
  );
  asked.length = 0;
  assert.equal(await remote.read('head/kernel'), model.read('head/kernel'));
  const { files: list, fileOf: places } = readShardIndex(fileOf(files, INDEX), INDEX);
  assert.ok(list.length > 1 && asked.length === 2);
  for (const request of asked) assert.ok(request.startsWith(`${places.get('head/kernel.codes')} `), request);
  const elsewhere = await openRemoteShards(`http://x/${INDEX}`, decoder, {
    fetch,
    shardUrl: (name) => `http://y/${name}?signed`,
  });
  assert.equal(await elsewhere.read('head/kernel'), model.read('head/kernel'));
});

test('shards are beside the index, relative to it where it has no address of its own', () => {
  for (const [index, wanted] of [
    ['http://x/a/m.json?token=1/2#3', 'http://x/a/s%20%231.bin'],
    [new URL('http://x/m.json'), 'http://x/s%20%231.bin'],
    ['/a/m.json', '/a/s%20%231.bin'],
    ['m.json', 's%20%231.bin'],
  ] as const)
    assert.is(besideUrl(index, 's #1.bin'), wanted);
});

test('a server without a shard, without versions, or with two of them', async () => {
  const files = shardsOf(100);
  const open = (given: Files, options = {}) =>
    openRemoteShards(`http://x/${INDEX}`, decoder, { fetch: server(given, options).fetch });
  const without = new Map([...files].filter(([name]) => name !== 'm-2.safetensors'));
  await refused(
    () => open(without),
    'download',
    'http://x/m-2.safetensors: cannot be downloaded: HTTP status 404',
  );
  await refused(
    () => open(new Map()),
    'download',
    `http://x/${INDEX}: cannot be downloaded: HTTP status 404`,
  );
  await refused(() => open(files, { version: () => undefined }), 'no-ranges', 'no ETag or Last-Modified');
  let version = 'a';
  const remote = await open(files, { version: () => version });
  version = 'b';
  await refused(() => remote.read('head/kernel'), 'download', 'the file changed on the server');
  const gone = async () => {
    throw new Error('no route');
  };
  await refused(
    () => openRemoteShards(`http://x/${INDEX}`, decoder, { fetch: gone }),
    'download',
    'cannot be downloaded: no route',
  );
});

test('an index given for a single file is named, and a shard alone is refused', async () => {
  const files = shardsOf(100);
  const index = fileOf(files, INDEX);
  const hint = 'an index of shards is opened with bitnibble/shards';
  await refused(() => openPacked(index, decoder), 'not-safetensors', hint);
  await refused(
    () => openRemotePacked(`http://x/${INDEX}`, decoder, { fetch: server(files).fetch }),
    'not-safetensors',
    hint,
  );
  await refused(
    async () => {
      for await (const _ of streamPacked(new Response(index.slice()), decoder)) _;
    },
    'not-safetensors',
    hint,
  );
  await refused(
    () => openPacked(fileOf(files, 'm-1.safetensors'), decoder),
    'corrupt-file',
    'it is shard 1/',
  );
});

/** Every way of reading refuses alike. */
async function refusedBy(files: Files, code: string, text: string): Promise<void> {
  await refused(() => opened(files), code, text);
  await refused(() => streamed(files), code, text);
  await refused(() => whole(files), code, text);
  await refused(
    () => openRemoteShards(`http://x/${INDEX}`, decoder, { fetch: server(files).fetch }),
    code,
    text,
  );
}

test('tensors that are missing, doubled, elsewhere, or of another shape', async () => {
  const two = (name: string) => (name.endsWith('.codes') ? 'a' : 'b');
  const first = model.weights.flatMap(tensorsOf).find(({ name }) => name.endsWith('.codes'))?.name as string;
  await refusedBy(
    dealt(two, { map: { [first]: 'b' } }),
    'corrupt-file',
    `tensor ${first} is in a, and the index has it in b`,
  );
  const moved = dealt((name) => (name === first ? 'b' : two(name)));
  moved.set('a', fileOf(dealt(two), 'a'));
  await refusedBy(moved, 'corrupt-file', `tensor ${first} is in a, and the index has it in b`);
  const missing = dealt(two);
  missing.set(
    'a',
    fileOf(
      dealt((name) => (name === first ? 'b' : two(name))),
      'a',
    ),
  );
  await refusedBy(missing, 'missing-weight', `${INDEX}: tensor ${first} is not in a`);
  const more = dealt(two, { map: { more: 'a' } });
  await refused(() => opened(more), 'missing-weight', 'tensor more is not in a');
  await refused(() => streamed(more), 'corrupt-file', 'tensor more belongs to no weight');
  const unlisted = dealt(two);
  const { weight_map: map, ...rest } = JSON.parse(new TextDecoder().decode(fileOf(unlisted, INDEX)));
  delete map[first];
  unlisted.set(INDEX, new TextEncoder().encode(JSON.stringify({ ...rest, weight_map: map })));
  await refused(() => opened(unlisted), 'corrupt-file', `tensor ${first} is in a, and not in the index`);
  await refused(() => streamed(unlisted), 'missing-weight', `tensor ${first} is not in the index`);
  await refusedBy(
    dealt(two, { metadata: { total_size: 7 } }),
    'corrupt-file',
    'total_size is 7, and the tensors of its shards have ',
  );
  const other = dealt(two, { metadata: { weights: JSON.stringify([]) } });
  await refused(() => opened(other), 'corrupt-file', 'belongs to no weight');
  await refused(() => streamed(other), 'corrupt-file', 'belongs to no weight');
});

test('a shard that is not there, cut off, too long, or of another place', async () => {
  const files = shardsOf(100);
  const second = fileOf(files, 'm-2.safetensors');
  const having = (bytes: Uint8Array | undefined) => {
    const own = new Map(files);
    if (bytes) own.set('m-2.safetensors', bytes);
    else own.delete('m-2.safetensors');
    return own;
  };
  await refused(() => opened(having(undefined)), 'not-found', 'm-2.safetensors');
  await refused(() => streamed(having(undefined)), 'not-found', 'm-2.safetensors');
  await refused(
    () => opened(having(second.slice(0, -1))),
    'corrupt-file',
    'm-2.safetensors: damaged safetensors file',
  );
  await refused(() => streamed(having(second.slice(0, -1))), 'corrupt-file', 'm-2.safetensors: cut off');
  await refused(() => streamed(having(Buffer.concat([second, second]))), 'corrupt-file', 'got more');
  const count = files.size - 1;
  await refusedBy(
    having(fileOf(files, 'm-1.safetensors')),
    'corrupt-file',
    `m-2.safetensors is shard 1/${count} of its model, expected 2/${count}`,
  );
});

test('an index that is none', async () => {
  const text = (value: unknown) =>
    new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
  const metadata = { total_size: 0 };
  const bad: [unknown, string, string][] = [
    [{}, 'corrupt-file', 'expected "metadata" and "weight_map", two objects'],
    [[1], 'corrupt-file', 'expected "metadata"'],
    [{ metadata, weight_map: [] }, 'corrupt-file', 'expected "metadata"'],
    [
      { metadata: {}, weight_map: {} },
      'corrupt-file',
      'total_size expected a number of bytes, got undefined',
    ],
    [{ metadata: { total_size: -1 }, weight_map: {} }, 'corrupt-file', 'got -1'],
    [{ metadata: { total_size: 1.5 }, weight_map: {} }, 'corrupt-file', 'got 1.5'],
    ['{"metadata":{"total_size":0},"weight_map":{"a":"x","a":"y"}}', 'corrupt-file', 'a name is used twice'],
    [
      '{"metadata":{"total_size":0},"metadata":{"total_size":0},"weight_map":{}}',
      'corrupt-file',
      'a name is used twice',
    ],
    ['{"metadata"', 'corrupt-file', 'not JSON'],
    [`{${' '.repeat(3 * 2 ** 23)}`, 'too-large', 'bytes of JSON, expected at most'],
    [
      {
        metadata,
        weight_map: Object.fromEntries(Array.from({ length: MOST_SHARDS + 1 }, (_, i) => [i, `s${i}`])),
      },
      'corrupt-file',
      `it names ${MOST_SHARDS + 1} shards`,
    ],
  ];
  for (const name of [
    '../a',
    '/a',
    'a/b',
    'a\\b',
    'c:a',
    '.',
    '..',
    '',
    'a\0',
    'x'.repeat(256),
    7,
    null,
    ['a'],
  ])
    bad.push([{ metadata, weight_map: { t: name } }, 'corrupt-file', 'tensor t: ']);
  for (const [value, code, part] of bad) await refused(() => readShardIndex(text(value), 'i'), code, part);
  await refused(() => readShardIndex(Uint8Array.of(0x7b, 0xff), 'i'), 'corrupt-file', 'it is not UTF-8');
  await refused(
    () => whole(new Map([[INDEX, text(`{${' '.repeat(3 * 2 ** 23)}`)]])),
    'too-large',
    'bytes of JSON',
  );
});

test('shards of nothing, and more of them than readers take', async () => {
  await refused(
    () => layoutShards(model, model.weights, 0),
    'RangeError',
    '"shardSize" expected bytes, at least 1, got 0',
  );
  const [weight] = model.weights;
  const many = Array.from(
    { length: MOST_SHARDS + 1 },
    (_, i) => ({ ...weight, id: `w${i}` }) as typeof weight,
  );
  await refused(() => layoutShards(model, many as never, 1), 'RangeError', `at most ${MOST_SHARDS} shards`);
});

test('the runtime loads an index: from a response, or with a function that opens shards', async () => {
  const keras = await openKeras(new Uint8Array(readFileSync(path.join(root, 'examples/digits/digits.h5'))));
  const { model: digits } = quantizeModel(
    keras,
    { default: { scheme: 'int4' } },
    { kernels: await loadKernels() },
  );
  const files = shardsOf(5000, digits);
  assert.ok(files.size > 3);
  await serving(files, async ({ fetch }) => {
    const image = Float32Array.from({ length: 784 }, (_, i) => (i % 29) / 29);
    const scores = async (...args: Parameters<typeof loadNetwork>) => (await loadNetwork(...args)).run(image);
    const wanted = await scores(packedBytes(digits));
    const index = fileOf(files, INDEX);
    assert.equal(await scores(await fetch(`http://x/${INDEX}`)), wanted);
    assert.equal(await scores(index, { openShard: openShard(files) }), wanted);
    assert.equal(await scores(new Blob([index.slice()]), { openShard: openShard(files) }), wanted);
    await refused(() => loadNetwork(index), 'TypeError', '"openShard" expected a function');
    await refused(() => whole(files, 5000), 'too-large', 'the limit is 5000');
  });
  keras.close();
});

test('the limit of a file in one piece holds for its shards, whatever the index states', async () => {
  const files = shardsOf(100);
  const index = JSON.parse(new TextDecoder().decode(fileOf(files, INDEX)));
  const total = Number(index.metadata.total_size);
  assert.is(Buffer.compare(await whole(files, total), single), 0);
  await refused(() => whole(files, total - 1), 'too-large', `hold ${total} bytes, the limit is ${total - 1}`);
  const small = { ...index, metadata: { ...index.metadata, total_size: 1 } };
  files.set(INDEX, new TextEncoder().encode(JSON.stringify(small)));
  const ended: string[] = [];
  const opening = async function* (name: string): AsyncGenerator<Uint8Array> {
    try {
      yield* chunks(fileOf(files, name));
    } finally {
      ended.push(name);
    }
  };
  const limit = Math.floor(total / 2);
  await refused(
    () => takeAny(chunks(fileOf(files, INDEX)), INDEX, { limit, openShard: opening }),
    'too-large',
    `the limit is ${limit}`,
  );
  assert.ok(
    ended.length > 0 && ended.length < files.size - 1,
    'the shard that is too much is the last one that is opened',
  );
});

test('many shards by ranges: four headers at a time, and every shard in its place', async () => {
  const files = shardsOf(1);
  const count = files.size - 1;
  assert.ok(count > 8, `${count} shards`);
  const { asked, fetch } = server(files);
  let now = 0;
  let most = 0;
  const counting = async (url: string | URL, init?: RequestInit): Promise<Response> => {
    most = Math.max(most, ++now);
    await new Promise((resolve) => setTimeout(resolve, 1));
    now--;
    return fetch(url, init);
  };
  const remote = await openRemoteShards(`http://x/${INDEX}`, decoder, { fetch: counting });
  assert.is(most, 4);
  assert.is(asked.length, 1 + count, 'the index, and every header once');
  for (const { id } of model.weights) assert.equal(await remote.read(id), model.read(id), id);
});

test('the index is asked for with the headers and the signal that shards are', async () => {
  const { fetch } = server(shardsOf(100));
  const { signal } = new AbortController();
  const seen: (RequestInit | undefined)[] = [];
  const noting = (url: string | URL, init?: RequestInit): Promise<Response> => {
    seen.push(init);
    return fetch(url, init);
  };
  const headers = { authorization: 'me' };
  await openRemoteShards(`http://x/${INDEX}`, decoder, { fetch: noting, headers, signal });
  assert.equal(seen[0], { headers, signal });
  for (const init of seen) {
    assert.is(new Headers(init?.headers).get('authorization'), 'me');
    assert.is(init?.signal, signal);
  }
  seen.length = 0;
  await openRemoteShards(`http://x/${INDEX}`, decoder, { fetch: noting });
  assert.equal(seen[0], {});
});

test('an address with a fragment alone', () => {
  assert.is(besideUrl('http://x/a/m.json#b/c', 's'), 'http://x/a/s');
});

test('a shard that is a response is named by its address where it has one', async () => {
  const files = shardsOf(100);
  const cut = (url: string) => (name: string) => {
    const bytes = fileOf(files, name);
    const response = new Response(bytes.slice(0, bytes.length - 1));
    return url === '' ? response : Object.defineProperty(response, 'url', { value: `${url}${name}` });
  };
  for (const url of ['', 'http://x/a/']) {
    const read = takeAny(chunks(fileOf(files, INDEX)), INDEX, { limit: 2 ** 30, openShard: cut(url) });
    await refused(
      () => read,
      'corrupt-file',
      url === '' ? 'm-1.safetensors: cut off' : `${url}m-1.safetensors: cut off`,
    );
    try {
      await takeAny(chunks(fileOf(files, INDEX)), INDEX, { limit: 2 ** 30, openShard: cut(url) });
    } catch (error) {
      assert.ok((error as Error).message.startsWith(`${url}m-1.safetensors: `), String(error));
    }
  }
});

test('an index is as long as it may be, or a byte longer; what it came from is closed', async () => {
  const LIMIT = 3 * 2 ** 23;
  const files = shardsOf(1e9);
  const plain = fileOf(files, INDEX);
  const padded = (length: number) => {
    const bytes = new Uint8Array(length).fill(0x20);
    bytes.set(plain);
    return bytes;
  };
  let ended = 0;
  const streamOf = async function* (bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    try {
      yield* chunks(bytes, 2 ** 20);
      // Somebody who goes on asking never comes to an end.
      for (;;) yield new Uint8Array(2 ** 20).fill(0x20);
    } finally {
      ended++;
    }
  };
  const longest = padded(LIMIT);
  assert.is(
    await takeIndexFrom(new ByteInput(chunks(longest, 2 ** 20), INDEX)).then(({ files }) => files.length),
    1,
  );
  const said = `${LIMIT + 1} bytes of JSON`;
  const openOwn = openShard(files);
  await refused(
    () => takeAny(streamOf(plain), INDEX, { limit: 2 ** 30, openShard: openOwn }),
    'too-large',
    said,
  );
  assert.is(ended, 1);
  const { fetch } = server(files);
  let cancelled = 0;
  const endless = async (url: string | URL, init?: RequestInit): Promise<Response> => {
    if (!String(url).endsWith(INDEX)) return fetch(url, init);
    const iterator = streamOf(plain);
    const body = new ReadableStream<Uint8Array>({
      pull: async (controller) => controller.enqueue((await iterator.next()).value as Uint8Array),
      cancel: () => {
        cancelled++;
      },
    });
    return new Response(body as ConstructorParameters<typeof Response>[0]);
  };
  await refused(() => openRemoteShards(`http://x/${INDEX}`, decoder, { fetch: endless }), 'too-large', said);
  assert.is(cancelled, 1);
});

test('a file in one piece stays as it is, and one of a few bytes is none', async () => {
  const options = { limit: 2 ** 30 };
  assert.is(await wholeOf(single, 'm', options), single);
  assert.is(Buffer.compare(await takeAny(chunks(single), 'm', options), single), 0);
  for (const length of [0, 3, 7])
    await refused(
      () => takeAny(chunks(single.slice(0, length)), 'm', options),
      'not-safetensors',
      'm: expected a safetensors file',
    );
});

test('shards are looked for beside the response that the bytes of the index came with', async () => {
  const files = shardsOf(100);
  await serving(files, async ({ asked, fetch }) => {
    const at = await fetch(`http://x/${INDEX}`);
    asked.length = 0;
    const bytes = await takeAny(chunks(fileOf(files, INDEX)), INDEX, { limit: 2 ** 30, response: at });
    assert.is(Buffer.compare(bytes, single), 0);
    assert.is(asked.length, files.size - 1);
    // A source that is a response is beside itself.
    assert.is(Buffer.compare(await takeAny(at, INDEX, { limit: 2 ** 30 }), single), 0);
  });
});

test('shards of an index that states too much are not opened, and a shard with more in it is refused', async () => {
  const files = shardsOf(100);
  const asked: string[] = [];
  const noting = (name: string) => {
    asked.push(name);
    return chunks(fileOf(files, name));
  };
  await refused(
    () => takeAny(chunks(fileOf(files, INDEX)), INDEX, { limit: 10, openShard: noting }),
    'too-large',
    'the limit is 10',
  );
  assert.equal(asked, []);
  files.set('m-2.safetensors', Buffer.concat([fileOf(files, 'm-2.safetensors'), Uint8Array.of(0)]));
  await refused(() => whole(files), 'corrupt-file', 'm-2.safetensors: expected');
});

test('streamed from a response: shards are beside it, errors name its address, and what was opened is closed', async () => {
  const files = shardsOf(100);
  await serving(files, async ({ asked, fetch }) => {
    const found: string[] = [];
    for await (const { id } of streamShards(await fetch(`http://x/${INDEX}`), decoder)) found.push(id);
    assert.equal(found.sort(), model.weights.map(({ id }) => id).sort());
    assert.is(asked.length, files.size);
    files.set(INDEX, new TextEncoder().encode('{}'));
    const read = async (source: Parameters<typeof streamShards>[0], options = {}) => {
      for await (const _ of streamShards(source, decoder, { openShard: openShard(files), ...options })) _;
    };
    await refused(
      async () => read(await fetch(`http://x/${INDEX}`)),
      'corrupt-file',
      `http://x/${INDEX}: damaged`,
    );
    await refused(
      async () => read(await fetch(`http://x/${INDEX}`), { name: 'own' }),
      'corrupt-file',
      'own: damaged',
    );
    await refused(() => read(chunks(fileOf(files, INDEX))), 'corrupt-file', 'packed model: damaged');
    await refused(() => read(new Response('{}')), 'corrupt-file', 'packed model: damaged');
  });
  let open = 0;
  const closing = async function* (bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    open++;
    try {
      yield* chunks(bytes, 10);
    } finally {
      open--;
    }
  };
  const own = shardsOf(100);
  const stream = streamShards(closing(fileOf(own, INDEX)), decoder, {
    openShard: (name) => closing(fileOf(own, name)),
  });
  for await (const _ of stream) break;
  assert.is(open, 0);
});

test('bytes in all: too many are refused before a weight comes, too few at the end', async () => {
  const two = (name: string) => (name.endsWith('.codes') ? 'a' : 'b');
  const given: string[] = [];
  const read = async (files: Files) => {
    const source = chunks(fileOf(files, INDEX));
    for await (const { id } of streamShards(source, decoder, { openShard: openShard(files) })) given.push(id);
  };
  const files = dealt(() => 'a');
  const index = JSON.parse(new TextDecoder().decode(fileOf(files, INDEX)));
  const total = index.metadata.total_size as number;
  await refused(
    () => read(dealt(() => 'a', { metadata: { total_size: total - 1 } })),
    'corrupt-file',
    'total_size is',
  );
  assert.equal(given, []);
  await refused(
    () => read(dealt(two, { metadata: { total_size: total + 1 } })),
    'corrupt-file',
    `total_size is ${total + 1}, and the tensors of its shards have ${total} bytes`,
  );
  assert.is(given.length, model.weights.length);
});

test('what fits exactly: a weight in a shard, shards in an index, an index in a file', () => {
  const bytesOf = (weights: typeof model.weights) =>
    weights.flatMap(tensorsOf).reduce((sum, tensor) => sum + tensor.bytes().length, 0);
  const some = model.weights.slice(0, 2);
  assert.is(layoutShards(model, some, bytesOf(some)).shards.length, 1);
  assert.is(layoutShards(model, some, bytesOf(some) - 1).shards.length, 2);
  const [weight] = model.weights;
  const many = Array.from({ length: MOST_SHARDS }, (_, i) => ({ ...weight, id: `w${i}` }) as typeof weight);
  assert.is(layoutShards(model, many as never, 1).shards.length, MOST_SHARDS);
  const kept = model.weights.filter(({ kind }) => kind === 'kept').slice(0, 1);
  const { index } = layoutShards(model, kept, 1e9);
  const room = 3 * 2 ** 23 - index(['']).length;
  assert.is(index(['x'.repeat(room)]).length, 3 * 2 ** 23);
  assert.throws(() => index(['x'.repeat(room + 1)]), /"index" expected at most 25165824 bytes/);
});

test('an index of as many shards as may be, and of metadata that is no text', () => {
  const read = (value: object) => readShardIndex(new TextEncoder().encode(JSON.stringify(value)), 'i');
  const weight_map = Object.fromEntries(Array.from({ length: MOST_SHARDS }, (_, i) => [i, `s${i}`]));
  assert.is(read({ metadata: { total_size: 0 }, weight_map }).files.length, MOST_SHARDS);
  const metadata = { total_size: 0, a: 'text', b: 7, c: null };
  assert.equal([...read({ metadata, weight_map: {} }).metadata], [['a', 'text']]);
  for (const wrong of [7, null, 'x', []])
    assert.throws(
      () => read({ metadata: wrong, weight_map: {} }),
      /expected "metadata" and "weight_map", two objects/,
    );
});

test.run();
