import type { Dataset } from '../data/index.js';
import { expected } from '../errors.js';
import type { Kernels } from '../kernels/types.js';
import type { QuantizableModel } from '../model.js';
import type { QuantizedModel } from '../packed/quantized-model.js';
import { writePacked } from '../packed/write.js';
import type { TensorFlow } from '../tfjs/types.js';
import { type Backend, tensorFlowFor } from './backend.js';
import { type CalibrationOptions, type CalibrationReport, calibrateModel } from './calibrate/calibrate.js';
import { holdBack } from './calibrate/check.js';
import { tuneModel } from './calibrate/tune.js';
import { type EvaluateOptions, type Evaluation, evaluateModel } from './evaluate.js';
import { chooseForBits, leastBits, type Mix, summaryOf } from './mixed.js';
import { type QuantizeReport, quantizeModel } from './quantize.js';
import type { Recipe } from './recipe.js';
import { measureSensitivity, type SensitivityOptions } from './sensitivity.js';
import { foldBatchNorm } from './transform/fold.js';

/** A way to store the weights. */
export interface Variant {
  readonly name: string;
  /** Absent: the float model, or what `bits` chooses. */
  readonly recipe?: Recipe;
  /** Fitted to the samples of {@link CompareOptions.calibration}, batch normalizations folded. */
  readonly calibrated?: true;
  /**
   * Calibrated, with a scheme for every layer chosen by its sensitivity: bits per weight on average, scales included. Where
   * that leaves less than a quarter of a bit to choose with, as much above the smallest choice.
   */
  readonly bits?: number;
  /** Calibrated and tuned in so many steps. */
  readonly tune?: number;
}

/** How variants of a model are evaluated beside each other. */
export interface CompareOptions extends EvaluateOptions {
  /** Unlabelled samples for the variants that are calibrated. */
  readonly calibration?: {
    /** Labels are not looked at. */
    readonly dataset: Dataset;
    /** Samples to fit to at most, from the first on. Default 2048. Which result is kept is decided on others: see `holdBack`. */
    readonly samples?: number;
    /** TensorFlow.js to calibrate with, where `'bitnibble'` evaluates. */
    readonly tf?: TensorFlow;
  };
}

/** A way to store the weights, evaluated. */
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
  /**
   * What calibration, the choice of schemes or tuning had to say: a data-free result that was kept, and why; outputs that
   * are NaN or infinite.
   */
  readonly notes: readonly string[];
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

/** A scheme for every layer. */
export const MIXED_VARIANT: Variant = { name: 'mixed, calibrated per channel', bits: 1.5 };

/** Signs, calibrated and then tuned. */
export const tunedVariant = (steps: number): Variant => ({
  ...{ name: 'binary, calibrated and tuned', recipe: { default: { scheme: 'binary' } }, tune: steps },
});

/** A model as a variant has it; absent for the float model. */
export interface AppliedVariant {
  readonly model: QuantizedModel;
  readonly report: QuantizeReport & Partial<CalibrationReport>;
  /** Of the packed file. */
  readonly bytes: number;
  /** See {@link ComparisonRow.notes}. */
  readonly notes: readonly string[];
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
 * @param backend TensorFlow.js, or `'bitnibble'` where nothing is calibrated or `calibration.tf` is there
 * @throws TypeError for a variant that is calibrated without samples or TensorFlow.js; what `quantizeModel`, `calibrateModel`,
 *   `measureSensitivity` and `tuneModel` throw
 */
export async function applyVariant(
  backend: Backend,
  model: QuantizableModel,
  variant: Variant,
  { kernels, calibration, ...options }: VariantOptions,
): Promise<AppliedVariant | undefined> {
  const { name, recipe, calibrated, bits, tune } = variant;
  if (!recipe && bits === undefined) return undefined;
  let made: Omit<AppliedVariant, 'bytes'>;
  if (calibrated || bits !== undefined || tune !== undefined) {
    if (!calibration) throw new TypeError(expected('calibration', 'samples', undefined, name));
    const { source } = foldBatchNorm(model);
    const { tf, ...samples } = calibration;
    const own = { kernels, ...samples, ...options };
    made = await calibratedVariant(tensorFlowFor(backend, tf), source, variant, own);
  } else made = { ...quantizeModel(model, recipe as Recipe, { kernels }), notes: [] };
  let bytes = 0;
  for (const piece of writePacked(made.model)) bytes += piece.length;
  return { ...made, bytes };
}

/** Samples at most that sensitivities are measured with: ranking layers takes fewer than fitting them. */
const SENSITIVITY_SAMPLES = 1024;

async function mixFor(
  tf: TensorFlow,
  model: QuantizableModel,
  bits: number,
  { samples = SENSITIVITY_SAMPLES, ...options }: SensitivityOptions,
): Promise<Mix> {
  const fewer = { ...options, samples: Math.min(samples, SENSITIVITY_SAMPLES) };
  const { rows } = await measureSensitivity(tf, model, fewer);
  return chooseForBits(rows, Math.max(bits, leastBits(rows) + 0.25));
}

async function calibratedVariant(
  tf: TensorFlow,
  model: QuantizableModel,
  { recipe: given = {}, bits, tune }: Variant,
  options: CalibrationOptions,
): Promise<Omit<AppliedVariant, 'bytes'>> {
  const { dataset, samples = 2048 } = options;
  const held = holdBack(model, dataset, samples);
  const apart = held
    ? { ...options, dataset: held.fit, samples: held.fit.count, check: { dataset: held.check } }
    : options;
  const mix = bits === undefined ? undefined : await mixFor(tf, model, bits, apart);
  const recipe = mix?.recipe ?? given;
  const { model: own, report } = await calibrateModel(tf, model, recipe, apart);
  const notes = [...(mix ? [summaryOf(mix)] : []), ...report.warnings];
  if (tune === undefined) return { model: own, report, notes };
  const { onProgress: _, ...rest } = apart;
  const tuned = await tuneModel(tf, model, own, { ...rest, steps: tune });
  const { before, after } = tuned.report.divergence;
  const what = `on ${tuned.report.checked} samples held back, outputs diverge by ${before.toPrecision(3)} before and ${after.toPrecision(3)} after ${tune} steps`;
  notes.push(tuned.report.keptUntuned ? `tuning was not kept: ${what}` : what);
  return { model: tuned.model, report, notes };
}

function notFiniteNotes({ notFinite, samples }: Evaluation): string[] {
  if (notFinite === 0) return [];
  return [`outputs are NaN or infinite for ${notFinite} of ${samples} samples, which count as wrong answers`];
}

/** Quantizes a model in every way given and evaluates each; rows come as they are done, the first is the yardstick. */
export async function* compare(
  backend: Backend,
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
    const quantized = await applyVariant(backend, model, variant, {
      kernels,
      ...(calibration ? { calibration } : {}),
      ...(preprocess ? { preprocess } : {}),
      ...(batchSize ? { batchSize } : {}),
    });
    // Weights that a variant spoils are a row, not the end of the table; the float model has to be sound.
    const lenient = { ...options, allowNotFinite: quantized !== undefined };
    const evaluation = await evaluateModel(backend, quantized?.model ?? model, dataset, lenient);
    first ??= evaluation;
    const bytes = quantized?.bytes ?? floatBytes;
    yield {
      name: variant.name,
      bytes,
      ratio: floatBytes / bytes,
      bitsPerWeight: quantized?.report.bitsPerWeight ?? 32,
      drop: first.top1 - evaluation.top1,
      notes: [...(quantized?.notes ?? []), ...notFiniteNotes(evaluation)],
      ...evaluation,
    };
  }
}
