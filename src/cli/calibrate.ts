import type { Command } from 'commander';
import { BitnibbleError } from '../errors.js';
import { loadKernels } from '../kernels/index.js';
import type { QuantizableModel } from '../model.js';
import { requireEnding } from '../node/models.js';
import { isPackedName } from '../node/packed.js';
import type { QuantizedModel } from '../packed/quantized-model.js';
import { type CalibrationReport, calibrateModel } from '../pipeline/calibrate/calibrate.js';
import {
  type CheckOptions,
  type CheckReport,
  type HeldOut,
  holdBack,
  METRICS,
  type Metric,
  requireMetric,
} from '../pipeline/calibrate/check.js';
import { storeRanges } from '../pipeline/calibrate/ranges.js';
import { rehearse } from '../pipeline/calibrate/rehearse.js';
import { type TuneOptions, type TuneReport, tunedSamples, tuneModel } from '../pipeline/calibrate/tune.js';
import { reportRow } from '../pipeline/quantize.js';
import { decide, parseRecipe, type Recipe } from '../pipeline/recipe.js';
import { foldBatchNorm } from '../pipeline/transform/fold.js';
import type { TensorFlow } from '../tfjs/types.js';
import type { CalibrateFlags } from './calibrate-flags.js';
import { partPath, requireFolder, writeCalibrated } from './calibrate-parts.js';
import { type Data, loadBackend, openData, openMore, requireTensorFlow } from './data.js';
import { checkPipes, expandFiles, type Job, jobsOf, keepsLayers, openKerasInput, PIPE } from './inputs.js';
import { UsageError } from './options.js';
import { colour, count, note, say, trace } from './output.js';
import { checkOutput, modelBytes, noteReplaced, sizeLine } from './outputs.js';
import { progress } from './progress.js';
import { foldingLine, recipeOf, requireWritableWeights, save, weightsLine } from './quantize.js';
import { eachFile } from './several.js';
import { table } from './table.js';

/** Samples to fit to, samples to check on, and how these were chosen. */
type Parts = Pick<HeldOut, 'fit' | 'how'> & { readonly check: CheckOptions | undefined };

/**
 * The samples to check on: those that were named, else some that are held back.
 * @throws BitnibbleError `data-mismatch` where the metric cannot be taken of them
 */
async function partsOf(
  flags: CalibrateFlags,
  model: QuantizableModel,
  data: Data,
  samples: number,
): Promise<Parts> {
  const { dataset } = data;
  const by = flags.metric ? { by: flags.metric } : {};
  if (flags.check !== undefined) {
    const own = await openMore(flags, flags.check, 'test', model, data);
    const check = { dataset: own, ...by };
    requireMetric(model, check);
    return { fit: dataset, check, how: own.name };
  }
  const held = holdBack(model, dataset, samples);
  const check = held && { dataset: held.check, ...by };
  if (check) requireMetric(model, check);
  else if (flags.metric !== undefined && flags.metric !== 'divergence')
    throw new UsageError(
      `--metric ${flags.metric} needs samples to check on: too few are there; name others with --check`,
    );
  return { fit: held?.fit ?? dataset, check, how: held?.how ?? '' };
}

const METRIC_NAMES: Readonly<Record<Metric, string>> = {
  divergence: 'divergence',
  accuracy: 'accuracy',
  r2: 'R2',
  mae: 'mean error',
};

/** Every form of the model on the samples held back, and which was kept. */
function choiceTable(choice: CheckReport, how: string): string {
  const metrics = METRICS.filter((metric) => choice.candidates.some((own) => own[metric] !== undefined));
  const shown = (value: number | undefined) => (value === undefined ? '' : value.toPrecision(4));
  const rows = [
    ['float', ...metrics.map((metric) => (metric === 'divergence' ? '0' : shown(choice.float[metric]))), ''],
    ...choice.candidates.map((own) => [
      own.name,
      ...metrics.map((metric) => shown(own[metric])),
      own.name === choice.kept ? `kept, by ${METRIC_NAMES[choice.by]}` : '',
    ]),
  ];
  const title = `On ${count(choice.samples)} samples that nothing was fitted to (${how}):`;
  return `${title}\n${table(['Model', ...metrics.map((metric) => METRIC_NAMES[metric]), 'Choice'], rows)}`;
}

