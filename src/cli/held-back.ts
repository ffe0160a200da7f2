import { type Batch, type Dataset, samplesFrom } from '../data/index.js';
import { BitnibbleError } from '../errors.js';
import { type NetworkInput, openDataset } from '../node/datasets.js';

/** Samples to calibrate with, others than those evaluated. */
export interface HeldBack {
  readonly dataset: Dataset;
  readonly samples: number;
  /** Samples left to evaluate, from the first on. */
  readonly evaluated: number;
  /** Where they are from, where nobody said so. */
  readonly note?: string;
}

export interface HeldBackOptions {
  readonly where: readonly string[];
  /** Of the network. */
  readonly inputs: readonly NetworkInput[];
  readonly split: string;
  /** What is evaluated, and how many samples of it at most. */
  readonly dataset: Dataset;
  readonly limit: number;
  /** Samples wanted. */
  readonly samples: number;
}

/** Samples below which a quarter is worth nothing. */
const FEWEST = 8;

/**
 * Samples to calibrate with where nobody named any: the training samples of the same place, where they are other ones; else
 * samples behind those evaluated, and where there are too few, the last quarter of these, which is not evaluated then.
 */
export async function heldBack(options: HeldBackOptions): Promise<HeldBack | undefined> {
  const { where, split, dataset, limit, samples, inputs } = options;
  const evaluated = Math.min(limit, dataset.count);
  const train = split === 'test' ? await trainingSamples(where, dataset, inputs) : undefined;
  if (train) return { dataset: train, samples, evaluated };
  if (evaluated < FEWEST) return undefined;
  const quarter = Math.max(1, Math.min(samples, Math.floor(evaluated / 4)));
  const behind = dataset.count - evaluated;
  const kept = behind >= quarter ? evaluated : dataset.count - quarter;
  const count = Math.min(samples, dataset.count - kept);
  return {
    ...{ dataset: samplesFrom(dataset, kept, count), samples: count, evaluated: kept },
    note:
      `calibrating with ${count} samples of the same data, from number ${kept + 1} on` +
      `${kept < evaluated ? `: ${kept} are left to evaluate` : ''} (--calibrate names others)`,
  };
}

async function trainingSamples(
  where: readonly string[],
  dataset: Dataset,
  inputs: readonly NetworkInput[],
): Promise<Dataset | undefined> {
  let train: Dataset;
  try {
    train = await openDataset(where, { split: 'train', inputs });
  } catch (error) {
    if (error instanceof BitnibbleError && error.code === 'not-found') return undefined;
    if (error instanceof BitnibbleError && error.code === 'data-mismatch') return undefined;
    throw error;
  }
  return startsAlike(train, dataset) ? undefined : train;
}

/** A file without splits is the same for both. */
function startsAlike(a: Dataset, b: Dataset): boolean {
  if (a.count !== b.count || a.inputShape.join() !== b.inputShape.join()) return false;
  const [first, second] = [a, b].map((own): Float32Array => {
    const { value } = own.batches({ batchSize: 16, limit: 16 }).next();
    return (value as Batch).x;
  });
  return first?.every((value, i) => value === second?.[i]) === true;
}
