import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { names, parity } from './support.js';

const { tf } = await loadTensorFlow({ prefer: 'wasm' });
await tf.setBackend('cpu');
const kernels = await loadKernels();

for (const name of names) {
  test(`${name} on cpu: outputs equal those of Keras, in float and after int4`, async () => {
    const { float, int4 } = await parity(tf, name, kernels);
    assert.ok(float <= 1e-4 && int4 <= 1e-4, `${float}, ${int4}`);
  });
}

test.run();
