import type { Tensor } from '@tensorflow/tfjs';
import type { Dataset, Preprocess } from '../../data/index.js';
import { BitnibbleError } from '../../errors.js';
import type { ModelSource } from '../../model.js';
import { sizeOf } from '../../shape.js';
import { loadLayersModel } from '../../tfjs/load.js';
import type { TensorFlow } from '../../tfjs/types.js';
import { type OutputKind, sampleShape } from '../evaluate.js';
import { probabilitiesOf, Score, type Scores } from '../score.js';

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
  { batchSize = 100, limit = dataset.count, preprocess, onProgress }: PredictOptions,
): Promise<Predictions> {
  const model = await loadLayersModel(tf, source);
  try {
    const mismatch = (fault: string) =>
      new BitnibbleError('data-mismatch', `${source.file} and ${dataset.name}: ${fault}`);
    if (model.inputs.length !== 1) throw mismatch(`expected one input, got ${model.inputs.length}`);
    const wanted = model.inputs[0]?.shape ?? [];
    const shape = sampleShape(wanted, dataset.inputShape);
    if (!shape) {
      throw mismatch(
        `the model expects inputs of shape [${wanted.slice(1)}], the data has [${dataset.inputShape}]`,
      );
    }
    const samples = Math.min(limit, dataset.count);
    const outputs: { values: Float32Array; shape: number[] }[] = [];
    const start = performance.now();
    let done = 0;
    for (const { x, size } of dataset.batches({ batchSize, limit: samples, preprocess })) {
      const made = tf.tidy(() => [model.predict(tf.tensor(x, [size, ...shape]))].flat()) as Tensor[];
      for (const [i, tensor] of made.entries()) {
        const own = tensor.shape.slice(1);
        outputs[i] ??= { values: new Float32Array(samples * sizeOf(own)), shape: own };
        outputs[i]?.values.set((await tensor.data()) as Float32Array, done * sizeOf(own));
      }
      tf.dispose(made);
      done += size;
      onProgress?.(done, samples);
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

const CLIP = 1e-8;

/**
 * How far predictions are from the float model's: for classifiers the mean over the samples of `sum p log(p / q)` in
 * nats, `p` and `q` clipped at 1e-8 from below; else the sum of squared differences over that of the squared deviations
 * from each output's mean. As `divergence` of calibration has it.
 */
export function distanceOf(float: Predictions, other: Predictions, classifier?: OutputKind): number {
  let lost = 0;
  let total = 0;
  for (const [k, exact] of float.outputs.entries()) {
    const own = other.outputs[k] as Predictions['outputs'][number];
    if (classifier) {
      const width = sizeOf(exact.shape);
      total += float.samples;
      for (let i = 0; i < float.samples; i++) {
        const p = probabilitiesOf(row(exact, i, width), classifier);
        const q = probabilitiesOf(row(own, i, width), classifier);
        for (let c = 0; c < p.length; c++) {
          const [a, b] = [Math.max(p[c] as number, CLIP), Math.max(q[c] as number, CLIP)];
          lost += a * Math.log(a / b);
        }
      }
      continue;
    }
    const mean = exact.values.reduce((sum, v) => sum + v, 0) / exact.values.length;
    for (let i = 0; i < exact.values.length; i++) {
      const value = exact.values[i] as number;
      lost += (value - (own.values[i] as number)) ** 2;
      total += (value - mean) ** 2;
    }
  }
  return total > 0 ? lost / total : lost;
}
