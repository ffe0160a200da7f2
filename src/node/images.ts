import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { type Dataset, type ImageFile, type ImageOptions, imageDataset } from '../data/index.js';
import { BitnibbleError } from '../errors.js';
import { fileSource } from './files.js';

const IMAGE = /\.png$/i;
/** Images that are found and not read. */
const OTHER = /\.(jpe?g|gif|webp|bmp|tiff?|avif)$/i;

/** Shape of a sample as a network takes it. */
type Wanted = readonly (number | null)[] | undefined;

/** Channels of the images that a network takes, where its shape is that of an image. */
function optionsFor(shape: Wanted): ImageOptions {
  const isChannels = (n: number | null | undefined): n is 1 | 3 => n === 1 || n === 3;
  if (shape?.length === 2) return { channels: 1 };
  if (shape?.length !== 3) return {};
  const [first, , last] = shape;
  if (isChannels(last)) return { channels: last };
  return isChannels(first) ? { channels: first, channelsFirst: true } : {};
}

/** Images by their paths, without classes. */
export function openImages(name: string, files: readonly string[], shape: Wanted): Dataset {
  const images = files.map((file): ImageFile => ({ name: file, open: () => fileSource(file) }));
  return imageDataset(name, images, optionsFor(shape));
}

const isFolder = (where: string) => statSync(where, { throwIfNoEntry: false })?.isDirectory() === true;

/** @throws BitnibbleError `unknown-format` for images of another kind alone */
function imagesIn(folder: string): string[] {
  const names = readdirSync(folder).sort();
  const own = names.filter((name) => IMAGE.test(name));
  const other = names.find((name) => OTHER.test(name));
  if (other !== undefined)
    throw new BitnibbleError(
      'unknown-format',
      `${path.join(folder, other)}: expected PNG images: turn it into one, of the size that the network takes`,
    );
  return own.map((name) => path.join(folder, name));
}

/**
 * A folder of PNG images, or one with a folder for each class: classes are numbered in the order of their names. Below `test` and
 * `train`, where these are there.
 *
 * @param names what is in the folder
 * @returns undefined where there are no images
 * @throws BitnibbleError `unknown-format`, `data-mismatch`
 */
export function openImageFolder(
  folder: string,
  names: readonly string[],
  split: 'test' | 'train',
  shape: Wanted,
): Dataset | undefined {
  const below = path.join(folder, split);
  if (names.includes(split) && isFolder(below))
    return openImageFolder(below, readdirSync(below).sort(), split, shape);
  const here = imagesIn(folder);
  if (here.length > 0) return openImages(folder, here, shape);
  const classes = names
    .map((name) => path.join(folder, name))
    .filter((own) => !path.basename(own).startsWith('.') && isFolder(own))
    .map((own) => ({ own, images: imagesIn(own) }));
  // A class without images here keeps its number, as Keras counts them.
  if (classes.every(({ images }) => images.length === 0)) return undefined;
  const files = classes.flatMap(({ images }, label) =>
    images.map((file): ImageFile => ({ name: file, label, open: () => fileSource(file) })),
  );
  return imageDataset(folder, files, {
    ...optionsFor(shape),
    classNames: classes.map(({ own }) => path.basename(own)),
  });
}
