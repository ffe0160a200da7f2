import { expected } from '../errors.js';
import { sizeOf } from '../shape.js';
import { type Preprocess, steps } from './preprocess.js';

/** Samples ready for a model. */
export interface Batch {
  /** `[size, ...inputShape]`, C order, preprocessed. */
  readonly x: Float32Array;
  /** Class of each sample; -1 where the data has no labels. */
  readonly y: Int32Array;
  readonly size: number;
}

export interface BatchOptions {
  readonly batchSize: number;
  /** Samples at most. */
  readonly limit?: number;
  /** These samples, in this order, instead of all. */
  readonly indices?: ArrayLike<number>;
  readonly preprocess?: Preprocess;
}

/** Samples in memory, as they were stored; only batches become float32. */
export interface Dataset {
  /** For messages: the files. */
  readonly name: string;
  readonly count: number;
  /** Of one sample: `[32, 32, 3]`. */
  readonly inputShape: readonly number[];
  readonly dtype: 'uint8' | 'float32';
  readonly labels?: Int32Array;
  readonly classNames?: readonly string[];
  batches(options: BatchOptions): Generator<Batch>;
}

export interface ArrayDataset {
  readonly name: string;
  readonly inputShape: readonly number[];
  /** `[count, ...inputShape]`, C order. */
  readonly values: Uint8Array | Float32Array;
  readonly labels?: Int32Array;
  readonly classNames?: readonly string[];
}

/**
 * A dataset over arrays in memory.
 * @throws RangeError where values and labels do not fit the shape
 */
export function arrayDataset({ name, inputShape, values, labels, classNames }: ArrayDataset): Dataset {
  const sampleSize = sizeOf(inputShape);
  const count = sampleSize === 0 ? 0 : values.length / sampleSize;
  if (!Number.isInteger(count)) {
    throw new RangeError(expected('values', `a multiple of ${sampleSize} values`, values.length, name));
  }
  if (labels && labels.length !== count) {
    throw new RangeError(expected('labels', `${count}, one per sample`, labels.length, name));
  }
  return {
    name,
    count,
    inputShape,
    dtype: values instanceof Uint8Array ? 'uint8' : 'float32',
    ...(labels ? { labels } : {}),
    ...(classNames ? { classNames } : {}),
    *batches({ batchSize, limit = Number.POSITIVE_INFINITY, indices, preprocess }) {
      const total = Math.min(limit, indices?.length ?? count);
      const channels = inputShape.at(-1) ?? 1;
      const { factor, offset } = steps(preprocess ?? {}, channels, name);
      for (let from = 0; from < total; from += batchSize) {
        const size = Math.min(batchSize, total - from);
        const x = new Float32Array(size * sampleSize);
        const y = new Int32Array(size).fill(-1);
        for (let i = 0; i < size; i++) {
          const sample = indices ? (indices[from + i] as number) : from + i;
          if (!(sample >= 0 && sample < count)) {
            throw new RangeError(expected('indices', `samples below ${count}`, sample, name));
          }
          if (labels) y[i] = labels[sample] as number;
          const source = values.subarray(sample * sampleSize, (sample + 1) * sampleSize);
          const target = x.subarray(i * sampleSize, (i + 1) * sampleSize);
          // (v * scale - mean) / std, with factor = scale / std and offset = -mean / std
          for (let j = 0, c = 0; j < sampleSize; j++) {
            target[j] = (source[j] as number) * (factor[c] as number) + (offset[c] as number);
            if (++c === channels) c = 0;
          }
        }
        yield { x, y, size };
      }
    },
  };
}
