import type { Command } from 'commander';
import { type Dataset, type Preprocess, parsePreprocess } from '../data/index.js';
import type { ModelSource } from '../model.js';
import { openDataset } from '../node/datasets.js';
import { scalesItself } from '../pipeline/evaluate.js';
import { positive, UsageError } from './options.js';
import { type CommonOptions, progress } from './output.js';

export interface DataFlags extends CommonOptions {
  readonly data: string;
  readonly split: string;
  readonly limit?: number;
  readonly batch: number;
  readonly scale?: string;
  readonly mean?: string;
  readonly std?: string;
}

/** Adds the flags of {@link openData}. */
export function dataOptions(command: Command): Command {
  return command
    .requiredOption(
      '--data <where>',
      'a folder with CIFAR-10 .bin or MNIST-style IDX files, an .npz file with x and y, or cifar10 or mnist to download',
    )
    .option('--split <name>', 'test or train', 'test')
    .option('--limit <n>', 'samples at most', positive)
    .option('--batch <n>', 'samples at a time', positive, 100)
    .option(
      '--scale <factor>',
      'inputs times this (default: 1/255 for 8-bit data, 1 where the model scales by itself)',
    )
    .option('--mean <list>', 'then minus this: one number or one per channel')
    .option('--std <list>', 'then divided by this');
}

export interface Data {
  readonly dataset: Dataset;
  readonly preprocess: Preprocess;
  /** `test_batch.bin, 10,000 samples [32,32,3], x 1/255`. */
  readonly description: string;
}

/** Opens the data and settles how its samples are scaled, which is always said. */
export async function openData(flags: DataFlags, model: ModelSource): Promise<Data> {
  if (flags.split !== 'test' && flags.split !== 'train') {
    throw new UsageError(`--split expected test or train, got ${flags.split}`);
  }
  let given: Preprocess;
  try {
    given = parsePreprocess(flags);
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message);
    throw error;
  }
  const bar = progress(flags, 'downloading', 'bytes');
  let dataset: Dataset;
  try {
    dataset = await openDataset(flags.data, { split: flags.split, onProgress: bar.update });
  } finally {
    bar.stop();
  }
  const isByDefault = given.scale === undefined;
  const scale = given.scale ?? (dataset.dtype === 'uint8' && !scalesItself(model) ? 1 / 255 : 1);
  const factor = scale === 1 / 255 ? '1/255' : String(scale);
  const steps = [`inputs x ${factor}${isByDefault ? ' (by default)' : ''}`];
  if (flags.mean !== undefined) steps.push(`- ${flags.mean}`);
  if (flags.std !== undefined) steps.push(`/ ${flags.std}`);
  const samples = Math.min(flags.limit ?? dataset.count, dataset.count);
  return {
    dataset,
    preprocess: { ...given, scale },
    description: `${dataset.name}, ${samples.toLocaleString('en-US')} samples of [${dataset.inputShape}], ${steps.join(' ')}`,
  };
}
