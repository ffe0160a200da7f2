import type { Dataset, Preprocessing } from '../../data/index.js';
import { BitnibbleError } from '../../errors.js';
import type { Kernels } from '../../kernels/types.js';
import type { QuantizableModel } from '../../model.js';
import { type PartNumber, WHOLE } from '../../packed/part-number.js';
import type { SchemeName } from '../../schemes/types.js';
import { sizeOf } from '../../shape.js';
import type { TensorFlow } from '../../tfjs/types.js';
import { type Backend, tensorFlowFor } from '../backend.js';
import { ACTIVATION_BYTES } from '../calibrate/calibrate.js';
import { isClassifier } from '../calibrate/divergence.js';
import { CALIBRATED_VARIANTS, VARIANTS } from '../compare.js';
import { levelHistogram } from '../histogram.js';
import { mixesOf } from '../mixed.js';
import { outputKind } from '../outputs.js';
import { quantizeModel } from '../quantize.js';
import { measureSensitivity, type SensitivityRow } from '../sensitivity.js';
import { foldBatchNorm } from '../transform/fold.js';
import { measureActivations } from './activations.js';
import { estimateSeconds } from './estimate.js';
import { mergeReports, type PartialReport, placesOf, type ReportWork, shareOf } from './parts.js';
import { type Predictions, predictAll } from './predict.js';
import { finite, RowMeasure, type RowVariant } from './rows.js';
import type { Report, ReportCalibration, ReportSensitivity, ReportWeight, Task } from './types.js';

/** Parts of the work, in their order. */
export type ReportPart =
  | 'float'
  | 'first'
  | 'rounding'
  | 'sensitivity'
  | 'calibration'
  | 'activations'
  | 'histograms';

/** What a report measures, and with what. */
export interface ReportOptions {
  /** Of `loadKernels`. */
  readonly kernels: Kernels;
  /** Samples to evaluate on, with labels where the model is a classifier. */
  readonly dataset: Dataset;
  /** Factor, mean and standard deviation by which samples become inputs. Default: as they are. */
  readonly preprocess?: Preprocessing;
  /** Samples evaluated at most, from the first on. */
  readonly limit?: number;
  /** Default 100. */
  readonly batchSize?: number;
  /** Unlabelled samples, others than those evaluated; absent: nothing that needs them. */
  readonly calibration?: {
    /** Labels are not looked at. */
    readonly dataset: Dataset;
    /** Samples at most, from the first on. Default 2048. */
    readonly samples?: number;
    /** TensorFlow.js to calibrate with, where `'bitnibble'` computes the outputs. */
    readonly tf?: TensorFlow;
  };
  /** Mixtures of schemes, spread evenly between all layers at their fewest bytes and at their most. Default 4. */
  readonly mixes?: number;
  /** Bins of a histogram. Default 64. */
  readonly bins?: number;
  /**
   * Told once about how many seconds the rest takes: when the float model was evaluated and, with `calibration`, the first
   * row calibrated and evaluated, which is what tells.
   */
  readonly onEstimate?: (seconds: number) => void;
  /** Of the positions that calibration samples. Default 0. */
  readonly seed?: number;
  /** Called with the part of the work that goes on, and how much of it is done and in all. */
  readonly onProgress?: (part: ReportPart, done: number, total: number) => void;
}

const SCHEMES: readonly SchemeName[] = ['binary', 'int2', 'int4'];

/** What stands for a scheme where nothing is calibrated: the best of its scales per channel, in closed form for signs. */
const MAIN_DATA_FREE = [
  'int4, least squares per channel',
  'int2, least squares per channel',
  'binary, scale per channel',
];

/** Samples whose activations are looked at. */
const ACTIVATION_SAMPLES = 256;

/**
 * All that a report says of a model: every scheme and some mixtures with bytes, accuracy and what changed in each class;
 * each layer's error and sensitivity; weights with their levels; ranges of activations; the time that each part took.
 *
 * Of a model that is no classifier, or without labels, the distance of the outputs from the float model's stands for
 * accuracy.
 *
 * @param backend computes the outputs; calibration needs TensorFlow.js in any case
 * @throws BitnibbleError `data-mismatch` (several inputs, samples of another shape, labels beyond the classes), and what
 *   `quantizeModel`, `calibrateModel` and `loadLayersModel` throw
 */
export async function measureReport(
  backend: Backend,
  model: QuantizableModel,
  options: ReportOptions,
): Promise<Report> {
  return mergeReports([await measureReportPart(backend, model, options, WHOLE)]);
}

