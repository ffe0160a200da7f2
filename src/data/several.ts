import { BitnibbleError, expected } from '../errors.js';
import { sizeOf } from '../shape.js';
import type { Batch, Dataset, SampleInput } from './dataset.js';
import type { Preprocess } from './preprocess.js';

/** The arrays of a sample, one of them at least. */
export const inputsOf = ({ inputs, inputShape, dtype }: Dataset): readonly SampleInput[] =>
  inputs ?? [{ shape: inputShape, dtype }];

/** The arrays of a batch, in the order of {@link inputsOf}. */
export const arraysOf = ({ inputs, x }: Batch): readonly Float32Array[] => inputs ?? [x];

/** `rows` of a C-ordered array of rows. */
function picked<T extends Float32Array | Int32Array>(values: T, rows: ArrayLike<number>, width: number): T {
  const out = new (values.constructor as new (n: number) => T)(rows.length * width);
  for (let i = 0; i < rows.length; i++) {
    const from = (rows[i] as number) * width;
    out.set(values.subarray(from, from + width), i * width);
  }
  return out;
}

/**
 * Some samples of a dataset as one of their own; nothing is copied but labels and targets.
 *
 * @param indices their places, in the wanted order
 * @throws RangeError for none, or places where no sample is
 */
export function pickSamples(dataset: Dataset, indices: ArrayLike<number>): Dataset {
  const { name, labels, targets } = dataset;
  const places = Uint32Array.from(indices);
  const isPlace = (index: number) => Number.isInteger(index) && index >= 0 && index < dataset.count;
  const bad = Array.from(indices).find((index) => !isPlace(index));
  if (bad !== undefined || places.length === 0)
    throw new RangeError(expected('indices', `integers from 0 to ${dataset.count - 1}`, bad, name));
  const count = places.length;
  return {
    ...dataset,
    count,
    ...(labels ? { labels: picked(labels, places, 1) } : {}),
    ...(targets
      ? { targets: { ...targets, values: picked(targets.values, places, sizeOf(targets.shape)) } }
      : {}),
    batches(options = {}) {
      const own = options.indices ? Array.from(options.indices) : undefined;
      const wrong = own?.find((index) => !Number.isInteger(index) || index < 0 || index >= count);
      if (wrong !== undefined)
        throw new RangeError(expected('indices', `integers from 0 to ${count - 1}`, wrong, name));
      const chosen = own ? own.map((index) => places[index] as number) : places;
      return dataset.batches({ ...options, indices: chosen });
    },
  };
}

/**
 * `count` samples of a dataset from the one at `from` on, as a dataset of their own.
 *
 * @throws RangeError where there are fewer
 */
export function samplesFrom(dataset: Dataset, from: number, count: number): Dataset {
  const { name } = dataset;
  if (!(Number.isInteger(from) && Number.isInteger(count) && from >= 0 && count >= 1))
    throw new RangeError(expected('from, count', 'integers of at least 0 and 1', `${from}, ${count}`, name));
  if (from + count > dataset.count)
    throw new RangeError(expected('count', `at most ${dataset.count - from}`, count, name));
  return pickSamples(
    dataset,
    Uint32Array.from({ length: count }, (_, i) => from + i),
  );
}

/** An input of samples that have several. */
export interface NamedDataset {
  /** The network's name of the input; without one, inputs are taken in their order. */
  readonly name?: string;
  /** Samples of that input alone. */
  readonly dataset: Dataset;
}

/**
 * Samples of several inputs from one dataset for each: sample `i` is sample `i` of all. Labels, targets and class names are those of
 * the first dataset that has any, unless they are given.
 *
 * @throws BitnibbleError `data-mismatch` where they have different numbers of samples, naming each
 */
export function joinInputs(
  name: string,
  parts: readonly NamedDataset[],
  answers: Pick<Dataset, 'labels' | 'targets' | 'labelFault' | 'classNames'> = {},
): Dataset {
  const [first] = parts;
  if (!first) throw new RangeError(expected('parts', 'one dataset or more', 0, name));
  const { count } = first.dataset;
  if (parts.some(({ dataset }) => dataset.count !== count)) {
    const list = parts.map((part) => `${part.name ?? part.dataset.name} ${part.dataset.count}`).join(', ');
    throw new BitnibbleError(
      'data-mismatch',
      `${name}: expected as many samples of every input, got ${list}`,
    );
  }
  const hasAnswers = (data: typeof answers) =>
    data.labels !== undefined || data.targets !== undefined || data.labelFault !== undefined;
  const { labels, targets, labelFault, classNames } =
    [answers, ...parts.map(({ dataset }) => dataset)].find(hasAnswers) ?? {};
  const close = () => {
    for (const { dataset } of parts) dataset.close?.();
  };
  return {
    ...{ name, count, inputShape: first.dataset.inputShape, dtype: first.dataset.dtype },
    inputs: parts.map(({ name: own, dataset }) => ({
      ...(own === undefined ? {} : { name: own }),
      ...{ shape: dataset.inputShape, dtype: dataset.dtype },
    })),
    ...(labels ? { labels } : {}),
    ...(targets ? { targets } : {}),
    ...(labelFault === undefined ? {} : { labelFault }),
    ...(classNames ? { classNames } : {}),
    ...(parts.some(({ dataset }) => dataset.close) ? { close } : {}),
    batches(options = {}) {
      const { preprocess = {} } = options;
      const isEach = Array.isArray(preprocess);
      if (isEach && preprocess.length !== parts.length)
        throw new RangeError(
          expected('preprocess', `one, or one for each of ${parts.length} inputs`, preprocess.length, name),
        );
      const steps = parts.map(({ dataset }, i) =>
        dataset.batches({ ...options, preprocess: isEach ? (preprocess[i] as Preprocess) : preprocess }),
      );
      return together(steps, labels, options.indices);
    },
  };
}

function* together(
  steps: readonly IterableIterator<Batch>[],
  labels: Int32Array | undefined,
  indices: ArrayLike<number> | undefined,
): IterableIterator<Batch> {
  let done = 0;
  for (;;) {
    const next = steps.map((step) => step.next());
    const batches = next.flatMap(({ value, done: isDone }) => (isDone ? [] : [value as Batch]));
    const [first] = batches;
    if (!first || batches.length < steps.length) return;
    const y = new Int32Array(first.size).fill(-1);
    if (labels)
      for (let i = 0; i < first.size; i++)
        y[i] = labels[indices ? (indices[done + i] as number) : done + i] as number;
    done += first.size;
    yield { x: first.x, inputs: batches.map(({ x }) => x), y, size: first.size };
  }
}
