import type { Dataset } from '../data/index.js';
import type { Kernels } from '../kernels/types.js';
import type { QuantizableModel } from '../model.js';
import { writePacked } from '../packed/write.js';
import type { TensorFlow } from '../tfjs/types.js';
import { type EvaluateOptions, type Evaluation, evaluateModel } from './evaluate.js';
import { quantizeModel } from './quantize.js';
import type { Recipe } from './recipe.js';

/** A way to store the weights. */
export interface Variant {
  readonly name: string;
  /** Absent: the float model. */
  readonly recipe?: Recipe;
}

export interface ComparisonRow extends Evaluation {
  readonly name: string;
  /** The packed file as a whole; for float the float32 weights alone. */
  readonly bytes: number;
  /** Bytes of the float32 weights, divided by `bytes`. */
  readonly ratio: number;
  /** Of the quantized tensors, scales included; 32 for float. */
  readonly bitsPerWeight: number;
  /** Accuracy of the float model minus this one's. */
  readonly drop: number;
}

/** Float, the notebook's binarization, and every scheme and granularity with its closed-form and best scales. */
export const VARIANTS: readonly Variant[] = [
  { name: 'float32' },
  {
    name: 'every array to +1 / -1, biases too',
    recipe: { rules: [{ weight: '*', scheme: 'binary', granularity: 'tensor', scale: 'none' }] },
  },
  {
    name: 'kernels to +1 / -1',
    recipe: { default: { scheme: 'binary', granularity: 'tensor', scale: 'none' } },
  },
  { name: 'binary, scale per tensor', recipe: { default: { scheme: 'binary', granularity: 'tensor' } } },
  { name: 'binary, scale per channel', recipe: { default: { scheme: 'binary', granularity: 'channel' } } },
  {
    name: 'binary, scale per group of 128 rows',
    recipe: { default: { scheme: 'binary', granularity: 'group', groupSize: 128 } },
  },
  { name: 'int4, scale per tensor', recipe: { default: { scheme: 'int4', granularity: 'tensor' } } },
  { name: 'int4, scale per channel', recipe: { default: { scheme: 'int4', granularity: 'channel' } } },
  {
    name: 'int4, scale per group of 32 rows',
    recipe: { default: { scheme: 'int4', granularity: 'group', groupSize: 32 } },
  },
  {
    name: 'int4, least squares per tensor',
    recipe: { default: { scheme: 'int4', granularity: 'tensor', scale: 'lsq' } },
  },
  {
    name: 'int4, least squares per channel',
    recipe: { default: { scheme: 'int4', granularity: 'channel', scale: 'lsq' } },
  },
  {
    name: 'int4, least squares per group of 32',
    recipe: { default: { scheme: 'int4', granularity: 'group', groupSize: 32, scale: 'lsq' } },
  },
];

/** Quantizes a model in every way given and evaluates each; rows come as they are done, the first is the yardstick. */
export async function* compare(
  tf: TensorFlow,
  model: QuantizableModel,
  dataset: Dataset,
  kernels: Kernels,
  variants: readonly Variant[] = VARIANTS,
  options: EvaluateOptions = {},
): AsyncGenerator<ComparisonRow> {
  const floatBytes = model.parameters * 4;
  let first: Evaluation | undefined;
  for (const { name, recipe } of variants) {
    const quantized = recipe && quantizeModel(model, recipe, { kernels });
    const evaluation = await evaluateModel(tf, quantized?.model ?? model, dataset, options);
    first ??= evaluation;
    let bytes = floatBytes;
    if (quantized) {
      bytes = 0;
      for (const piece of writePacked(quantized.model)) bytes += piece.length;
    }
    yield {
      name,
      bytes,
      ratio: floatBytes / bytes,
      bitsPerWeight: quantized?.report.bitsPerWeight ?? 32,
      drop: first.top1 - evaluation.top1,
      ...evaluation,
    };
  }
}
