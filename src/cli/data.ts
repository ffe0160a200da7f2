import { type Dataset, inputsOf, type Preprocessing } from '../data/index.js';
import { BitnibbleError } from '../errors.js';
import { count } from '../formats/count.js';
import type { ModelSource } from '../model.js';
import { readNetwork } from '../network/index.js';
import { type NetworkInput, openDataset } from '../node/datasets.js';
import {
  hasNativeTensorFlow,
  hasTensorFlow,
  INSTALL_TENSORFLOW,
  type LoadedTensorFlow,
  loadNativeTensorFlow,
  loadTensorFlow,
} from '../node/tfjs.js';
import type { Backend } from '../pipeline/backend.js';
import { checkLabels, checkSamples } from '../pipeline/inputs.js';
import { prepare } from '../tfjs/load.js';
import type { TensorFlow } from '../tfjs/types.js';
import type { DataFlags } from './options.js';
import { note, trace } from './output.js';
import { progress } from './progress.js';
import { dataScaling } from './scaling.js';

export interface Data {
  readonly dataset: Dataset;
  readonly preprocess: Preprocessing;
  /** `test_batch.bin, 10,000 samples [32,32,3], x 1/255`. */
  readonly description: string;
  /** The end of that: `inputs x 1/255 (by default)`. */
  readonly preprocessing: string;
}

/**
 * Opens the data, settles how its samples are scaled, which is always said, and refuses data that the model cannot take, and
 * before it a model that cannot be run.
 *
 * @throws BitnibbleError what `prepare` and `openDataset` throw; `data-mismatch`
 */
export async function openData(flags: DataFlags, model: ModelSource): Promise<Data> {
  // Layers that nobody can run are named before data is downloaded and TensorFlow.js loaded.
  prepare(model);
  const dataset = await openSamples(flags, flags.data, flags.split, model);
  checkSamples(model, dataset);
  const { preprocess, preprocessing } = dataScaling(flags, model, dataset);
  const samples = Math.min(flags.limit ?? dataset.count, dataset.count);
  checkSamples(model, dataset, preprocess);
  const shapes = inputsOf(dataset)
    .map(({ shape }) => `[${shape}]`)
    .join(' and ');
  const description = `${dataset.name}, ${count(samples)} samples of ${shapes}, ${preprocessing}`;
  trace(flags, `data: ${description}`);
  return { dataset, preprocess, description, preprocessing };
}

/** What files of data are looked through for. */
export function networkInputs(model: ModelSource): NetworkInput[] {
  const { inputs, values } = readNetwork(model);
  return inputs.map(({ name, value }) => {
    const shape = values[value]?.shape?.slice(1);
    return { name, ...(shape ? { shape } : {}) };
  });
}

/** Data, downloaded with a bar where it has to be. */
export async function openSamples(
  flags: DataFlags,
  where: readonly string[],
  split: DataFlags['split'],
  model: ModelSource,
): Promise<Dataset> {
  const bar = progress(flags, 'downloading', 'bytes');
  try {
    return await openDataset(where, { split, inputs: networkInputs(model), onProgress: bar.update });
  } finally {
    bar.stop();
  }
}

/**
 * Other samples for the same model: to calibrate with, to check on. They are scaled as the first are, and refused where they would be
 * scaled otherwise by themselves: bytes beside floats.
 *
 * @throws BitnibbleError `data-mismatch`
 */
export async function openMore(
  flags: DataFlags,
  where: readonly string[],
  split: DataFlags['split'],
  model: ModelSource,
  given: Data,
): Promise<Dataset> {
  const dataset = await openSamples(flags, where, split, model);
  checkSamples(model, dataset, given.preprocess);
  const own = dataScaling(flags, model, dataset);
  if (JSON.stringify(own.preprocess) === JSON.stringify(given.preprocess)) return dataset;
  const both = `${own.preprocessing}, those of ${given.dataset.name} ${given.preprocessing}`;
  throw new BitnibbleError(
    'data-mismatch',
    `${model.file} and ${dataset.name}: its samples take ${both}: give --scale, which is for both`,
  );
}

/**
 * Refuses data without labels, or with others than the model has outputs for, before anything is computed.
 *
 * @param limit samples at most, from the first on
 * @throws BitnibbleError `data-mismatch`
 */
