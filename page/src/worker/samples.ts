import { BitnibbleError } from 'bitnibble';
import { readNpzDataset } from '../../../src/data/archives.js';
import { arrayDataset } from '../../../src/data/dataset.js';
import { readNpy } from '../../../src/formats/npy.js';
import { sizeOf } from '../../../src/shape.js';
import type { How, PixelRange, Tried } from './protocol.js';

/** Samples of a network, as many as were read. */
export interface Samples extends Pick<Tried, 'from' | 'preview' | 'samples'> {
  readonly values: Float32Array;
}

/** Bytes of a file of samples that is read. */
const MOST_BYTES = 2 ** 28;
/** Samples of arrays that are run: answers come while somebody waits. */
const MOST_SAMPLES = 256;

const scaled: Readonly<Record<PixelRange, (byte: number) => number>> = {
  unit: (byte) => byte / 255,
  signed: (byte) => byte / 127.5 - 1,
  bytes: (byte) => byte,
};

/**
 * Reads an image, or arrays of NumPy, as samples of a network.
 *
 * @param shape of a sample
 * @throws BitnibbleError `too-large`, `data-mismatch`, and what the readers throw
 */
export async function readSamples(file: File, shape: readonly number[], how: How): Promise<Samples> {
  if (file.size > MOST_BYTES)
    throw new BitnibbleError('too-large', `${file.name}: expected at most 256 MiB of samples`);
  return /\.np[yz]$/i.test(file.name) ? arrays(file, shape, how) : image(file, shape, how);
}

async function arrays(file: File, shape: readonly number[], how: How): Promise<Samples> {
  const { name } = file;
  const bytes = new Uint8Array(await file.arrayBuffer());
  const dataset = /\.npz$/i.test(name) ? readNpzDataset({ name, bytes }) : npyDataset(bytes, name, shape);
  const size = sizeOf(shape);
  const own = dataset.inputShape;
  if (sizeOf(own) !== size)
    throw new BitnibbleError(
      'data-mismatch',
      `${name}: expected samples of shape [${shape}], which the network takes, got [${own}]`,
    );
  const samples = Math.min(dataset.count, MOST_SAMPLES);
  const values = new Float32Array(samples * size);
  let at = 0;
  for (const { x } of dataset.batches({ limit: samples })) {
    values.set(x, at);
    at += x.length;
  }
  // What is stored in 8 bits is an intensity; floats go in as they are.
  if (dataset.dtype === 'uint8') for (const [i, v] of values.entries()) values[i] = intensity(v, how);
  const which =
    samples < dataset.count ? `the first ${samples} of ${dataset.count} samples` : `${samples} samples`;
  return { values, samples, from: `${name}: ${which} of shape [${own.join(', ')}]` };
}

const intensity = (byte: number, { range, isInverted }: How) => scaled[range](isInverted ? 255 - byte : byte);

/** `[n, ...shape]`, or one sample. */
function npyDataset(bytes: Uint8Array, name: string, shape: readonly number[]) {
  const array = readNpy(bytes, { name });
  const isOne = array.shape.length === shape.length && array.shape.every((n, i) => n === shape[i]);
  const values =
    array.data instanceof Uint8Array && array.dtype === 'uint8'
      ? array.data
      : Float32Array.from(array.data as ArrayLike<number | bigint>, Number);
  return arrayDataset({ name, inputShape: isOne ? array.shape : array.shape.slice(1), values });
}

async function image(file: File, shape: readonly number[], how: How): Promise<Samples> {
  const { name } = file;
  const frame = frameOf(shape);
  if (!frame)
    throw new BitnibbleError(
      'data-mismatch',
      `${name}: the network takes values of shape [${shape}], not images: drop a .npy or .npz file`,
    );
  const { height, width, channels, isFirst } = frame;
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new BitnibbleError('data-mismatch', `${name}: expected an image that this browser reads`);
  });
  const { width: own, height: high } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d', { willReadFrequently: true }) as OffscreenCanvasRenderingContext2D;
  context.imageSmoothingQuality = 'high';
  context.fillStyle = '#fff';
  context.fillRect(0, 0, width, height);
  // The middle of it, in the proportions that the network takes.
  const part = Math.min(own / width, high / height);
  const [w, h] = [part * width, part * height];
  context.drawImage(bitmap, (own - w) / 2, (high - h) / 2, w, h, 0, 0, width, height);
  bitmap.close();
  const pixels = context.getImageData(0, 0, width, height).data;
  const values = new Float32Array(width * height * channels);
  for (let i = 0; i < width * height; i++) {
    const [red, green, blue] = pixels.subarray(4 * i, 4 * i + 3) as unknown as [number, number, number];
    // Of ITU-R BT.601, as most readers of images take it.
    const grey = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
    const colours = channels === 1 ? [grey] : [red, green, blue, 255];
    for (let c = 0; c < channels; c++)
      values[isFirst ? c * width * height + i : i * channels + c] = intensity(colours[c] as number, how);
    for (let c = 0; c < 3; c++) {
      const shown = channels === 1 ? grey : (pixels[4 * i + c] as number);
      pixels[4 * i + c] = how.isInverted ? 255 - shown : shown;
    }
  }
  return {
    ...{ values, samples: 1, preview: { width, height, pixels } },
    from: `${name}: ${own} × ${high} pixels, its middle scaled to ${width} × ${height}`,
  };
}

function frameOf(shape: readonly number[]) {
  const [a = 0, b = 0, c = 0] = shape;
  if (shape.length !== 3) return undefined;
  if ([1, 3, 4].includes(c)) return { height: a, width: b, channels: c, isFirst: false };
  return [1, 3].includes(a) ? { height: b, width: c, channels: a, isFirst: true } : undefined;
}
