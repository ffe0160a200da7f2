import type { SchemeName } from '../../schemes/types.js';
import type { Granularity } from '../../shape.js';
import type { LevelHistogram } from '../histogram.js';
import type { OutputKind } from '../outputs.js';
import type { Recipe } from '../recipe.js';
import type { SensitivityRow } from '../sensitivity.js';
import type { ValueRange } from './ranges.js';

/** `[class, class answered, samples]`; the class answered is -1 where no output was a number. */
export type Count = readonly [label: number, answer: number, samples: number];

/** What one tensor became in one row. */
export interface TensorResult {
  readonly id: string;
  readonly scheme: SchemeName;
  /** Codes and scales. */
  readonly bytes: number;
  /** `10 log10(sum w^2 / sum (w - v)^2)`, dB; null where nothing was lost. */
  readonly snrDb: number | null;
  /** Share of the variance of the layer's outputs that is lost; absent without calibration. */
  readonly error?: number | null;
  /** Why it was fitted without data, in a row that is calibrated. */
  readonly fallback?: string;
}

/** Samples whose answer is another one than the float model's. */
export interface Changed {
  /** Right in float, wrong here. */
  readonly broken: number;
  /** Wrong in float, right here. */
  readonly repaired: number;
  /** Wrong in both, in another way. */
  readonly other: number;
}

/** What a row gets right and wrong; only of classifiers with labels. */
export interface ClassResults {
  /** Share of samples whose label has the largest output. */
  readonly top1: number;
  /** Share of samples whose label is among the five largest; absent below six classes. */
  readonly top5?: number;
  /** Mean of `-log p(label)`; null where an output is not a number. */
  readonly loss: number | null;
  /** Accuracy of the float model minus this one's. */
  readonly drop: number;
  /**
   * Standard error of `drop`, the samples being the same in both: `sqrt(b + r - (b - r)^2 / n) / n` for `b` samples
   * broken and `r` repaired of `n` (McNemar 1947).
   */
  readonly dropError: number;
  /** Accuracy in each class; null for a class without samples. */
  readonly perClass: readonly (number | null)[];
  readonly changed: Changed;
  /** Confusion counts here minus the float model's, where they differ; a row of the float model has none. */
  readonly moved: readonly Count[];
}

/** A way to store the weights, and what it costs. */
export interface ReportRow {
  readonly name: string;
  readonly kind: 'float' | 'data-free' | 'calibrated' | 'mixed';
  /** One of those that figures compare in detail. */
  readonly isMain: boolean;
  /** Absent for float. */
  readonly recipe?: Recipe;
  /** The packed file as a whole; for float the float32 weights alone. */
  readonly bytes: number;
  /** Bytes of the float32 weights, divided by `bytes`. */
  readonly ratio: number;
  /** Of the quantized tensors, scales included; 32 for float. */
  readonly bitsPerWeight: number;
  /**
   * How far the outputs are from the float model's, as {@link Report.distance} says. Null where an output is not finite.
   */
  readonly divergence: number | null;
  readonly classes?: ClassResults;
  /** No other row has at most these bytes and at least this accuracy (without labels: at most this divergence). */
  readonly isPareto: boolean;
  /** Quantized tensors in the order of the model. */
  readonly tensors: readonly TensorResult[];
  readonly seconds: { readonly quantize: number; readonly evaluate: number };
}

/** What the outputs are taken for, which says what can be measured. */
export type Task =
  | { readonly kind: 'classifier'; readonly outputs: OutputKind; readonly classNames: readonly string[] }
  /** Only the distance of the outputs from the float model's is measured. */
  | { readonly kind: 'other'; readonly why: string };

/** The values that one call of a layer gives in the float network. */
export interface ActivationRange extends ValueRange {
  /** The layer, with the models that hold it where it has weights. */
  readonly layer: string;
  readonly className: string;
  /** Samples behind them. */
  readonly samples: number;
}

/** A quantized tensor, and its weights with the levels of each scheme, scales per channel, without data. */
export interface ReportWeight {
  readonly id: string;
  readonly layer: string;
  readonly className: string;
  readonly shape: readonly number[];
  readonly parameters: number;
  readonly histograms: readonly (LevelHistogram & { readonly scheme: SchemeName })[];
}

/** A {@link SensitivityRow} as JSON: null for what is not finite. */
export type ReportSensitivity = Omit<SensitivityRow, 'divergence' | 'error'> & {
  readonly divergence: number | null;
  readonly error?: number | null;
};

/** How layers were calibrated, and what each costs alone. */
export interface ReportCalibration {
  readonly data: string;
  /** Samples that layers were fitted to, and samples that the outputs of one layer changed were compared on. */
  readonly samples: number;
  readonly compared: number;
  readonly granularity: Granularity;
  /** Each layer at each scheme, all others in float. */
  readonly sensitivity: readonly ReportSensitivity[];
}

/** All numbers of a report. JSON as it stands. */
export interface Report {
  readonly file: string;
  readonly parameters: number;
  /** Bytes of the weights as float32. */
  readonly floatBytes: number;
  /** Batch normalizations that were folded for all rows but `float` and `data-free` ones. */
  readonly folded: number;
  readonly data: { readonly name: string; readonly samples: number };
  readonly task: Task;
  /** What divergences are: mean Kullback-Leibler divergence in nats, or squared error over the outputs' variance. */
  readonly distance: 'kullback-leibler' | 'squared-error';
  /** The float model first. */
  readonly rows: readonly ReportRow[];
  /** Confusion counts of the float model, those that are not 0. */
  readonly confusion?: readonly Count[];
  readonly weights: readonly ReportWeight[];
  /** Absent without samples to calibrate with. */
  readonly calibration?: ReportCalibration;
  readonly activations?: readonly ActivationRange[];
  readonly seed: number;
  /** Seconds by part of the work, in its order. */
  readonly seconds: readonly { readonly part: string; readonly seconds: number }[];
  readonly warnings: readonly string[];
  /** What is not in the report, and why. */
  readonly left: readonly string[];
}
