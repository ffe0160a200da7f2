// What calibration makes of networks of other kinds: those of examples/kinds, at four bits, two, one, and one bit tuned.
//
//   npm run bench:kinds -- [--only NAME] [--seed N] [--steps N] [--json]
//
// Networks are folded, calibrated and tuned as the command `calibrate --tune` does it: an eighth of the unlabelled samples is
// held back, and decides by the divergence which form is kept. The metric is of the test part, which nothing else sees.
// Seconds are of calibration, and for the last row of tuning alone.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { networkInputs } from '../src/cli/data.js';
import { dataScaling } from '../src/cli/scaling.js';
import { table } from '../src/cli/table.js';
import type { Dataset, Preprocessing } from '../src/data/index.js';
import type { KerasModel } from '../src/keras/index.js';
import { loadKernels } from '../src/kernels/index.js';
import type { ModelSource } from '../src/model.js';
import { openDataset } from '../src/node/datasets.js';
import { openKeras } from '../src/node/models.js';
import { loadTensorFlow } from '../src/node/tfjs.js';
import type { QuantizedModel } from '../src/packed/quantized-model.js';
import { writePacked } from '../src/packed/write.js';
import { calibrateModel } from '../src/pipeline/calibrate/calibrate.js';
import { holdBack } from '../src/pipeline/calibrate/check.js';
import { TUNING_STEPS, tuneModel } from '../src/pipeline/calibrate/tune.js';
import { outputKind } from '../src/pipeline/outputs.js';
import { distanceOf, type Predictions, predictAll } from '../src/pipeline/report/predict.js';
import { foldBatchNorm } from '../src/pipeline/transform/fold.js';
import { KINDS, type Kind, scoreKind } from './kinds-score.js';

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    seed: { type: 'string', default: '0' },
    steps: { type: 'string', default: String(TUNING_STEPS) },
    json: { type: 'boolean', default: false },
  },
});

interface Row {
  readonly weights: string;
  readonly metric: number;
  /** Share of the float model's metric that is lost. */
  readonly lost: number;
  /** From the float model's outputs, on the test part. */
  readonly divergence: number;
  readonly bits: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly note: string;
}

const { tf, backend } = await loadTensorFlow();
const kernels = await loadKernels();

/** A network and its data. */
interface Given {
  readonly kind: Kind;
  readonly model: KerasModel;
  readonly calibration: Dataset;
  readonly test: Dataset;
  readonly preprocess: Preprocessing;
}

async function open(kind: Kind): Promise<Given> {
  const fileOf = (ending: string) =>
    fileURLToPath(new URL(`../examples/kinds/${kind.name}.${ending}`, import.meta.url));
  const model = await openKeras(fileOf('keras'));
  const inputs = networkInputs(model);
  const calibration = await openDataset(fileOf('npz'), { split: 'train', inputs });
  const test = await openDataset(fileOf('npz'), { split: 'test', inputs });
  const { preprocess } = dataScaling({}, model, calibration);
  return { kind, model, calibration, test, preprocess };
}

const packedBytes = (model: QuantizedModel) => {
  let bytes = 0;
  for (const piece of writePacked(model)) bytes += piece.length;
  return bytes;
};

async function measure({ kind, model, calibration, test, preprocess }: Given): Promise<Row[]> {
  const { source } = foldBatchNorm(model);
  const predict = (own: ModelSource) => predictAll(tf, own, test, { preprocess });
  const exact = await predict(model);
  const metric = scoreKind(kind, exact, test);
  const outputs = outputKind(model);
  const rows: Row[] = [
    {
      ...{ weights: 'float32', metric, lost: 0, divergence: 0, bits: 32, bytes: 4 * model.parameters },
      ...{ seconds: 0, note: '' },
    },
  ];
  const add = async (weights: string, own: QuantizedModel, bits: number, seconds: number, note: string) => {
    const made: Predictions = await predict(own);
    const now = scoreKind(kind, made, test);
    const divergence = distanceOf(exact, made, outputs);
    const bytes = packedBytes(own);
    process.stderr.write(
      `${kind.name}: ${weights} ${now.toFixed(4)} of ${metric.toFixed(4)}, ${seconds.toFixed(0)} s\n`,
    );
    rows.push({ weights, metric: now, lost: 1 - now / metric, divergence, bits, bytes, seconds, note });
  };
  const samples = calibration.count;
  const held = holdBack(source, calibration, samples);
  if (!held) throw new Error(`${kind.name}: too few samples to hold some back`);
  const check = { dataset: held.check };
  const seed = Number(flags.seed);
  const options = { kernels, dataset: held.fit, preprocess, samples, seed, check };
  for (const scheme of ['int4', 'int2', 'binary'] as const) {
    const { model: own, report } = await calibrateModel(tf, source, { default: { scheme } }, options);
    const rounded = report.calibration.filter(({ fallback }) => fallback !== undefined);
    const note = [
      ...(report.keptDataFree ? ['the rounded network was kept'] : []),
      ...(rounded.length > 0 ? [`without data: ${rounded.map(({ id }) => id).join(', ')}`] : []),
    ].join('; ');
    await add(scheme, own, report.bitsPerWeight, report.seconds, note);
    if (scheme !== 'binary') continue;
    const tuned = await tuneModel(tf, source, own, { ...options, steps: Number(flags.steps) });
    const { keptUntuned, divergence, seconds } = tuned.report;
    const { before, after } = divergence;
    const how = `divergence held back ${before.toPrecision(3)} to ${after.toPrecision(3)}${keptUntuned ? ', not kept' : ''}`;
    await add('binary, tuned', tuned.model, report.bitsPerWeight, seconds, how);
  }
  return rows;
}

const shown = (kind: Kind, value: number) => (kind.metric === 'psnr' ? value.toFixed(2) : value.toFixed(4));
const TITLES = { accuracy: 'Accuracy', r2: 'R2', psnr: 'PSNR, dB' } as const;

const all: Record<string, readonly Row[]> = {};
if (!flags.json) {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  console.log(
    `bitnibble ${version}, Node.js ${process.versions.node}, backend ${backend}, seed ${flags.seed}`,
  );
}
for (const kind of KINDS.filter(({ name }) => name.includes(flags.only))) {
  const given = await open(kind);
  const { model, calibration, test } = given;
  const rows = await measure(given);
  all[kind.name] = rows;
  if (!flags.json) {
    const many = (n: number) => n.toLocaleString('en-US');
    console.log(
      `\n${kind.name}: ${many(model.parameters)} parameters, calibrated with ${many(calibration.count)} samples, tested on ${many(test.count)}\n`,
    );
    const cells = rows.map((row) => [
      ...[row.weights, shown(kind, row.metric), row.lost === 0 ? '' : `${(100 * row.lost).toFixed(2)} %`],
      ...[
        row.divergence.toPrecision(3),
        row.bits.toFixed(2),
        many(row.bytes),
        row.seconds.toFixed(1),
        row.note,
      ],
    ]);
    const head = ['Weights', TITLES[kind.metric], 'Lost', 'Divergence', 'Bits', 'Bytes', 'Seconds', ''];
    console.log(table(head, cells));
  }
  model.close();
}
if (flags.json) console.log(JSON.stringify(all, undefined, 2));
