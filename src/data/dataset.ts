import { BitnibbleError, expected } from '../errors.js';
import { sizeOf } from '../shape.js';
import { type ChannelMap, channelMap, type Preprocess } from './preprocess.js';

/** One step through a dataset. */
export interface Batch {
  /** Preprocessed samples, C order, shape `[size, ...inputShape]`; a fresh array per batch. */
  readonly x: Float32Array;
  /** Class of each sample; -1 where the data has no labels. */
  readonly y: Int32Array;
  /** Samples in this batch; the last one may be smaller. */
  readonly size: number;
}

/** Which samples to step through, and how. */
export interface BatchOptions {
  /** Samples per batch; 128 unless stated. */
  readonly batchSize?: number;
  /** At most this many samples, from the front of the order; all unless stated. */
  readonly limit?: number;
  /** Positions of the samples in the dataset, in the wanted order; 0, 1, 2 ... unless stated. */
  readonly indices?: ArrayLike<number>;
  /** Applied to every value; values pass as they are unless stated. */
  readonly preprocess?: Preprocess;
}

/** Labelled or unlabelled samples of one shape, as they were stored, in memory or in a file; only batches become float32. */
export interface Dataset {
  /** Where it came from, for messages and reports. */
  readonly name: string;
  /** Number of samples. */
  readonly count: number;
  /** Shape of one sample, channels last. */
  readonly inputShape: readonly number[];
  /** Class of each sample, from 0; absent when the data came without labels. */
  readonly labels?: Int32Array;
  /** What the classes are called, where the source says so. */
  readonly classNames?: readonly string[];
  /** How samples are stored: batches are float32 in either case. */
  readonly dtype: 'uint8' | 'float32';
  /**
   * Steps through the samples.
   *
   * @throws RangeError at the call, not at the first step, for a batch size or limit below 1, an index out of range or
   *   a preprocess of another number of channels; BitnibbleError `data-mismatch` at the step of a sample with NaN or
   *   infinity, or with an integer that is no float32
   */
  batches(options?: BatchOptions): IterableIterator<Batch>;
  /** Closes the file that samples are read from; absent where they are in memory. */
  close?(): void;
}

/** What {@link arrayDataset} takes. */
export interface ArrayDataset {
  readonly name: string;
  readonly inputShape: readonly number[];
  /** `[count, ...inputShape]`, C order, channels last; kept, not copied. */
  readonly values: Uint8Array | Float32Array;
  readonly labels?: Int32Array;
  readonly classNames?: readonly string[];
}

/**
 * A dataset over arrays in memory.
 *
 * @throws RangeError when the values do not divide into samples of `inputShape`, or the labels are not one per sample
 */
export function arrayDataset(given: ArrayDataset): Dataset {
  const { name, inputShape, values } = given;
  const sampleSize = sizeOf(inputShape);
  const count = sampleSize === 0 ? 0 : values.length / sampleSize;
  if (!Number.isInteger(count) || count * sampleSize !== values.length) {
    throw new RangeError(expected('values', `a multiple of ${sampleSize} values`, values.length, name));
  }
  return sampleDataset({
    ...given,
    count,
    dtype: values instanceof Uint8Array ? 'uint8' : 'float32',
    sample: (index) => values.subarray(index * sampleSize, (index + 1) * sampleSize),
  });
}

/** What {@link sampleDataset} takes. */
export type SampleDataset = Omit<ArrayDataset, 'values'> &
  Pick<Dataset, 'count' | 'dtype' | 'close'> & {
    /** The values of a sample, good until the next call; bytes where `dtype` says so. */
    readonly sample: (index: number) => Uint8Array | Float32Array;
  };

/**
 * A dataset over samples wherever they are.
 * @throws RangeError where the labels are not one per sample
 */
export function sampleDataset(given: SampleDataset): Dataset {
  const { name, inputShape, count, dtype, sample, labels, classNames, close } = given;
  if (labels && labels.length !== count) {
    throw new RangeError(expected('labels', `${count}, one per sample`, labels.length, name));
  }
  return {
    name,
    count,
    inputShape,
    dtype,
    ...(close ? { close } : {}),
    ...(labels ? { labels } : {}),
    ...(classNames ? { classNames } : {}),
    batches(options = {}) {
      const { batchSize = 128, preprocess = {} } = options;
      const order = sampleOrder(options, count, name);
      if (!Number.isInteger(batchSize) || batchSize < 1) {
        throw new RangeError(expected('batchSize', 'an integer of at least 1', batchSize, name));
      }
      const map = channelMap(preprocess, inputShape.at(-1) ?? 1, name);
      const fill = dtype === 'uint8' ? byteFiller(map) : floatFiller(map);
      const put = (out: Float32Array, to: number, index: number) => fill(out, to, sample(index));
      return steps(name, order, batchSize, sizeOf(inputShape), put, labels);
    },
  };
}

/**
 * `count` samples of a dataset from the one at `from` on, as a dataset of their own.
 *
 * @throws RangeError where there are fewer
 */
