import { BitnibbleError } from '../errors.js';
import type { Split } from './archives.js';
import type { Dataset } from './dataset.js';
import {
  type DecodedImage,
  type ImageFile,
  type ImageOptions,
  imageDataset,
  type StoredImage,
} from './images.js';

/** A file of a {@link Folder}: its bytes, or an image that the host has decoded. */
export type FolderFile = Omit<StoredImage, 'label'> | Omit<DecodedImage, 'label'>;

/** A folder, wherever its files are: on a disk, or what was dropped on a page. */
export interface Folder {
  /** For messages. */
  readonly path: string;
  /** The last part of its path: what a class is called. */
  readonly name: string;
  /** In the order of their names, those that begin with a dot included. */
  readonly files: readonly FolderFile[];
  /** In the order of their names, those that begin with a dot left out. */
  readonly folders: readonly Folder[];
}

const IMAGE = /\.png$/i;
/** Images that only some hosts decode. */
const OTHER = /\.(jpe?g|gif|webp|bmp|tiff?|avif)$/i;

/** Shape of a sample as a network takes it; null where a length is not fixed. */
export type WantedShape = readonly (number | null)[] | undefined;

/** Channels of the images that a network takes, where its shape is that of an image. */
export function imageOptionsFor(shape: WantedShape): ImageOptions {
  const isChannels = (n: number | null | undefined): n is 1 | 3 => n === 1 || n === 3;
  if (shape?.length === 2) return { channels: 1 };
  if (shape?.length !== 3) return {};
  const [first, , last] = shape;
  if (isChannels(last)) return { channels: last };
  return isChannels(first) ? { channels: first, channelsFirst: true } : {};
}

/** Whether it is known how an image is decoded that is not called PNG. */
const isDecodable = (file: FolderFile): boolean => 'image' in file || file.codec !== undefined;

/** @throws BitnibbleError `unknown-format` for an image of another kind that the host has not decoded */
function imagesIn({ files }: Folder): FolderFile[] {
  const other = files.find((file) => OTHER.test(file.name) && !isDecodable(file));
  if (other)
    throw new BitnibbleError(
      'unknown-format',
      `${other.name}: expected PNG or JPEG images: turn it into one, of the size that the network takes`,
    );
  return files.filter((file) => IMAGE.test(file.name) || isDecodable(file));
}

/** The first of each list, then the second of each, and so on: any number from the front on has its share of all. */
function inTurns<T>(lists: readonly (readonly T[])[]): T[] {
  const longest = lists.reduce((most, { length }) => Math.max(most, length), 0);
  return Array.from({ length: longest }, (_, i) =>
    lists.flatMap((list) => (i < list.length ? [list[i] as T] : [])),
  ).flat();
}

/**
 * A folder of images of one size, or one with a folder for each class: classes are numbered in the order of their names, and their
 * images come in turns. Below `test` and `train`, where these are there.
 *
 * @param shape of a sample as the network takes it: one channel or three, channels last or first
 * @returns undefined where there are no images
 * @throws BitnibbleError `unknown-format`, `data-mismatch`
 */
export function imageFolder(folder: Folder, split: Split, shape?: WantedShape): Dataset | undefined {
  const below = folder.folders.find(({ name }) => name === split);
  if (below) return imageFolder(below, split, shape);
  const options = imageOptionsFor(shape);
  const here = imagesIn(folder);
  if (here.length > 0) return imageDataset(folder.path, here, options);
  const classes = folder.folders.map((own) => ({ name: own.name, images: imagesIn(own) }));
  // A class without images here keeps its number, as Keras counts them.
  if (classes.every(({ images }) => images.length === 0)) return undefined;
  const files = classes.map(({ images }, label) => images.map((file) => ({ ...file, label }) as ImageFile));
  return imageDataset(folder.path, inTurns(files), {
    ...options,
    classNames: classes.map(({ name }) => name),
  });
}
