import { type Dataset, type Preprocess, parsePreprocess } from '../data/index.js';
import type { ModelSource } from '../model.js';
import { openDataset } from '../node/datasets.js';
import { type LoadedTensorFlow, loadTensorFlow } from '../node/tfjs.js';
import { scalesItself } from '../pipeline/evaluate.js';
import { type DataFlags, UsageError } from './options.js';
import { note, progress } from './output.js';

export interface Data {
  readonly dataset: Dataset;
  readonly preprocess: Preprocess;
  /** `test_batch.bin, 10,000 samples [32,32,3], x 1/255`. */
  readonly description: string;
  /** The end of that: `inputs x 1/255 (by default)`. */
  readonly preprocessing: string;
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
  const preprocessing = steps.join(' ');
  return {
    dataset,
    preprocess: { ...given, scale },
    description: `${dataset.name}, ${samples.toLocaleString('en-US')} samples of [${dataset.inputShape}], ${preprocessing}`,
    preprocessing,
  };
}

/** Loads TensorFlow.js, and says so in a line where it is not the faster one. */
export async function loadBackend(flags: DataFlags): Promise<LoadedTensorFlow> {
  const { backend } = flags;
  if (backend !== undefined && backend !== 'node' && backend !== 'wasm') {
    throw new UsageError(`--backend expected node or wasm, got ${backend}`);
  }
  const loaded = await loadTensorFlow(backend === undefined ? {} : { prefer: backend });
  if (loaded.note) note(flags, loaded.note);
  return loaded;
}
