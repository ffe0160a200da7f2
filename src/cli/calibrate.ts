import type { Command } from 'commander';
import { loadKernels } from '../kernels/index.js';
import { requireOtherFile } from '../node/files.js';
import { openKeras, saveQuantized } from '../node/models.js';
import { type CalibrationReport, calibrateModel } from '../pipeline/calibrate/calibrate.js';
import { foldBatchNorm } from '../pipeline/transform/fold.js';
import { type CodingFlags, common, type DataFlags, dataOptions, positive, UsageError } from './options.js';
import { colour, count, json, note, progress, say, table } from './output.js';
import { recipeOf } from './quantize.js';

interface Flags extends DataFlags, CodingFlags {
  readonly output: string;
  readonly recipe?: string;
  readonly seed: string;
  readonly fold: boolean;
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

async function calibrate(file: string, flags: Flags): Promise<void> {
  const { scale: _inputs, ...coding } = flags;
  const recipe = recipeOf(coding);
  const seed = Number(flags.seed);
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new UsageError(`--seed expected a whole number of at least 0, got ${flags.seed}`);
  }
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
    // A Keras file keeps its layers; a packed one has an architecture of its own.
    const keepLayers = !/\.safetensors$/i.test(flags.output);
    const folding = flags.fold ? foldBatchNorm(model, { keepLayers }) : undefined;
    const { model: quantized, report } = await calibrateModel(tf, folding?.source ?? model, recipe, {
      ...{ kernels, dataset, preprocess, seed },
      samples,
      batchSize: flags.batch,
      onProgress: bar.update,
    });
    bar.stop();
    for (const warning of report.warnings) note(flags, warning);
    await saveQuantized(quantized, model, flags.output);
    const folded = folding?.folded ?? [];
    json(flags, { input: file, output: flags.output, data: dataset.name, backend, seed, folded, ...report });
    say(flags, calibrationTable(report));
    const { calibrated, dataFree } = report.divergence;
    say(
      flags,
      `\nOutputs diverge from the float model's by ${calibrated.toPrecision(3)}, without data by ${dataFree.toPrecision(3)} ` +
        `(nats for classifiers), on the ${count(report.samples)} samples given; ${report.seconds.toFixed(0)} s`,
    );
    if (folded.length > 0)
      say(flags, `${folded.length} batch normalizations were folded into the layers before them`);
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
    .option('--seed <n>', 'of the positions that are sampled', '0')
    .option('--no-fold', 'leave batch normalizations as they are');
  common(dataOptions(command, { split: 'train', limit: '2048' })).action(calibrate);
}