export function requireLabels(model: ModelSource, dataset: Dataset, limit = dataset.count): void {
  if (!dataset.labels) {
    const what = `${model.file} and ${dataset.name}: ${dataset.labelFault ?? 'the data has no labels'}`;
    throw new BitnibbleError('data-mismatch', what);
  }
  checkLabels(model, dataset, limit);
}

/** Whether TensorFlow.js can be found, as `--backend` asks for it. */
export const canCalibrate = ({ backend }: Pick<DataFlags, 'backend'>): boolean =>
  hasTensorFlow(backend === 'wasm' ? 'wasm' : 'node');

/**
 * Refuses a command that calibrates where TensorFlow.js is missing, before data is downloaded.
 *
 * @param what the command needs it for, as the beginning of a sentence: `calibrate fits layers to the values between them`
 * @throws BitnibbleError `no-tfjs`
 */
export function requireTensorFlow(flags: Pick<DataFlags, 'backend'>, what: string): void {
  if (canCalibrate(flags)) return;
  const message = `${what}, which needs TensorFlow.js, and that is not installed: ${INSTALL_TENSORFLOW}`;
  throw new BitnibbleError('no-tfjs', message);
}

/** Loads TensorFlow.js, and says so in a line where it is not the faster one. */
export async function loadBackend(flags: DataFlags): Promise<LoadedTensorFlow> {
  const { backend } = flags;
  const loaded = await loadTensorFlow(backend === 'node' || backend === 'wasm' ? { prefer: backend } : {});
  if (loaded.note) note(flags, loaded.note);
  trace(flags, `TensorFlow.js loaded, backend ${loaded.backend}`);
  return loaded;
}

const whyNot = async (model: ModelSource) => (await import('../runtime/check.js')).whyNotRunnable(model);

interface ChosenBackend {
  /** Computes the outputs. */
  readonly runner: Backend;
  /** `tensorflow` (native), `wasm` or `bitnibble`. */
  readonly backend: string;
}

/**
 * What computes the outputs of a model: tfjs-node where it works, else the runtime where it can run the model, else TensorFlow.js's
 * WebAssembly backend, unless one was asked for. What stands in for a tfjs-node that does not load is said in a line.
 *
 * @throws BitnibbleError `unsupported-layer` where the runtime was asked for and cannot run the model, `no-tfjs`
 */
export async function chooseBackend(flags: DataFlags, model: ModelSource): Promise<ChosenBackend> {
  const runtime: ChosenBackend = { runner: 'bitnibble', backend: 'bitnibble' };
  if (flags.backend === 'bitnibble') {
    const reason = await whyNot(model);
    if (reason === undefined) return runtime;
    const message = `${model.file}: --backend bitnibble: ${reason}; --backend node or wasm may`;
    throw new BitnibbleError('unsupported-layer', message);
  }
  if (flags.backend === undefined) {
    const native = await loadNativeTensorFlow();
    if (typeof native !== 'string') {
      trace(flags, `TensorFlow.js loaded, backend ${native.backend}`);
      return { runner: native.tf, backend: native.backend };
    }
    const reason = await whyNot(model);
    if (reason === undefined) {
      const text = `tfjs-node is not available (${native}); evaluating with bitnibble's own runtime`;
      (hasNativeTensorFlow() ? note : trace)(flags, text);
      return runtime;
    }
    if (!hasTensorFlow()) {
      const message = `${model.file}: bitnibble's own runtime does not run this model (${reason}); TensorFlow.js may, and is not installed: ${INSTALL_TENSORFLOW}`;
      throw new BitnibbleError('no-tfjs', message);
    }
    note(flags, `bitnibble's own runtime does not run this model: ${reason}`);
  }
  const { tf, backend } = await loadBackend(flags);
  return { runner: tf, backend };
}

/** {@link chooseBackend}, and TensorFlow.js where the command calibrates. */
export async function chooseBackends(
  flags: DataFlags,
  model: ModelSource,
  calibrates: boolean,
): Promise<ChosenBackend & { readonly tf: TensorFlow | undefined; readonly how: string }> {
  const chosen = await chooseBackend(flags, model);
  const { runner, backend: how } = chosen;
  if (runner !== 'bitnibble') return { ...chosen, tf: runner, how };
  if (!calibrates) return { ...chosen, tf: undefined, how };
  const { tf, backend } = await loadTensorFlow();
  trace(flags, `TensorFlow.js loaded to calibrate with, backend ${backend}`);
  return { ...chosen, tf, how: `${how}, calibrated with TensorFlow.js (${backend})` };
}
