// What each scheme costs in accuracy: rounded, calibrated, mixed, tuned; with the time it takes and the memory.
//
//   npm run bench:accuracy -- [--data WHERE] [--model FILE]... [--samples N] [--steps N] [--seed N] [--limit N] [--only TEXT]
//
// Every row is a process of its own, so that its peak memory is its own, too; the time is of the quantization alone, not of
// the evaluation behind it. Models: those named, else examples/cifar10 and examples/mobilenet. Data: a folder of CIFAR-10's binary
// release, else `cifar10`, which is downloaded once, checked and kept. The first samples of the training half of the data are all
// that is looked at, without labels: of 2,048, 1,820 are fitted to, and 227 decide which form is kept. Accuracy is of the test half.

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { table } from '../src/cli/table.js';
import { type Dataset, samplesFrom } from '../src/data/index.js';
import { loadKernels } from '../src/kernels/index.js';
import { openDataset } from '../src/node/datasets.js';
import { openKeras } from '../src/node/models.js';
import { loadTensorFlow } from '../src/node/tfjs.js';
import { TUNING_STEPS } from '../src/pipeline/calibrate/tune.js';
import { applyVariant, MIXED_VARIANT, type Variant } from '../src/pipeline/compare.js';
import { evaluateModel } from '../src/pipeline/evaluate.js';
import { scalesItself } from '../src/pipeline/input-range.js';
import type { SchemeName } from '../src/schemes/types.js';

const { values: flags } = parseArgs({
  options: {
    data: { type: 'string', default: 'cifar10' },
    model: { type: 'string', multiple: true, default: [] },
    samples: { type: 'string', default: '2048' },
    steps: { type: 'string', default: String(TUNING_STEPS) },
    seed: { type: 'string', default: '0' },
    limit: { type: 'string' },
    only: { type: 'string', default: '' },
    row: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

const SCHEMES: readonly SchemeName[] = ['binary', 'int2', 'int4'];
const ROWS = new Map<string, Variant>([
  ['float', { name: 'float' }],
  ...variants('rounded', {}),
  ...variants('calibrated', { calibrated: true }),
  ['mixed', MIXED_VARIANT],
  ...variants('tuned', { tune: Number(flags.steps) }).slice(0, 2),
  ['tuned mixed', { ...MIXED_VARIANT, tune: Number(flags.steps) }],
]);

function variants(how: string, kind: Partial<Variant>) {
  return SCHEMES.map((scheme): [string, Variant] => {
    const name = `${how} ${scheme}`;
    return [name, { name, recipe: { default: { scheme } }, ...kind }];
  });
}

/** What a row's process prints. */
interface Row {
  readonly name: string;
  readonly accuracy: number;
  readonly loss: number;
  readonly bytes: number;
  readonly bits: number;
  readonly seconds: number;
  readonly peak: number;
  readonly note: string;
}

async function measure(file: string, row: string): Promise<Row> {
  const { tf, backend } = await loadTensorFlow();
  const kernels = await loadKernels();
  const model = await openKeras(file);
  const where = flags.data;
  const test = await openDataset(where, { split: 'test' });
  const preprocess = { scale: test.dtype === 'uint8' && !scalesItself(model) ? 1 / 255 : 1 };
  const seen = unlabelled(await openDataset(where, { split: 'train' }), Number(flags.samples));
  // An eighth as many as are fitted to are held back behind them.
  const calibration = { dataset: seen, samples: Math.floor((seen.count * 8) / 9) };
  const start = performance.now();
  const variant = ROWS.get(row) as Variant;
  const options = { kernels, preprocess, calibration, seed: Number(flags.seed), batchSize: 100 };
  const made = await applyVariant(tf, model, variant, options);
  const seconds = made ? (performance.now() - start) / 1000 : 0;
  const limit = flags.limit === undefined ? {} : { limit: Number(flags.limit) };
  const { top1, loss } = await evaluateModel(tf, made?.model ?? model, test, { preprocess, ...limit });
  const peak = process.resourceUsage().maxRSS * 1024;
  const bytes = made?.bytes ?? 4 * model.parameters;
  model.close();
  return {
    ...{ name: row, accuracy: top1, loss, seconds, peak, bytes },
    bits: made?.report.bitsPerWeight ?? 32,
    note: made?.notes.join('; ') ?? `backend ${backend}`,
  };
}

function unlabelled(dataset: Dataset, count: number): Dataset {
  const { labels: _, ...rest } = samplesFrom(dataset, 0, count);
  return rest;
}

const self = fileURLToPath(import.meta.url);
if (flags.row !== undefined) {
  const [file] = flags.model as [string];
  process.stdout.write(JSON.stringify(await measure(file, flags.row)));
} else {
  const bundled = ['cifar10/cifar10.h5', 'mobilenet/mobilenet.h5'].map((file) =>
    fileURLToPath(new URL(`../examples/${file}`, import.meta.url)),
  );
  const all: Record<string, Row[]> = {};
  for (const file of flags.model.length > 0 ? flags.model : bundled) {
    const rows: Row[] = [];
    for (const row of ROWS.keys()) {
      if (!row.includes(flags.only)) continue;
      const args = ['--import', 'tsx', self, '--row', row, '--model', file, '--data', flags.data];
      args.push('--samples', flags.samples, '--steps', flags.steps, '--seed', flags.seed);
      args.push(...(flags.limit === undefined ? [] : ['--limit', flags.limit]));
      const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 1 << 24 });
      rows.push(JSON.parse(stdout));
      process.stderr.write(`${path.basename(file)}: ${row} done\n`);
    }
    all[path.basename(file)] = rows;
    if (!flags.json) print(file, rows);
  }
  if (flags.json) console.log(JSON.stringify(all, undefined, 2));
}

function print(file: string, rows: readonly Row[]): void {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  console.log(
    `\n${path.basename(file)}, bitnibble ${version}, Node.js ${process.versions.node}, ${flags.samples} samples without labels, seed ${flags.seed}\n`,
  );
  const cells = rows.map((row) => [
    row.name,
    row.accuracy.toFixed(4),
    row.loss.toFixed(4),
    row.bits.toFixed(2),
    row.bytes.toLocaleString('en-US'),
    row.seconds.toFixed(1),
    (row.peak / 1e6).toFixed(0),
    row.note,
  ]);
  console.log(
    table(['Weights', 'Accuracy', 'Loss', 'Bits', 'Bytes of the file', 'Seconds', 'Peak, MB', ''], cells),
  );
  for (const scheme of SCHEMES) {
    const of = (how: string) => rows.find(({ name }) => name === `${how} ${scheme}`);
    const [rounded, calibrated] = [of('rounded'), of('calibrated')];
    if (!rounded || !calibrated) continue;
    const points = 100 * (calibrated.accuracy - rounded.accuracy);
    console.log(
      `${scheme}: calibration ${points < 0 ? 'LOSES' : 'gains'} ${Math.abs(points).toFixed(2)} points over rounding`,
    );
  }
}
