import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { gzipSync } from 'fflate';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { cacheFolder, openDataset, REMOTES } from '../../src/node/datasets.js';
import { download, type Remote } from '../../src/node/download.js';
import { need, root, tempDir } from '../support/needs.js';
import { rejects } from '../support/throws.js';
import { makeTar } from './make-tar.js';

const idx = (shape: number[], fill = 0) =>
  Uint8Array.from([
    0,
    0,
    8,
    shape.length,
    ...shape.flatMap((d) => [0, 0, 0, d]),
    ...new Array(shape.reduce((n, d) => n * d)).fill(fill),
  ]);
const images = idx([3, 2, 2], 5);
const labels = idx([3], 1);
const cifar = (label: number) => Uint8Array.from([label, ...new Array(3072).fill(label)]);

const base = tempDir();
let folders = 0;

/** A new folder with these files. */
function folder(files: Record<string, Uint8Array>): string {
  const made = path.join(base, String(folders++));
  mkdirSync(made);
  for (const [name, bytes] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(made, name)), { recursive: true });
    writeFileSync(path.join(made, name), bytes);
  }
  return made;
}

/** Runs a body with a server on this machine and an empty cache folder. */
async function withServer(
  listener: RequestListener,
  body: (url: string, cache: string) => Promise<void>,
): Promise<void> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const before = process.env.BITNIBBLE_CACHE;
  const cache = path.join(folder({}), 'cache');
  process.env.BITNIBBLE_CACHE = cache;
  try {
    await body(`http://127.0.0.1:${(server.address() as AddressInfo).port}/file`, cache);
  } finally {
    restore('BITNIBBLE_CACHE', before);
    server.closeAllConnections();
    await new Promise((resolve) => {
      server.close(resolve);
    });
  }
}

function restore(name: string, value: string | undefined): void {
  if (value === undefined) {
    delete process.env[name];
  } else {
    process.env[name] = value;
  }
}

function remote(url: string, bytes: Uint8Array, file = 'file.bin'): Remote {
  const checksum = createHash('sha256').update(bytes).digest('hex');
  return { url, file, algorithm: 'sha256', checksum, limit: 100_000 };
}

test('a folder of the binary release of CIFAR-10, by split', async () => {
  const where = folder({
    'test_batch.bin': cifar(1),
    'data_batch_2.bin': cifar(3),
    'data_batch_1.bin': cifar(2),
    'data_batch_1.bin.part': cifar(9),
  });
  assert.equal((await openDataset(where)).labels, Int32Array.of(1));
  assert.equal((await openDataset(where, { split: 'train' })).labels, Int32Array.of(2, 3));
  assert.equal((await openDataset(path.join(where, 'data_batch_2.bin'))).labels, Int32Array.of(3));
  const outer = folder({ 'cifar-10-batches-bin/test_batch.bin': cifar(7) });
  assert.equal((await openDataset(outer)).labels, Int32Array.of(7));
  await rejects(openDataset(outer, { split: 'train' }), 'not-found', 'no train data', 'data_batch_N.bin');
});

test('IDX files: names of MNIST, of EMNIST, with a dot, plain and gzipped', async () => {
  const pairs = [
    ['t10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte'],
    ['t10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz'],
    ['t10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte'],
    ['t10k-images.idx3-ubyte', 't10k-labels.idx1-ubyte'],
    ['emnist-digits-test-images-idx3-ubyte', 'emnist-digits-test-labels-idx1-ubyte'],
    ['mine-images-idx3-ubyte', 'mine-labels-idx1-ubyte'],
    ['images-of-images-idx3-ubyte', 'images-of-labels-idx1-ubyte'],
  ] as const;
  for (const [x, y] of pairs) {
    const pack = (name: string, bytes: Uint8Array) => (name.endsWith('.gz') ? gzipSync(bytes) : bytes);
    const where = folder({ [x]: pack(x, images), [y]: pack(y, labels) });
    for (const spec of [where, path.join(where, x)]) {
      const dataset = await openDataset(spec);
      assert.equal([dataset.count, dataset.inputShape], [3, [2, 2, 1]], x);
      assert.equal(dataset.labels, Int32Array.of(1, 1, 1), x);
    }
  }
});

