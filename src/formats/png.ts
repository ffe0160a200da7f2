import { Unzlib } from 'fflate';
import { BitnibbleError } from '../errors.js';
import { crc32 } from './crc32.js';
import { STEP } from './gzip.js';

/** Pixels of 8 bits. */
export interface PngImage {
  readonly width: number;
  readonly height: number;
  /** 1 grey, 2 grey and alpha, 3 red, green and blue, 4 those and alpha. */
  readonly channels: 1 | 2 | 3 | 4;
  /** `[height, width, channels]` */
  readonly pixels: Uint8Array;
}

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Pixels at most: what an input of a network has is far below. */
const MOST_PIXELS = 2 ** 26;

/** Samples of a pixel as stored, and of the image, by colour type. */
const COLOURS: Readonly<Record<number, readonly [stored: number, channels: PngImage['channels']]>> = {
  0: [1, 1],
  2: [3, 3],
  3: [1, 3],
  4: [2, 2],
  6: [4, 4],
};

interface Header {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly colour: number;
}

/** Whether bytes begin as a PNG does. */
export const isPng = (bytes: Uint8Array): boolean => SIGNATURE.every((byte, i) => bytes[i] === byte);

/**
 * Width and height by the first 32 bytes of an image.
 * @throws BitnibbleError as {@link readPng} does for its header
 */
export function pngSize(head: Uint8Array, name: string): Pick<PngImage, 'width' | 'height'> {
  const damaged = (fault: string) =>
    new BitnibbleError('corrupt-file', `${name}: damaged PNG image: ${fault}`);
  if (!isPng(head)) throw new BitnibbleError('unknown-format', `${name}: expected a PNG image`);
  if (head.length < 29 || String.fromCharCode(...head.subarray(12, 16)) !== 'IHDR')
    throw damaged('expected one header, before all else');
  const { width, height } = headerOf(head.slice(16, 29), name, damaged);
  return { width, height };
}

/**
 * Reads a PNG of up to 8 bits a sample: grey, colour, or a palette, with alpha where it has it. Colour profiles are not applied.
 *
 * @param name names the file in errors
 * @throws BitnibbleError `unknown-format` for other bytes, `unsupported-dtype` for 16 bits a sample, `unsupported-filter` for
 *   interlaced images, `too-large`, `corrupt-file`. Source: W3C PNG (Third Edition)
 */
