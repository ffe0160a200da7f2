// What Keras quantized itself, or gave adapters, in TensorFlow.js: outputs against those of Keras where it computes with
// the decoded values alone. In int8 it rounds inputs too: there the outputs differ by less than 2 percent.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openNpz } from '../../src/formats/npz.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { loadLayersModel } from '../../src/tfjs/index.js';
import { root } from '../support/needs.js';

const { tf } = await loadTensorFlow();
const folder = path.join(root, 'test/fixtures/quantized');

for (const [file, most] of [
  ['int4.keras', 1e-5],
  ['int4_blocks.h5', 1e-5],
  ['gptq.h5', 1e-5],
  ['gptq3.keras', 1e-5],
  ['awq.h5', 1e-5],
  ['lora.h5', 1e-5],
  ['lora_int4.h5', 1e-5],
  ['int8.h5', 0.02],
] as const)
  test(`${file}: outputs are those of Keras`, async () => {
    const arrays = openNpz(readFileSync(path.join(folder, `${file.replace(/\..*/, '')}.npz`)));
    const [x, y] = [arrays.read('x'), arrays.read('y')];
    const source = await openKeras(path.join(folder, file));
    const model = await loadLayersModel(tf, source);
    const input = tf.tensor(Float32Array.from(x.data as Int32Array, Number), [...x.shape]);
    const output = model.predict(input) as ReturnType<typeof tf.tensor>;
    const found = await output.data();
    const largest = (values: ArrayLike<number>) =>
      Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const error = largest(Array.from(found, (value, i) => value - Number(y.data[i])));
    assert.is(found.length, y.data.length);
    assert.ok(error <= most * largest(y.data as Float32Array), `${error}`);
    tf.dispose([input, output]);
    model.dispose();
    source.close();
  });

test.run();
