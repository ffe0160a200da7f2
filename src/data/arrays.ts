import { BitnibbleError } from '../errors.js';
import type { ReadOptions } from '../formats/gzip.js';
import { readIdx } from '../formats/idx.js';
import type { NdArray } from '../formats/ndarray.js';
import { openNpz } from '../formats/npz.js';
import { arrayDataset, type Dataset } from './dataset.js';

/** A file's bytes and its name for messages. */
export interface NamedBytes {
  readonly name: string;
  readonly bytes: Uint8Array;
}

function mismatch(name: string, what: string): never {
  throw new BitnibbleError('data-mismatch', `${name}: ${what}`);
}

/**
 * Bytes stay bytes; everything else becomes float32, integers only where float32 holds them exactly. Booleans are the
 * numbers 0 and 1, not 8-bit intensities that somebody scales by 1/255.
 */
function valuesOf({ data, dtype }: NdArray, name: string): Uint8Array | Float32Array {
  if ((data instanceof Uint8Array && dtype !== 'bool') || data instanceof Float32Array) {
    return data;
  }
  const values = Float32Array.from(data as ArrayLike<number | bigint>, Number);
  const lost = data instanceof Float64Array ? -1 : values.findIndex((value, i) => value !== Number(data[i]));
  if (lost >= 0) {
    mismatch(name, `${dtype} ${data[lost]} at index ${lost} is no float32, which is what models take`);
  }
  return values;
}

/** Images `[n, h, w]` are samples `[h, w, 1]`; any other shape is kept. */
function sampleShape(shape: readonly number[]): number[] {
  const sample = shape.slice(1);
  return sample.length === 2 ? [...sample, 1] : sample;
}

/** Classes as integers: of shape `[n]` or `[n, 1]`, or one-hot `[n, classes]`. */
function labelsOf({ data, shape }: NdArray, count: number, name: string): Int32Array {
  if (shape[0] !== count || shape.length > 2) {
    mismatch(name, `expected ${count} labels, got an array of shape [${shape}]`);
  }
  const width = shape[1] ?? 1;
  const at = (i: number) => Number(data[i]);
  return Int32Array.from({ length: count }, (_, i) => {
    if (width === 1) {
      const label = at(i);
      const isClass = Number.isInteger(label) && label >= 0 && label < 2 ** 31;
      return isClass ? label : mismatch(name, `expected class numbers from 0, got ${data[i]} at index ${i}`);
    }
    return (
      hotColumn(at, i * width, width) ?? mismatch(name, `row ${i} is not one-hot: a single 1 among zeros`)
    );
  });
}

/** Column of the single 1 of a one-hot row. */
function hotColumn(at: (i: number) => number, start: number, width: number): number | undefined {
  let hot: number | undefined;
  for (let column = 0; column < width; column++) {
    const value = at(start + column);
    if (value !== 0 && (value !== 1 || hot !== undefined)) {
      return undefined;
    }
    hot = value === 1 ? column : hot;
  }
  return hot;
}

function dataset(
  images: { array: NdArray; name: string },
  labels?: { array: NdArray; name: string },
): Dataset {
  const { array, name } = images;
  if (array.shape.length < 2 || array.data.length === 0) {
    mismatch(name, `expected samples along the first of two axes or more, got shape [${array.shape}]`);
  }
  const inputShape = sampleShape(array.shape);
  const y = labels && labelsOf(labels.array, array.shape[0]!, labels.name);
  return arrayDataset({ name, inputShape, values: valuesOf(array, name), ...(y ? { labels: y } : {}) });
}

/**
 * MNIST-style IDX files, gzipped or not: images, and labels where there are. Images `[n, h, w]` become samples
 * `[h, w, 1]`, other shapes are kept; types other than bytes become float32.
 *
 * @throws BitnibbleError what {@link readIdx} throws; `data-mismatch`, naming the file, where counts or labels do not fit
 */
export function readIdxDataset(
  images: NamedBytes,
  labels?: NamedBytes,
  options: Pick<ReadOptions, 'limit'> = {},
): Dataset {
  const read = ({ name, bytes }: NamedBytes) => ({ array: readIdx(bytes, { ...options, name }), name });
  return dataset(read(images), labels && read(labels));
}

/**
 * An `.npz` file with `x` and `y`, or `x_test` and `y_test` (`x_train`, `y_train`) as `keras.datasets` has them; the
 * pair of the split is preferred. Labels are class numbers, of shape `[n]` or `[n, 1]`, or one-hot `[n, classes]`;
 * without them the data is unlabelled. Images `[n, h, w]` become samples `[h, w, 1]`.
 *
 * @throws BitnibbleError what {@link openNpz} throws; `data-mismatch`, naming the array, where arrays are missing or do
 *   not fit
 */
export function readNpzDataset(
  { name, bytes }: NamedBytes,
  split: 'test' | 'train' = 'test',
  options: Pick<ReadOptions, 'limit'> = {},
): Dataset {
  const file = openNpz(bytes, { ...options, name });
  const suffix = [`_${split}`, ''].find((end) => file.names.includes(`x${end}`));
  if (suffix === undefined) {
    const found = file.names.join(', ') || 'none';
    return mismatch(name, `expected arrays x_${split} and y_${split}, or x and y, got ${found}`);
  }
  const array = file.read(`x${suffix}`);
  const y = `y${suffix}`;
  const labels = file.names.includes(y) ? { array: file.read(y), name: `${name}: ${y}` } : undefined;
  return dataset({ array, name }, labels);
}