test('IDX files: the split is chosen by name, and never guessed', async () => {
  const where = folder({
    'train-images-idx3-ubyte': idx([1, 2, 2]),
    'train-labels-idx1-ubyte': idx([1]),
    't10k-images-idx3-ubyte': images,
    't10k-images-idx3-ubyte.gz': gzipSync(images),
    't10k-labels-idx1-ubyte': labels,
    'calibration-images-idx3-ubyte': idx([9, 2, 2]),
  });
  assert.is((await openDataset(where)).count, 3);
  assert.is((await openDataset(where, { split: 'train' })).count, 1);
  const calibration = await openDataset(path.join(where, 'calibration-images-idx3-ubyte'));
  assert.equal([calibration.count, calibration.labels], [9, undefined]);

  const trainOnly = folder({ 'train-images-idx3-ubyte': images, 'train-labels-idx1-ubyte': labels });
  await rejects(openDataset(trainOnly), 'not-found', trainOnly, 'no test data', 't10k-images-idx3-ubyte');
  const two = folder({
    'a-images-idx3-ubyte': images,
    'a-labels-idx1-ubyte': labels,
    'b-images-idx3-ubyte': images,
    'b-labels-idx1-ubyte': labels,
  });
  await rejects(openDataset(two), 'not-found', 'a-images-idx3-ubyte, b-images-idx3-ubyte');
});

test('a pair of IDX files, as an object and as one text', async () => {
  const where = folder({ x: images, y: labels });
  const [x, y] = [path.join(where, 'x'), path.join(where, 'y')];
  for (const spec of [{ images: x, labels: y }, `${x},${y}`]) {
    assert.equal((await openDataset(spec)).labels, Int32Array.of(1, 1, 1));
  }
  assert.is((await openDataset({ images: x })).labels, undefined);
  await rejects(openDataset(`${x},${y}x`), 'not-found', `${y}x`);
});

test('an .npz file; what is nothing of this', async () => {
  const npz = path.join(root, 'test', 'fixtures', 'npz', 'keras.npz');
  assert.is((await openDataset(npz)).count, 2);
  assert.is((await openDataset(npz, { split: 'train' })).count, 3);
  const where = folder({ 'notes.txt': Buffer.from('hello'), empty: new Uint8Array(0) });
  await rejects(openDataset(path.join(where, 'notes.txt')), 'unknown-format', 'notes.txt', '.npz');
  await rejects(openDataset(path.join(where, 'empty')), 'unknown-format', 'empty');
  await rejects(openDataset(where), 'not-found', where, 'test_batch.bin');
  await rejects(openDataset(path.join(where, 'nowhere')), 'not-found', 'nowhere');
  await rejects(openDataset('imagenet'), 'not-found', 'imagenet', 'cifar10, mnist');
});

test('the bundled digits open as the demo opens them', async () => {
  const dataset = await openDataset(path.join(root, 'examples', 'digits'));
  assert.equal([dataset.count, dataset.inputShape, dataset.dtype], [1000, [28, 28, 1], 'uint8']);
  const counts = new Int32Array(10);
  for (const label of dataset.labels!) {
    counts[label]!++;
  }
  assert.ok(
    counts.every((n) => n > 60),
    [...counts].join(),
  );
  const file = path.join(root, 'examples', 'digits', 'calibration-images-idx3-ubyte.gz');
  assert.equal([(await openDataset(file)).count, (await openDataset(file)).labels], [1000, undefined]);
});

test('the cache folder follows the environment', () => {
  const before = { BITNIBBLE_CACHE: process.env.BITNIBBLE_CACHE, XDG_CACHE_HOME: process.env.XDG_CACHE_HOME };
  try {
    process.env.BITNIBBLE_CACHE = path.resolve('/a/b');
    assert.is(cacheFolder(), path.resolve('/a/b'));
    delete process.env.BITNIBBLE_CACHE;
    process.env.XDG_CACHE_HOME = path.resolve('/xdg');
    assert.is(cacheFolder(), path.resolve('/xdg/bitnibble/datasets'));
    for (const value of ['relative', '']) {
      process.env.XDG_CACHE_HOME = value;
      assert.ok(cacheFolder().endsWith(path.join('.cache', 'bitnibble', 'datasets')));
    }
  } finally {
    restore('BITNIBBLE_CACHE', before.BITNIBBLE_CACHE);
    restore('XDG_CACHE_HOME', before.XDG_CACHE_HOME);
  }
});

