import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import { openDataset } from '../../src/node/datasets.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { compare, VARIANTS } from '../../src/pipeline/compare.js';
import { need } from '../support/needs.js';

/** Accuracy and loss on all 10,000 test images by an independent implementation, Keras with NumPy. */
const MEASURED: Readonly<Record<string, readonly [accuracy: number, loss: number]>> = {
  float32: [0.7666, 0.6724],
  'every array to +1 / -1, biases too': [0.1423, 13.8245],
  'kernels to +1 / -1': [0.1613, 13.5182],
  'binary, scale per tensor': [0.1, 2.6359],
  'binary, scale per channel': [0.101, 2.6856],
  'binary, scale per group of 128 rows': [0.1043, 2.6995],
  'int4, scale per tensor': [0.7505, 0.7276],
  'int4, scale per channel': [0.7588, 0.7056],
  'int4, scale per group of 32 rows': [0.7602, 0.6963],
};

need(
  test,
  'shared',
  'tfjs-node',
)('every row of the comparison equals the independent measurement', async ({ shared }) => {
  const { tf } = await loadTensorFlow();
  const model = await openKeras(path.join(shared, 'cifar10_model.h5'));
  const dataset = await openDataset(path.join(shared, 'cifar-10-batches-bin'));
  const variants = VARIANTS.filter(({ name }) => name in MEASURED);
  assert.is(variants.length, Object.keys(MEASURED).length);
  const options = { batchSize: 250, preprocess: { scale: 1 / 255 } };
  for await (const row of compare(tf, model, dataset, await loadKernels(), variants, options)) {
    const [accuracy, loss] = MEASURED[row.name] as readonly [number, number];
    assert.is(row.samples, 10_000);
    assert.ok(
      Math.abs(row.top1 - accuracy) <= 0.0015,
      `${row.name}: accuracy ${row.top1}, measured ${accuracy}`,
    );
    assert.ok(Math.abs(row.loss - loss) <= 0.002 * loss, `${row.name}: loss ${row.loss}, measured ${loss}`);
  }
  model.close();
});

test.run();
