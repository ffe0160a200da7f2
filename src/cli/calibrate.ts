import { BitnibbleError } from '../errors.js';
import { loadKernels } from '../kernels/index.js';
import type { QuantizableModel } from '../model.js';
import { isPackedName, requireEnding } from '../node/models.js';
import type { QuantizedModel } from '../packed/quantized-model.js';
import type { Augmentation } from '../pipeline/calibrate/augment.js';
import { type CalibrationReport, calibrateModel } from '../pipeline/calibrate/calibrate.js';
import { storeRanges } from '../pipeline/calibrate/ranges.js';
import { rehearse } from '../pipeline/calibrate/rehearse.js';
import { type TuneOptions, type TuneReport, tunedSamples, tuneModel } from '../pipeline/calibrate/tune.js';
import { reportRow } from '../pipeline/quantize.js';
import { decide, parseRecipe, type Recipe } from '../pipeline/recipe.js';
import { foldBatchNorm } from '../pipeline/transform/fold.js';
import type { TensorFlow } from '../tfjs/types.js';
import { loadBackend, openData, requireTensorFlow } from './data.js';
import { checkPipes, keepsLayers, openKerasInput, PIPE } from './inputs.js';
import { type CodingFlags, type DataFlags, UsageError } from './options.js';
import { colour, count, json, note, say, trace } from './output.js';
import { checkOutput, modelBytes, noteReplaced, sizeLine } from './outputs.js';
import { progress } from './progress.js';
import { foldingLine, recipeOf, requireWritableWeights, save, weightsLine } from './quantize.js';
import { table } from './table.js';

interface Flags extends DataFlags, Omit<CodingFlags, 'scale'> {
  readonly output: string;
  readonly recipe?: string;
  readonly seed: number;
  readonly fold: boolean;
  /** Steps, or true for the usual number. */
  readonly tune?: number | true;
  readonly augment?: readonly Augmentation[];
  readonly storeRanges?: boolean;
}

/** Kernels, what they lost at their outputs, or why they were fitted without data. */
function calibrationTable(report: CalibrationReport): string {
  const rows = report.calibration.map((row) => [
    row.id,
    row.fallback ? `without data: ${row.fallback}` : 'calibrated',
    row.error === undefined ? '' : `${(100 * row.error).toFixed(2)} %`,
    row.deadInputs ? count(row.deadInputs) : '',
  ]);
  return table(['Kernel', 'Fit', 'Lost at its outputs', 'Dead inputs'], rows);
}

/**
 * Refuses a recipe that leaves calibration nothing to fit: one scale per tensor is fitted without data.
 * @throws BitnibbleError `recipe`; what `decide` throws
 */
function requireFittable({ weights, file }: QuantizableModel, recipe: Recipe, name: string): void {
  const coded = [...decide(parseRecipe(recipe), weights, file).values()].flatMap((decision) =>
    'keep' in decision ? [] : [decision.options],
  );
  if (coded.length === 0)
    throw new BitnibbleError('recipe', `${name}: expected weights of ${file} to quantize, got none`);
  if (coded.every(({ granularity }) => granularity === 'tensor'))
    throw new BitnibbleError(
      'recipe',
      `${name}: "granularity" expected channel or group for some weight, got tensor for all: one scale per tensor is fitted without data, which quantize does`,
    );
}

