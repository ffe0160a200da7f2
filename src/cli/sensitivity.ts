import type { Command } from 'commander';
import { type Dataset, samplesFrom } from '../data/index.js';
import { BitnibbleError } from '../errors.js';
import { loadKernels } from '../kernels/index.js';
import type { QuantizableModel } from '../model.js';
import { requireOtherFile, writeFile } from '../node/files.js';
import { openKeras } from '../node/models.js';
import { type CalibrationOptions, calibrateModel } from '../pipeline/calibrate/calibrate.js';
import { evaluateModel } from '../pipeline/evaluate.js';
import {
  chooseForBits,
  chooseForFile,
  type Mix,
  mixesOf,
  smallestWithin,
  summaryOf,
} from '../pipeline/mixed.js';
import { measureSensitivity, type SensitivityReport } from '../pipeline/sensitivity.js';
import { foldBatchNorm } from '../pipeline/transform/fold.js';
import type { SchemeName } from '../schemes/types.js';
import type { TensorFlow } from '../tfjs/types.js';
import { common, type DataFlags, dataOptions, positive, UsageError } from './options.js';
import { colour, count, json, note, progress, say, table } from './output.js';

interface Flags extends DataFlags {
  readonly output?: string;
  readonly schemes: string;
  readonly bits?: string;
  readonly targetBytes?: number;
  readonly maxDrop?: string;
  readonly check: number;
  readonly fold: boolean;
}

/** What is to be met; none: the table alone. */
type Goal =
  | { readonly bits: number }
  | { readonly targetBytes: number }
  | { readonly maxDrop: number }
  | undefined;

const SCHEMES: readonly SchemeName[] = ['binary', 'int2', 'int4'];

function goalOf({ bits, targetBytes, maxDrop, output }: Flags): Goal {
  const given = [bits, targetBytes, maxDrop].filter((value) => value !== undefined);
  if (given.length > 1) throw new UsageError('--bits, --target-bytes and --max-drop exclude each other');
  if (given.length === 0 && output !== undefined)
    throw new UsageError('--output needs --bits, --target-bytes or --max-drop');
  const number = (name: string, text: string, most: number) => {
    const value = Number(text);
    if (text.trim() === '' || !(value >= 0 && value <= most))
      throw new UsageError(`--${name} expected a number from 0 to ${most}, got ${text}`);
    return value;
  };
  if (bits !== undefined) return { bits: number('bits', bits, 32) };
  if (targetBytes !== undefined) return { targetBytes };
  if (maxDrop !== undefined) return { maxDrop: number('max-drop', maxDrop, 1) };
  return undefined;
}

function schemesOf(text: string): SchemeName[] {
  const names = text.split(',').map((name) => name.trim());
  for (const name of names) {
    if (!SCHEMES.some((scheme) => scheme === name))
      throw new UsageError(`--schemes expected some of ${SCHEMES.join(', ')}, got ${name}`);
  }
  return SCHEMES.filter((scheme) => names.includes(scheme));
}

