// The runtime in the place of TensorFlow.js: the same answers, scores and refusals.

import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { arrayDataset } from '../../src/data/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import { openDataset } from '../../src/node/datasets.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { loadPredictor } from '../../src/pipeline/backend.js';
import { CALIBRATED_VARIANTS, compare, VARIANTS } from '../../src/pipeline/compare.js';
import { evaluateModel } from '../../src/pipeline/evaluate.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { sizeOf } from '../../src/shape.js';
import { generator } from '../runtime/support.js';
import { root } from '../support/needs.js';
import { quantized } from '../tfjs/support.js';

const digits = path.join(root, 'examples/digits');
const kernels = await loadKernels();
const { tf } = await loadTensorFlow({ prefer: 'wasm' });
const preprocess = { scale: 1 / 255 };

test('the digits network gets the scores of TensorFlow.js, float and packed', async () => {
  const model = await openKeras(path.join(digits, 'digits.h5'));
  const dataset = await openDataset(digits);
  const options = { preprocess, limit: 300 };
  const packed = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels }).model;
  for (const source of [model, packed]) {
    const [theirs, ours] = [
      await evaluateModel(tf, source, dataset, options),
      await evaluateModel('bitnibble', source, dataset, options),
    ];
    assert.is(ours.outputs, theirs.outputs);
    assert.is(ours.samples, 300);
    assert.is(ours.top1, theirs.top1);
    assert.is(ours.top5, theirs.top5);
    assert.ok(Math.abs(ours.loss - theirs.loss) < 1e-3, `${ours.loss}, TensorFlow.js ${theirs.loss}`);
  }
  model.close();
});

/** Largest difference of two backends, of the largest output. */
async function difference(name: string): Promise<number> {
  const { float, packed } = await quantized(name, kernels);
  let worst = 0;
  for (const source of [float, packed]) {
    const found: Float32Array[][] = [];
    let shape: readonly number[] = [];
    for (const backend of [tf, 'bitnibble'] as const) {
      const predictor = await loadPredictor(backend, source, ([input]) => {
        shape = (input?.shape ?? []).slice(1).map((n) => n ?? 8);
        return [shape];
      });
      const x = generator(7).floats(3 * sizeOf(shape));
      found.push((await predictor.predict([x], 3)).map(({ values }) => values.slice()));
      predictor.dispose();
    }
    const [theirs, ours] = found as [Float32Array[], Float32Array[]];
    assert.equal(
      ours.map(({ length }) => length),
      theirs.map(({ length }) => length),
    );
    for (const [i, own] of ours.entries()) {
      const other = theirs[i] as Float32Array;
      const largest = other.reduce((most, v) => Math.max(most, Math.abs(v)), 1);
      own.forEach((v, k) => {
        worst = Math.max(worst, Math.abs(v - (other[k] as number)) / largest);
      });
    }
  }
  float.close();
  return worst;
}

for (const name of ['cifar10', 'mobilenet_v2', 'unet', 'recurrent', 'resnet', 'conv1d']) {
  test(`${name}: predictions of both backends within 1e-3`, async () => {
    const worst = await difference(name);
    assert.ok(worst < 1e-3, String(worst));
  });
}

test('a sample that becomes NaN on its way is told from its neighbours', async () => {
  const { packed } = await quantized('cifar10', kernels);
  let size = 0;
  const predictor = await loadPredictor('bitnibble', packed, ([input]) => {
    const shape = (input?.shape ?? []).slice(1) as number[];
    size = sizeOf(shape);
    return [shape];
  });
  const x = generator(8).floats(3 * size);
  const [all] = await predictor.predict([x], 3);
  x[size + 1] = Number.NaN;
  const [some] = await predictor.predict([x], 3);
  const width = (all?.values.length ?? 0) / 3;
  for (const i of [0, 2])
    assert.equal(
      [...(some?.values.subarray(i * width, (i + 1) * width) ?? [])],
      [...(all?.values.subarray(i * width, (i + 1) * width) ?? [])],
    );
  assert.ok(some?.values.subarray(width, 2 * width).every(Number.isNaN));
  predictor.dispose();
});

test('a comparison needs no TensorFlow.js, but to calibrate', async () => {
  const model = await openKeras(path.join(digits, 'digits.h5'));
  const dataset = await openDataset(digits);
  const few = VARIANTS.filter(({ name }) => /^(float32|int4, scale per channel)$/.test(name));
  const rows = [];
  for await (const row of compare('bitnibble', model, dataset, kernels, few, { preprocess, limit: 100 }))
    rows.push(row);
  assert.equal(
    rows.map(({ name }) => name),
    ['float32', 'int4, scale per channel'],
  );
  assert.ok(rows.every(({ top1 }) => top1 > 0.95));
  const values = new Float32Array(784 * 8);
  const samples = arrayDataset({ name: 'samples', inputShape: [28, 28, 1], values });
  const calibrated = compare('bitnibble', model, dataset, kernels, CALIBRATED_VARIANTS, {
    ...{ preprocess, limit: 10, calibration: { dataset: samples } },
  });
  try {
    await calibrated.next();
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, /"calibration\.tf" expected TensorFlow\.js to calibrate with/);
  }
  model.close();
});

test.run();