test('the official addresses and checksums', () => {
  assert.is(REMOTES.cifar10.checksum, 'c32a1d4ab5d03f1284b67883e8d87530');
  assert.is(REMOTES.mnist.checksum, '731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1');
});

test('downloads once, reports progress, replaces a damaged file', async () => {
  const bytes = new Uint8Array(70_000).fill(7);
  let requests = 0;
  await withServer(
    (_, response) => {
      requests++;
      response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
    },
    async (url, cache) => {
      const seen: [number, number][] = [];
      const options = { onProgress: (done: number, total: number) => void seen.push([done, total]) };
      const file = await download(remote(url, bytes), options);
      assert.is(file, path.join(cache, 'file.bin'));
      assert.equal(new Uint8Array(readFileSync(file)), bytes);
      assert.equal(seen.at(-1), [70_000, 70_000]);
      assert.ok(seen.every(([done, total], i) => total === 70_000 && done > (seen[i - 1]?.[0] ?? 0)));
      await download(remote(url, bytes));
      assert.is(requests, 1);
      writeFileSync(file, 'damaged');
      await download(remote(url, bytes));
      assert.is(requests, 2);
      assert.equal(new Uint8Array(readFileSync(file)), bytes);
      assert.equal(readdirSync(cache), ['file.bin'], 'no temporary file is left');
    },
  );
});

test('a download that goes wrong leaves nothing behind', async () => {
  const bytes = new Uint8Array(1000);
  const cases: [string, RequestListener, string[]][] = [
    [
      'wrong bytes',
      (_, response) => response.end('something else'),
      ['expected a file of sha256', 'nothing was kept'],
    ],
    ['missing', (_, response) => response.writeHead(404).end('no'), ['the server answered 404', 'put it at']],
    ['too long', (_, response) => response.end(new Uint8Array(200_000)), ['more than the 100000 bytes']],
    [
      'cut off',
      (_, response) => {
        response.writeHead(200, { 'content-length': 1000 }).write(new Uint8Array(500));
        setTimeout(() => response.destroy(), 20);
      },
      ['cannot be downloaded'],
    ],
  ];
  for (const [name, listener, texts] of cases) {
    await withServer(listener, async (url, cache) => {
      await rejects(download(remote(url, bytes)), 'download', url, ...texts);
      assert.not(existsSync(cache) && readdirSync(cache).length > 0, name);
    });
  }
  await withServer(
    () => undefined,
    async (url) => {
      const signal = AbortSignal.timeout(50);
      await rejects(download(remote(url, bytes), { signal }), 'download', 'cannot be downloaded');
      const { port } = new URL(url);
      const refused = url.replace(port, '1');
      await rejects(download(remote(refused, bytes)), 'download', refused, 'put it at');
    },
  );
});

test('mnist: downloaded, kept, opened by split', async () => {
  const npz = new Uint8Array(readFileSync(path.join(root, 'test', 'fixtures', 'npz', 'keras.npz')));
  await withServer(
    (_, response) => response.end(npz),
    async (url, cache) => {
      const remotes = { mnist: remote(url, npz, 'mnist.npz') };
      assert.is((await openDataset('mnist', { remotes })).count, 2);
      assert.is((await openDataset('mnist', { remotes, split: 'train' })).count, 3);
      assert.equal(readdirSync(cache), ['mnist.npz']);
    },
  );
});

test('cifar10: downloaded, unpacked, kept without the archive', async () => {
  const archive = gzipSync(
    makeTar({
      'cifar-10-batches-bin/data_batch_1.bin': cifar(1),
      'cifar-10-batches-bin/test_batch.bin': cifar(8),
      'cifar-10-batches-bin/readme.html': Buffer.from('hello'),
    }),
  );
  let requests = 0;
  await withServer(
    (_, response) => {
      requests++;
      response.end(archive);
    },
    async (url, cache) => {
      const remotes = { cifar10: remote(url, archive, 'cifar.tar.gz') };
      const dataset = await openDataset('cifar10', { remotes });
      assert.equal(dataset.labels, Int32Array.of(8));
      assert.is(dataset.classNames?.[8], 'ship');
      assert.equal((await openDataset('cifar10', { remotes, split: 'train' })).labels, Int32Array.of(1));
      assert.is(requests, 1);
      assert.equal(readdirSync(cache), ['cifar-10-batches-bin']);
      assert.equal(readdirSync(path.join(cache, 'cifar-10-batches-bin')), [
        'data_batch_1.bin',
        'test_batch.bin',
      ]);
    },
  );
});