export async function calibrate(file: string, given: Flags): Promise<void> {
  const { augment, seed } = given;
  const flags = { ...given, isPiped: given.output === PIPE };
  if (augment !== undefined && flags.tune === undefined) throw new UsageError('--augment needs --tune');
  if (flags.storeRanges && !flags.isPiped && !isPackedName(flags.output))
    throw new UsageError(`--store-ranges needs a packed output, got ${flags.output}`);
  const { scale: _inputs, ...coding } = flags;
  const recipe = recipeOf(coding);
  checkPipes([{ input: file, output: flags.output }], flags);
  const replaces = checkOutput(flags.output, { input: file });
  const samples = flags.limit ?? 2048;
  const kernels = await loadKernels();
  const model = await openKerasInput(file);
  const bar = progress(flags, 'calibrating', 'layers');
  try {
    if (flags.output !== PIPE) requireEnding(model, flags.output);
    trace(flags, `${model.file}: opened`);
    const folding = flags.fold ? foldBatchNorm(model, { keepLayers: keepsLayers(flags.output) }) : undefined;
    const source = folding?.source ?? model;
    requireFittable(source, recipe, flags.recipe ?? 'calibrate');
    requireTensorFlow(flags, 'calibrate fits each layer to what it computes');
    if (keepsLayers(flags.output)) requireWritableWeights(model, recipe, source);
    const { dataset, preprocess, description } = await openData({ ...flags, limit: samples }, model);
    const { tf, backend } = await loadBackend(flags);
    say(flags, `${model.file} with ${description}, without labels; backend ${backend}, seed ${seed}\n`);
    const options = { kernels, dataset, preprocess, seed, samples, batchSize: flags.batch };
    const changes = augment ? { augment } : {};
    // Calibration may take minutes: what tuning cannot do is found out before.
    if (flags.tune) await rehearse(tf, source, { ...options, ...changes });
    const { model: calibrated, report } = await calibrateModel(tf, source, recipe, {
      ...options,
      ...(flags.tune ? { samples: tunedSamples(Math.min(samples, dataset.count)) } : {}),
      onProgress: bar.update,
    });
    bar.stop();
    for (const warning of report.warnings) note(flags, warning);
    const tuned = flags.tune && (await tune(tf, source, calibrated, flags, { ...options, ...changes }));
    const made = tuned ? tuned.model : calibrated;
    const stored = flags.storeRanges ? await storeRanges(made, options) : undefined;
    const quantized = stored && 'model' in stored ? stored.model : made;
    if (stored && 'reason' in stored)
      note(
        flags,
        `no ranges of activations are stored, since the runtime does not run the model: ${stored.reason}`,
      );
    const ranges = stored && 'tensors' in stored ? stored.tensors : 0;
    const tensors = report.tensors.map((row) => reportRow(row, quantized, kernels, source.read(row.id)));
    const inputBytes = modelBytes(model);
    if (replaces) noteReplaced(flags, flags.output);
    const outputBytes = await save(quantized, model, flags.output);
    trace(flags, `${flags.output}: written`);
    const folded = folding?.folded ?? [];
    json(flags, {
      ...{ input: file, output: flags.output, replaces, inputBytes, outputBytes },
      ...{ data: dataset.name, backend, seed, folded, ...report, tensors },
      ...(tuned ? { tuning: tuned.report } : {}),
      activationRanges: ranges,
    });
    say(flags, calibrationTable(report));
    const { calibrated: own, dataFree } = report.divergence;
    say(
      flags,
      `\nOutputs diverge from the float model's by ${own.toPrecision(3)}, without data by ${dataFree.toPrecision(3)} ` +
        `(nats for classifiers), on the ${count(report.samples)} samples given; ${report.seconds.toFixed(0)} s`,
    );
    if (tuned) say(flags, tuningLine(tuned.report));
    if (folded.length > 0) say(flags, foldingLine(folded.length));
    say(flags, weightsLine(report));
    if (ranges > 0) say(flags, `Ranges of ${count(ranges)} activations stored, for --ranges stored`);
    const where = flags.isPiped ? 'to standard output' : flags.output;
    say(flags, `${colour.green('wrote')} ${where}, ${sizeLine(outputBytes, model.file, inputBytes)}`);
  } finally {
    bar.stop();
    model.close();
  }
}

async function tune(
  tf: TensorFlow,
  float: QuantizableModel,
  calibrated: QuantizedModel,
  flags: Flags,
  options: TuneOptions,
): Promise<{ model: QuantizedModel; report: TuneReport }> {
  const bar = progress(flags, 'tuning', 'steps');
  try {
    return await tuneModel(tf, float, calibrated, {
      ...options,
      ...(typeof flags.tune === 'number' ? { steps: flags.tune } : {}),
      onProgress: bar.update,
    });
  } finally {
    bar.stop();
  }
}

function tuningLine({
  steps,
  augment,
  divergence,
  changedCodes,
  checked,
  keptUntuned,
  seconds,
}: TuneReport): string {
  const { before, after } = divergence;
  const how = `${steps} steps of tuning${augment.length > 0 ? ` with ${augment.join(' and ')}` : ''}, ${seconds.toFixed(0)} s`;
  const what = `divergence on ${count(checked)} samples held back ${before.toPrecision(3)} before, ${after.toPrecision(3)} after`;
  return keptUntuned
    ? `${how}: not kept, ${what}`
    : `${how}: ${what}; ${count(changedCodes)} codes are other ones`;
}
