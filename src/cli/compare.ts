import type { Command } from 'commander';
import { loadKernels } from '../kernels/index.js';
import { openDataset } from '../node/datasets.js';
import { openKeras } from '../node/models.js';
import { TUNING_STEPS } from '../pipeline/calibrate/tune.js';
import {
  CALIBRATED_VARIANTS,
  type ComparisonRow,
  compare,
  MIXED_VARIANT,
  tunedVariant,
  VARIANTS,
} from '../pipeline/compare.js';
import { common, type DataFlags, dataOptions, positive, UsageError } from './options.js';
import { count, json, progress, say, table } from './output.js';

const cells = (row: ComparisonRow) => [
  row.name,
  count(row.bytes),
  `${row.ratio.toFixed(1)}x`,
  row.bitsPerWeight.toFixed(2),
  row.top1.toFixed(4),
  row.loss.toFixed(4),
  (100 * row.drop).toFixed(2),
];

export interface CompareFlags extends DataFlags {
  /** Where the samples to calibrate with are; absent: no calibrated rows. */
  readonly calibrate?: string;
  readonly samples: number;
  /** Steps, or true for the usual number: adds a tuned row. */
  readonly tune?: number | true;
}

/** The table of `compare` and `demo`. */
export async function compareFile(file: string, flags: CompareFlags): Promise<void> {
  if (flags.tune && flags.calibrate === undefined) throw new UsageError('--tune needs --calibrate');
  const kernels = await loadKernels();
  const model = await openKeras(file);
  try {
    const { loadBackend, openData } = await import('./data.js');
    const { dataset, preprocess, description } = await openData(flags, model);
    const { tf, backend } = await loadBackend(flags);
    say(flags, `${file} on ${description}, backend ${backend}\n`);
    const each = Math.min(flags.limit ?? dataset.count, dataset.count);
    const data = flags.calibrate;
    const calibration =
      data === undefined
        ? undefined
        : { dataset: await openDataset(data, { split: 'train' }), samples: flags.samples };
    const tuned = flags.tune ? [tunedVariant(flags.tune === true ? TUNING_STEPS : flags.tune)] : [];
    const variants = calibration ? [...VARIANTS, ...CALIBRATED_VARIANTS, MIXED_VARIANT, ...tuned] : VARIANTS;
    const total = each * variants.length;
    const bar = progress(flags, 'evaluating', 'samples');
    const rows: ComparisonRow[] = [];
    try {
      const options = {
        batchSize: flags.batch,
        limit: flags.limit,
        preprocess,
        ...(calibration ? { calibration } : {}),
        onProgress: (done: number) => bar.update(rows.length * each + done, total),
      };
      for await (const row of compare(tf, model, dataset, kernels, variants, options)) rows.push(row);
    } finally {
      bar.stop();
    }
    json(flags, { file, data: dataset.name, preprocess, backend, samples: each, rows });
    say(
      flags,
      table(['Weights', 'Bytes', 'Ratio', 'Bits', 'Accuracy', 'Loss', 'Drop, points'], rows.map(cells)),
    );
    say(
      flags,
      '\nBytes: the whole packed file (for float32: the weights alone). Bits: per quantized weight, scales included.',
    );
    for (const { name, notes } of rows) for (const text of notes) say(flags, `${name}: ${text}`);
  } finally {
    model.close();
  }
}

export function addCompare(program: Command): void {
  const command = program
    .command('compare')
    .description('one table: the float model and every scheme, with bytes and accuracy')
    .argument('<file>', 'Keras .h5')
    .option('--calibrate <where>', 'training samples, labels not needed: adds calibrated rows')
    .option('--samples <n>', 'samples to calibrate with', positive, 2048)
    .option(
      '--tune [steps]',
      `with --calibrate: adds signs that are tuned as well (${TUNING_STEPS} steps), which takes minutes`,
      positive,
    );
  common(dataOptions(command)).action(compareFile);
}