test('cifar10: an archive with damaged batches is not kept as data', async () => {
  for (const name of ['test_batch.bin', 'other.txt']) {
    const archive = gzipSync(makeTar({ [`cifar-10-batches-bin/${name}`]: Buffer.from('short') }));
    await withServer(
      (_, response) => response.end(archive),
      async (url, cache) => {
        const remotes = { cifar10: remote(url, archive, 'cifar.tar.gz') };
        const named = name.endsWith('.bin') ? name : 'cifar.tar.gz: no batches';
        await rejects(openDataset('cifar10', { remotes }), 'corrupt-file', named);
        assert.equal(readdirSync(cache), ['cifar.tar.gz']);
      },
    );
  }
});

const shared = need(test, 'shared');
shared('CIFAR-10 as it lies beside the project', async ({ shared: data }) => {
  const dataset = await openDataset(data);
  assert.equal([dataset.count, dataset.inputShape, dataset.dtype], [10_000, [32, 32, 3], 'uint8']);
  const raw = readFileSync(path.join(data, 'cifar-10-batches-bin', 'test_batch.bin'));
  assert.is(dataset.labels?.[0], raw[0]);
  assert.is(dataset.labels?.[9999], raw[9999 * 3073]);
  const [last] = dataset.batches({ batchSize: 1, indices: [9999] });
  const plane = (color: number, pixel: number) => raw[9999 * 3073 + 1 + color * 1024 + pixel];
  assert.equal([...last!.x.slice(-3)], [plane(0, 1023), plane(1, 1023), plane(2, 1023)]);

  const counts = new Int32Array(10);
  let sum = 0;
  for (const { x, y } of dataset.batches({ batchSize: 500, preprocess: { scale: 1 / 255 } })) {
    for (const label of y) {
      counts[label]!++;
    }
    sum += x.reduce((total, value) => total + value, 0);
  }
  assert.equal([...counts], new Array(10).fill(1000));
  // The mean of CIFAR-10's test pixels is about 0.4765 (0.4942, 0.4851, 0.4504 by channel).
  assert.ok(Math.abs(sum / (10_000 * 3072) - 0.4765) < 0.003, String(sum / (10_000 * 3072)));
});

test('large data is read where it lies, a sample at a time; what is larger and compressed is refused', async () => {
  // Holes in the files: hundreds of megabytes that nobody writes.
  const size = 300 * 2 ** 20;
  const samples = size / 2 ** 20;
  const shape = [
    0,
    0,
    13,
    4,
    ...[samples, 512, 512, 1].flatMap((d) => [d >>> 24, d >>> 16, d >>> 8, d].map((b) => b & 255)),
  ];
  const at = folder({
    'big.idx': Uint8Array.from(shape),
    'big.gz': Uint8Array.of(0x1f, 0x8b, 8),
    'big.bin': Uint8Array.of(0),
  });
  const file = path.join(at, 'big.idx');
  truncateSync(file, shape.length + size);
  const handle = openSync(file, 'r+');
  const value = Buffer.alloc(4);
  value.writeFloatBE(2.5);
  writeSync(handle, value, 0, 4, shape.length + 7 * 2 ** 20);
  closeSync(handle);
  const before = process.memoryUsage.rss();
  const data = await openDataset({ images: file });
  assert.equal([data.count, [...data.inputShape], data.dtype], [samples, [512, 512, 1], 'float32']);
  const [batch] = [...data.batches({ indices: [7, 299], batchSize: 2 })];
  assert.equal([batch?.x[0], batch?.x[1], batch?.x.length], [2.5, 0, 2 * 2 ** 18]);
  assert.ok(process.memoryUsage.rss() - before < 2 ** 27);
  data.close?.();
  for (const [name, most] of [
    ['big.gz', 268435456],
    ['big.bin', 199745000],
  ] as const) {
    truncateSync(path.join(at, name), size);
    await rejects(openDataset(path.join(at, name)), 'too-large', name, String(most));
  }
});

test.run();
