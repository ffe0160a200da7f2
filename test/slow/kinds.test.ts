// The networks of examples/kinds: each opens, calibrates on a few samples, and real Keras reads what is written of it as the same
// network.
import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KINDS, type Kind, scoreKind } from '../../bench/kinds-score.js';
import { networkInputs } from '../../src/cli/data.js';
import { dataScaling } from '../../src/cli/scaling.js';
import { type Dataset, pickSamples } from '../../src/data/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import type { ModelSource } from '../../src/model.js';
import { openDataset } from '../../src/node/datasets.js';
import { openKeras, saveQuantized } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { calibrateModel } from '../../src/pipeline/calibrate/calibrate.js';
import { predictAll } from '../../src/pipeline/report/predict.js';
import { foldBatchNorm } from '../../src/pipeline/transform/fold.js';
import { need, root, run, tempDir } from '../support/needs.js';

const { tf } = await loadTensorFlow();
const kernels = await loadKernels();
const folder = tempDir();
const kinds = path.join(root, 'examples/kinds');
const first = (dataset: Dataset, count: number) =>
  pickSamples(
    dataset,
    Array.from({ length: Math.min(count, dataset.count) }, (_, i) => i),
  );

/** What the networks were when their page of results was written: their metric on the first 256 samples of the test part. */
const LEAST: Readonly<Record<string, number>> = {
  encoder: 0.8,
  tagger: 0.94,
  forecaster: 0.9,
  question: 0.96,
  denoiser: 27,
  siamese: 0.96,
  table: 0.98,
};

async function open(name: string) {
  const model = await openKeras(path.join(kinds, `${name}.keras`));
  const inputs = networkInputs(model);
  const file = path.join(kinds, `${name}.npz`);
  const calibration = await openDataset(file, { split: 'train', inputs });
  const tests = await openDataset(file, { split: 'test', inputs });
  const { preprocess } = dataScaling({}, model, calibration);
  const predict = (own: ModelSource, dataset: Dataset) => predictAll(tf, own, dataset, { preprocess });
  return { model, calibration, tests, preprocess, predict };
}

test('every network has its data, unlabelled for calibration, and answers as well as it did', async () => {
  const files = readdirSync(kinds).filter((name) => /\.(keras|npz)$/.test(name));
  const wanted = KINDS.flatMap(({ name }) => [`${name}.keras`, `${name}.npz`]);
  assert.equal(files.sort(), wanted.sort());
  for (const kind of KINDS) {
    const { model, calibration, tests, predict } = await open(kind.name);
    assert.ok(!calibration.labels && !calibration.targets, kind.name);
    assert.ok(calibration.count <= 2048, `${kind.name}: ${calibration.count}`);
    assert.ok(model.parameters > 30_000 && model.parameters < 150_000, `${kind.name}: ${model.parameters}`);
    const some = first(tests, 256);
    const metric = scoreKind(kind, await predict(model, some), some);
    assert.ok(metric >= (LEAST[kind.name] as number), `${kind.name}: ${metric}`);
    model.close();
  }
});

test('recurrent kernels of signs are fitted to the states that they make themselves', async () => {
  const kind = KINDS.find(({ name }) => name === 'forecaster') as Kind;
  const { model, calibration, tests, preprocess, predict } = await open(kind.name);
  const options = { kernels, dataset: first(calibration, 128), preprocess };
  const { model: own } = await calibrateModel(tf, model, { default: { scheme: 'binary' } }, options);
  // Fitted to the states of a kernel that was rounded without data, half of this is lost.
  const r2 = scoreKind(kind, await predict(own, tests), tests);
  assert.ok(r2 > 0.8, String(r2));
  model.close();
});

need(test, 'keras')(
  'calibrated at four bits and written as .keras, Keras answers as we do',
  async ({ keras: python }) => {
    const cases: { name: string; model: string; npz: string; samples: number; outputs: string }[] = [];
    for (const { name } of KINDS) {
      const { model, calibration, tests, preprocess, predict } = await open(name);
      const { source } = foldBatchNorm(model, { keepLayers: true });
      const { model: own, report } = await calibrateModel(
        tf,
        source,
        { default: { scheme: 'int4' } },
        { kernels, dataset: first(calibration, 48), preprocess },
      );
      assert.equal(
        report.calibration.filter(({ fallback }) => fallback !== undefined),
        [],
        name,
      );
      const [file, outputs] = ['keras', 'f32'].map((ending) => path.join(folder, `${name}.${ending}`)) as [
        string,
        string,
      ];
      await saveQuantized(own, model, file);
      const [made] = (await predict(own, first(tests, 32))).outputs;
      writeFileSync(outputs, made?.values as Float32Array);
      cases.push({ name, model: file, npz: path.join(kinds, `${name}.npz`), samples: 32, outputs });
      model.close();
    }
    const list = path.join(folder, 'cases.json');
    writeFileSync(list, JSON.stringify(cases));
    const done = await run(python, [path.join(root, 'test/slow/kinds_run.py'), list]);
    assert.is(done.status, 0, done.output);
    const answers: { name: string; share: number }[] = JSON.parse(
      done.stdout.trim().split('\n').at(-1) ?? '',
    );
    assert.is(answers.length, KINDS.length);
    for (const { name, share } of answers) assert.ok(share <= 1e-4, `${name}: ${share}`);
  },
);

test.run();
