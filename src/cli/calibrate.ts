import type { Command } from 'commander';
import { loadKernels } from '../kernels/index.js';
import type { QuantizableModel } from '../model.js';
import { requireOtherFile } from '../node/files.js';
import { openKeras, saveQuantized } from '../node/models.js';
import type { QuantizedModel } from '../packed/quantized-model.js';
import { AUGMENTATIONS, type Augmentation } from '../pipeline/calibrate/augment.js';
import { type CalibrationReport, calibrateModel } from '../pipeline/calibrate/calibrate.js';
import {
  TUNING_STEPS,
  type TuneOptions,
  type TuneReport,
  tunedSamples,
  tuneModel,
} from '../pipeline/calibrate/tune.js';
import { reportRow } from '../pipeline/quantize.js';
import { foldBatchNorm } from '../pipeline/transform/fold.js';
import type { TensorFlow } from '../tfjs/types.js';
import {
  type CodingFlags,
  common,
  type DataFlags,
  dataOptions,
  positive,
  UsageError,
  whole,
} from './options.js';
import { colour, count, json, note, progress, say, table } from './output.js';
import { foldingLine, keepsLayers, recipeOf } from './quantize.js';

interface Flags extends DataFlags, CodingFlags {
  readonly output: string;
  readonly recipe?: string;
  readonly seed: string;
  readonly fold: boolean;
  /** Steps, or true for the usual number. */
  readonly tune?: number | true;
  readonly augment?: string;
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

function augmentationsOf({ augment, tune }: Flags): Augmentation[] | undefined {
  if (augment === undefined) return undefined;
  if (tune === undefined) throw new UsageError('--augment needs --tune');
  if (augment === 'none') return [];
  return augment.split(',').map((name) => {
    const kind = AUGMENTATIONS.find((own) => own === name.trim());
    if (!kind)
      throw new UsageError(`--augment expected none or some of ${AUGMENTATIONS.join(', ')}, got ${name}`);
    return kind;
  });
}

async function calibrate(file: string, flags: Flags): Promise<void> {
  const augment = augmentationsOf(flags);
  const { scale: _inputs, ...coding } = flags;
  const recipe = recipeOf(coding);
  const seed = whole('seed', flags.seed);
  if (!/\.(safetensors|h5|hdf5|h5f|keras)$/i.test(flags.output)) {
    throw new UsageError(
      `--output expected a name ending in .safetensors, .h5 or .keras, got ${flags.output}`,
    );
  }
  requireOtherFile(file, flags.output);
  const samples = flags.limit ?? 2048;
  const kernels = await loadKernels();
  const model = await openKeras(file);
  const bar = progress(flags, 'calibrating', 'layers');
  try {
    const { loadBackend, openData } = await import('./data.js');
    const { dataset, preprocess, description } = await openData({ ...flags, limit: samples }, model);
    const { tf, backend } = await loadBackend(flags);
    say(flags, `${file} with ${description}, without labels; backend ${backend}, seed ${seed}\n`);
    const folding = flags.fold ? foldBatchNorm(model, { keepLayers: keepsLayers(flags.output) }) : undefined;
    const source = folding?.source ?? model;
    const options = { kernels, dataset, preprocess, seed, samples, batchSize: flags.batch };
    const { model: calibrated, report } = await calibrateModel(tf, source, recipe, {
      ...options,
      ...(flags.tune ? { samples: tunedSamples(Math.min(samples, dataset.count)) } : {}),
      onProgress: bar.update,
    });
    bar.stop();
    for (const warning of report.warnings) note(flags, warning);
    const tuned =
      flags.tune &&
      (await tune(tf, source, calibrated, flags, { ...options, ...(augment ? { augment } : {}) }));
    const quantized = tuned ? tuned.model : calibrated;
    const tensors = report.tensors.map((row) => reportRow(row, quantized, kernels, source.read(row.id)));
    await saveQuantized(quantized, model, flags.output);
    const folded = folding?.folded ?? [];
    json(flags, {
      ...{ input: file, output: flags.output, data: dataset.name, backend, seed, folded, ...report, tensors },
      ...(tuned ? { tuning: tuned.report } : {}),
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
    say(
      flags,
      `${count(report.quantizedParameters)} of ${count(report.parameters)} weights at ${report.bitsPerWeight.toFixed(2)} bits, scales included: ` +
        `${count(report.bytesBefore)} bytes of weights become ${count(report.bytesAfter)}`,
    );
    say(flags, `${colour.green('wrote')} ${flags.output}`);
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

export function addCalibrate(program: Command): void {
  const command = program
    .command('calibrate')
    .description(
      'fits 1, 2 or 4 bits to what each layer sees: far better than rounding, from unlabelled samples',
    )
    .argument('<file>', 'Keras .h5 or .keras')
    .requiredOption(
      '-o, --output <file>',
      '.safetensors: packed; .h5 or .keras: the same Keras file, decoded',
    )
    .option('--scheme <name>', 'binary, int2 or int4')
    .option('--granularity <name>', 'one scale per channel or group (default: channel)')
    .option('--group-size <n>', 'rows that share a scale, with --granularity group', positive)
    .option('--scale-dtype <type>', 'f32 or f16: how scales are stored (default: f32)')
    .option('--recipe <file>', 'JSON rules that choose a scheme by layer, class or weight')
    .option(
      '--tune [steps]',
      `then tune codes, scales and biases toward the float model's outputs (${TUNING_STEPS} steps)`,
      positive,
    )
    .option(
      '--augment <list>',
      `images changed while tuning: ${AUGMENTATIONS.join(', ')} or none (default: flip,cutmix)`,
    )
    .option('--seed <n>', 'of the positions that are sampled', '0')
    .option('--no-fold', 'leave batch normalizations as they are');
  common(dataOptions(command, { split: 'train', limit: '2048' })).action(calibrate);
}
