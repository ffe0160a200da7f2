import { readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { MAX_RECORDS, RECORD } from '../data/cifar10.js';
import { idxLabelNames } from '../data/files.js';
import { imageOptionsFor } from '../data/folder.js';
import {
  type Dataset,
  imageDataset,
  imageFolder,
  joinFiles,
  type NamedBytes,
  type NamedSource,
  type NetworkInput,
  readCifar10,
  readDataFile,
  readIdxDataset,
  readNpzDataset,
  type Split,
} from '../data/index.js';
import { BitnibbleError } from '../errors.js';
import { gunzip, isGzip, UNPACK_LIMIT } from '../formats/gzip.js';
import { bytesAt } from '../formats/stored-array.js';
import { readTar } from '../formats/tar.js';
import { cacheFolder, type DownloadOptions, download, type Remote } from './download.js';
import { draftFolder } from './drafts.js';
import { fileSource, readFile, writeFile } from './files.js';
import { folderAt, hasJpeg, isJpegName } from './images.js';
import { loadJpeg } from './jpeg.js';

export type { NetworkInput, Split } from '../data/index.js';
export { cacheFolder } from './download.js';

/** The datasets that are known by name, at the addresses that `keras.datasets` and their authors give. */
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

/** Which part of the data, and where it is downloaded from. */
export interface OpenDatasetOptions extends DownloadOptions {
  /** Default `test`. */
  readonly split?: Split;
  /** The network's inputs, where they are known: arrays and columns are looked for by their names, images get their channels. */
  readonly inputs?: readonly NetworkInput[];
  /** Where to download from instead, such as a mirror. */
  readonly remotes?: Partial<Record<keyof typeof REMOTES, Remote>>;
}

/** An IDX file of images and the one of its labels, by path. */
export interface IdxPaths {
  readonly images: string;
  readonly labels?: string;
}

const CIFAR10_FOLDER = 'cifar-10-batches-bin';
const CIFAR10_FILES: Readonly<Record<Split, RegExp>> = {
  test: /^test_batch\.bin$/,
  train: /^data_batch_\d\.bin$/,
};

/** `t10k-images-idx3-ubyte.gz`, `emnist-digits-train-images.idx3-ubyte`; the first group says which split. */
const IDX_IMAGES = /^(.+)[-_.]images[-_.]idx\d[-_.]ubyte(?:\.gz)?$/i;
const IDX_SPLIT: Readonly<Record<Split, RegExp>> = {
  test: /(?:^|[-_.])(?:test|t10k)$/i,
  train: /(?:^|[-_.])train$/i,
};

/**
 * Opens data by where it is:
 *
 * - a folder with CIFAR-10's binary release, or that has its folder `cifar-10-batches-bin` in it
 * - a folder with MNIST-style IDX files, plain or gzipped: `t10k-*` or `*test-*` and `*train-*`, or any single pair
 * - a folder of PNG or JPEG images of one size, or with one folder of images for each class, below `test` and `train` or not
 * - an `.npz`, `.safetensors`, `.npy` or `.csv` file, a CIFAR-10 `.bin` file, an IDX file of images (labels beside it are found by name)
 * - two IDX files, images and labels: `{ images, labels }` or `"IMAGES,LABELS"`
 * - several files, one for each input of the network, in their order or called as they are; one called `y` holds the answers
 * - `cifar10` or `mnist`, where no file is called so: downloaded once, then taken from the cache
 *
 * @throws BitnibbleError `not-found`, `unknown-format`, `download`, and what the readers throw, naming the file
 */
export async function openDataset(
  where: string | readonly string[] | IdxPaths,
  options: OpenDatasetOptions = {},
): Promise<Dataset> {
  const { split = 'test', remotes, inputs = [] } = options;
  if (isList(where)) {
    const [first] = where;
    return where.length === 1 && first !== undefined
      ? openDataset(first, options)
      : // Each holds one input: what the network calls it does not matter inside.
        joinFiles(
          where,
          inputs,
          (file) => openDataset(file, { ...options, split, inputs: inputs.slice(0, 1) }),
          open,
        );
  }
  if (typeof where !== 'string') {
    return readIdxDataset(open(where.images), where.labels === undefined ? undefined : load(where.labels));
  }
  const kind = kindOf(where);
  if (kind === 'folder') {
    return openFolder(where, split, inputs);
  }
  if (kind === 'file') {
    return openFile(where, split, inputs);
  }
  if (where === 'mnist') {
    return readNpzDataset(open(await download(remotes?.mnist ?? REMOTES.mnist, options)), split);
  }
  if (where === 'cifar10') {
    return openFolder(await downloadCifar10(remotes?.cifar10 ?? REMOTES.cifar10, options), split, inputs);
  }
  const [images, labels, ...rest] = where.split(',');
  if (images && labels && rest.length === 0) {
    return openDataset({ images, labels });
  }
  throw new BitnibbleError(
    'not-found',
    `${where}: no such file or folder, and no dataset of that name (cifar10, mnist)`,
  );
}

const isList = (where: unknown): where is readonly string[] => Array.isArray(where);

/** A file that is read where it lies. */
const open = (file: string): NamedSource => ({ name: file, source: fileSource(file) });

/** A whole file. @throws BitnibbleError `too-large` */
function load(file: string, most = UNPACK_LIMIT): NamedBytes {
  const source = fileSource(file);
  try {
    if (source.size > most) {
      const fault = `${source.size} bytes, which is more than the ${most} that are read as a whole`;
      throw new BitnibbleError('too-large', `${file}: ${fault}`);
    }
    return { name: file, bytes: bytesAt(source, 0, source.size, file) };
  } finally {
    source.close?.();
  }
}

function kindOf(where: string): 'file' | 'folder' | undefined {
  try {
    return statSync(where).isDirectory() ? 'folder' : 'file';
  } catch {
    return undefined;
  }
}

function listFolder(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch (cause) {
    const { message } = cause as Error;
    throw new BitnibbleError('not-found', `${folder}: cannot be read: ${message}`, { cause });
  }
}

async function openFolder(folder: string, split: Split, inputs: readonly NetworkInput[]): Promise<Dataset> {
  const names = listFolder(folder);
  const cifar = names.filter((name) => CIFAR10_FILES[split].test(name));
  if (cifar.length > 0) {
    return readCifar10(cifar.map((name) => load(path.join(folder, name), MAX_RECORDS * RECORD)));
  }
  const images = chooseImages(folder, names, split);
  if (images !== undefined) {
    return openFile(path.join(folder, images), split, inputs);
  }
  if (names.includes(CIFAR10_FOLDER)) {
    return openFolder(path.join(folder, CIFAR10_FOLDER), split, inputs);
  }
  const jpeg = hasJpeg(folder) ? await loadJpeg(folder) : undefined;
  const pictures = imageFolder(folderAt(folder, jpeg), split, inputs[0]?.shape);
  if (pictures) return pictures;
  const wanted = {
    test: 'test_batch.bin or t10k-images-idx3-ubyte',
    train: 'data_batch_N.bin or train-images-idx3-ubyte',
  };
  throw new BitnibbleError(
    'not-found',
    `${folder}: no ${split} data in it, expected ${wanted[split]} (or .gz) and their labels, or PNG or JPEG images`,
  );
}

/** The images of a split; where no name says which split it is, the only ones that have labels. */
function chooseImages(folder: string, names: string[], split: Split): string | undefined {
  const stem = (name: string) => IDX_IMAGES.exec(name)?.[1] ?? '';
  // Of a plain and a gzipped file of one name, the plain one: it sorts first.
  const images = names.filter((name, i) => IDX_IMAGES.test(name) && `${names[i - 1]}.gz` !== name);
  const ofSplit = images.filter((name) => IDX_SPLIT[split].test(stem(name)));
  const unnamed = images.filter(
    (name) =>
      !IDX_SPLIT.test.test(stem(name)) &&
      !IDX_SPLIT.train.test(stem(name)) &&
      labelsBeside(path.join(folder, name)),
  );
  const candidates = ofSplit.length > 0 ? ofSplit : unnamed;
  if (candidates.length > 1) {
    throw new BitnibbleError(
      'not-found',
      `${folder}: several files could be the ${split} images, name one of them: ${candidates.join(', ')}`,
    );
  }
  return candidates[0];
}

/** The labels of an IDX file of images. */
const labelsBeside = (file: string): string | undefined =>
  idxLabelNames(file).find((candidate) => kindOf(candidate) === 'file');

async function openFile(file: string, split: Split, inputs: readonly NetworkInput[]): Promise<Dataset> {
  if (isJpegName(file))
    return imageDataset(
      file,
      [{ name: file, open: () => fileSource(file), codec: await loadJpeg(file) }],
      imageOptionsFor(inputs[0]?.shape),
    );
  if (/\.bin$/i.test(file)) {
    return readCifar10([load(file, MAX_RECORDS * RECORD)]);
  }
  const data = open(file);
  const read = readDataFile(data, split, inputs);
  if (read) return read;
  const bytes = new Uint8Array(3).fill(0xff);
  data.source.read(bytes, 0);
  if (!isGzip(bytes) && !(bytes[0] === 0 && bytes[1] === 0)) {
    data.source.close?.();
    throw new BitnibbleError(
      'unknown-format',
      `${file}: expected an .npz, .npy, .safetensors, .csv, .png or .jpg file, a CIFAR-10 .bin file or an IDX file (plain or gzipped)`,
    );
  }
  const labels = labelsBeside(file);
  return readIdxDataset(data, labels === undefined ? undefined : load(labels));
}

/** Folder of the unpacked archive in the cache; it is there with all files, or not at all. */
async function downloadCifar10(remote: Remote, options: OpenDatasetOptions): Promise<string> {
  const folder = path.join(cacheFolder(), CIFAR10_FOLDER);
  if (kindOf(folder) === 'folder') {
    return folder;
  }
  const archive = await download(remote, options);
  const members = readTar(gunzip(readFile(archive), { name: archive }), archive)
    .map(({ name, bytes }) => ({ name: path.posix.basename(name), bytes }))
    .filter(({ name }) => Object.values(CIFAR10_FILES).some((pattern) => pattern.test(name)));
  if (members.length === 0) {
    throw new BitnibbleError('corrupt-file', `${archive}: no batches of CIFAR-10 in it`);
  }
  // Refuses damaged batches before they are kept.
  readCifar10(members);
  const draft = draftFolder(cacheFolder());
  try {
    for (const { name, bytes } of members) {
      await writeFile(path.join(draft.path, name), [bytes]);
    }
    draft.keepAs(folder);
  } catch (error) {
    // Another process may have been quicker.
    if (kindOf(folder) !== 'folder') {
      throw error;
    }
  } finally {
    draft.discard();
  }
  rmSync(archive, { force: true });
  return folder;
}