/** Some of {@link measureReport}: a part that `mergeReports` joins with the others. Every part evaluates the float model. */
export async function measureReportPart(
  backend: Backend,
  model: QuantizableModel,
  options: ReportOptions,
  number: PartNumber,
): Promise<PartialReport> {
  const { kernels, dataset, preprocess, limit, batchSize = 100, calibration, seed = 0 } = options;
  const { onProgress, mixes = 4, bins = 64 } = options;
  const seconds: { part: string; seconds: number }[] = [];
  const timed = async <T>(part: string, work: () => Promise<T> | T): Promise<T> => {
    const start = performance.now();
    const result = await work();
    seconds.push({ part, seconds: (performance.now() - start) / 1000 });
    return result;
  };
  const reporting = (part: ReportPart) => (done: number, total: number) => onProgress?.(part, done, total);
  const given = { ...(preprocess ? { preprocess } : {}), batchSize };
  const predict = { ...given, ...(limit ? { limit } : {}) };
  const warnings: { place: number; text: string }[] = [];

  if (calibration) tensorFlowFor(backend, calibration.tf);
  const float = await timed('float model', () =>
    predictAll(backend, model, dataset, {
      ...predict,
      onProgress: reporting('float'),
      onWarning: (text) => warnings.push({ place: 0, text }),
    }),
  );
  const task = taskOf(model, dataset, float);
  const outputs = outputKind(model);
  const rounded: RowVariant[] = VARIANTS.filter(({ recipe }) => recipe).map((variant) => ({
    ...variant,
    kind: 'data-free',
    isMain: !calibration && MAIN_DATA_FREE.includes(variant.name),
  }));
  const { source, folded } = foldBatchNorm(model);

  let part: ReportPart = 'first';
  let done = 0;
  let total = rounded.length * float.samples;
  const measure = new RowMeasure(backend, model, float, {
    ...{ dataset, task, outputs },
    predict: {
      ...predict,
      onProgress: (own) => part !== 'first' && onProgress?.(part, done + own, total),
    },
    apply: {
      ...{ kernels, seed, ...given, ...(calibration ? { calibration } : {}) },
      // Of one row the layers are shown, of several the samples.
      onProgress: (own, all) => part === 'first' && onProgress?.(part, own, all),
    },
  });
  const calibratedRows = CALIBRATED_VARIANTS.map(
    (variant): RowVariant => ({ ...variant, kind: 'calibrated', isMain: true }),
  );
  const work: ReportWork = {
    ...{ rounded: rounded.length, evaluated: float.samples },
    ...(calibration
      ? {
          calibration: {
            samples: Math.min(calibration.samples ?? 2048, calibration.dataset.count),
            ...{ rows: calibratedRows.length, mixes },
          },
        }
      : {}),
  };
  const all = placesOf(work);
  const share = shareOf(work, number);
  const rows: PartialReport['rows'][number][] = [];
  const addAll = async (variants: readonly (readonly [place: number, RowVariant])[]) => {
    total = variants.length * float.samples;
    for (const [i, [place, variant]] of variants.entries()) {
      done = i * float.samples;
      const { row, notes } = await measure.measure(variant);
      rows.push({ place, row });
      warnings.push(...notes.map((text) => ({ place, text })));
    }
  };
  const ownOf = (own: readonly number[], of: readonly number[], variants: readonly RowVariant[]) =>
    variants.flatMap((variant, i) => {
      const place = of[i] ?? 0;
      return own.includes(place) ? [[place, variant] as const] : [];
    });
  const [first, ...others] = ownOf(share.calibrated, all.calibrated, calibratedRows);
  const ownRounded = ownOf(share.rounded, all.rounded, rounded);
  const needsSensitivity = share.sensitivity.length + share.mixes.length > 0;
  if (calibration) await timed('first calibrated row', () => addAll(first ? [first] : []));
  const { quantize, evaluate } = (rows[0]?.row ?? measure.first).seconds;
  // Without a row that was calibrated, nobody knows how long it takes.
  if (first || !(calibration && needsSensitivity))
    options.onEstimate?.(
      estimateSeconds({
        ...{ evaluation: evaluate, rounded: ownRounded.length },
        ...(first
          ? {
              calibration: {
                ...{ seconds: quantize, rows: others.length + share.mixes.length },
                sensitivity: needsSensitivity,
              },
            }
          : {}),
      }),
    );
  part = 'rounding';
  await timed('rounded without data', () => addAll(ownRounded));

  let calibrated: ReportCalibration | undefined;
  let activations: Report['activations'];
  if (calibration) {
    const { tf: own, ...unlabelled } = calibration;
    const tf = tensorFlowFor(backend, own);
    const samples = { ...given, ...unlabelled };
    const measured = await timed('sensitivity of each layer', () =>
      needsSensitivity
        ? measureSensitivity(tf, source, {
            ...{ kernels, seed, ...samples },
            onProgress: reporting('sensitivity'),
          })
        : undefined,
    );
    const [place = 0] = all.sensitivity;
    warnings.push(...(measured?.warnings ?? []).map((text) => ({ place, text })));
    if (measured)
      calibrated = {
        ...{ data: calibration.dataset.name, samples: measured.samples, compared: measured.compared },
        ...{ granularity: 'channel', sensitivity: measured.rows.map(jsonOf) },
      };
    part = 'calibration';
    const mixed = ownOf(share.mixes, all.mixes, measured ? mixedVariants(measured.rows, mixes) : []);
    await timed('calibrated, and mixed', () => addAll([...others, ...mixed]));
    activations = await timed('ranges of activations', () =>
      share.activations.length === 0
        ? undefined
        : measureActivations(tf, source, {
            ...samples,
            samples: Math.min(ACTIVATION_SAMPLES, samples.samples ?? ACTIVATION_SAMPLES),
            bytes: ACTIVATION_BYTES,
            onProgress: reporting('activations'),
          }),
    );
  }
  const weights = await timed('histograms', () =>
    share.histograms.length === 0 ? undefined : histogramsOf(source, kernels, bins, reporting('histograms')),
  );
  const { confusion } = measure;
  return {
    about: {
      ...{ file: model.file, parameters: model.parameters, floatBytes: 4 * model.parameters },
      folded: folded.length,
      data: { name: dataset.name, samples: float.samples },
      task,
      distance: isClassifier(
        float.outputs.map(({ shape }) => ({ shape: [float.samples, ...shape] })),
        outputs,
      )
        ? 'kullback-leibler'
        : 'squared-error',
      ...(confusion ? { confusion } : {}),
      ...{ seed, left: leftOut(task, calibration !== undefined) },
    },
    ...{ done: Object.values(share).flat(), count: all.count },
    ...{ float: measure.first, rows, warnings },
    ...(calibrated ? { calibration: calibrated } : {}),
    ...(activations ? { activations } : {}),
    ...(weights ? { weights } : {}),
    seconds,
  };
}