export function samplesFrom(dataset: Dataset, from: number, count: number): Dataset {
  const { name, labels } = dataset;
  if (!(Number.isInteger(from) && Number.isInteger(count) && from >= 0 && count >= 1))
    throw new RangeError(expected('from, count', 'integers of at least 0 and 1', `${from}, ${count}`, name));
  if (from + count > dataset.count)
    throw new RangeError(expected('count', `at most ${dataset.count - from}`, count, name));
  const at = (position: number) => from + position;
  return {
    ...dataset,
    count,
    ...(labels ? { labels: labels.subarray(from, from + count) } : {}),
    batches(options = {}) {
      const { indices = Uint32Array.from({ length: count }, (_, i) => i) } = options;
      const own = Array.from(indices);
      const bad = own.find((index) => !Number.isInteger(index) || index < 0 || index >= count);
      if (bad !== undefined)
        throw new RangeError(expected('indices', `integers from 0 to ${count - 1}`, bad, name));
      return dataset.batches({ ...options, indices: own.map(at) });
    },
  };
}

/** Which sample comes at each step. */
interface Order {
  readonly length: number;
  at(step: number): number;
}

/** Indices are copied and checked here, once. */
function sampleOrder(options: BatchOptions, count: number, name: string): Order {
  const { limit = Number.POSITIVE_INFINITY, indices } = options;
  if (limit !== Number.POSITIVE_INFINITY && (!Number.isInteger(limit) || limit < 1)) {
    throw new RangeError(expected('limit', 'an integer of at least 1', limit, name));
  }
  if (!indices) {
    return { length: Math.min(limit, count), at: (i) => i };
  }
  const kept = Array.from({ length: Math.min(limit, indices.length) }, (_, i) => indices[i]!);
  const bad = kept.find((index) => !Number.isInteger(index) || index < 0 || index >= count);
  if (bad !== undefined) {
    throw new RangeError(expected('indices', `integers from 0 to ${count - 1}`, bad, name));
  }
  return { length: kept.length, at: (i) => kept[i]! };
}

/** Writes preprocessed values to `out` at `to`. */
type Fill = (out: Float32Array, to: number, values: Uint8Array | Float32Array) => void;

function* steps(
  name: string,
  order: Order,
  batchSize: number,
  sampleSize: number,
  put: (out: Float32Array, to: number, index: number) => void,
  labels: Int32Array | undefined,
): IterableIterator<Batch> {
  for (let start = 0; start < order.length; start += batchSize) {
    const size = Math.min(batchSize, order.length - start);
    const x = new Float32Array(size * sampleSize);
    const y = new Int32Array(size).fill(-1);
    for (let i = 0; i < size; i++) {
      const sample = order.at(start + i);
      put(x, i * sampleSize, sample);
      if (labels) {
        y[i] = labels[sample]!;
      }
    }
    requireFinite(x, sampleSize, (i) => order.at(start + i), name);
    yield { x, y, size };
  }
}

/** A network makes numbers of what is none: `max(NaN, 0)` is 0 on some backends. */
function requireFinite(
  x: Float32Array,
  sampleSize: number,
  sampleAt: (i: number) => number,
  name: string,
): void {
  // Zero times anything finite is zero.
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * 0;
  if (sum === 0) return;
  const at = x.findIndex((value) => !Number.isFinite(value));
  throw new BitnibbleError(
    'data-mismatch',
    `${name}: expected finite samples, got ${x[at]} at value ${at % sampleSize} of sample ${sampleAt(Math.floor(at / sampleSize))}`,
  );
}

function apply(map: ChannelMap, channel: number, value: number): number {
  return (value * map.scale - map.mean[channel]!) / map.std[channel]!;
}

/** A byte has 256 values: one table of 256 floats per channel holds every result. */
function byteFiller(map: ChannelMap): Fill {
  const { channels } = map;
  const table = new Float32Array(channels * 256);
  for (let i = 0; i < table.length; i++) {
    table[i] = apply(map, i >>> 8, i & 255);
  }
  if (channels === 1) {
    return (out, to, data) => {
      for (let i = 0; i < data.length; i++) {
        out[to + i] = table[data[i]!]!;
      }
    };
  }
  return (out, to, data) => {
    for (let i = 0; i < data.length; i += channels) {
      for (let c = 0; c < channels; c++) {
        out[to + i + c] = table[(c << 8) + data[i + c]!]!;
      }
    }
  };
}

function floatFiller(map: ChannelMap): Fill {
  const { channels } = map;
  const isIdentity = map.scale === 1 && map.std.every((v) => v === 1) && map.mean.every((v) => v === 0);
  if (isIdentity) {
    return (out, to, data) => out.set(data, to);
  }
  return (out, to, data) => {
    for (let i = 0; i < data.length; i += channels) {
      for (let c = 0; c < channels; c++) {
        out[to + i + c] = apply(map, c, data[i + c]!);
      }
    }
  };
}