async function sensitivity(path: string, flags: Flags): Promise<void> {
  const goal = goalOf(flags);
  const schemes = schemesOf(flags.schemes);
  if (flags.output !== undefined) requireOtherFile(path, flags.output);
  const samples = flags.limit ?? 1024;
  const kernels = await loadKernels();
  const keras = await openKeras(path);
  const bar = progress(flags, 'measuring', 'layers');
  try {
    const { loadBackend, openData } = await import('./data.js');
    const { dataset, preprocess, description } = await openData({ ...flags, limit: samples }, keras);
    const { tf, backend } = await loadBackend(flags);
    const model = flags.fold ? foldBatchNorm(keras).source : keras;
    say(flags, `${path} with ${description}, without labels; backend ${backend}\n`);
    const options = { kernels, dataset, preprocess, samples, batchSize: flags.batch };
    const report = await measureSensitivity(tf, model, { ...options, schemes, onProgress: bar.update });
    bar.stop();
    for (const warning of report.warnings) note(flags, warning);
    say(flags, sensitivityTable(report, schemes));
    let mix: Mix | undefined;
    let drop: number | undefined;
    if (goal && 'bits' in goal) mix = chooseForBits(report.rows, goal.bits);
    if (goal && 'targetBytes' in goal) mix = chooseForFile(report.rows, goal.targetBytes, model, kernels);
    if (goal && 'maxDrop' in goal) {
      const search = { tf, model, options, check: flags.check, flags };
      ({ mix, drop } = await mixForDrop(search, report, goal.maxDrop));
    }
    if (mix && flags.output !== undefined) {
      const text = `${JSON.stringify(mix.recipe, undefined, 2)}\n`;
      await writeFile(flags.output, [new TextEncoder().encode(text)]);
    }
    const chosen = mix && {
      ...{
        recipe: mix.recipe,
        bytes: mix.bytes,
        bitsPerWeight: mix.bitsPerWeight,
        divergence: mix.divergence,
      },
      ...(drop === undefined ? {} : { drop }),
    };
    json(flags, {
      file: path,
      data: dataset.name,
      preprocess,
      backend,
      ...report,
      ...(chosen ? { chosen } : {}),
    });
    if (!mix) return;
    const rows = mix.chosen.map((row) => [
      row.layer,
      row.scheme,
      count(row.bytes),
      row.divergence.toPrecision(3),
    ]);
    say(flags, `\n${table(['Layer', 'Chosen', 'Bytes', 'Divergence'], rows)}`);
    say(
      flags,
      `\n${summaryOf(mix)}: ${count(mix.bytes)} bytes of codes and scales, ${mix.bitsPerWeight.toFixed(3)} bits per weight` +
        (drop === undefined ? '' : `, ${(100 * drop).toFixed(2)} points below float on the samples checked`),
    );
    if (flags.output === undefined) say(flags, JSON.stringify(mix.recipe));
    else say(flags, `${colour.green('wrote')} ${flags.output}, for calibrate --recipe`);
  } finally {
    bar.stop();
    keras.close();
  }
}

/** A row for each layer: what each scheme saves and costs. */
function sensitivityTable({ rows }: SensitivityReport, schemes: readonly SchemeName[]): string {
  const layers = [...new Set(rows.map(({ layer }) => layer))];
  const body = layers.map((layer) => {
    const own = rows.filter((row) => row.layer === layer);
    const [{ parameters, fallback }] = own as [(typeof own)[number]];
    return [
      layer + (fallback ? ' (without data)' : ''),
      count(parameters),
      ...own.map(({ saved }) => count(saved)),
      ...own.map((row) => row.divergence.toPrecision(3)),
    ];
  });
  return table(
    [
      ...['Layer', 'Weights'],
      ...schemes.map((scheme) => `Saved, ${scheme}`),
      ...schemes.map((scheme) => `Divergence, ${scheme}`),
    ],
    body,
  );
}

interface DropSearch {
  readonly tf: TensorFlow;
  readonly model: QuantizableModel;
  readonly options: CalibrationOptions & { readonly samples: number };
  readonly check: number;
  readonly flags: Flags;
}

/** Calibrates and evaluates mixes by bisection, on labelled samples behind those that calibration takes. */
async function mixForDrop(
  { tf, model, options, check, flags }: DropSearch,
  report: SensitivityReport,
  maxDrop: number,
): Promise<{ mix: Mix; drop: number }> {
  const { dataset, preprocess, samples, batchSize } = options;
  const held = behind(dataset, samples, check, model.file);
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
function behind(dataset: Dataset, from: number, count: number, file: string): Dataset {
  const there = Math.min(count, dataset.count - from);
  if (!dataset.labels || there < 1) {
    throw new BitnibbleError(
      'data-mismatch',
      `${file} and ${dataset.name}: --max-drop expected labelled samples behind the ${from} to calibrate with, got ${
        dataset.labels ? `${dataset.count} in all` : 'no labels'
      }`,
    );
  }
  return samplesFrom(dataset, from, there);
}

export function addSensitivity(program: Command): void {
  const command = program
    .command('sensitivity')
    .description(
      'each layer alone at each scheme: bytes saved, outputs moved; chooses a scheme for each layer',
    )
    .argument('<file>', 'Keras .h5 or .keras')
    .option('--schemes <list>', 'schemes to try', SCHEMES.join())
    .option('--bits <n>', 'choose: this many bits per weight on average at most, scales included')
    .option('--target-bytes <n>', 'choose: a packed file of at most this many bytes', positive)
    .option(
      '--max-drop <share>',
      'choose: the fewest bytes that lose at most this share of accuracy; needs labels',
    )
    .option('--check <n>', 'samples behind those to calibrate with, for --max-drop', positive, 2000)
    .option('-o, --output <file>', 'writes the recipe chosen, for calibrate and quantize --recipe')
    .option('--no-fold', 'leave batch normalizations as they are');
  common(dataOptions(command, { split: 'train', limit: '1024' })).action(sensitivity);
}
