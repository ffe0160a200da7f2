import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { everyName, folder, names, parity } from './support.js';

const { tf } = await loadTensorFlow();
const kernels = await loadKernels();

test('there are enough architectures, in small files', () => {
  assert.ok(everyName.length >= 60, String(everyName.length));
  const sizes = readdirSync(folder).map((file) => statSync(path.join(folder, file)).size);
  assert.ok(Math.max(...sizes) < 80_000, `${Math.max(...sizes)} bytes`);
  assert.ok(sizes.reduce((a, b) => a + b, 0) < 2_800_000);
});

for (const name of names) {
  test(`${name} on the default backend: outputs equal those of Keras, in float and after int4`, async () => {
    const { float, int4 } = await parity(tf, name, kernels);
    assert.ok(float <= 1e-4 && int4 <= 1e-4, `${float}, ${int4}`);
  });
}

test.run();
