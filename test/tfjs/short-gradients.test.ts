// The gradients of activations that tuning uses on tfjs-node, against those that TensorFlow.js has itself.
import type { Tensor } from '@tensorflow/tfjs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { withShortGradients } from '../../src/tfjs/gradients.js';
import { need } from '../support/needs.js';
import { rejects } from '../support/throws.js';

const CORNERS = [-1e30, -6, -1, -1e-30, -0, 0, 1e-30, 0.5, 2, 5.999, 6, 6.001, 1e30, Infinity, -Infinity];

need(test, 'tfjs-node')(
  'ReLU, ReLU6 and clipping: the same values, and the old gradients afterwards',
  async () => {
    const { tf } = await loadTensorFlow({ prefer: 'node' });
    assert.is(tf.getBackend(), 'tensorflow');
    const operations = [
      (x: Tensor) => tf.relu(x),
      (x: Tensor) => tf.relu6(x),
      (x: Tensor) => tf.clipByValue(x, -1, 2),
    ];
    const gradients = () =>
      operations.map((operation) => {
        const made = tf.tidy(() => {
          const x = tf.tensor1d(CORNERS);
          const dy = tf.tensor1d(CORNERS.map((_, i) => i - 7.5));
          return tf.grad((a) => operation(a as Tensor))(x, dy);
        });
        const values = [...made.dataSync()];
        made.dispose();
        // Zero by minus something has a sign that means nothing.
        return values.map((value) => (value === 0 ? 0 : value));
      });
    const kernels = ['Relu', 'Relu6', 'ClipByValue'];
    const before = kernels.map((name) => tf.getGradient(name));
    const own = gradients();
    assert.equal(own[0]?.slice(6, 9), [-1.5, -0.5, 0.5]);
    const tensors = tf.memory().numTensors;
    const short = await withShortGradients(tf, async () => {
      assert.ok(kernels.every((name, i) => tf.getGradient(name) !== before[i]));
      return gradients();
    });
    assert.equal(short, own);
    assert.is(tf.memory().numTensors, tensors);
    assert.ok(kernels.every((name, i) => tf.getGradient(name) === before[i]));
    await rejects(
      withShortGradients(tf, () => Promise.reject(new RangeError('no'))),
      'RangeError',
    );
    assert.ok(kernels.every((name, i) => tf.getGradient(name) === before[i]));
  },
);

test('other backends keep theirs', async () => {
  const { tf } = await loadTensorFlow({ prefer: 'wasm' });
  await tf.setBackend('cpu');
  const before = tf.getGradient('Relu');
  await withShortGradients(tf, async () => assert.is(tf.getGradient('Relu'), before));
});

test.run();