/** Whether the outputs are classes that the labels speak of. */
function taskOf(model: QuantizableModel, dataset: Dataset, { outputs, samples }: Predictions): Task {
  const kind = outputKind(model);
  const [first] = outputs;
  if (outputs.length !== 1 || !first)
    return { kind: 'other', why: `the model has ${outputs.length} outputs` };
  if (first.shape.length !== 1)
    return { kind: 'other', why: `an output has the shape [${first.shape}], not one number for each class` };
  const width = sizeOf(first.shape);
  if (width === 1 && kind !== 'probability')
    return { kind: 'other', why: 'the output is one number, not a number for each class' };
  if (!dataset.labels) return { kind: 'other', why: 'the data has no labels' };
  const classes = kind === 'probability' ? 2 : width;
  const strange = dataset.labels.subarray(0, samples).find((label) => label < 0 || label >= classes);
  if (strange !== undefined) {
    throw new BitnibbleError(
      'data-mismatch',
      `${model.file} and ${dataset.name}: label ${strange}, the model has ${classes} classes`,
    );
  }
  const classNames = Array.from({ length: classes }, (_, c) => dataset.classNames?.[c] ?? String(c));
  return { kind: 'classifier', outputs: kind, classNames };
}

/** Mixtures within budgets spread evenly between the fewest bytes and the most, both left out. */
function mixedVariants(rows: readonly SensitivityRow[], count: number): RowVariant[] {
  return mixesOf(rows, count + 2)
    .filter(({ chosen }) => new Set(chosen.map(({ scheme }) => scheme)).size > 1)
    .slice(0, count)
    .map(({ recipe, bitsPerWeight }) => ({
      name: `mixed, ${bitsPerWeight.toFixed(2)} bits`,
      ...{ recipe, calibrated: true, kind: 'mixed', isMain: false },
    }));
}

/** Histograms of each kernel at each scheme, one scale per channel. */
function histogramsOf(
  model: QuantizableModel,
  kernels: Kernels,
  bins: number,
  onProgress: (done: number, total: number) => void,
): ReportWeight[] {
  const made = SCHEMES.map((scheme) => ({
    scheme,
    model: quantizeModel(model, { default: { scheme, granularity: 'channel' } }, { kernels }).model,
  }));
  const [first] = made as [(typeof made)[number]];
  const quantized = first.model.weights.filter(({ kind }) => kind === 'quantized');
  return quantized.map(({ id, layer, className, shape }, i) => {
    const histograms = made.map(({ scheme, model: own }) => ({
      scheme,
      ...levelHistogram(model, own, id, { bins }),
    }));
    onProgress(i + 1, quantized.length);
    return { ...{ id, layer, className, shape }, parameters: sizeOf(shape), histograms };
  });
}

const jsonOf = ({ divergence, error, ...row }: SensitivityRow): ReportSensitivity => ({
  ...row,
  divergence: finite(divergence),
  ...(error === undefined ? {} : { error: finite(error) }),
});

function leftOut(task: Task, isCalibrated: boolean): string[] {
  const left: string[] = [];
  if (task.kind === 'other') left.push(`Accuracy, classes and confusion: ${task.why}.`);
  if (!isCalibrated) {
    left.push(
      'Calibrated and mixed rows, sensitivity and ranges of activations: no samples to calibrate with were given.',
    );
  }
  return left;
}
