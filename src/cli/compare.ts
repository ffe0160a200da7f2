import { loadKernels } from '../kernels/index.js';
import { writePart } from '../node/parts.js';
import type { PartNumber } from '../packed/part-number.js';
import { rehearse } from '../pipeline/calibrate/rehearse.js';
import { TUNING_STEPS } from '../pipeline/calibrate/tune.js';
import {
  CALIBRATED_VARIANTS,
  type ComparisonRow,
  compare,
  MIXED_VARIANT,
  tunedVariant,
  VARIANTS,
} from '../pipeline/compare.js';
import { foldBatchNorm } from '../pipeline/transform/fold.js';
import { chooseBackends, openData, openMore, requireLabels, requireTensorFlow } from './data.js';
import { openKerasInput } from './inputs.js';
import { type DataFlags, UsageError } from './options.js';
import { type CommonOptions, count, json, note, say, trace } from './output.js';
import { checkOutput, modelBytes } from './outputs.js';
import { dataFingerprint, jsonOf, requirePartName, runInfo } from './parts.js';
import { progress } from './progress.js';
import { table } from './table.js';

const cells = (row: ComparisonRow) => [
  row.name,
  count(row.bytes),
  `${row.ratio.toFixed(1)}x`,
  row.bitsPerWeight.toFixed(2),
  row.top1.toFixed(4),
  row.loss.toFixed(4),
  (100 * row.drop).toFixed(2),
];

/** Samples to calibrate with unless told otherwise. */
const SAMPLES = 2048;

export interface CompareFlags extends DataFlags {
  /** Where the samples to calibrate with are; absent: no calibrated rows. */
  readonly calibrate?: readonly string[];
  /** Default 2048. */
  readonly samples?: number;
  /** Steps, or true for the usual number: adds a tuned row. */
  readonly tune?: number | true;
  /** Some of the rows are written to a part, `output`. */
  readonly shard?: PartNumber;
  readonly output?: string;
}

/** What `compare --json` prints. */
export interface Comparison {
  readonly file: string;
  readonly bytes: number;
  readonly data: string;
  readonly preprocess: unknown;
  readonly backend: string;
  readonly samples: number;
  readonly rows: readonly ComparisonRow[];
  readonly warnings: readonly string[];
}

/** The table, and what stands below it. */
export function sayComparison(flags: CommonOptions, { rows }: Comparison): void {
  say(
    flags,
    table(['Weights', 'Bytes', 'Ratio', 'Bits', 'Accuracy', 'Loss', 'Drop, points'], rows.map(cells)),
  );
  say(
    flags,
    '\nBytes: the whole packed file (for float32: the weights alone). Bits: per quantized weight, scales included.',
  );
  for (const { name, notes } of rows) for (const text of notes) say(flags, `${name}: ${text}`);
}

/** The table of `compare` and `demo`. */
export async function compareFile(file: string, flags: CompareFlags): Promise<void> {
  if (flags.tune && flags.calibrate === undefined) throw new UsageError('--tune needs --calibrate');
  const kernels = await loadKernels();
  const model = await openKerasInput(file);
  try {
    trace(flags, `${model.file}: opened`);
    if (flags.calibrate !== undefined)
      requireTensorFlow(flags, '--calibrate fits layers to what they compute');
    const data = await openData(flags, model);
    const { dataset, preprocess, description } = data;
    requireLabels(model, dataset, flags.limit);
    const calibration =
      flags.calibrate === undefined
        ? undefined
        : {
            dataset: await openMore(flags, flags.calibrate, 'train', model, data),
            samples: flags.samples ?? SAMPLES,
          };
    const { runner, backend, tf, how } = await chooseBackends(flags, model, calibration !== undefined);
    if (tf && calibration && flags.tune)
      await rehearse(tf, foldBatchNorm(model).source, { kernels, preprocess, ...calibration });
    say(flags, `${model.file}, ${count(modelBytes(model))} bytes, on ${description}, backend ${how}\n`);
    const each = Math.min(flags.limit ?? dataset.count, dataset.count);
    const tuned = flags.tune ? [tunedVariant(flags.tune === true ? TUNING_STEPS : flags.tune)] : [];
    const all = calibration ? [...VARIANTS, ...CALIBRATED_VARIANTS, MIXED_VARIANT, ...tuned] : VARIANTS;
    const { shard, output } = flags;
    // In turn, since rows that take long stand together.
    const variants = shard ? all.filter((_, i) => i % shard.parts === shard.part - 1) : all;
    const total = each * variants.length;
    const bar = progress(flags, 'evaluating', 'samples');
    const rows: ComparisonRow[] = [];
    const warnings = new Set<string>();
    try {
      const options = {
        batchSize: flags.batch,
        limit: flags.limit,
        preprocess,
        ...(calibration ? { calibration: { ...calibration, ...(tf ? { tf } : {}) } } : {}),
        onWarning: (text: string) => warnings.add(text),
        onProgress: (done: number) => bar.update(rows.length * each + done, total),
      };
      for await (const row of compare(runner, model, dataset, kernels, variants, options)) rows.push(row);
    } finally {
      bar.stop();
    }
    for (const text of warnings) note(flags, text);
    const comparison: Comparison = {
      ...{ file, bytes: modelBytes(model), data: dataset.name, preprocess, backend },
      ...{ samples: each, rows, warnings: [...warnings] },
    };
    if (shard && output !== undefined) {
      const info = runInfo('compare', shard, model, {
        data: dataFingerprint(dataset, each),
        ...{ preprocess, backend: how, batch: flags.batch, tune: flags.tune ?? null },
        calibration: calibration
          ? { data: dataFingerprint(calibration.dataset, calibration.samples), samples: calibration.samples }
          : null,
      });
      await writePart(output, info, jsonOf(comparison));
    }
    json(flags, comparison);
    sayComparison(flags, comparison);
  } finally {
    model.close();
  }
}

/** The command `compare`. */
export async function compareCommand(file: string, flags: CompareFlags): Promise<void> {
  if (flags.calibrate === undefined && flags.samples !== undefined)
    throw new UsageError('--samples needs --calibrate');
  requirePartName(flags.output, flags.shard);
  if (flags.output !== undefined && !flags.shard)
    throw new UsageError('--output needs --shard: without it compare prints its table');
  if (flags.output !== undefined) checkOutput(flags.output, { input: file });
  await compareFile(file, flags);
}
