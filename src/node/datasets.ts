import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { type Dataset, type NamedBytes, readCifar10, readIdxDataset, readNpzDataset } from '../data/index.js';
import { BitnibbleError } from '../errors.js';
import { gunzip } from '../formats/gzip.js';
import { readTar } from '../formats/tar.js';
import { readFile, writeFile } from './files.js';

export type Split = 'test' | 'train';

/** Something to download: where it is, and how to know that it is the right thing. */
export interface Remote {
  readonly url: string;
  /** Name in the cache folder. */
  readonly file: string;
  readonly algorithm: 'md5' | 'sha256';
  readonly checksum: string;
  /** Bytes at most. */
  readonly limit: number;
}

/** The datasets that `keras.datasets` downloads, by the same addresses. */
export const REMOTES = {
  cifar10: {
    url: 'https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz',
    file: 'cifar-10-binary.tar.gz',
    algorithm: 'md5',
    checksum: 'c32a1d4ab5d03f1284b67883e8d87530',
    limit: 2 ** 28,
  },
  mnist: {
    url: 'https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz',
    file: 'mnist.npz',
    algorithm: 'sha256',
    checksum: '731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1',
    limit: 2 ** 26,
  },
} as const satisfies Record<string, Remote>;

export interface OpenDatasetOptions {
  /** Default `test`. */
  readonly split?: Split;
  /** Bytes downloaded and in all, while a dataset is downloaded. */
  readonly onProgress?: (bytes: number, total: number) => void;
}

const CIFAR10_FILES: Readonly<Record<Split, RegExp>> = {
  test: /^test_batch\.bin$/,
  train: /^data_batch_\d\.bin$/,
};
const IDX_IMAGES: Readonly<Record<Split, RegExp>> = {
  test: /^(t10k|test).*images.*idx\d.*ubyte(\.gz)?$/,
  train: /^train.*images.*idx\d.*ubyte(\.gz)?$/,
};

/**
 * Opens data by where it is: a folder with CIFAR-10's binary release or MNIST-style IDX files, an `.npz` file, an IDX
 * file of images (its labels beside it), or `cifar10` and `mnist`, which are downloaded once and cached.
 *
 * @throws BitnibbleError `not-found`, `download`, and what the readers throw
 */
export async function openDataset(where: string, options: OpenDatasetOptions = {}): Promise<Dataset> {
  const { split = 'test' } = options;
  const info = statSync(where, { throwIfNoEntry: false });
  if (info?.isDirectory()) return openFolder(where, split);
  if (info) return openFile(where, split);
  if (where === 'mnist') {
    const file = await download(REMOTES.mnist, options);
    return readNpzDataset({ name: file, bytes: readFile(file) }, split);
  }
  if (where === 'cifar10') {
    const file = await download(REMOTES.cifar10, options);
    const members = readTar(gunzip(readFile(file), { name: file }), file)
      .map(({ name, bytes }) => ({ name: path.posix.basename(name), bytes }))
      .filter(({ name }) => CIFAR10_FILES[split].test(name));
    if (members.length === 0)
      throw new BitnibbleError('corrupt-file', `${file}: no ${split} batches of CIFAR-10 in it`);
    return readCifar10(members);
  }
  throw new BitnibbleError(
    'not-found',
    `${where}: no such file or folder, and no dataset of that name (cifar10, mnist)`,
  );
}

const load = (file: string): NamedBytes => ({ name: file, bytes: readFile(file) });

function openFolder(folder: string, split: Split): Dataset {
  const names = readdirSync(folder).sort();
  const cifar = names.filter((name) => CIFAR10_FILES[split].test(name));
  if (cifar.length > 0) return readCifar10(cifar.map((name) => load(path.join(folder, name))));
  const images = names.find((name) => IDX_IMAGES[split].test(name));
  if (images) return openFile(path.join(folder, images), split);
  const inner = path.join(folder, 'cifar-10-batches-bin');
  if (existsSync(inner)) return openFolder(inner, split);
  const wanted =
    split === 'test'
      ? 'test_batch.bin or t10k-images-idx3-ubyte'
      : 'data_batch_N.bin or train-images-idx3-ubyte';
  throw new BitnibbleError('not-found', `${folder}: no ${split} data in it, expected ${wanted} (or .gz)`);
}

function openFile(file: string, split: Split): Dataset {
  if (/\.npz$/i.test(file)) return readNpzDataset(load(file), split);
  if (/\.bin$/i.test(file)) return readCifar10([load(file)]);
  const name = path.basename(file);
  const labels = path.join(path.dirname(file), name.replace('images', 'labels').replace(/idx\d/, 'idx1'));
  const alternatives = [labels, labels.replace(/\.gz$/, ''), `${labels}.gz`];
  const found = labels === file ? undefined : alternatives.find((candidate) => existsSync(candidate));
  return readIdxDataset(load(file), found === undefined ? undefined : load(found));
}

/** `$BITNIBBLE_CACHE`, else `bitnibble/datasets` in `$XDG_CACHE_HOME` or `~/.cache`. */
export function cacheFolder(): string {
  const { BITNIBBLE_CACHE: own, XDG_CACHE_HOME: xdg } = process.env;
  return own || path.join(xdg || path.join(homedir(), '.cache'), 'bitnibble', 'datasets');
}

/**
 * Path of a downloaded file, from the cache where it is there with the right checksum.
 * @throws BitnibbleError `download`
 */
export async function download(
  remote: Remote,
  { onProgress }: Pick<OpenDatasetOptions, 'onProgress'> = {},
): Promise<string> {
  const { url, file, algorithm, checksum, limit } = remote;
  const target = path.join(cacheFolder(), file);
  const digest = (bytes: Uint8Array) => createHash(algorithm).update(bytes).digest('hex');
  if (existsSync(target) && digest(readFile(target)) === checksum) return target;
  const hint = `; download it yourself and name it with --data`;
  const pieces: Uint8Array[] = [];
  let done = 0;
  try {
    const response = await fetch(url);
    if (!response.ok || !response.body) throw new Error(`status ${response.status}`);
    const total = Number(response.headers.get('content-length') ?? 0);
    for await (const piece of response.body) {
      pieces.push(piece);
      done += piece.length;
      if (done > limit) throw new Error(`more than the ${limit} bytes expected`);
      onProgress?.(done, Math.max(total, done));
    }
  } catch (error) {
    const { message, cause } = error as Error;
    const reason = cause instanceof Error ? cause.message : message;
    throw new BitnibbleError('download', `${url}: cannot be downloaded: ${reason}${hint}`, { cause: error });
  }
  const got = createHash(algorithm);
  for (const piece of pieces) got.update(piece);
  const sum = got.digest('hex');
  if (sum !== checksum) {
    throw new BitnibbleError('download', `${url}: expected ${algorithm} ${checksum}, got ${sum}${hint}`);
  }
  mkdirSync(path.dirname(target), { recursive: true });
  await writeFile(target, pieces);
  return target;
}
