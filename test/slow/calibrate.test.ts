// Calibration of the demo network: what it gains, and that it repeats.

import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import { openDataset } from '../../src/node/datasets.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { openPacked, packedBytes } from '../../src/packed/index.js';
import { calibrateModel } from '../../src/pipeline/calibrate/calibrate.js';
import { evaluateModel } from '../../src/pipeline/evaluate.js';
import { root } from '../support/needs.js';

const { tf } = await loadTensorFlow();
const kernels = await loadKernels();
const digits = path.join(root, 'examples/digits');
const preprocess = { scale: 1 / 255 };

test('one bit of the demo network: the accuracy that rounding loses comes back, without labels', async () => {
  const model = await openKeras(path.join(digits, 'digits.h5'));
  const dataset = await openDataset(path.join(digits, 'calibration-images-idx3-ubyte.gz'));
  assert.is(dataset.labels, undefined);
  const data = await openDataset(digits);
  const options = { kernels, dataset, preprocess, samples: 512 };
  const before = tf.memory().numTensors;
  const { model: packed, report } = await calibrateModel(
    tf,
    model,
    { default: { scheme: 'binary' } },
    options,
  );
  assert.is(tf.memory().numTensors, before, 'every tensor is disposed of');
  assert.ok(report.calibration.every(({ fallback }) => fallback === undefined));
  assert.ok(report.divergence.calibrated < 0.1 * report.divergence.dataFree);
  assert.not(report.keptDataFree);
  const bytes = packedBytes(packed);
  const { top1 } = await evaluateModel(tf, openPacked(bytes, kernels), data, { preprocess });
  assert.ok(top1 > 0.96, `accuracy ${top1}`);
  const again = await calibrateModel(tf, model, { default: { scheme: 'binary' } }, options);
  assert.equal(packedBytes(again.model), bytes, 'two runs, the same bytes');
  model.close();
});

test.run();
