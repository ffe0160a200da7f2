import { isPng, type PngImage, pngSize, readPng, withChannels } from '../formats/png.js';
import type { RandomAccess } from '../formats/random-access.js';
import { bytesAt, headOf } from '../formats/stored-array.js';
import { mismatch } from './answers.js';
import { type Dataset, sampleDataset } from './dataset.js';

interface NamedImage {
  /** For messages. */
  readonly name: string;
  /** Its class, from 0; none where images have no classes. */
  readonly label?: number;
}

/** Reads images of a kind. */
export interface ImageCodec {
  /** By what stands before the pixels. @param name names the file in errors */
  size(source: RandomAccess, name: string): Pick<PngImage, 'width' | 'height'>;
  /** Decodes the whole file. @param name names the file in errors */
  read(bytes: Uint8Array, name: string): PngImage;
}

/** An image that is opened when it is asked for. */
export interface StoredImage extends NamedImage {
  /** Of images that are not PNG. */
  readonly codec?: ImageCodec;
  /** Opens its bytes; `close` releases them. */
  open(): RandomAccess & {
    /** Releases the file. */
    close?(): void;
  };
}

/** An image of any kind that the host has decoded. */
export interface DecodedImage extends NamedImage {
  readonly image: PngImage;
}

/** An image of a folder: a file to be read, or what the host made of one. */
export type ImageFile = StoredImage | DecodedImage;

/** How images become samples. */
export interface ImageOptions {
  /** 1 grey, 3 colours; unless stated, as the first image is. */
  readonly channels?: 1 | 3;
  /** Samples `[channels, height, width]`. Default: channels last. */
  readonly channelsFirst?: boolean;
  /** What the classes are called, in the order of their numbers. Default: not said. */
  readonly classNames?: readonly string[];
}

/** Bytes of an image file at most. */
const MOST_BYTES = 2 ** 26;

function withOpen<T>(file: StoredImage, use: (source: RandomAccess) => T): T {
  const source = file.open();
  try {
    return use(source);
  } finally {
    source.close?.();
  }
}

function decoded(file: ImageFile): PngImage {
  if ('image' in file) return file.image;
  return withOpen(file, (source) => {
    if (source.size > MOST_BYTES)
      mismatch(file.name, `${source.size} bytes, expected at most ${MOST_BYTES} of an image`);
    return (file.codec ?? PNG).read(bytesAt(source, 0, source.size, file.name), file.name);
  });
}

const PNG: ImageCodec = {
  size(source, name) {
    const head = headOf(source, 32, name);
    if (!isPng(head))
      mismatch(name, 'expected a PNG or JPEG image: images of other kinds have to be turned into one first');
    return pngSize(head, name);
  },
  read: readPng,
};

const sizeOfImage = (file: ImageFile): Pick<PngImage, 'width' | 'height'> =>
  'image' in file ? file.image : withOpen(file, (source) => (file.codec ?? PNG).size(source, file.name));

/** `[area, channels]` as `[channels, area]`. */
function planesOf(pixels: Uint8Array, channels: number): Uint8Array {
  const planes = new Uint8Array(pixels.length);
  const area = pixels.length / channels;
  for (let i = 0; i < pixels.length; i++)
    planes[(i % channels) * area + Math.floor(i / channels)] = pixels[i] as number;
  return planes;
}

/**
 * Images of one size as samples `[height, width, channels]` of bytes: PNG, those of a codec, or what the host has decoded. Sizes are
 * looked at here; images are decoded each time that they are asked for.
 *
 * @throws BitnibbleError `data-mismatch`, naming the image, for none at all and for other sizes; `unknown-format`; what `readPng`
 *   throws, when it is decoded
 */
export function imageDataset(name: string, files: readonly ImageFile[], options: ImageOptions = {}): Dataset {
  const [first] = files;
  if (!first) return mismatch(name, 'expected PNG or JPEG images, got none');
  let size: { readonly width: number; readonly height: number } | undefined;
  for (const file of files) {
    const own = sizeOfImage(file);
    size ??= own;
    if (own.width !== size.width || own.height !== size.height)
      mismatch(
        file.name,
        `expected ${size.width} x ${size.height} pixels as ${first.name} has, got ${own.width} x ${own.height}: resize them to the size that the network takes`,
      );
  }
  const { width, height } = size as { readonly width: number; readonly height: number };
  const channels = options.channels ?? (decoded(first).channels < 3 ? 1 : 3);
  const labels = files.every(({ label }) => label !== undefined)
    ? Int32Array.from(files, ({ label }) => label as number)
    : undefined;
  return sampleDataset({
    ...{ name, count: files.length, dtype: 'uint8' },
    inputShape: options.channelsFirst ? [channels, height, width] : [height, width, channels],
    sample(index) {
      const file = files[index] as ImageFile;
      const pixels = withChannels(decoded(file), channels, file.name);
      return options.channelsFirst && channels > 1 ? planesOf(pixels, channels) : pixels;
    },
    ...(labels ? { labels } : {}),
    ...(options.classNames ? { classNames: options.classNames } : {}),
  });
}
