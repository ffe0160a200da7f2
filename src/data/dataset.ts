import { BitnibbleError, expected } from '../errors.js';
import { sizeOf } from '../shape.js';
import { type ChannelMap, channelMap, type Preprocess } from './preprocess.js';

/** One step through a dataset. */
export interface Batch {
  /** Preprocessed samples of the first input, C order, shape `[size, ...inputShape]`; a fresh array per batch. */
  readonly x: Float32Array;
  /** Of every input, in the order of {@link Dataset.inputs}; absent where there is one. */
  readonly inputs?: readonly Float32Array[];
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
  /** Applied to every value, a list for each input by itself; values pass as they are unless stated. */
  readonly preprocess?: Preprocessing;
}

/** What happens to the values of every input alike, or of each. */
export type Preprocessing = Preprocess | readonly Preprocess[];

/** One of the arrays that a sample is made of. */
export interface SampleInput {
  /** The network's name of it, where the source has one. */
  readonly name?: string;
  /** Shape of one sample, channels last. */
  readonly shape: readonly number[];
  /** How it is stored. */
  readonly dtype: 'uint8' | 'float32';
}

/** Numbers that a network is to give, where they are no classes: `[count, ...shape]` in C order. */
export interface Targets {
  /** Of one sample. */
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** Labelled or unlabelled samples of one shape, as they were stored, in memory or in a file; only batches become float32. */
export interface Dataset {
  /** Where it came from, for messages and reports. */
  readonly name: string;
  /** Number of samples. */
  readonly count: number;
  /** Shape of one sample, channels last; of the first input, where there are several. */
  readonly inputShape: readonly number[];
  /** The arrays of a sample; absent where it is one without a name. */
  readonly inputs?: readonly SampleInput[];
  /** Class of each sample, from 0; absent when the data came without labels. */
  readonly labels?: Int32Array;
  /** What is to be predicted, where it is no single class: numbers, classes of steps or pixels. */
  readonly targets?: Targets;
  /** Why the data has no labels although something stands in their place. */
  readonly labelFault?: string;
  /** What the classes are called, where the source says so. */
  readonly classNames?: readonly string[];
  /** How samples of the first input are stored: batches are float32 in either case. */
  readonly dtype: 'uint8' | 'float32';
  /**
   * Steps through the samples.
   *
   * @throws RangeError at the call, not at the first step, for a batch size or limit below 1, an index out of range or
   *   a preprocess of another number of channels; BitnibbleError `too-large` at the call for a batch of more than 2 GiB,
   *   `data-mismatch` at the step of a sample with NaN or infinity, or with an integer that is no float32
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
  readonly targets?: Targets;
  readonly labelFault?: string;
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
  const { name, inputShape, count, dtype, sample, labels, targets, labelFault, classNames, close } = given;
  if (labels && labels.length !== count) {
    throw new RangeError(expected('labels', `${count}, one per sample`, labels.length, name));
  }
  if (targets && targets.values.length !== count * sizeOf(targets.shape)) {
    const wanted = `${count} of shape [${targets.shape}], one per sample`;
    throw new RangeError(expected('targets', wanted, targets.values.length, name));
  }
  return {
    name,
    count,
    inputShape,
    dtype,
    ...(close ? { close } : {}),
    ...(labels ? { labels } : {}),
    ...(targets ? { targets } : {}),
    ...(labelFault === undefined ? {} : { labelFault }),
    ...(classNames ? { classNames } : {}),
    batches(options = {}) {
      const { batchSize = 128 } = options;
      const [preprocess = {}] = [options.preprocess ?? {}].flat() as Preprocess[];
      const order = sampleOrder(options, count, name);
      if (!Number.isInteger(batchSize) || batchSize < 1) {
        throw new RangeError(expected('batchSize', 'an integer of at least 1', batchSize, name));
      }
      requireRoom(Math.min(batchSize, order.length), inputShape, name);
      const map = channelMap(preprocess, inputShape.at(-1) ?? 1, name);
      const fill = dtype === 'uint8' ? byteFiller(map) : floatFiller(map);
      const put = (out: Float32Array, to: number, index: number) => fill(out, to, sample(index));
      return steps(name, order, batchSize, sizeOf(inputShape), put, labels);
    },
  };
}

/** Bytes of a batch at most. */
const MOST_BYTES = 2 ** 31;

/** @throws BitnibbleError `too-large` */
function requireRoom(samples: number, shape: readonly number[], name: string): void {
  const bytes = 4 * samples * sizeOf(shape);
  if (bytes > MOST_BYTES)
    throw new BitnibbleError(
      'too-large',
      `${name}: a batch of ${samples} samples [${shape}] takes ${bytes} bytes as float32, expected at most ${MOST_BYTES}: smaller samples, or fewer in a batch`,
    );
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
