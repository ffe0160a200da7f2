import { BitnibbleError } from '../errors.js';
import { isGzip, type ReadOptions, UNPACK_LIMIT } from '../formats/gzip.js';
import { readIdx, readIdxHeader } from '../formats/idx.js';
import { decodeElements, itemSize, type NdArray } from '../formats/ndarray.js';
import { numbersOf, readNpyHeader } from '../formats/npy.js';
import { openNpz } from '../formats/npz.js';
import type { RandomAccess } from '../formats/random-access.js';
import { bytesAt, type StoredArray } from '../formats/stored-array.js';
import { sizeOf } from '../shape.js';
import { arrayDataset, type Dataset, sampleDataset } from './dataset.js';

/** A file's bytes and its name for messages. */
export interface NamedBytes {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** A file that is read where it lies, and its name for messages. `close` releases it. */
export interface NamedSource {
  readonly name: string;
  readonly source: RandomAccess & {
    /** Releases the file. */
    close?(): void;
  };
}

/** Arrays of fewer bytes are read as a whole: 256 MiB, as much as compressed ones unpack to. */
const IN_PLACE = UNPACK_LIMIT;

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

/** Shape of a sample: of IDX images `[n, h, w]` it is `[h, w, 1]`, else as it is stored. */
function sampleShape(shape: readonly number[], isIdx: boolean): number[] {
  const sample = shape.slice(1);
  return isIdx && sample.length === 2 ? [...sample, 1] : sample;
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
  labels: { array: NdArray; name: string } | undefined,
  isIdx: boolean,
): Dataset {
  const { array, name } = images;
  if (array.shape.length < 2 || array.data.length === 0) {
    mismatch(name, `expected samples along the first of two axes or more, got shape [${array.shape}]`);
  }
  const inputShape = sampleShape(array.shape, isIdx);
  const y = labels && labelsOf(labels.array, array.shape[0]!, labels.name);
  return arrayDataset({ name, inputShape, values: valuesOf(array, name), ...(y ? { labels: y } : {}) });
}

/** Samples that are read from their file each time that they are asked for. */
function datasetInPlace(
  stored: StoredArray,
  source: RandomAccess,
  name: string,
  labels: { array: NdArray; name: string } | undefined,
  isIdx: boolean,
): Dataset {
  const { dtype, shape, littleEndian, start } = stored;
  if (stored.fortranOrder) {
    const fault = `an array of shape [${shape}] in Fortran order, which cannot be read sample by sample`;
    throw new BitnibbleError('too-large', `${name}: ${fault}: save it in C order`);
  }
  const inputShape = sampleShape(shape, isIdx);
  const bytes = sizeOf(inputShape) * itemSize(dtype);
  if (shape.length < 2 || bytes === 0 || bytes > IN_PLACE)
    mismatch(name, `expected samples along the first of two axes or more, got shape [${shape}]`);
  const count = shape[0] as number;
  return sampleDataset({
    ...{ name, inputShape, count },
    dtype: dtype === 'uint8' ? 'uint8' : 'float32',
    sample: (index) => {
      const stored = decodeElements(
        dtype,
        bytesAt(source, start + index * bytes, bytes, name),
        littleEndian,
        true,
      );
      const array = { dtype, shape: inputShape, data: numbersOf(dtype, stored, name) };
      return valuesOf(array, `${name}: sample ${index}`);
    },
    ...(labels ? { labels: labelsOf(labels.array, count, labels.name) } : {}),
  });
}

const isOpen = (file: NamedBytes | NamedSource): file is NamedSource => 'source' in file;

/** The dataset with the file that it reads, which is closed where nothing is read from it later. */
function withFile(
  file: NamedBytes | NamedSource,
  make: () => { dataset: Dataset; inPlace: boolean },
): Dataset {
  const close = isOpen(file) ? () => file.source.close?.() : undefined;
  let made: { dataset: Dataset; inPlace: boolean } | undefined;
  try {
    made = make();
  } finally {
    if (!made?.inPlace) close?.();
  }
  return made.inPlace && close ? { ...made.dataset, close } : made.dataset;
}

/**
 * MNIST-style IDX files, gzipped or not: images, and labels where there are. Images `[n, h, w]` become samples
 * `[h, w, 1]`, other shapes are kept; types other than bytes become float32.
 *
 * @throws BitnibbleError `not-idx`, `unsupported-dtype`, `corrupt-file` for bytes that are no whole IDX file; `data-mismatch`, naming the file, where counts or labels do not fit
 */
export function readIdxDataset(
  images: NamedBytes | NamedSource,
  labels?: NamedBytes,
  options: Pick<ReadOptions, 'limit'> = {},
): Dataset {
  const read = ({ name, bytes }: NamedBytes) => ({ array: readIdx(bytes, { ...options, name }), name });
  return withFile(images, () => {
    if (!isOpen(images))
      return { dataset: dataset(read(images), labels && read(labels), true), inPlace: false };
    const { name, source } = images;
    const size = Math.min(source.size, IN_PLACE);
    const head = bytesAt(source, 0, Math.min(3, size), name);
    if (source.size > IN_PLACE && !isGzip(head)) {
      const stored = readIdxHeader(source, name);
      return { dataset: datasetInPlace(stored, source, name, labels && read(labels), true), inPlace: true };
    }
    if (source.size > IN_PLACE)
      throw new BitnibbleError(
        'too-large',
        `${name}: ${source.size} bytes of gzip data, expected at most ${IN_PLACE}: unpack it`,
      );
    const whole = { name, bytes: bytesAt(source, 0, size, name) };
    return { dataset: dataset(read(whole), labels && read(labels), true), inPlace: false };
  });
}

/**
 * An `.npz` file with `x` and `y`, or `x_test` and `y_test` (`x_train`, `y_train`) as `keras.datasets` has them; the
 * pair of the split is preferred. Labels are class numbers, of shape `[n]` or `[n, 1]`, or one-hot `[n, classes]`;
 * without them the data is unlabelled. Samples keep the shape that they have.
 *
 * @throws BitnibbleError `not-zip`, `not-npy`, `unsupported-dtype`, `corrupt-file` for bytes that are no whole `.npz` archive; `data-mismatch`, naming the array, where arrays are missing or do
 *   not fit
 */
export function readNpzDataset(
  given: NamedBytes | NamedSource,
  split: 'test' | 'train' = 'test',
  options: Pick<ReadOptions, 'limit'> = {},
): Dataset {
  const { name } = given;
  return withFile(given, () => npzDataset(given, split, { ...options, name }));
}

function npzDataset(
  given: NamedBytes | NamedSource,
  split: 'test' | 'train',
  options: ReadOptions & { readonly name: string },
): { dataset: Dataset; inPlace: boolean } {
  const { name } = options;
  const file = openNpz(isOpen(given) ? given.source : given.bytes, options);
  const suffix = [`_${split}`, ''].find((end) => file.names.includes(`x${end}`));
  if (suffix === undefined) {
    const found = file.names.slice(0, 20).join(', ').slice(0, 400) || 'none';
    return mismatch(name, `expected arrays x_${split} and y_${split}, or x and y, got ${found}`);
  }
  const x = `x${suffix}`;
  const y = `y${suffix}`;
  const labels = file.names.includes(y) ? { array: file.read(y), name: `${name}: ${y}` } : undefined;
  const stored = isOpen(given) ? file.stored(x) : undefined;
  if (stored && stored.size > IN_PLACE) {
    const header = readNpyHeader(stored, `${name}: ${x}.npy`);
    return { dataset: datasetInPlace(header, stored, name, labels, false), inPlace: true };
  }
  return { dataset: dataset({ array: file.read(x), name }, labels, false), inPlace: false };
}
