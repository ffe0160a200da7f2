import type { Dataset, Preprocessing } from '../data/index.js';
import { BitnibbleError } from '../errors.js';
import type { ModelSource } from '../model.js';
import { type Backend, loadPredictor, type Prediction, type Predictor } from './backend.js';
import { type BoundInput, bindInputs, boundArrays, inputWatch } from './inputs.js';
import { type OutputKind, outputKind } from './outputs.js';
import { Score, type Scores } from './score.js';
import { turns } from './turns.js';

/** What a model scores on labelled data. */
export interface Evaluation extends Scores {
  /** Samples with an output that is NaN or infinite; above 0 only with {@link EvaluateOptions.allowNotFinite}. */
  readonly notFinite: number;
  readonly seconds: number;
  readonly imagesPerSecond: number;
  readonly outputs: OutputKind;
}

/** How a model is evaluated. */
export interface EvaluateOptions {
  /** Default 100. */
  readonly batchSize?: number;
  /** Samples at most, from the first on. */
  readonly limit?: number;
  /** Factor, mean and standard deviation by which samples become inputs. Default: as they are. */
  readonly preprocess?: Preprocessing;
  /** Counts samples whose outputs are NaN or infinite instead of ending with an error; they count as wrong answers. */
  readonly allowNotFinite?: boolean;
  /** Called with samples done and in all. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Told once if inputs look unscaled. */
  readonly onWarning?: (text: string) => void;
}

/**
 * Loss and accuracy of a classifier, float or quantized, on labelled data.
 *
 * @param backend TensorFlow.js, or `'bitnibble'` for the runtime of this library
 * @throws BitnibbleError `unsupported-layer`, `data-mismatch` (no labels, samples of another size, labels beyond the
 *   outputs, samples that are not finite), `not-finite` for outputs that are NaN or infinite
 */
export async function evaluateModel(
  backend: Backend,
  source: ModelSource,
  dataset: Dataset,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  const { file } = source;
  const mismatch = (fault: string) =>
    new BitnibbleError('data-mismatch', `${file} and ${dataset.name}: ${fault}`);
  let bound: readonly BoundInput[] = [];
  const predictor = await loadPredictor(backend, source, (inputs, outputs) => {
    if (outputs !== 1) throw mismatch(`expected one output, got ${outputs}`);
    if (!dataset.labels) throw mismatch(dataset.labelFault ?? 'the data has no labels');
    bound = bindInputs(inputs, file, dataset);
    return bound.map(({ shape }) => shape);
  });
  try {
    return await evaluatePredictor(predictor, source, dataset, bound, mismatch, options);
  } finally {
    predictor.dispose();
  }
}

async function evaluatePredictor(
  predictor: Predictor,
  source: ModelSource,
  dataset: Dataset,
  bound: readonly BoundInput[],
  mismatch: (fault: string) => BitnibbleError,
  {
    batchSize = 100,
    limit = dataset.count,
    preprocess,
    allowNotFinite,
    onProgress,
    onWarning,
  }: EvaluateOptions,
): Promise<Evaluation> {
  const { file } = source;
  const outputs = outputKind(source);
  const labels = dataset.labels as Int32Array;
  const total = Math.min(limit, dataset.count);
  const watch = inputWatch(source, onWarning);
  const turn = turns();
  let score: Score | undefined;
  let done = 0;
  let notFinite = 0;
  const start = performance.now();
  for (const batch of dataset.batches({ batchSize, limit, preprocess })) {
    const { y, size } = batch;
    const arrays = boundArrays(bound, batch);
    watch(arrays);
    const [{ values }] = (await predictor.predict(arrays, size)) as [Prediction];
    const width = values.length / size;
    if (!score) {
      score = new Score(outputs, outputs === 'probability' ? 2 : width);
      const { classes } = score;
      const strange = labels.subarray(0, total).find((label) => label < 0 || label >= classes);
      if (strange !== undefined) throw mismatch(`label ${strange}, the model has ${classes} classes`);
    }
    for (let i = 0; i < size; i++) {
      const row = values.subarray(i * width, (i + 1) * width);
      const odd = row.find((value) => !Number.isFinite(value));
      if (odd !== undefined && !allowNotFinite) {
        const what = `the model's output for sample ${done + i} is ${odd}`;
        throw new BitnibbleError('not-finite', `${file} and ${dataset.name}: ${what}`);
      }
      if (odd === undefined) score.add(row, y[i] as number);
      else {
        score.addWrong();
        notFinite++;
      }
    }
    done += size;
    onProgress?.(done, total);
    await turn();
  }
  const seconds = (performance.now() - start) / 1000;
  const scores = (score ?? new Score(outputs, 0)).scores;
  return { ...scores, notFinite, seconds, imagesPerSecond: scores.samples / seconds, outputs };
}
