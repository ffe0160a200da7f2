// What each scheme costs in accuracy: rounded, calibrated, mixed, tuned; with the time it takes and the memory.
//
//   npm run bench:accuracy -- --data WHERE [--model FILE]... [--samples N] [--limit N] [--only TEXT]
//
// Every row is a process of its own, so that its peak memory is its own, too; the time is of the quantization alone, not of
// the evaluation behind it. Models: examples/mobilenet and those named. Calibration takes the first samples of the training
// half of the data, without labels; accuracy is of the test half.

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { table } from '../src/cli/output.js';
import type { Dataset } from '../src/data/index.js';
import { loadKernels } from '../src/kernels/index.js';
import type { QuantizableModel } from '../src/model.js';
import { openDataset } from '../src/node/datasets.js';
import { openKeras } from '../src/node/models.js';
import { loadTensorFlow } from '../src/node/tfjs.js';
import { packedBytes } from '../src/packed/index.js';
import { calibrateModel } from '../src/pipeline/calibrate/calibrate.js';
import { tunedSamples, tuneModel } from '../src/pipeline/calibrate/tune.js';
import { evaluateModel, scalesItself } from '../src/pipeline/evaluate.js';
import { chooseForBits, summaryOf } from '../src/pipeline/mixed.js';
import { quantizeModel } from '../src/pipeline/quantize.js';
import { measureSensitivity } from '../src/pipeline/sensitivity.js';
import { foldBatchNorm } from '../src/pipeline/transform/fold.js';
import type { SchemeName } from '../src/schemes/types.js';

const { values: flags } = parseArgs({
  options: {
    data: { type: 'string' },
    model: { type: 'string', multiple: true, default: [] },
    samples: { type: 'string', default: '2048' },
    limit: { type: 'string' },
    only: { type: 'string', default: '' },
    row: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

const SCHEMES: readonly SchemeName[] = ['binary', 'int2', 'int4'];
const ROWS = [
  'float',
  ...SCHEMES.map((scheme) => `rounded ${scheme}`),
  ...SCHEMES.map((scheme) => `calibrated ${scheme}`),
  'mixed 1.5 bits',
  'tuned binary',
].filter((row) => row.includes(flags.only));

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

if (flags.data === undefined)
  throw new TypeError('expected --data: a folder of CIFAR-10 .bin files, or cifar10');

async function measure(file: string, row: string): Promise<Row> {
  const { tf, backend } = await loadTensorFlow();
  const kernels = await loadKernels();
  const model = await openKeras(file);
  const where = flags.data as string;
  const test = await openDataset(where, { split: 'test' });
  const preprocess = { scale: test.dtype === 'uint8' && !scalesItself(model) ? 1 / 255 : 1 };
  const { source } = foldBatchNorm(model);
  const start = performance.now();
  const made = await quantized(row, model, source, { dataset: await openDataset(where, { split: 'train' }) });
  const seconds = made ? (performance.now() - start) / 1000 : 0;
  const limit = flags.limit === undefined ? {} : { limit: Number(flags.limit) };
  const { top1, loss } = await evaluateModel(tf, made?.model ?? model, test, { preprocess, ...limit });
  const peak = process.resourceUsage().maxRSS * 1024;
  const bytes = made ? packedBytes(made.model).length : 4 * model.parameters;
  model.close();
  return {
    ...{ name: row, accuracy: top1, loss, seconds, peak, bytes },
    bits: made?.bits ?? 32,
    note: made?.note ?? `backend ${backend}`,
  };

  async function quantized(
    name: string,
    plain: QuantizableModel,
    folded: QuantizableModel,
    { dataset }: { dataset: Dataset },
  ) {
    const [how, what] = name.split(' ') as [string, SchemeName];
    if (how === 'float') return undefined;
    const options = { kernels, dataset, preprocess, samples: Number(flags.samples), batchSize: 100 };
    if (how === 'rounded') {
      const { model: own, report } = quantizeModel(plain, { default: { scheme: what } }, { kernels });
      return { model: own, bits: report.bitsPerWeight, note: '' };
    }
    let recipe: Parameters<typeof calibrateModel>[2] = { default: { scheme: what } };
    let note = '';
    if (how === 'mixed') {
      const { rows } = await measureSensitivity(tf, folded, { ...options, samples: 1024 });
      const mix = chooseForBits(rows, 1.5);
      recipe = mix.recipe;
      note = summaryOf(mix);
    }
    const samples = how === 'tuned' ? tunedSamples(options.samples) : options.samples;
    const { model: own, report } = await calibrateModel(tf, folded, recipe, { ...options, samples });
    if (report.keptDataFree) note = 'kept the data-free result';
    if (how !== 'tuned') return { model: own, bits: report.bitsPerWeight, note };
    const tuned = await tuneModel(tf, folded, own, options);
    const { before, after } = tuned.report.divergence;
    return {
      model: tuned.model,
      bits: report.bitsPerWeight,
      note: `divergence ${before.toPrecision(3)} to ${after.toPrecision(3)}${tuned.report.keptUntuned ? ', not kept' : ''}`,
    };
  }
}

const self = fileURLToPath(import.meta.url);
if (flags.row !== undefined) {
  const [file] = flags.model as [string];
  process.stdout.write(JSON.stringify(await measure(file, flags.row)));
} else {
  const bundled = fileURLToPath(new URL('../examples/mobilenet/mobilenet.h5', import.meta.url));
  const all: Record<string, Row[]> = {};
  for (const file of [...flags.model, bundled]) {
    const rows: Row[] = [];
    for (const row of ROWS) {
      const args = ['--import', 'tsx', self, '--row', row, '--model', file, '--data', flags.data];
      args.push('--samples', flags.samples, ...(flags.limit === undefined ? [] : ['--limit', flags.limit]));
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
    `\n${path.basename(file)}, bitnibble ${version}, Node.js ${process.versions.node}, ${flags.samples} samples without labels\n`,
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
