import { loadKernels } from '../kernels/index.js';
import { openKeras } from '../node/models.js';
import { isPartName } from '../node/packed.js';
import { writePart } from '../node/parts.js';
import { type PartNumber, WHOLE } from '../packed/part-number.js';
import { checkSamples } from '../pipeline/inputs.js';
import { measureReportPart, type ReportPart } from '../pipeline/report/measure.js';
import { mergeReports } from '../pipeline/report/parts.js';
import { placeRows } from '../pipeline/report/rows.js';
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
import { colour, json, note, say, trace } from './output.js';
import { checkOutput, noteReplaced } from './outputs.js';
import { dataFingerprint, jsonOf, requirePartName, runInfo } from './parts.js';
import { duration, type Progress, progress } from './progress.js';
import { giveReport, loadRenderer, sayRows } from './report-output.js';
import { documentOf, type ReportResult, wholeCommand } from './report-parts.js';
import { reproductionOf } from './reproduce.js';

interface Flags extends DataFlags {
  readonly output?: string;
  readonly calibrate?: readonly string[];
  readonly samples?: number;
  readonly mixes?: number;
  readonly seed: number;
  readonly within?: number;
  /** Some of the work is done, into a part, `output`. */
  readonly shard?: PartNumber;
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

export async function report(file: string, flags: Flags): Promise<void> {
  const { output, shard } = flags;
  requirePartName(output, shard);
  if (!shard && output !== undefined && isPartName(output))
    throw new UsageError(`--output expected a name ending in .html, got ${output}: parts are for --shard`);
  if (output === undefined && !flags.json)
    throw new UsageError('report expected --output FILE.html, or --json, or both');
  if (isNone(flags.calibrate) && flags.samples !== undefined)
    throw new UsageError('--samples and --calibrate none exclude each other');
  if (file === PIPE)
    throw new UsageError('report expected a file by its name: its page says of which file its numbers are');
  const { seed, mixes = 4, samples = 1024 } = flags;
  const replaces = output !== undefined && checkOutput(output, { input: file });
  const lacksTensorFlow = !isNone(flags.calibrate) && !canCalibrate(flags);
  const render = output === undefined || shard ? undefined : await loadRenderer(lacksTensorFlow);
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
    const measured = await measureReportPart(
      runner,
      model,
      {
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
      },
      shard ?? WHOLE,
    );
    bar.stop();
    for (const text of new Set(measured.warnings.map((warning) => warning.text))) note(flags, text);
    const command = shard ? wholeCommand(process.argv.slice(2)) : process.argv.slice(2);
    const result: ReportResult = {
      ...{ measured, ...(remark ? { remark } : {}) },
      ...(flags.within === undefined ? {} : { within: flags.within }),
      reproduce: await reproductionOf(tf, model, { backend, preprocessing, command }),
    };
    if (shard && output !== undefined) {
      const info = runInfo('report', shard, model, {
        data: dataFingerprint(dataset, held?.evaluated ?? limit),
        ...{ preprocess, backend: how, batch: flags.batch, seed, mixes, within: flags.within ?? null },
        calibration: held
          ? { data: dataFingerprint(held.dataset, held.samples), samples: held.samples }
          : null,
      });
      if (replaces) noteReplaced(flags, output);
      await writePart(output, info, jsonOf(result));
      json(flags, { output, replaces, ...measured });
      sayRows(flags, {
        rows: placeRows([measured.float, ...measured.rows.map(({ row }) => row)]),
        left: measured.about.left,
      });
      say(flags, `${colour.green('wrote')} ${output}, for merge`);
      return;
    }
    const document = documentOf(mergeReports([measured]), result);
    await giveReport(
      flags,
      document,
      output !== undefined && render ? { output, replaces, text: render(document) } : undefined,
    );
  } finally {
    bar.stop();
    model.close();
  }
}