/** A metric by which another form is better than the one that was kept. */
function contradiction({ by, candidates, kept, float }: CheckReport): string | undefined {
  const chosen = candidates.find(({ name }) => name === kept);
  for (const metric of ['accuracy', 'r2'] as const) {
    const best = candidates.reduce((a, b) => ((b[metric] ?? -Infinity) > (a[metric] ?? -Infinity) ? b : a));
    if (metric === by || float[metric] === undefined || best.name === kept) continue;
    const [own, other] = [chosen?.[metric] as number, best[metric] as number];
    if (other - own > 0.01)
      return `${kept} was kept by ${METRIC_NAMES[by]}, but ${best.name} has the better ${METRIC_NAMES[metric]}, ${other.toFixed(3)} against ${own.toFixed(3)}: --metric ${metric} chooses by that`;
  }
  return undefined;
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
 * Refuses a recipe that leaves calibration nothing to fit.
 * @throws BitnibbleError `recipe`; what `decide` throws
 */
function requireFittable({ weights, file }: QuantizableModel, recipe: Recipe, name: string): void {
  const coded = [...decide(parseRecipe(recipe), weights, file).values()].flatMap((decision) =>
    'keep' in decision ? [] : [decision.options],
  );
  if (coded.length === 0)
    throw new BitnibbleError('recipe', `${name}: expected weights of ${file} to quantize, got none`);
}

/** One file, from its opening to its last line. */
async function calibrateFile(
  { input: file, output }: Job,
  recipe: Recipe,
  replaces: boolean,
  flags: CalibrateFlags,
): Promise<object> {
  const { augment, seed } = flags;
  const samples = flags.limit ?? 2048;
  const kernels = await loadKernels();
  const model = await openKerasInput(file);
  const bar = progress(flags, 'calibrating', 'layers');
  try {
    if (output !== PIPE) requireEnding(model, output);
    trace(flags, `${model.file}: opened`);
    const folding = flags.fold ? foldBatchNorm(model, { keepLayers: keepsLayers(output) }) : undefined;
    const source = folding?.source ?? model;
    requireFittable(source, recipe, flags.recipe ?? 'calibrate');
    requireTensorFlow(flags, 'calibrate fits each layer to what it computes');
    if (keepsLayers(output)) requireWritableWeights(model, recipe, source);
    const data = await openData({ ...flags, limit: samples }, model);
    const { preprocess, description } = data;
    const { fit: dataset, check, how } = await partsOf(flags, model, data, samples);
    const { tf, backend } = await loadBackend(flags);
    say(flags, `${model.file} with ${description}, without labels; backend ${backend}, seed ${seed}\n`);
    const options = { kernels, dataset, preprocess, seed, samples, batchSize: flags.batch };
    const checked = check ? { check } : {};
    const changes = augment ? { augment } : {};
    // Calibration may take minutes: what tuning cannot do is found out before.
    if (flags.tune) await rehearse(tf, source, { ...options, ...changes });
    const { model: calibrated, report } = await calibrateModel(tf, source, recipe, {
      ...options,
      ...checked,
      ...(flags.tune && !check ? { samples: tunedSamples(Math.min(samples, dataset.count)) } : {}),
      onProgress: bar.update,
    });
    bar.stop();
    for (const warning of report.warnings) note(flags, warning);
    const tuned =
      flags.tune && (await tune(tf, source, calibrated, flags, { ...options, ...changes, ...checked }));
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
    const choice = choiceOf(report.check, tuned ? tuned.report.check : undefined);
    const against = choice && contradiction(choice);
    if (against) note(flags, against);
    const inputBytes = modelBytes(model);
    if (replaces) noteReplaced(flags, output);
    const outputBytes = await save(quantized, model, output);
    trace(flags, `${output}: written`);
    const folded = folding?.folded ?? [];
    const document = {
      ...{ input: file, output, replaces, inputBytes, outputBytes },
      ...{ data: dataset.name, backend, seed, folded, ...report, tensors },
      // Both are parts of the choice.
      check: undefined,
      ...(tuned ? { tuning: { ...tuned.report, check: undefined } } : {}),
      ...(choice ? { choice: { ...choice, how } } : {}),
      activationRanges: ranges,
    };
    say(flags, calibrationTable(report));
    const { calibrated: own, dataFree, samples: compared } = report.divergence;
    say(
      flags,
      `\nOutputs diverge from the float model's by ${own.toPrecision(3)}, without data by ${dataFree.toPrecision(3)} ` +
        `(nats for classifiers), on ${count(compared)} of the ${count(report.samples)} samples given; ${report.seconds.toFixed(0)} s`,
    );
    if (tuned) say(flags, tuningLine(tuned.report));
    if (choice) say(flags, `\n${choiceTable(choice, how)}\n`);
    if (folded.length > 0) say(flags, foldingLine(folded.length));
    say(flags, weightsLine(report));
    if (ranges > 0) say(flags, `Ranges of ${count(ranges)} activations stored, for --ranges stored`);
    const where = flags.isPiped ? 'to standard output' : output;
    say(flags, `${colour.green('wrote')} ${where}, ${sizeLine(outputBytes, model.file, inputBytes)}`);
    return document;
  } finally {
    bar.stop();
    model.close();
  }
}

/** What a calibrated model may be called. */
const ENDING = /^-$|\.(safetensors|h5|hdf5|h5f|keras)$/i;

/** The command `calibrate`. */
export async function calibrate(
  given: readonly string[],
  options: CalibrateFlags,
  command: Command,
): Promise<void> {
  const { augment, output, shard } = options;
  if (augment !== undefined && options.tune === undefined) throw new UsageError('--augment needs --tune');
  if (shard) requireFolder(output);
  const inputs = await expandFiles(given);
  const all = jobsOf(inputs, output);
  const wrong = all.find((job) => !ENDING.test(job.output));
  if (wrong)
    throw new UsageError(
      `--output expected a name ending in .safetensors, .h5 or .keras, or -, or a folder that is there, got ${output}`,
    );
  const flags = { ...options, isPiped: output === PIPE };
  if (flags.storeRanges && all.some((job) => job.output !== PIPE && !isPackedName(job.output)))
    throw new UsageError(`--store-ranges needs a packed output, got ${output}`);
  const { scale: _inputs, ...coding } = flags;
  const recipe = recipeOf(coding);
  checkPipes(all, flags);
  const jobs = shard ? all.filter((_, i) => i % shard.parts === shard.part - 1) : all;
  const replaces = jobs.map((job) => checkOutput(job.output, { input: job.input }));
  const part = shard && partPath(output, shard);
  const replacesPart = part !== undefined && checkOutput(part, {});
  const isList = given.length > 1 || inputs.length > 1 || inputs[0] !== given[0] || shard !== undefined;
  const work = (job: Job, i: number) => calibrateFile(job, recipe, replaces[i] === true, flags);
  const { results, failed } = await eachFile(jobs, work, { flags, command, isList, done: 'calibrated' });
  // A part is there when all of its models are.
  if (!shard || part === undefined || failed > 0) return;
  if (replacesPart) noteReplaced(flags, part);
  await writeCalibrated(part, { shard, jobs, all, results, recipe, flags });
  say(flags, `\n${colour.green('wrote')} ${part}, for merge`);
}

/** What calibration and tuning had to choose from, as one. */
function choiceOf(fitted: CheckReport | undefined, tuned: CheckReport | undefined): CheckReport | undefined {
  if (!fitted || !tuned) return fitted;
  const own = tuned.candidates.filter(({ name }) => name === 'tuned');
  const kept = tuned.kept === 'tuned' ? tuned.kept : fitted.kept;
  return { ...fitted, candidates: [...fitted.candidates, ...own], kept };
}

async function tune(
  tf: TensorFlow,
  float: QuantizableModel,
  calibrated: QuantizedModel,
  flags: CalibrateFlags,
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
