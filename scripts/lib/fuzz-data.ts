// Files of data: .npy, .npz, IDX, gzip, tar, CIFAR-10 batches.
import { gzipSync as packFast } from 'node:zlib';
import { gzipSync, zipSync } from 'fflate';
import { type Dataset, readCifar10, readIdxDataset, readNpzDataset } from '../../src/data/index.js';
import { gunzip } from '../../src/formats/gzip.js';
import { readNpy, writeNpy } from '../../src/formats/npy.js';
import { bytesAccess } from '../../src/formats/random-access.js';
import { readTar } from '../../src/formats/tar.js';
import { makeTar } from '../../test/data/make-tar.js';
import { mutateSeveral, randomFrom } from './fuzz-cases.js';
import { type FuzzKind, pick, type Random } from './fuzz-kind.js';

const x = { shape: [4, 5, 5, 2], data: Float32Array.from({ length: 200 }, (_, i) => i / 7) };
const y = { shape: [4], data: Uint8Array.of(0, 1, 2, 1) };
const members = { 'x.npy': writeNpy(x), 'y.npy': writeNpy(y) };
const idx = Uint8Array.from([0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 5, ...new Array(100).fill(7)]);
const cifar = new Uint8Array(3073 * 3).fill(5);
const tar = makeTar({ 'a/data_batch_1.bin': cifar, b: idx });

/** Zeros, a thousand times larger than their file. */
const BOMBS = [2 ** 20, 2 ** 25, 2 ** 27].map((size) => new Uint8Array(packFast(new Uint8Array(size))));

const steps = (dataset: Dataset) => {
  for (const _ of dataset.batches({ batchSize: 2, limit: 6 }));
};

/** A number of the text changed: shapes, types, keys. */
function mutatedHeader(bytes: Uint8Array, random: Random): Uint8Array {
  const out = bytes.slice();
  const digits = [...out.keys()].filter((i) => i < 128 && i > 9);
  for (let n = 1 + random(3); n > 0; n--)
    out[pick(random, digits)] = pick(random, [..."0123456789<>|fiucO,()'"]).charCodeAt(0);
  return out;
}

type Reader = (random: Random) => () => unknown;

const READERS: readonly Reader[] = [
  (random) => {
    const bytes =
      random(2) === 0 ? mutatedHeader(members['x.npy'], random) : mutateSeveral(members['x.npy'], random);
    return () => readNpy(bytes);
  },
  (random) => {
    const changed = random(2) === 0 ? mutatedHeader(members['x.npy'], random) : members['x.npy'];
    const zip = zipSync({ ...members, 'x.npy': changed }, { level: random(2) === 0 ? 0 : 6 });
    const bytes = changed === members['x.npy'] ? mutateSeveral(zip, random) : zip;
    const isPlain = random(2) === 0;
    return () =>
      steps(
        readNpzDataset(isPlain ? { name: 'd.npz', bytes } : { name: 'd.npz', source: bytesAccess(bytes) }),
      );
  },
  (random) => {
    const changed = mutateSeveral(idx, random);
    const bytes = random(2) === 0 ? gzipSync(changed) : changed;
    return () => steps(readIdxDataset({ name: 'd.idx', source: bytesAccess(bytes) }));
  },
  (random) => {
    const bytes = mutateSeveral(random(4) === 0 ? pick(random, BOMBS) : gzipSync(tar), random);
    return () => readTar(gunzip(bytes));
  },
  (random) => {
    const bytes = mutateSeveral(tar, random);
    return () => readTar(bytes);
  },
  (random) => {
    const bytes = mutateSeveral(cifar, random);
    return () => steps(readCifar10([{ name: 'd.bin', bytes }]));
  },
];

export const dataFiles: FuzzKind = {
  name: 'data files',
  cases: 6000,
  async prepare(number, seed) {
    const random = randomFrom(`data ${seed} ${number}`);
    const read = (READERS[number % READERS.length] as Reader)(random);
    return async () => read();
  },
};
