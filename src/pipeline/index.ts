/**
 * From a model to a quantized one, and what that costs: recipes, rounding, calibration, tuning, evaluation, reports.
 * @module bitnibble/pipeline
 */
export {
  type Convolution,
  type LinearAlgebra,
  type LoadLinearAlgebraOptions,
  loadLinearAlgebra,
  type Operand,
  type Room,
} from '../kernels/linalg.js';
export type { PartNumber } from '../packed/part-number.js';
export type { Backend } from './backend.js';
export { AUGMENTATIONS, type Augmentation } from './calibrate/augment.js';
export {
  type CalibrationOptions,
  type CalibrationReport,
  type CalibrationRow,
  calibrateModel,
} from './calibrate/calibrate.js';
export {
  type Candidate,
  type CheckOptions,
  type CheckReport,
  type HeldOut,
  holdBack,
  METRICS,
  type Metric,
} from './calibrate/check.js';
export { storeRanges } from './calibrate/ranges.js';
export type { SampleOptions } from './calibrate/samples.js';
export {
  TUNING_STEPS,
  type TuneOptions,
  type TuneReport,
  tunedSamples,
  tuneModel,
} from './calibrate/tune.js';
export {
  CALIBRATED_VARIANTS,
  type CompareOptions,
  type ComparisonRow,
  compare,
  MIXED_VARIANT,
  tunedVariant,
  VARIANTS,
  type Variant,
} from './compare.js';
export { type EvaluateOptions, type Evaluation, evaluateModel } from './evaluate.js';
export { type LevelHistogram, type LevelHistogramOptions, levelHistogram } from './histogram.js';
export {
  type InputRange,
  type InputScale,
  inputRanges,
  readScale,
  type StoredRange,
  scaleFor,
  scalesFor,
  type UnclearScale,
} from './input-range.js';
export { type BoundInput, bindInputs, type WantedInput, wantedInputs } from './inputs.js';
export {
  chooseForBits,
  chooseForFile,
  chooseSchemes,
  leastBits,
  type Mix,
  mixesOf,
  smallestWithin,
} from './mixed.js';
export type { OutputKind } from './outputs.js';
export { postTrainBinarization, postTrainQuantization, type WithWeights } from './posttrain.js';
export {
  decodedWeights,
  type QuantizeModelOptions,
  type QuantizeReport,
  quantizeModel,
  type TensorReport,
} from './quantize.js';
export { type Match, type Pattern, parseRecipe, type Recipe, type Rule } from './recipe.js';
export { measureReport, type ReportOptions, type ReportPart } from './report/measure.js';
export type * from './report/types.js';
export {
  measureSensitivity,
  measureSensitivityPart,
  type SensitivityOptions,
  type SensitivityReport,
  type SensitivityRow,
} from './sensitivity.js';
export { mergeSensitivity, type SensitivityPart } from './sensitivity-parts.js';
export { type EqualizedPair, type EqualizeResult, equalize } from './transform/equalize.js';
export {
  type FoldedNorm,
  type FoldOptions,
  type FoldResult,
  foldBatchNorm,
  type LeftLayer,
} from './transform/fold.js';
export { type Changes, type Scaling, TransformedModel } from './transform/transformed-model.js';
