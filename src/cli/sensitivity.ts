import { type Dataset, samplesFrom } from '../data/index.js';
import { BitnibbleError } from '../errors.js';
import { loadKernels } from '../kernels/index.js';
import type { ModelSource, QuantizableModel } from '../model.js';
import { writePart } from '../node/parts.js';
import { type PartNumber, WHOLE } from '../packed/part-number.js';
import { type CalibrationOptions, calibrateModel } from '../pipeline/calibrate/calibrate.js';
import { evaluateModel } from '../pipeline/evaluate.js';
import { checkLabels } from '../pipeline/inputs.js';
import { chooseForBits, chooseForFile, type Mix, mixesOf, smallestWithin } from '../pipeline/mixed.js';
import { leastRows, measureSensitivityPart, type SensitivityReport } from '../pipeline/sensitivity.js';
import { mergeSensitivity } from '../pipeline/sensitivity-parts.js';
import { foldBatchNorm } from '../pipeline/transform/fold.js';
import type { SchemeName } from '../schemes/types.js';
import type { TensorFlow } from '../tfjs/types.js';
import { loadBackend, openData, requireTensorFlow } from './data.js';
import { openKerasInput } from './inputs.js';
import { type DataFlags, UsageError } from './options.js';
import { colour, count, json, note, say, trace } from './output.js';
import { checkOutput, noteReplaced } from './outputs.js';
import { dataFingerprint, requirePartName, runInfo } from './parts.js';
import { progress } from './progress.js';
import { chosenOf, sayMix, sensitivityTable, writeRecipe } from './sensitivity-output.js';
import { sensitivityResult } from './sensitivity-parts.js';

interface Flags extends DataFlags {
  readonly output?: string;
  readonly schemes: readonly SchemeName[];
  readonly bits?: number;
  readonly targetBytes?: number;
  readonly maxDrop?: number;
  readonly check?: number;
  readonly fold: boolean;
  /** Some of the layers are measured, into a part, `output`. */
  readonly shard?: PartNumber;
}

/** What is to be met; none: the table alone. */
type Goal =
  | { readonly bits: number }
  | { readonly targetBytes: number }
  | { readonly maxDrop: number }
  | undefined;

/** Samples that drops are checked on unless told otherwise. */
const CHECKED = 2000;

function goalOf({ bits, targetBytes, maxDrop, output, check, shard }: Flags): Goal {
  if (shard) {
    if (bits !== undefined)
      throw new UsageError(
        '--shard and --bits exclude each other: merge takes --bits, when all layers are measured',
      );
    for (const [option, value, what] of [
      ['--target-bytes', targetBytes, 'the model'],
      ['--max-drop', maxDrop, 'the model and the data'],
    ] as const)
      if (value !== undefined)
        throw new UsageError(
          `--shard and ${option} exclude each other: that is chosen when all layers are measured, by merge, which does not have ${what}; it takes --bits`,
        );
    requirePartName(output, shard);
    return undefined;
  }
  const given = [bits, targetBytes, maxDrop].filter((value) => value !== undefined);
  if (given.length > 1) throw new UsageError('--bits, --target-bytes and --max-drop exclude each other');
  if (given.length === 0 && output !== undefined)
    throw new UsageError('--output needs --bits, --target-bytes or --max-drop');
  if (check !== undefined && maxDrop === undefined) throw new UsageError('--check needs --max-drop');
  if (bits !== undefined) return { bits };
  if (targetBytes !== undefined) return { targetBytes };
  return maxDrop === undefined ? undefined : { maxDrop };
}

