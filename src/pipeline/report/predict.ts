import type { Dataset, Preprocessing } from '../../data/index.js';
import type { ModelSource } from '../../model.js';
import { sizeOf } from '../../shape.js';
import { type Backend, loadPredictor } from '../backend.js';
import { divergence } from '../calibrate/divergence.js';
import { type BoundInput, bindInputs, boundArrays, inputWatch } from '../inputs.js';
import type { OutputKind } from '../outputs.js';
import { Score, type Scores } from '../score.js';
import { turns } from '../turns.js';

/** Outputs of a model on all samples. */
export interface Predictions {
  /** Of each output: its values, sample by sample, and its shape without the samples. */
  readonly outputs: readonly { readonly values: Float32Array; readonly shape: readonly number[] }[];
  readonly samples: number;
  readonly seconds: number;
}

export interface PredictOptions {
  readonly batchSize?: number;
  readonly limit?: number;
  readonly preprocess?: Preprocessing;
  readonly onProgress?: (done: number, total: number) => void;
  /** Told once if inputs look unscaled. */
  readonly onWarning?: (text: string) => void;
}

/**
 * Runs a model on samples and holds its outputs.
 *
 * @throws BitnibbleError `data-mismatch`, `unsupported-layer`
 */
export async function predictAll(
  backend: Backend,
  source: ModelSource,
  dataset: Dataset,
  { batchSize = 100, limit = dataset.count, preprocess, onProgress, onWarning }: PredictOptions,
): Promise<Predictions> {
  let bound: readonly BoundInput[] = [];
  const predictor = await loadPredictor(backend, source, (inputs) => {
    bound = bindInputs(inputs, source.file, dataset);
    return bound.map(({ shape }) => shape);
  });
  try {
    const samples = Math.min(limit, dataset.count);
    const outputs: { values: Float32Array; shape: readonly number[] }[] = [];
    const start = performance.now();
    const watch = inputWatch(source, onWarning);
    const turn = turns();
    let done = 0;
    for (const batch of dataset.batches({ batchSize, limit: samples, preprocess })) {
      const { size } = batch;
      const arrays = boundArrays(bound, batch);
      watch(arrays);
      for (const [i, { values, shape }] of (await predictor.predict(arrays, size)).entries()) {
        outputs[i] ??= { values: new Float32Array(samples * sizeOf(shape)), shape };
        outputs[i]?.values.set(values, done * sizeOf(shape));
      }
      done += size;
      onProgress?.(done, samples);
      await turn();
    }
    return { outputs, samples, seconds: (performance.now() - start) / 1000 };
  } finally {
    predictor.dispose();
  }
}

const row = ({ values }: { readonly values: Float32Array }, i: number, width: number) =>
  values.subarray(i * width, (i + 1) * width);

/** Scores and answers of a classifier's predictions. */
export function scoreOf(
  { outputs, samples }: Predictions,
  labels: Int32Array,
  kind: OutputKind,
): Scores & { readonly answers: Int32Array } {
  const [output] = outputs as [Predictions['outputs'][number]];
  const width = sizeOf(output.shape);
  const score = new Score(kind, kind === 'probability' ? 2 : width);
  const answers = Int32Array.from({ length: samples }, (_, i) =>
    score.add(row(output, i, width), labels[i] as number),
  );
  return { ...score.scores, answers };
}

/** How far predictions are from the float model's, as `divergence` of calibration has it. */
export function distanceOf(float: Predictions, other: Predictions, kind: OutputKind): number {
  const arraysOf = ({ outputs, samples }: Predictions) =>
    outputs.map(({ values, shape }) => ({ shape: [samples, ...shape], dataSync: () => values }));
  return divergence([{ float: arraysOf(float), quantized: arraysOf(other) }], kind);
}
