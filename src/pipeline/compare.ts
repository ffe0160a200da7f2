import type { Dataset } from '../data/index.js';
import { expected } from '../errors.js';
import type { Kernels } from '../kernels/types.js';
import type { QuantizableModel } from '../model.js';
import type { QuantizedModel } from '../packed/quantized-model.js';
import { writePacked } from '../packed/write.js';
import type { TensorFlow } from '../tfjs/types.js';
import { type CalibrationOptions, type CalibrationReport, calibrateModel } from './calibrate/calibrate.js';
import { type EvaluateOptions, type Evaluation, evaluateModel } from './evaluate.js';
import { type QuantizeReport, quantizeModel } from './quantize.js';
import type { Recipe } from './recipe.js';
import { foldBatchNorm } from './transform/fold.js';

/** A way to store the weights. */
export interface Variant {
  readonly name: string;
  /** Absent: the float model. */
  readonly recipe?: Recipe;
  /** Fitted to the samples of {@link CompareOptions.calibration}, batch normalizations folded. */
  readonly calibrated?: true;
}

export interface CompareOptions extends EvaluateOptions {
  /** Unlabelled samples for the variants that are calibrated. */
  readonly calibration?: { readonly dataset: Dataset; readonly samples?: number };
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
  {
    name: 'int4, half-quadratic per channel',
    recipe: { default: { scheme: 'int4', granularity: 'channel', scale: 'hqq' } },
  },
  {
    name: 'int2, least squares per channel',
    recipe: { default: { scheme: 'int2', granularity: 'channel' } },
  },
  {
    name: 'int2, least squares per group of 32',
    recipe: { default: { scheme: 'int2', granularity: 'group', groupSize: 32 } },
  },
  {
    name: 'int2, half-quadratic per channel',
    recipe: { default: { scheme: 'int2', granularity: 'channel', scale: 'hqq' } },
  },
];

/** Every scheme with scales per channel, calibrated. */
export const CALIBRATED_VARIANTS: readonly Variant[] = (['int4', 'int2', 'binary'] as const).map(
  (scheme) => ({
    name: `${scheme}, calibrated per channel`,
    recipe: { default: { scheme } },
    calibrated: true,
  }),
);

/** A model as a variant has it; absent for the float model. */
export interface AppliedVariant {
  readonly model: QuantizedModel;
  readonly report: QuantizeReport & Partial<CalibrationReport>;
  /** Of the packed file. */
  readonly bytes: number;
}

/** Samples and how the model takes them, for variants that are calibrated. */
export type VariantOptions = Pick<
  CalibrationOptions,
  'kernels' | 'preprocess' | 'batchSize' | 'seed' | 'onProgress'
> &
  Pick<CompareOptions, 'calibration'>;

/**
 * Quantizes a model as a variant says.
 *
 * @throws TypeError for a variant that is calibrated without samples; what `quantizeModel` and `calibrateModel` throw
 */
export async function applyVariant(
  tf: TensorFlow,
  model: QuantizableModel,
  { name, recipe, calibrated }: Variant,
  { kernels, calibration, ...options }: VariantOptions,
): Promise<AppliedVariant | undefined> {
  if (!recipe) return undefined;
  let made: Omit<AppliedVariant, 'bytes'>;
  if (calibrated) {
    if (!calibration) throw new TypeError(expected('calibration', 'samples', undefined, name));
    const { source } = foldBatchNorm(model);
    made = await calibrateModel(tf, source, recipe, { kernels, ...calibration, ...options });
  } else made = quantizeModel(model, recipe, { kernels });
  let bytes = 0;
  for (const piece of writePacked(made.model)) bytes += piece.length;
  return { ...made, bytes };
}

/** Quantizes a model in every way given and evaluates each; rows come as they are done, the first is the yardstick. */
export async function* compare(
  tf: TensorFlow,
  model: QuantizableModel,
  dataset: Dataset,
  kernels: Kernels,
  variants: readonly Variant[] = VARIANTS,
  { calibration, ...options }: CompareOptions = {},
): AsyncGenerator<ComparisonRow> {
  const floatBytes = model.parameters * 4;
  let first: Evaluation | undefined;
  for (const variant of variants) {
    const { preprocess, batchSize } = options;
    const quantized = await applyVariant(tf, model, variant, {
      kernels,
      ...(calibration ? { calibration } : {}),
      ...(preprocess ? { preprocess } : {}),
      ...(batchSize ? { batchSize } : {}),
    });
    const evaluation = await evaluateModel(tf, quantized?.model ?? model, dataset, options);
    first ??= evaluation;
    const bytes = quantized?.bytes ?? floatBytes;
    yield {
      name: variant.name,
      bytes,
      ratio: floatBytes / bytes,
      bitsPerWeight: quantized?.report.bitsPerWeight ?? 32,
      drop: first.top1 - evaluation.top1,
      ...evaluation,
    };
  }
}
