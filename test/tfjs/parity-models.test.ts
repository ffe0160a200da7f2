import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { loadLayersModel } from '../../src/tfjs/index.js';
import { folder, largestError, quantized } from './support.js';

const names = readdirSync(folder)
  .filter((file) => file.endsWith('.h5'))
  .map((file) => file.slice(0, -3));

/** TensorFlow.js's own: `Dot` keeps a tensor, and a model that was called twice keeps its weights. */
const LEAKING = new Set(['merges', 'nested_shared']);

test('there are enough architectures, in small files', () => {
  assert.ok(names.length >= 20, String(names.length));
  const sizes = readdirSync(folder).map((file) => statSync(path.join(folder, file)).size);
  assert.ok(Math.max(...sizes) < 80_000, `${Math.max(...sizes)} bytes`);
  assert.ok(sizes.reduce((a, b) => a + b, 0) < 1_200_000);
});

for (const name of names) {
  test(`${name}: outputs equal those of Keras, in float and after int4`, async () => {
    const { tf } = await loadTensorFlow();
    const { float, packed } = await quantized(name, await loadKernels());
    for (const [model, outputs] of [
      [float, 'y'],
      [packed, 'q'],
    ] as const) {
      const before = tf.memory().numTensors;
      const network = await loadLayersModel(tf, model);
      const error = await largestError(tf, network, name, outputs);
      assert.ok(error <= 1e-4, `${outputs}: ${error}`);
      network.dispose();
      if (!LEAKING.has(name)) assert.is(tf.memory().numTensors, before, 'tensors are left');
    }
    float.close();
  });
}

test.run();
