import type { Command } from 'commander';
import { BitnibbleError } from '../errors.js';
import { loadKernels } from '../kernels/index.js';
import { openDataset } from '../node/datasets.js';
import { requireOtherFile, writeFile } from '../node/files.js';
import { openKeras } from '../node/models.js';
import { measureReport, type ReportPart } from '../pipeline/report/measure.js';
import type { ReportRow } from '../pipeline/report/types.js';
import type { ReportDocument } from '../report/types.js';
import { common, type DataFlags, dataOptions, positive, UsageError, whole } from './options.js';
import { colour, count, json, note, type Progress, progress, say, table } from './output.js';

interface Flags extends DataFlags {
  readonly output?: string;
  readonly calibrate?: string;
  readonly samples: number;
  readonly mixes: string;
  readonly seed: string;
}

const PARTS: Readonly<Record<ReportPart, readonly [label: string, unit: string]>> = {
  float: ['float model', 'samples'],
  rounding: ['rounded without data', 'samples'],
  sensitivity: ['each layer alone', 'layers'],
  calibration: ['calibrated and mixed', 'samples'],
  activations: ['activations', 'layers'],
  histograms: ['histograms', 'kernels'],
};

type Renderer = (report: ReportDocument) => string;

/** Loaded before the work: it would be a pity to miss it afterwards. */
async function loadRenderer(): Promise<Renderer> {
  try {
    return (await import('../report/page.js')).renderReport;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new BitnibbleError(
      'no-plot',
      `the figures need two packages that did not load (${message.split('\n', 1)[0]}): run "npm install @observablehq/plot linkedom", or take the numbers alone with --json and without --output`,
      { cause: error },
    );
  }
}

/** One bar after the other. */
function bars(flags: Flags) {
  let part: ReportPart | undefined;
  let bar: Progress | undefined;
  return {
    update(own: ReportPart, done: number, total: number): void {
      if (own !== part) {
        bar?.stop();
        bar = progress(flags, ...PARTS[own]);
        part = own;
      }
      bar?.update(done, total);
    },
    stop: () => bar?.stop(),
  };
}

function rowCells(row: ReportRow): string[] {
  const { classes } = row;
  return [
    row.isPareto ? '*' : '',
    row.name,
    count(row.bytes),
    `${row.ratio.toFixed(1)}x`,
    row.bitsPerWeight.toFixed(2),
    classes ? classes.top1.toFixed(4) : '',
    classes ? (100 * classes.drop).toFixed(2) : '',
    row.divergence === null ? 'not finite' : row.divergence.toPrecision(3),
  ];
}

async function report(file: string, flags: Flags): Promise<void> {
  const { output } = flags;
  if (output === undefined && !flags.json)
    throw new UsageError('report expected --output FILE.html, or --json, or both');
  if (output !== undefined && !/\.html?$/i.test(output))
    throw new UsageError(`--output expected a name ending in .html, got ${output}`);
  const seed = whole('seed', flags.seed);
  const mixes = whole('mixes', flags.mixes, 64);
  if (output !== undefined) requireOtherFile(file, output);
  const render = output === undefined ? undefined : await loadRenderer();
  const kernels = await loadKernels();
  const model = await openKeras(file);
  const bar = bars(flags);
  try {
    const { loadBackend, openData } = await import('./data.js');
    const { heldBack } = await import('./held-back.js');
    const { reproductionOf } = await import('./reproduce.js');
    const { dataset, preprocess, description, preprocessing } = await openData(flags, model);
    const { calibrate, samples, data: where, split } = flags;
    const limit = flags.limit ?? dataset.count;
    const held =
      calibrate === 'none'
        ? undefined
        : calibrate === undefined
          ? await heldBack({ where, split, dataset, limit, samples })
          : {
              dataset: await openDataset(calibrate, { split: 'train' }),
              ...{ samples, evaluated: Math.min(limit, dataset.count) },
            };
    const { tf, backend } = await loadBackend(flags);
    say(flags, `${file} on ${description}, backend ${backend}, seed ${seed}\n`);
    const remark = held && 'note' in held ? held.note : undefined;
    if (remark) note(flags, remark);
    const measured = await measureReport(tf, model, {
      ...{ kernels, dataset, preprocess, seed, mixes, batchSize: flags.batch },
      limit: held?.evaluated ?? limit,
      ...(held ? { calibration: { dataset: held.dataset, samples: held.samples } } : {}),
      onProgress: bar.update,
    });
    bar.stop();
    for (const warning of measured.warnings) note(flags, warning);
    const document: ReportDocument = {
      ...measured,
      ...(remark ? { warnings: [...measured.warnings, remark] } : {}),
      reproduce: await reproductionOf(tf, model, backend, preprocessing),
    };
    if (output !== undefined && render) {
      const page = render(document);
      await writeFile(output, [new TextEncoder().encode(page)]);
    }
    json(flags, document);
    say(
      flags,
      table(
        ['', 'Weights', 'Bytes', 'Ratio', 'Bits', 'Accuracy', 'Drop, points', 'Divergence'],
        document.rows.map(rowCells),
      ),
    );
    say(flags, '\n*: on the Pareto front of bytes and accuracy (without classes: of bytes and divergence).');
    for (const left of document.left) say(flags, `Left out: ${left}`);
    if (output !== undefined) say(flags, `${colour.green('wrote')} ${output}`);
  } finally {
    bar.stop();
    model.close();
  }
}

export function addReport(program: Command): void {
  const command = program
    .command('report')
    .description(
      'one self-contained page: accuracy against bytes, classes, layers, weights, activations, and how to get it again',
    )
    .argument('<file>', 'Keras .h5 or .keras')
    .option('-o, --output <file>', '.html: the page; with --json alone it may be left out')
    .option(
      '--calibrate <where>',
      'samples to calibrate with, labels not needed, or none (default: the training samples of --data, else some of its samples, which are not evaluated then)',
    )
    .option('--samples <n>', 'samples to calibrate with', positive, 1024)
    .option('--mixes <n>', 'mixtures of schemes between the fewest bits and the most', '4')
    .option('--seed <n>', 'of the positions that are sampled', '0');
  common(dataOptions(command)).action(report);
}
