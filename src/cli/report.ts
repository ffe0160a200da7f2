import { BitnibbleError } from '../errors.js';
import { loadKernels } from '../kernels/index.js';
import { writeFile } from '../node/files.js';
import { openKeras } from '../node/models.js';
import { TENSORFLOW_PACKAGES } from '../node/tfjs.js';
import { checkSamples } from '../pipeline/inputs.js';
import { measureReport, type ReportPart } from '../pipeline/report/measure.js';
import type { ReportRow } from '../pipeline/report/types.js';
import type { ReportDocument } from '../report/types.js';
import {
  canCalibrate,
  chooseBackends,
  networkInputs,
  openData,
  openMore,
  requireTensorFlow,
} from './data.js';
import { heldBack } from './held-back.js';
import { PIPE } from './inputs.js';
import { type DataFlags, UsageError } from './options.js';
import { colour, count, json, note, say, trace } from './output.js';
import { checkOutput, noteReplaced } from './outputs.js';
import { duration, type Progress, progress } from './progress.js';
import { reproductionOf } from './reproduce.js';
import { table } from './table.js';

interface Flags extends DataFlags {
  readonly output?: string;
  readonly calibrate?: readonly string[];
  readonly samples?: number;
  readonly mixes?: number;
  readonly seed: number;
  readonly within?: number;
}

const PARTS: Readonly<Record<ReportPart, readonly [label: string, unit: string]>> = {
  float: ['float model', 'samples'],
  first: ['one row calibrated', 'layers'],
  rounding: ['rounded without data', 'samples'],
  sensitivity: ['each layer alone', 'layers'],
  calibration: ['calibrated and mixed', 'samples'],
  activations: ['activations', 'layers'],
  histograms: ['histograms', 'kernels'],
};

/** `--calibrate none` */
const isNone = (calibrate: readonly string[] | undefined) =>
  calibrate?.length === 1 && calibrate[0] === 'none';

type Renderer = (report: ReportDocument) => string;

/** Loaded before the work: it would be a pity to miss it afterwards. */
async function loadRenderer(flags: Flags): Promise<Renderer> {
  try {
    return (await import('../report/page.js')).renderReport;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ERR_MODULE_NOT_FOUND') throw error;
    // What calibration lacks as well is said at once.
    const too = isNone(flags.calibrate) || canCalibrate(flags) ? '' : ` ${TENSORFLOW_PACKAGES}`;
    throw new BitnibbleError(
      'no-plot',
      `the figures need two packages that did not load (${message.split('\n', 1)[0]}): run "npm install @observablehq/plot linkedom${too}", or take the numbers alone with --json and without --output`,
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

export async function report(file: string, flags: Flags): Promise<void> {
  const { output } = flags;
  if (output === undefined && !flags.json)
    throw new UsageError('report expected --output FILE.html, or --json, or both');
  if (isNone(flags.calibrate) && flags.samples !== undefined)
    throw new UsageError('--samples and --calibrate none exclude each other');
  if (file === PIPE)
    throw new UsageError('report expected a file by its name: its page says of which file its numbers are');
  const { seed, mixes = 4, samples = 1024 } = flags;
  const replaces = output !== undefined && checkOutput(output, { input: file });
  const render = output === undefined ? undefined : await loadRenderer(flags);
  const kernels = await loadKernels();
  const model = await openKeras(file);
  const bar = bars(flags);
  try {
    trace(flags, `${file}: opened`);
    if (!isNone(flags.calibrate))
      requireTensorFlow(flags, 'report without --calibrate none calibrates layers');
    const data = await openData(flags, model);
    const { dataset, preprocess, description, preprocessing } = data;
    const { calibrate, data: where, split } = flags;
    const limit = flags.limit ?? dataset.count;
    const held = isNone(calibrate)
      ? undefined
      : calibrate === undefined
        ? await heldBack({ where, split, dataset, limit, samples, inputs: networkInputs(model) })
        : {
            dataset: await openMore(flags, calibrate, 'train', model, data),
            ...{ samples, evaluated: Math.min(limit, dataset.count) },
          };
    if (held) checkSamples(model, held.dataset, preprocess);
    const { runner, backend, tf, how } = await chooseBackends(flags, model, held !== undefined);
    say(flags, `${file} on ${description}, backend ${how}, seed ${seed}\n`);
    const remark = held && 'note' in held ? held.note : undefined;
    if (remark) note(flags, remark);
    const measured = await measureReport(runner, model, {
      ...{ kernels, dataset, preprocess, seed, mixes, batchSize: flags.batch },
      limit: held?.evaluated ?? limit,
      ...(held
        ? { calibration: { dataset: held.dataset, samples: held.samples, ...(tf ? { tf } : {}) } }
        : {}),
      onEstimate: (seconds) =>
        say(
          flags,
          `The float model is evaluated${held ? ' and one row calibrated' : ''}; the rest takes about ${duration(seconds)}.`,
        ),
      onProgress: bar.update,
    });
    bar.stop();
    for (const warning of measured.warnings) note(flags, warning);
    const document: ReportDocument = {
      ...measured,
      ...(remark ? { warnings: [...measured.warnings, remark] } : {}),
      ...(flags.within === undefined ? {} : { within: flags.within }),
      reproduce: await reproductionOf(tf, model, backend, preprocessing),
    };
    if (output !== undefined && render) {
      const page = render(document);
      if (replaces) noteReplaced(flags, output);
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