export function readPng(bytes: Uint8Array, name: string): PngImage {
  if (!isPng(bytes)) throw new BitnibbleError('unknown-format', `${name}: expected a PNG image`);
  const damaged = (fault: string) =>
    new BitnibbleError('corrupt-file', `${name}: damaged PNG image: ${fault}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const data: Uint8Array[] = [];
  let header: Header | undefined;
  let palette = new Uint8Array(0);
  let alphas = new Uint8Array(0);
  let isEnded = false;
  for (let at = 8; !isEnded; ) {
    const length = at + 12 <= bytes.length ? view.getUint32(at) : Infinity;
    const end = at + 12 + length;
    if (end > bytes.length) throw damaged('cut off');
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (crc32(bytes.subarray(at + 4, end - 4)) !== view.getUint32(end - 4))
      throw damaged(`wrong checksum of ${JSON.stringify(kind)}`);
    const body = bytes.slice(at + 8, end - 4);
    if ((kind === 'IHDR') !== (header === undefined)) throw damaged('expected one header, before all else');
    if (kind === 'IHDR') header = headerOf(body, name, damaged);
    else if (kind === 'PLTE') palette = body;
    else if (kind === 'tRNS') alphas = body;
    else if (kind === 'IDAT') data.push(body);
    isEnded = kind === 'IEND';
    at = end;
  }
  const { width, height, depth, colour } = header as Header;
  const [stored, channels] = COLOURS[colour] as readonly [number, PngImage['channels']];
  const rowBytes = Math.ceil((width * stored * depth) / 8);
  const raw = inflate(data, height * (rowBytes + 1), damaged);
  unfilter(raw, height, rowBytes, Math.max(1, (stored * depth) >> 3), damaged);
  const samples = samplesOf(raw, { width: width * stored, height, depth, rowBytes });
  if (colour !== 3) {
    if (depth < 8)
      for (let i = 0; i < samples.length; i++) samples[i] = ((samples[i] as number) * 255) / (2 ** depth - 1);
    return { width, height, channels, pixels: samples };
  }
  const hasAlpha = alphas.some((alpha) => alpha < 255);
  const wide = hasAlpha ? 4 : 3;
  const pixels = new Uint8Array(width * height * wide);
  for (const [i, index] of samples.entries()) {
    if (3 * index + 3 > palette.length) throw damaged(`colour ${index} is not in the palette`);
    pixels.set(palette.subarray(3 * index, 3 * index + 3), wide * i);
    if (hasAlpha) pixels[wide * i + 3] = alphas[index] ?? 255;
  }
  return { width, height, channels: wide, pixels };
}

function headerOf(body: Uint8Array, name: string, damaged: (fault: string) => BitnibbleError): Header {
  if (body.length !== 13) throw damaged('a header of another length');
  const view = new DataView(body.buffer, body.byteOffset);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [depth, colour, compression, filter, interlace] = body.subarray(8) as unknown as [
    ...[number, number, number, number, number],
  ];
  if (width === 0 || height === 0) throw damaged('no pixels');
  if (width * height > MOST_PIXELS)
    throw new BitnibbleError(
      'too-large',
      `${name}: ${width} x ${height} pixels, expected at most ${MOST_PIXELS} in all`,
    );
  const isSmall = depth === 1 || depth === 2 || depth === 4;
  const isKnown = Object.hasOwn(COLOURS, colour) && (depth === 8 || depth === 16 || isSmall);
  if (!isKnown || (isSmall && colour !== 0 && colour !== 3) || (depth === 16 && colour === 3))
    throw damaged(`no such image: colour type ${colour} with ${depth} bits`);
  if (compression !== 0 || filter !== 0) throw damaged('an unknown compression');
  if (depth === 16)
    throw new BitnibbleError('unsupported-dtype', `${name}: 16 bits a sample, expected at most 8`);
  if (interlace !== 0)
    throw new BitnibbleError('unsupported-filter', `${name}: an interlaced image, expected one that is not`);
  return { width, height, depth, colour };
}

/** Unpacks to exactly so many bytes. */
function inflate(
  parts: readonly Uint8Array[],
  length: number,
  damaged: (fault: string) => BitnibbleError,
): Uint8Array {
  const out = new Uint8Array(length);
  let at = 0;
  const stream = new Unzlib((chunk) => {
    if (at + chunk.length > length) throw damaged('more data than pixels');
    out.set(chunk, at);
    at += chunk.length;
  });
  try {
    parts.forEach((part, i) => {
      for (let from = 0; from < part.length || (from === 0 && i === parts.length - 1); from += STEP) {
        const isLast = i === parts.length - 1 && from + STEP >= part.length;
        stream.push(part.subarray(from, from + STEP), isLast);
      }
    });
  } catch (cause) {
    if (cause instanceof BitnibbleError) throw cause;
    const { message } = cause as Error;
    throw new BitnibbleError('corrupt-file', damaged(message).message, { cause });
  }
  if (at !== length) throw damaged('fewer data than pixels');
  return out;
}

/** Undoes the filters of rows in place. @param back bytes from a sample to the same one of the pixel before */
function unfilter(
  raw: Uint8Array,
  height: number,
  rowBytes: number,
  back: number,
  damaged: (fault: string) => BitnibbleError,
): void {
  for (let y = 0; y < height; y++) {
    const start = y * (rowBytes + 1);
    const kind = raw[start] as number;
    if (kind > 4) throw damaged(`row ${y} has the unknown filter ${kind}`);
    for (let i = 1; i <= rowBytes; i++) {
      const a = i > back ? (raw[start + i - back] as number) : 0;
      const b = y > 0 ? (raw[start + i - rowBytes - 1] as number) : 0;
      const c = y > 0 && i > back ? (raw[start + i - back - rowBytes - 1] as number) : 0;
      const guess =
        kind === 1 ? a : kind === 2 ? b : kind === 3 ? (a + b) >> 1 : kind === 4 ? paeth(a, b, c) : 0;
      raw[start + i] = (raw[start + i] as number) + guess;
    }
  }
}

/** Whichever of left, above and above left is nearest to `a + b - c`. */
function paeth(a: number, b: number, c: number): number {
  const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
  if (pa <= pb && pa <= pc) return a;
  return pb <= pc ? b : c;
}

/** Samples one by one, filter bytes left out. @param size `width` samples in a row */
function samplesOf(
  raw: Uint8Array,
  size: {
    readonly width: number;
    readonly height: number;
    readonly depth: number;
    readonly rowBytes: number;
  },
): Uint8Array {
  const { width, height, depth, rowBytes } = size;
  const out = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const row = raw.subarray(y * (rowBytes + 1) + 1, (y + 1) * (rowBytes + 1));
    if (depth === 8) {
      out.set(row, y * width);
      continue;
    }
    for (let x = 0; x < width; x++) {
      const bit = x * depth;
      out[y * width + x] = ((row[bit >> 3] as number) >> (8 - depth - (bit & 7))) & (2 ** depth - 1);
    }
  }
  return out;
}

/** The image with 1 or 3 channels: grey by the weights of ITU-R BT.601, alpha left out where it is 255 everywhere. */
export function withChannels(image: PngImage, channels: 1 | 3, name: string): Uint8Array {
  const { pixels, channels: own } = image;
  const count = image.width * image.height;
  const hasAlpha = own === 2 || own === 4;
  if (hasAlpha)
    for (let i = own - 1; i < pixels.length; i += own)
      if (pixels[i] !== 255)
        throw new BitnibbleError(
          'data-mismatch',
          `${name}: expected an opaque image, got one with transparent pixels`,
        );
  const out = new Uint8Array(count * channels);
  for (let i = 0; i < count; i++) {
    const [r, g, b] =
      own < 3 ? [0, 0, 0].fill(pixels[own * i] as number) : [...pixels.subarray(own * i, own * i + 3)];
    const [red, green, blue] = [r, g, b] as [number, number, number];
    if (channels === 3) out.set([red, green, blue], 3 * i);
    else out[i] = own < 3 ? red : Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
  }
  return out;
}
