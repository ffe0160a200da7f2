import { BitnibbleError } from 'bitnibble';
import {
  type Dataset,
  type Folder,
  type FolderFile,
  imageFolder,
  joinFiles,
  type NamedSource,
  type NetworkInput,
  readDataFile,
  readIdxDataset,
} from 'bitnibble/data';
import { idxLabelNames, isIdxName } from '../../../src/data/files.js';
import { count } from '../../../src/formats/count.js';
import { fileSource } from './file-source.js';
import { folderOf } from './folder.js';
import type { DataFile } from './protocol.js';

/** Files that are looked at. */
const MOST_FILES = 200_000;
/** Images that the browser decodes, which are held in memory: as many as are fitted to by default, and half of it to check on. */
const MOST_DECODED = 3072;
/** Bytes of these. */
const MOST_BYTES = 2 ** 29;

/** Images that browsers read and bitnibble does not. */
const DECODED = /\.(jpe?g|webp|gif|bmp|avif)$/i;
const ARRAYS = /\.(npz|npy|safetensors|csv|tsv)$/i;

const source = ({ path, file }: DataFile): NamedSource => ({ name: path, source: fileSource(file) });

/**
 * Reads what was dropped or chosen as samples: arrays, tables, images in folders or not, files for each input.
 *
 * @param inputs of the network
 * @param onPart told what part of images is decoded
 * @throws BitnibbleError `too-large`, `data-mismatch`, `unknown-format`, and what the readers of `bitnibble/data` throw, naming the file
 */
export async function readData(
  files: readonly DataFile[],
  inputs: readonly NetworkInput[],
  onPart: (part: number) => void,
): Promise<Dataset> {
  const [first] = files;
  if (!first) throw new BitnibbleError('data-mismatch', 'expected data, got an empty folder');
  const name = first.path.includes('/') ? (first.path.split('/')[0] as string) : first.path;
  if (files.length > MOST_FILES)
    throw new BitnibbleError('too-large', `${name}: expected at most ${count(MOST_FILES)} files, got more`);
  const isFolder = files.every(({ path }) => path.startsWith(`${name}/`));
  const images = files.some(({ path }) => /\.png$/i.test(path) || DECODED.test(path));
  if (images) {
    const folder = isFolder ? folderOf(name, files, 1) : folderOf('images', files, 0);
    const dataset = imageFolder(await decodedIn(folder, inputs[0]?.shape, onPart), 'train', inputs[0]?.shape);
    if (dataset) return dataset;
  }
  return readArrays(name, files, inputs);
}

async function readArrays(
  name: string,
  files: readonly DataFile[],
  inputs: readonly NetworkInput[],
): Promise<Dataset> {
  const arrays = files.filter(({ path }) => ARRAYS.test(path) && !/(^|\/)\./.test(path));
  const [only] = arrays;
  const idx = files.find(({ path }) => isIdxName(path) && /images/i.test(path));
  if (!only && idx) {
    const wanted = idxLabelNames(idx.path);
    const labels = files.find(({ path }) => wanted.includes(path));
    return readIdxDataset(
      source(idx),
      labels && { name: labels.path, bytes: new Uint8Array(await labels.file.arrayBuffer()) },
    );
  }
  if (!only)
    throw new BitnibbleError(
      'unknown-format',
      `${name}: expected images (PNG, JPEG, WebP and others), or arrays in .npz, .npy, .safetensors or .csv files, got ${described(files)}`,
    );
  const open = (path: string, own: readonly NetworkInput[]) =>
    readDataFile(source(arrays.find((file) => file.path === path) as DataFile), 'train', own) as Dataset;
  if (arrays.length === 1) return open(only.path, inputs);
  return joinFiles(
    arrays.map(({ path }) => path),
    inputs,
    // Each holds one input: what the network calls it does not matter inside.
    (path) => open(path, inputs.slice(0, 1)),
    (path) => source(arrays.find((file) => file.path === path) as DataFile),
  );
}

function described(files: readonly DataFile[]): string {
  const names = files.slice(0, 5).map(({ path }) => path.split('/').at(-1));
  return `${names.join(', ')}${files.length > names.length ? ` and ${count(files.length - names.length)} more` : ''}`;
}

/** The folder whose images of other kinds than PNG are decoded: of each class as many, and all together as many as are of use. */
async function decodedIn(
  folder: Folder,
  shape: NetworkInput['shape'],
  onPart: (part: number) => void,
): Promise<Folder> {
  const train = folder.folders.find(({ name }) => name === 'train');
  if (train) return { ...folder, folders: [await decodedIn(train, shape, onPart)] };
  const isFlat = folder.files.some(({ name }) => /\.png$/i.test(name) || DECODED.test(name));
  const lists = isFlat ? [folder.files] : folder.folders.map(({ files }) => files);
  const each = Math.ceil(MOST_DECODED / Math.max(1, lists.length));
  const wanted = lists.map((list) => list.filter(({ name }) => DECODED.test(name)).slice(0, each));
  const total = wanted.reduce((sum, { length }) => sum + length, 0);
  let done = 0;
  let bytes = 0;
  const made: FolderFile[][] = [];
  for (const [i, list] of lists.entries()) {
    const own: FolderFile[] = list.filter(({ name }) => !DECODED.test(name));
    for (const file of wanted[i] as FolderFile[]) {
      const { name } = file;
      const image = await decoded(name, (file as FolderFile & { readonly file: File }).file, shape);
      bytes += image.pixels.length;
      if (bytes > MOST_BYTES)
        throw new BitnibbleError(
          'too-large',
          `${name}: expected at most 512 MiB of images, as numbers: take fewer, or PNG images, which are read as they are needed`,
        );
      own.push({ name, image });
      onPart(++done / total);
    }
    made.push(own.sort((a, b) => (a.name < b.name ? -1 : 1)));
  }
  if (isFlat) return { ...folder, files: made[0] ?? [] };
  return { ...folder, folders: folder.folders.map((own, i) => ({ ...own, files: made[i] ?? [] })) };
}

/** The pixels as the browser decodes them, without a change of colours. */
async function decoded(name: string, file: File, shape: NetworkInput['shape']) {
  const bitmap = await createImageBitmap(file, {
    ...{ colorSpaceConversion: 'none', premultiplyAlpha: 'none' },
  }).catch(() => {
    throw new BitnibbleError('data-mismatch', `${name}: expected an image that this browser reads`);
  });
  try {
    const { width, height } = bitmap;
    const sides =
      shape?.length === 3 ? [shape.slice(0, 2), shape.slice(1)] : [(shape?.length === 2 && shape) || []];
    const fits = ([h, w]: readonly (number | null)[]) => (h ?? height) === height && (w ?? width) === width;
    if (!sides.some(fits))
      throw new BitnibbleError(
        'data-mismatch',
        `${name}: expected images that fit the network's input [${shape}], got ${width} x ${height} pixels: resize them as they were for the training`,
      );
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext('2d', {
      willReadFrequently: true,
    }) as OffscreenCanvasRenderingContext2D;
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    return { width, height, channels: 4, pixels: new Uint8Array(data.buffer) } as const;
  } finally {
    bitmap.close();
  }
}