export async function sensitivity(path: string, flags: Flags): Promise<void> {
  const goal = goalOf(flags);
  const { schemes } = flags;
  const replaces = flags.output !== undefined && checkOutput(flags.output, { input: path });
  const samples = flags.limit ?? 1024;
  const kernels = await loadKernels();
  const keras = await openKerasInput(path);
  const bar = progress(flags, 'measuring', 'layers');
  try {
    trace(flags, `${keras.file}: opened`);
    requireTensorFlow(flags, 'sensitivity calibrates each layer');
    const { dataset, preprocess, description } = await openData({ ...flags, limit: samples }, keras);
    const held =
      goal && 'maxDrop' in goal ? behind(keras, dataset, samples, flags.check ?? CHECKED) : undefined;
    const { tf, backend } = await loadBackend(flags);
    const model = flags.fold ? foldBatchNorm(keras).source : keras;
    say(flags, `${keras.file} with ${description}, without labels; backend ${backend}\n`);
    const options = { kernels, dataset, preprocess, samples, batchSize: flags.batch };
    if (goal && 'maxDrop' in goal === false) {
      // A budget below the fewest bits of all is refused before anything is measured.
      const least = await leastRows(tf, model, { kernels, schemes });
      if ('bits' in goal) chooseForBits(least, goal.bits);
      else chooseForFile(least, goal.targetBytes, model, kernels);
    }
    const measured = { file: path, data: dataset.name, preprocess, backend };
    const all = { ...options, schemes, onProgress: bar.update };
    const part = await measureSensitivityPart(tf, model, all, flags.shard ?? WHOLE);
    bar.stop();
    for (const warning of part.warnings) note(flags, warning);
    if (flags.shard && flags.output !== undefined) {
      const info = runInfo('sensitivity', flags.shard, keras, {
        data: dataFingerprint(dataset, samples),
        ...{ preprocess, backend, batch: flags.batch, schemes, samples, fold: flags.fold },
      });
      if (replaces) noteReplaced(flags, flags.output);
      await writePart(flags.output, info, sensitivityResult(measured, schemes, part));
      const { rows, count: _, ...rest } = part;
      const report = { ...rest, rows: rows.map(({ row }) => row) };
      json(flags, { ...measured, ...report, output: flags.output, replaces });
      say(flags, () => sensitivityTable(report, schemes));
      say(flags, `${colour.green('wrote')} ${flags.output}, for merge`);
      return;
    }
    const report = mergeSensitivity([part]);
    say(flags, () => sensitivityTable(report, schemes));
    let mix: Mix | undefined;
    let drop: number | undefined;
    if (goal && 'bits' in goal) mix = chooseForBits(report.rows, goal.bits);
    if (goal && 'targetBytes' in goal) mix = chooseForFile(report.rows, goal.targetBytes, model, kernels);
    if (goal && 'maxDrop' in goal && held) {
      const search = { tf, model, options, held, flags };
      ({ mix, drop } = await mixForDrop(search, report, goal.maxDrop));
    }
    if (mix && flags.output !== undefined) {
      if (replaces) noteReplaced(flags, flags.output);
      await writeRecipe(flags.output, mix);
    }
    json(flags, {
      ...measured,
      ...report,
      ...(flags.output === undefined ? {} : { output: flags.output, replaces }),
      ...(mix ? { chosen: chosenOf(mix, drop) } : {}),
    });
    sayMix(flags, mix, flags.output, drop);
  } finally {
    bar.stop();
    keras.close();
  }
}

interface DropSearch {
  readonly tf: TensorFlow;
  readonly model: QuantizableModel;
  readonly options: CalibrationOptions & { readonly samples: number };
  /** Labelled samples behind those that calibration takes. */
  readonly held: Dataset;
  readonly flags: Flags;
}

/** Calibrates and evaluates mixes by bisection, on labelled samples behind those that calibration takes. */
async function mixForDrop(
  { tf, model, options, held, flags }: DropSearch,
  report: SensitivityReport,
  maxDrop: number,
): Promise<{ mix: Mix; drop: number }> {
  const { preprocess, batchSize } = options;
  const evaluation = { preprocess, batchSize };
  const float = await evaluateModel(tf, model, held, evaluation);
  const bar = progress(flags, 'calibrating', 'layers');
  try {
    return await smallestWithin(mixesOf(report.rows), maxDrop, async (mix) => {
      const calibrated = await calibrateModel(tf, model, mix.recipe, { ...options, onProgress: bar.update });
      const { top1 } = await evaluateModel(tf, calibrated.model, held, evaluation);
      bar.stop();
      const drop = float.top1 - top1;
      say(
        flags,
        `${mix.bitsPerWeight.toFixed(3)} bits per weight: ${(100 * drop).toFixed(2)} points below float on ${count(held.count)} samples`,
      );
      return drop;
    });
  } finally {
    bar.stop();
  }
}

/** Labelled samples behind those that calibration takes. */
function behind(model: ModelSource, dataset: Dataset, from: number, count: number): Dataset {
  const there = Math.min(count, dataset.count - from);
  if (!dataset.labels || there < 1) {
    throw new BitnibbleError(
      'data-mismatch',
      `${model.file} and ${dataset.name}: --max-drop expected labelled samples behind the ${from} to calibrate with, got ${
        dataset.labels ? `${dataset.count} in all` : 'no labels'
      }`,
    );
  }
  const held = samplesFrom(dataset, from, there);
  checkLabels(model, held, there);
  return held;
}
