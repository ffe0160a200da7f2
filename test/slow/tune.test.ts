// Tuning by gradients: it helps, it repeats, it leaves alone what it cannot better.

import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { arrayDataset } from '../../src/data/index.js';
import type { BitnibbleError } from '../../src/errors.js';
import { loadKernels } from '../../src/kernels/index.js';
import { openDataset } from '../../src/node/datasets.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { packedBytes } from '../../src/packed/index.js';
import { tuneModel } from '../../src/pipeline/calibrate/tune.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { root } from '../support/needs.js';
import { fileOf } from '../tfjs/support.js';

const { tf } = await loadTensorFlow();
const kernels = await loadKernels();
const digits = path.join(root, 'examples/digits');
const dataset = await openDataset(path.join(digits, 'calibration-images-idx3-ubyte.gz'));
const preprocess = { scale: 1 / 255 };

test('signs without calibration: tuning takes most of the divergence away, twice the same way', async () => {
  const model = await openKeras(path.join(digits, 'digits.h5'));
  const mixed = [
    { weight: 'conv1/kernel', scheme: 'int4' },
    { weight: 'conv3/kernel', scheme: 'int2' },
  ] as const;
  for (const recipe of [
    { default: { scheme: 'binary', scaleDtype: 'F32' } },
    { default: { scheme: 'binary', granularity: 'group', groupSize: 100, scaleDtype: 'F16' } },
    { default: { scheme: 'int2', granularity: 'tensor', scale: 'absmax', scaleDtype: 'F32' } },
    { default: { scheme: 'binary' }, rules: mixed },
  ] as const) {
    const { model: base, report: rounding } = quantizeModel(model, recipe, { kernels });
    const schemes = new Set(rounding.tensors.map(({ result }) => result).filter((name) => name !== 'kept'));
    assert.is(schemes.size, 'rules' in recipe ? 3 : 1);
    const options = {
      ...{ kernels, dataset, preprocess, samples: 128, steps: 25, augment: [] },
      ...{ latentRate: 0.01, rate: 0.01 },
    };
    const before = tf.memory().numTensors;
    const { model: tuned, report } = await tuneModel(tf, model, base, options);
    assert.is(tf.memory().numTensors, before, 'every tensor is disposed of');
    assert.is(report.tuned, 112);
    assert.is(report.checked, 16);
    const { before: start, after } = report.divergence;
    assert.ok(after < 0.7 * start, `${JSON.stringify(recipe)}: ${start} to ${after}`);
    assert.not(report.keptUntuned);
    assert.ok(report.changedCodes > 0);
    const again = await tuneModel(tf, model, base, options);
    assert.equal(packedBytes(again.model), packedBytes(tuned));
    const biases = tuned.weights.filter(({ name }) => name === 'bias');
    assert.ok(biases.every((weight) => weight.kind === 'kept' && weight.changed));
  }
  model.close();
});

test('steps of no length change no code, and the model stays as it was', async () => {
  const model = await openKeras(path.join(digits, 'digits.h5'));
  const { model: base } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
  const still = { kernels, dataset, preprocess, samples: 64, steps: 2, latentRate: 0, rate: 0 };
  const { model: same, report } = await tuneModel(tf, model, base, still);
  assert.is(report.changedCodes, 0);
  assert.ok(report.keptUntuned);
  assert.equal(report.augment, ['flip', 'cutmix']);
  assert.is(report.divergence.after, report.divergence.before);
  assert.is(same, base);
  model.close();
});

test('images cannot be made of vectors', async () => {
  const model = await openKeras(fileOf('conv1d'));
  const { model: base } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
  const { loadLayersModel } = await import('../../src/tfjs/load.js');
  const layers = await loadLayersModel(tf, model);
  const inputShape = layers.inputs[0]?.shape.slice(1).map((n) => n ?? 8) as number[];
  layers.dispose();
  const size = inputShape.reduce((a, b) => a * b, 1);
  const values = Float32Array.from({ length: 32 * size }, (_, i) => Math.sin(i));
  const random = arrayDataset({ name: 'random', inputShape, values });
  try {
    await tuneModel(tf, model, base, { kernels, dataset: random, steps: 1, augment: ['flip'] });
    assert.unreachable();
  } catch (error) {
    assert.is((error as BitnibbleError).code, 'data-mismatch');
    assert.match((error as Error).message, /expected images to flip/);
  }
  const { report } = await tuneModel(tf, model, base, { kernels, dataset: random, steps: 3 });
  assert.equal(report.augment, []);
  model.close();
});

test.run();
