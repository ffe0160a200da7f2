// Tuning where TensorFlow.js has no native library: in browsers, and in Node.js without tfjs-node.

import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { arrayDataset } from '../../src/data/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import { readNetwork } from '../../src/network/index.js';
import { openDataset } from '../../src/node/datasets.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { packedBytes } from '../../src/packed/index.js';
import { tuneModel } from '../../src/pipeline/calibrate/tune.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { root } from '../support/needs.js';

const { tf } = await loadTensorFlow({ prefer: 'wasm' });
const kernels = await loadKernels();

test('convolutions, pooling and dense layers: the divergence falls, twice the same way', async () => {
  const model = await openKeras(path.join(root, 'examples/digits/digits.h5'));
  const dataset = await openDataset(path.join(root, 'examples/digits/calibration-images-idx3-ubyte.gz'));
  const { model: base } = quantizeModel(model, { default: { scheme: 'binary' } }, { kernels });
  const options = { kernels, dataset, preprocess: { scale: 1 / 255 }, samples: 128, steps: 25, rate: 0.01 };
  const before = tf.memory().numTensors;
  const { model: tuned, report } = await tuneModel(tf, model, base, options);
  assert.is(tf.memory().numTensors, before, 'every tensor is disposed of');
  assert.ok(report.divergence.after < 0.7 * report.divergence.before, JSON.stringify(report.divergence));
  const again = await tuneModel(tf, model, base, options);
  assert.equal(packedBytes(again.model), packedBytes(tuned));
  model.close();
});

test('depthwise convolutions, strides, residual branches: the divergence falls', async () => {
  const model = await openKeras(path.join(root, 'examples/mobilenet/mobilenet.h5'));
  const size = 32 * 32 * 3;
  const values = Float32Array.from({ length: 32 * size }, (_, i) => (1 + Math.sin(i * i)) / 2);
  const dataset = arrayDataset({ name: 'noise', inputShape: [32, 32, 3], values });
  const { model: base } = quantizeModel(model, { default: { scheme: 'int2' } }, { kernels });
  const { report } = await tuneModel(tf, model, base, { kernels, dataset, steps: 10, stepSize: 16 });
  assert.ok(report.divergence.after < 0.9 * report.divergence.before, JSON.stringify(report.divergence));
  model.close();
});

test('layers that are called more than once: the divergence falls, and every tensor is disposed of', async () => {
  const model = await openKeras(path.join(root, 'test/fixtures/tfjs/nested_shared.h5'));
  const { inputs, values: all } = readNetwork(model);
  const shape = all[inputs[0]?.value as number]?.shape?.slice(1) as number[];
  const size = shape.reduce((n, d) => n * d, 1);
  const values = Float32Array.from({ length: 32 * size }, (_, i) => Math.sin(i * i));
  const dataset = arrayDataset({ name: 'noise', inputShape: shape, values });
  const { model: base } = quantizeModel(model, { default: { scheme: 'int2' } }, { kernels });
  const before = tf.memory().numTensors;
  const { report } = await tuneModel(tf, model, base, {
    kernels,
    dataset,
    steps: 10,
    stepSize: 16,
    augment: [],
  });
  assert.is(tf.memory().numTensors, before);
  assert.ok(report.divergence.after < report.divergence.before, JSON.stringify(report.divergence));
  model.close();
});

test.run();
