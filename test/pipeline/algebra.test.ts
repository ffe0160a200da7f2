// Sums over rows by TensorFlow.js's native product are as good as those of the kernels.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadLinearAlgebra } from '../../src/kernels/linalg.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { algebraFor, nativeSums } from '../../src/pipeline/calibrate/algebra.js';
import { need } from '../support/needs.js';
import { random } from './support.js';

const test = suite('algebra');

need(test, 'tfjs-node')('native sums: within 2e-6 of exact ones, as the kernels', async () => {
  const { tf } = await loadTensorFlow();
  const own = await loadLinearAlgebra();
  const native = nativeSums(tf, own);
  const [rows, k, n] = [5000, 40, 17];
  const next = random(7);
  // A ReLU's outputs: half are zero, the rest of one sign, so that sums grow.
  const x = Float32Array.from({ length: rows * k }, () => Math.max(0, next()));
  const t = Float32Array.from({ length: rows * n }, () => next());
  const exact = (a: Float32Array, i: number, b: Float32Array, j: number, width: number) => {
    let sum = 0;
    for (let row = 0; row < rows; row++) sum += (a[row * k + i] as number) * (b[row * width + j] as number);
    return sum;
  };
  const lengthOf = (a: Float32Array, i: number, width: number) => {
    let sum = 0;
    for (let row = 0; row < rows; row++) sum += (a[row * width + i] as number) ** 2;
    return Math.sqrt(sum);
  };
  for (const algebra of [own, native]) {
    const [gram, cross] = [new Float64Array(k * k), new Float64Array(k * n)];
    algebra.addGram(gram, x, rows, k);
    algebra.addCross(cross, x, t, rows, k, n);
    for (let i = 0; i < k; i++) {
      for (let j = 0; j < k; j++) {
        const most = 2e-6 * lengthOf(x, i, k) * lengthOf(x, j, k);
        assert.ok(Math.abs((gram[i * k + j] as number) - exact(x, i, x, j, k)) < most, algebra.backend);
      }
      for (let c = 0; c < n; c++) {
        const most = 2e-6 * lengthOf(x, i, k) * lengthOf(t, c, n);
        assert.ok(Math.abs((cross[i * n + c] as number) - exact(x, i, t, c, n)) < most, algebra.backend);
      }
    }
  }
});

test('an algebra handed in is the one that is used', async () => {
  const { tf } = await loadTensorFlow({ prefer: 'wasm' });
  const reference = await loadLinearAlgebra({ backend: 'reference' });
  const kernels = { backend: 'simd' } as Parameters<typeof algebraFor>[1]['kernels'];
  assert.is((await algebraFor(tf, { kernels, algebra: reference })).backend, 'reference');
  assert.is((await algebraFor(tf, { kernels })).backend, 'simd');
});

test.run();
