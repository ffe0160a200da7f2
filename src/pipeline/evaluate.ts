import type { LayersModel, Tensor } from '@tensorflow/tfjs';
import type { Dataset, Preprocess } from '../data/index.js';
import { BitnibbleError } from '../errors.js';
import { isObject, layerTree, requireArchitecture } from '../keras/config.js';
import type { Json, ModelSource } from '../model.js';
import { sizeOf } from '../shape.js';
import { loadLayersModel } from '../tfjs/load.js';
import type { TensorFlow } from '../tfjs/types.js';
import { Score } from './score.js';

/** What a model's outputs are, which decides how the loss is taken. */
export type OutputKind =
  /** Probabilities of classes: softmax was applied. */
  | 'probabilities'
  /** One probability: sigmoid was applied. */
  | 'probability'
  /** Neither: softmax is applied here. */
  | 'logits';

export interface Evaluation {
  /** Mean of `-log p(label)`, `p` clipped at 1e-7; NaN where an output is. */
  readonly loss: number;
  /** Share of samples whose label has the largest output, in [0, 1]; the first of equal outputs counts. */
  readonly top1: number;
  /** Share of samples whose label is among the five largest; absent below six classes. */
  readonly top5?: number;
  readonly samples: number;
  readonly seconds: number;
  readonly imagesPerSecond: number;
  readonly outputs: OutputKind;
}

export interface EvaluateOptions {
  /** Default 100. */
  readonly batchSize?: number;
  /** Samples at most, from the first on. */
  readonly limit?: number;
  readonly preprocess?: Preprocess;
  readonly onProgress?: (done: number, total: number) => void;
}

/** The activation that a model ends with, through sub-models, dropouts and reshapes. */
export function outputKind(model: ModelSource): OutputKind {
  const name = (value: Json | undefined) =>
    isObject(value) ? String(value.config ?? value.class_name) : String(value);
  let layers = layerTree(requireArchitecture(model), model.file);
  for (;;) {
    const last = layers
      .filter(({ className }) => !/^(Dropout|Flatten|Reshape|InputLayer)$/.test(className))
      .at(-1);
    if (!last) return 'logits';
    if (last.isModel) {
      layers = [...last.children];
      continue;
    }
    const activation = last.className === 'Softmax' ? 'softmax' : name(last.config.activation);
    if (/softmax$/i.test(activation) && !/log/i.test(activation)) return 'probabilities';
    return activation === 'sigmoid' && last.config.units === 1 ? 'probability' : 'logits';
  }
}

/** Whether the model scales its own inputs: a Rescaling or Normalization layer. */
export function scalesItself(model: ModelSource): boolean {
  return layerTree(requireArchitecture(model), model.file).some(({ className }) =>
    /^(Rescaling|Normalization)$/.test(className),
  );
}

/**
 * Loss and accuracy of a classifier, float or quantized, on labelled data.
 *
 * @throws BitnibbleError `unsupported-layer`, `data-mismatch` (no labels, samples of another size, labels beyond the
 *   outputs)
 */
export async function evaluateModel(
  tf: TensorFlow,
  source: ModelSource,
  dataset: Dataset,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  const model = await loadLayersModel(tf, source);
  try {
    return await evaluateLayersModel(tf, model, outputKind(source), source.file, dataset, options);
  } finally {
    model.dispose();
  }
}

async function evaluateLayersModel(
  tf: TensorFlow,
  model: LayersModel,
  outputs: OutputKind,
  file: string,
  dataset: Dataset,
  { batchSize = 100, limit = dataset.count, preprocess, onProgress }: EvaluateOptions,
): Promise<Evaluation> {
  const mismatch = (fault: string) =>
    new BitnibbleError('data-mismatch', `${file} and ${dataset.name}: ${fault}`);
  if (model.inputs.length !== 1 || model.outputs.length !== 1) {
    throw mismatch(
      `expected one input and one output, got ${model.inputs.length} and ${model.outputs.length}`,
    );
  }
  if (!dataset.labels) throw mismatch('the data has no labels');
  const inputShape = inputShapeOf(model, file, dataset);
  const total = Math.min(limit, dataset.count);
  let score: Score | undefined;
  let done = 0;
  const start = performance.now();
  for (const { x, y, size } of dataset.batches({ batchSize, limit, preprocess })) {
    const prediction = tf.tidy(() => model.predict(tf.tensor(x, [size, ...inputShape])) as Tensor);
    const values = (await prediction.data()) as Float32Array;
    prediction.dispose();
    const width = values.length / size;
    score ??= new Score(outputs, outputs === 'probability' ? 2 : width);
    for (let i = 0; i < size; i++) {
      const label = y[i] as number;
      if (label < 0 || label >= score.classes)
        throw mismatch(`label ${label}, the model has ${score.classes} classes`);
      score.add(values.subarray(i * width, (i + 1) * width), label);
    }
    done += size;
    onProgress?.(done, total);
  }
  const seconds = (performance.now() - start) / 1000;
  const scores = (score ?? new Score(outputs, 0)).scores;
  return { ...scores, seconds, imagesPerSecond: scores.samples / seconds, outputs };
}

/**
 * Shape of a sample as a model of one input takes it.
 *
 * @param file names the model in errors
 * @throws BitnibbleError `data-mismatch`
 */
export function inputShapeOf(model: LayersModel, file: string, dataset: Dataset): number[] {
  const mismatch = (fault: string) =>
    new BitnibbleError('data-mismatch', `${file} and ${dataset.name}: ${fault}`);
  if (model.inputs.length !== 1)
    throw mismatch(`expected a model with one input, got ${model.inputs.length}`);
  const wanted = model.inputs[0]?.shape ?? [];
  const shape = sampleShape(wanted, dataset.inputShape);
  if (shape) return shape;
  throw mismatch(
    `the model expects inputs of shape [${wanted.slice(1)}], the data has [${dataset.inputShape}]`,
  );
}

/**
 * The data's shape as the model has it: the same, flattened to a vector, or with axes of length 1 more or fewer.
 *
 * @param model with the axis of the batch
 */
export function sampleShape(
  model: readonly (number | null)[],
  data: readonly number[],
): number[] | undefined {
  const wanted = model.slice(1);
  if (wanted.length === data.length && wanted.every((n, i) => n === null || n === data[i])) return [...data];
  const longer = (shape: readonly (number | null)[]) => shape.filter((n) => n !== 1).join();
  const isFlat = wanted.length === 1 && wanted[0] === sizeOf(data);
  return isFlat || longer(wanted) === longer(data) ? (wanted as number[]) : undefined;
}
