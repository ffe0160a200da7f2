import { BitnibbleError, expected } from '../errors.js';
import { sizeOf } from '../shape.js';
import { mismatch } from './answers.js';
import { arrayDataset, type Dataset } from './dataset.js';
import { joinInputs } from './several.js';

/** Values of one array of a sample: bytes stay bytes, other numbers become float32. */
export type SampleValues =
  | Uint8Array
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | readonly number[];

/** One sample: the values of its one input, or of each input by its name; with its class, where it has one. */
export type Sample =
  | SampleValues
  | { readonly inputs: SampleValues | Readonly<Record<string, SampleValues>>; readonly label?: number };

/** How samples are gathered. */
export interface GatherOptions {
  /** For messages. Default `samples`. */
  readonly name?: string;
  /** Shape of a sample, or of each input by its name. Default: `[length]`. */
  readonly shape?: readonly number[] | Readonly<Record<string, readonly number[]>>;
  /** Samples at most; the source is left there. Default: all. */
  readonly limit?: number;
  /** Bytes that are held at most. Default 1 GiB. */
  readonly bytes?: number;
}

const isList = (value: unknown): value is SampleValues => ArrayBuffer.isView(value) || Array.isArray(value);

/** Values that come one sample at a time, in an array that grows. */
class Column {
  #values: Uint8Array | Float32Array;
  #used = 0;

  constructor(
    readonly name: string | undefined,
    readonly shape: readonly number[],
    readonly isBytes: boolean,
  ) {
    this.#values = this.#room(16 * sizeOf(shape));
  }

  get bytes(): number {
    return this.#used * (this.isBytes ? 1 : 4);
  }

  add(values: SampleValues, label: string): void {
    const size = sizeOf(this.shape);
    if (values.length !== size)
      mismatch(label, `expected ${size} values of shape [${this.shape}], got ${values.length}`);
    if (this.isBytes !== values instanceof Uint8Array)
      mismatch(
        label,
        `expected ${this.isBytes ? 'bytes' : 'numbers other than bytes'} as in the first sample`,
      );
    if (this.#used + size > this.#values.length) {
      const larger = this.#room(2 * this.#values.length);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values.set(values, this.#used);
    this.#used += size;
  }

  dataset(label: string): Dataset {
    return arrayDataset({ name: label, inputShape: this.shape, values: this.#values.slice(0, this.#used) });
  }

  #room(size: number): Uint8Array | Float32Array {
    return this.isBytes ? new Uint8Array(size) : new Float32Array(size);
  }
}

/**
 * Samples as they come, one by one, as a dataset in memory: from an array, a generator, a stream, a cursor of a database.
 *
 * @throws BitnibbleError `data-mismatch`, naming the sample, for other lengths, kinds and names than in the first one, and for
 *   no samples at all; `too-large`
 */
export async function gatherSamples(
  samples: AsyncIterable<Sample> | Iterable<Sample>,
  { name = 'samples', shape, limit = Number.POSITIVE_INFINITY, bytes = 2 ** 30 }: GatherOptions = {},
): Promise<Dataset> {
  if (!(limit >= 1)) throw new RangeError(expected('limit', 'an integer of at least 1', limit, name));
  const columns: Column[] = [];
  const labels: number[] = [];
  let count = 0;
  for await (const sample of samples) {
    const given = isList(sample) ? { inputs: sample } : (sample as Exclude<Sample, SampleValues>);
    const entries: [string | undefined, SampleValues][] = isList(given.inputs)
      ? [[undefined, given.inputs]]
      : Object.entries(given.inputs as Readonly<Record<string, SampleValues>>);
    const label = `${name}: sample ${count}`;
    if (count === 0)
      for (const [own, values] of entries) {
        const stated = Array.isArray(shape)
          ? (shape as readonly number[])
          : (shape as Readonly<Record<string, readonly number[]>> | undefined)?.[own ?? ''];
        columns.push(new Column(own, stated ?? [values.length], values instanceof Uint8Array));
      }
    const found = new Map(entries);
    if (found.size !== columns.length || columns.some((column) => !found.has(column.name)))
      mismatch(
        label,
        `expected the inputs ${columns.map((column) => column.name ?? 'of one array').join(', ')}, got ${entries.map(([own]) => own ?? 'one array').join(', ') || 'none'}`,
      );
    for (const column of columns) column.add(found.get(column.name) as SampleValues, label);
    if (given.label !== undefined) labels.push(given.label);
    if (labels.length !== 0 && labels.length !== count + 1)
      mismatch(label, 'expected a label for every sample or for none');
    if (columns.reduce((sum, column) => sum + column.bytes, 0) > bytes)
      throw new BitnibbleError(
        'too-large',
        `${label}: expected at most ${bytes} bytes in all; "limit" takes fewer`,
      );
    if (++count >= limit) break;
  }
  if (count === 0 || columns.length === 0) mismatch(name, 'expected samples, got none');
  const bad = labels.findIndex((own) => !Number.isInteger(own) || own < 0 || own >= 2 ** 31);
  if (bad >= 0) mismatch(`${name}: sample ${bad}`, `expected a class number from 0, got ${labels[bad]}`);
  const answers = labels.length > 0 ? { labels: Int32Array.from(labels) } : {};
  const [first] = columns as [Column];
  if (columns.length === 1 && first.name === undefined) return { ...first.dataset(name), ...answers };
  const parts = columns.map((column) => ({
    ...(column.name === undefined ? {} : { name: column.name }),
    dataset: column.dataset(`${name}: ${column.name ?? ''}`),
  }));
  return joinInputs(name, parts, answers);
}
