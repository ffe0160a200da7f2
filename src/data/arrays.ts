import { BitnibbleError } from '../errors.js';
import { isGzip, type ReadOptions, UNPACK_LIMIT } from '../formats/gzip.js';
import { readIdx, readIdxHeader } from '../formats/idx.js';
import { decodeElements, itemSize, type NdArray } from '../formats/ndarray.js';
import { numbersOf } from '../formats/npy.js';
import type { RandomAccess } from '../formats/random-access.js';
import { bytesAt, type StoredArray } from '../formats/stored-array.js';
import { sizeOf } from '../shape.js';
import { labelsOf, mismatch } from './answers.js';
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
export const IN_PLACE = UNPACK_LIMIT;

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

/** What is known of samples besides their values. */
type Answers = Pick<Dataset, 'labels' | 'targets' | 'labelFault'>;

/** Shape of a sample: of IDX images `[n, h, w]` it is `[h, w, 1]`, else as it is stored. */
function sampleShape(shape: readonly number[], isIdx: boolean): number[] {
  const sample = shape.slice(1);
  return isIdx && sample.length === 2 ? [...sample, 1] : sample;
}

/** Samples along the first axis of an array in memory. */
export function wholeArray(array: NdArray, name: string, answers: Answers = {}, isIdx = false): Dataset {
  if (array.shape.length < (isIdx ? 2 : 1) || array.data.length === 0) {
    mismatch(name, `expected samples along the first axis, got shape [${array.shape}]`);
  }
  const inputShape = sampleShape(array.shape, isIdx);
  return arrayDataset({ name, inputShape, values: valuesOf(array, name), ...answers });
}

/** Samples that are read from their file each time that they are asked for. */
export function arrayInPlace(
  stored: StoredArray,
  source: RandomAccess,
  name: string,
  answers: Answers = {},
  isIdx = false,
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
  return sampleDataset({
    ...{ name, inputShape, count: shape[0] as number },
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
    ...answers,
  });
}

export const isOpen = (file: NamedBytes | NamedSource): file is NamedSource => 'source' in file;

/** The dataset with the file that it reads, which is closed where nothing is read from it later. */
export function withFile(
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

/** A file as a whole. @throws BitnibbleError `too-large` */
export function wholeFile(file: NamedBytes | NamedSource, limit = IN_PLACE): Uint8Array {
  if (!isOpen(file)) return file.bytes;
  const { name, source } = file;
  if (source.size > limit)
    throw new BitnibbleError('too-large', `${name}: ${source.size} bytes, expected at most ${limit}`);
  return bytesAt(source, 0, source.size, name);
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
  const read = ({ name, bytes }: NamedBytes) => readIdx(bytes, { ...options, name });
  const answers = (count: number): Answers =>
    labels ? { labels: labelsOf(read(labels), count, labels.name) } : {};
  const whole = (file: NamedBytes) => {
    const array = read(file);
    if (array.shape.length < 2 || array.data.length === 0) return wholeArray(array, file.name, {}, true);
    return wholeArray(array, file.name, answers(array.shape[0] as number), true);
  };
  return withFile(images, () => {
    if (!isOpen(images)) return { dataset: whole(images), inPlace: false };
    const { name, source } = images;
    const size = Math.min(source.size, IN_PLACE);
    const head = bytesAt(source, 0, Math.min(3, size), name);
    if (source.size > IN_PLACE && !isGzip(head)) {
      const stored = readIdxHeader(source, name);
      const dataset = arrayInPlace(stored, source, name, answers(stored.shape[0] as number), true);
      return { dataset, inPlace: true };
    }
    if (source.size > IN_PLACE)
      throw new BitnibbleError(
        'too-large',
        `${name}: ${source.size} bytes of gzip data, expected at most ${IN_PLACE}: unpack it`,
      );
    return { dataset: whole({ name, bytes: bytesAt(source, 0, size, name) }), inPlace: false };
  });
}
