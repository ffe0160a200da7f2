import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { activate } from '../../src/tfjs/layers/activations.js';
import { mean, moments, sum } from '../../src/tfjs/layers/sums.js';

const { tf } = await loadTensorFlow({ prefer: 'wasm' });
const backends = ['wasm', 'cpu'];
const relative = (got: number, want: number) => Math.abs(got / want - 1);

for (const backend of backends) {
  test(`means of many equal numbers on ${backend} are those numbers`, async () => {
    await tf.setBackend(backend);
    for (const size of [1, 63, 64, 65, 224, 512, 1732]) {
      const x = tf.fill([1, size, size, 1], 0.1);
      const [value = 0] = mean(tf, x, [1, 2]).dataSync();
      assert.ok(relative(value, Math.fround(0.1)) < 2e-6, `${size}: ${value}`);
      x.dispose();
    }
  });

  test(`sums over any axes on ${backend} equal those in float64`, async () => {
    await tf.setBackend(backend);
    const shape = [3, 20, 30, 5] as const;
    const values = Float32Array.from({ length: 9000 }, (_, i) => Math.sin(i) + 2);
    const x = tf.tensor(values, [...shape]);
    const axes = [[0], [3], [1, 2], [0, 1, 2], [-1, 0], [0, 1, 2, 3]];
    for (const list of axes) {
      const reduced = list.map((axis) => (axis + 4) % 4);
      const sums = new Map<string, number>();
      values.forEach((v, i) => {
        const at = [Math.floor(i / 3000), Math.floor(i / 150) % 20, Math.floor(i / 5) % 30, i % 5];
        const key = at.filter((_, axis) => !reduced.includes(axis)).join();
        sums.set(key, (sums.get(key) ?? 0) + v);
      });
      for (const keep of [false, true]) {
        const got = sum(tf, x, list, keep);
        const want = shape.flatMap((n, axis) => (reduced.includes(axis) ? (keep ? [1] : []) : [n]));
        assert.equal(got.shape, want);
        [...sums.values()].forEach((v, i) => {
          assert.ok(relative(got.dataSync()[i] as number, v) < 1e-6);
        });
      }
    }
    const { variance } = moments(tf, tf.concat([tf.zeros([70_000]), tf.ones([70_000])]));
    assert.ok(relative(variance.dataSync()[0] as number, 0.25) < 1e-6);
  });

  test(`activations on ${backend} keep what is not a number`, async () => {
    await tf.setBackend(backend);
    const x = tf.tensor([Number.NaN, -9, 9]);
    const names = ['relu6', 'hardSigmoid', 'bitnibble>hardSigmoid', 'bitnibble>hardTanh'];
    for (const name of names) {
      const [first, low, high] = activate(tf, name, x).dataSync();
      assert.ok(Number.isNaN(first), name);
      assert.ok((low as number) <= 0 && (high as number) >= 1, name);
    }
  });
}

test.run();
