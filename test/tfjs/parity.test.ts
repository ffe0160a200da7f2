import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Tensor } from '@tensorflow/tfjs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openNpz } from '../../src/formats/npz.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { loadLayersModel } from '../../src/tfjs/load.js';
import { root } from '../support/needs.js';

const folder = path.join(root, 'test/fixtures/keras');

for (const version of ['keras2', 'keras3']) {
  for (const kind of ['sequential', 'nested', 'recurrent']) {
    test(`${version} ${kind}: outputs equal those of Keras`, async () => {
      const { tf } = await loadTensorFlow();
      const model = await openKeras(path.join(folder, `${version}_${kind}.h5`));
      const stored = openNpz(readFileSync(path.join(folder, `${version}_${kind}.npz`)));
      const x = stored.read('x');
      const y = stored.read('y');
      assert.ok(x && y);
      const network = await loadLayersModel(tf, model);
      const output = network.predict(tf.tensor(x.data as Float32Array, [...x.shape])) as Tensor;
      const values = await output.data();
      assert.equal(output.shape, [...y.shape]);
      values.forEach((value, i) => {
        const want = Number(y.data[i]);
        assert.ok(
          Math.abs(value - want) <= 1e-4 * Math.max(Math.abs(want), 1e-2),
          `output ${i}: ${value}, Keras ${want}`,
        );
      });
      network.dispose();
      model.close();
    });
  }
}

test.run();
