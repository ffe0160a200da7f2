import type { Command } from 'commander';
import { loadKernels } from '../kernels/index.js';
import { openKeras } from '../node/models.js';
import { loadTensorFlow } from '../node/tfjs.js';
import { type ComparisonRow, compare, VARIANTS } from '../pipeline/compare.js';
import { type DataFlags, dataOptions, openData } from './data.js';
import { common } from './options.js';
import { count, json, note, progress, say, table } from './output.js';

const cells = (row: ComparisonRow) => [
  row.name,
  count(row.bytes),
  `${row.ratio.toFixed(1)}x`,
  row.bitsPerWeight.toFixed(2),
  row.top1.toFixed(4),
  row.loss.toFixed(4),
  (100 * row.drop).toFixed(2),
];

/** The table of `compare` and `demo`. */
export async function compareFile(file: string, flags: DataFlags): Promise<void> {
  const kernels = await loadKernels();
  const model = await openKeras(file);
  try {
    const { dataset, preprocess, description } = await openData(flags, model);
    const { tf, backend, note: remark } = await loadTensorFlow();
    if (remark) note(flags, remark);
    say(flags, `${file} on ${description}, backend ${backend}\n`);
    const each = Math.min(flags.limit ?? dataset.count, dataset.count);
    const total = each * VARIANTS.length;
    const bar = progress(flags, 'evaluating', 'samples');
    const rows: ComparisonRow[] = [];
    try {
      const options = {
        batchSize: flags.batch,
        limit: flags.limit,
        preprocess,
        onProgress: (done: number) => bar.update(rows.length * each + done, total),
      };
      for await (const row of compare(tf, model, dataset, kernels, VARIANTS, options)) rows.push(row);
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
  } finally {
    model.close();
  }
}

export function addCompare(program: Command): void {
  const command = program
    .command('compare')
    .description('one table: the float model and every scheme, with bytes and accuracy')
    .argument('<file>', 'Keras .h5');
  common(dataOptions(command)).action(compareFile);
}
