import { BitnibbleError } from '../errors.js';
import { readIdx } from '../formats/idx.js';
import type { NdArray } from '../formats/ndarray.js';
import { openNpz } from '../formats/npz.js';
import { arrayDataset, type Dataset } from './dataset.js';

/** A file's bytes and its name for messages. */
export interface NamedBytes {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Bytes stay bytes; everything else becomes float32. */
function valuesOf({ data }: NdArray): Uint8Array | Float32Array {
  return data instanceof Uint8Array || data instanceof Float32Array ? data : Float32Array.from(data, Number);
}

/** Images `[n, h, w]` are samples `[h, w, 1]`; any other shape is kept. */
function sampleShape(shape: readonly number[]): number[] {
  const sample = shape.slice(1);
  return sample.length === 2 ? [...sample, 1] : sample;
}

/** Classes as integers: of shape `[n]` or `[n, 1]`, or one-hot `[n, classes]`. */
function labelsOf({ data, shape }: NdArray, count: number, name: string): Int32Array {
  if (shape[0] !== count || shape.length > 2) {
    throw new BitnibbleError('data-mismatch', `${name}: expected ${count} labels, got shape [${shape}]`);
  }
  const width = shape[1] ?? 1;
  const values = Array.from(data as ArrayLike<number | bigint>, Number);
  if (width === 1) {
    const bad = values.findIndex((label) => !Number.isInteger(label) || label < 0);
    if (bad >= 0) {
      throw new BitnibbleError(
        'data-mismatch',
        `${name}: expected class numbers, got ${values[bad]} at index ${bad}`,
      );
    }
    return Int32Array.from(values);
  }
  return Int32Array.from({ length: count }, (_, i) => {
    const row = values.slice(i * width, (i + 1) * width);
    return row.indexOf(Math.max(...row));
  });
}

function dataset(name: string, images: NdArray, labels?: Int32Array): Dataset {
  return arrayDataset({
    name,
    inputShape: sampleShape(images.shape),
    values: valuesOf(images),
    ...(labels ? { labels } : {}),
  });
}

/**
 * MNIST-style IDX files, gzipped or not: images, and labels where there are.
 * @throws BitnibbleError what `readIdx` throws; `data-mismatch` where the counts differ
 */
export function readIdxDataset(images: NamedBytes, labels?: NamedBytes): Dataset {
  const x = readIdx(images.bytes, { name: images.name });
  if (x.shape.length < 2) {
    throw new BitnibbleError(
      'data-mismatch',
      `${images.name}: expected images, got an array of shape [${x.shape}]`,
    );
  }
  const y =
    labels && labelsOf(readIdx(labels.bytes, { name: labels.name }), x.shape[0] as number, labels.name);
  return dataset(images.name, x, y);
}

/**
 * An `.npz` file with `x` and `y`, or `x_test` and `y_test` (`x_train`, `y_train`) as `keras.datasets` has them.
 * Labels are class numbers or one-hot; without them the data is unlabelled.
 *
 * @throws BitnibbleError what `openNpz` throws; `data-mismatch` where the arrays are missing or do not fit
 */
export function readNpzDataset({ name, bytes }: NamedBytes, split: 'test' | 'train' = 'test'): Dataset {
  const file = openNpz(bytes, { name });
  const has = (array: string) => file.names.includes(array);
  const suffix = has('x') ? '' : `_${split}`;
  if (!has(`x${suffix}`)) {
    throw new BitnibbleError(
      'data-mismatch',
      `${name}: expected arrays x and y, or x_${split} and y_${split}, got ${file.names.join(', ') || 'none'}`,
    );
  }
  const x = file.read(`x${suffix}`);
  if (x.shape.length < 2) {
    throw new BitnibbleError(
      'data-mismatch',
      `${name}: expected x with samples along its first axis, got shape [${x.shape}]`,
    );
  }
  const y = has(`y${suffix}`)
    ? labelsOf(file.read(`y${suffix}`), x.shape[0] as number, `${name}: y${suffix}`)
    : undefined;
  return dataset(name, x, y);
}
