import type { Tensor } from '@tensorflow/tfjs';
import type { Dataset, Preprocess } from '../../data/index.js';
import type { ModelSource } from '../../model.js';
import { sizeOf } from '../../shape.js';
import { loadLayersModel } from '../../tfjs/load.js';
import type { TensorFlow } from '../../tfjs/types.js';
import { divergence } from '../calibrate/divergence.js';
import { inputShapeOf } from '../evaluate.js';
import { inputWatch } from '../inputs.js';
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
  readonly preprocess?: Preprocess;
  readonly onProgress?: (done: number, total: number) => void;
  /** Told once if inputs look unscaled. */
  readonly onWarning?: (text: string) => void;
}

/**
 * Runs a model of one input on samples and holds its outputs.
 *
 * @throws BitnibbleError `data-mismatch`, and what `loadLayersModel` throws
 */
export async function predictAll(
  tf: TensorFlow,
  source: ModelSource,
  dataset: Dataset,
  { batchSize = 100, limit = dataset.count, preprocess, onProgress, onWarning }: PredictOptions,
): Promise<Predictions> {
  const model = await loadLayersModel(tf, source);
  try {
    const shape = inputShapeOf(model, source.file, dataset);
    const samples = Math.min(limit, dataset.count);
    const outputs: { values: Float32Array; shape: number[] }[] = [];
    const start = performance.now();
    const watch = inputWatch(source, onWarning);
    const turn = turns();
    let done = 0;
    for (const { x, size } of dataset.batches({ batchSize, limit: samples, preprocess })) {
      watch(x);
      const made = tf.tidy(() => [model.predict(tf.tensor(x, [size, ...shape]))].flat()) as Tensor[];
      for (const [i, tensor] of made.entries()) {
        const own = tensor.shape.slice(1);
        outputs[i] ??= { values: new Float32Array(samples * sizeOf(own)), shape: own };
        outputs[i]?.values.set((await tensor.data()) as Float32Array, done * sizeOf(own));
      }
      tf.dispose(made);
      done += size;
      onProgress?.(done, samples);
      await turn();
    }
    return { outputs, samples, seconds: (performance.now() - start) / 1000 };
  } finally {
    model.dispose();
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
export function distanceOf(tf: TensorFlow, float: Predictions, other: Predictions, kind: OutputKind): number {
  const tensorsOf = ({ outputs, samples }: Predictions) =>
    outputs.map(({ values, shape }) => tf.tensor(values, [samples, ...shape]));
  const pair = { float: tensorsOf(float), quantized: tensorsOf(other) };
  try {
    return divergence([pair], kind);
  } finally {
    tf.dispose([...pair.float, ...pair.quantized]);
  }
}
