import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { divergence, isClassifier } from '../../src/pipeline/calibrate/divergence.js';

const { tf } = await loadTensorFlow({ prefer: 'wasm' });
const relative = (got: number, want: number) => Math.abs(got / want - 1);

test('a squared error over 3,000,000 outputs is that of float64', () => {
  // The WebAssembly backend's own sums lose 3 percent here.
  const n = 3_000_000;
  const values = Float32Array.from({ length: n }, (_, i) => (i % 2 === 0 ? 0.5 : -0.5));
  const other = values.map((v) => v + 0.25);
  const pair = { float: [tf.tensor(values, [1, n])], quantized: [tf.tensor(other, [1, n])] };
  assert.ok(relative(divergence([pair], 'probability'), 0.0625 / 0.25) < 1e-6);
  tf.dispose([...pair.float, ...pair.quantized]);
});

test('the divergence of 200,000 rows is that of float64, of probabilities and of logits', () => {
  const rows = 200_000;
  const of = (a: number, b: number) => Float32Array.from({ length: 2 * rows }, (_, i) => (i % 2 ? b : a));
  const want = 0.1 * Math.log(0.1 / 0.2) + 0.9 * Math.log(0.9 / 0.8);
  for (const kind of ['probabilities', 'logits'] as const) {
    const f = (p: number) => (kind === 'logits' ? Math.log(p) + 3 : p);
    const pair = {
      float: [tf.tensor(of(f(0.1), f(0.9)), [rows, 2])],
      quantized: [tf.tensor(of(f(0.2), f(0.8)), [rows, 2])],
    };
    assert.ok(relative(divergence([pair], kind), want) < 1e-5, kind);
    tf.dispose([...pair.float, ...pair.quantized]);
  }
});

test('probabilities of classes for each step are classes; other outputs of steps are numbers', () => {
  const shape = [2, 3, 2];
  const of = (p: number) => {
    const values = Float32Array.from({ length: 12 }, (_, i) => (i % 2 ? 1 - p : p));
    return { shape, dataSync: () => values };
  };
  const pair = { float: [of(0.1)], quantized: [of(0.2)] };
  const nats = 0.1 * Math.log(0.1 / 0.2) + 0.9 * Math.log(0.9 / 0.8);
  assert.ok(relative(divergence([pair], 'probabilities'), nats) < 1e-5);
  assert.ok(relative(divergence([pair], 'logits'), 0.01 / 0.16) < 1e-5);
  assert.is(isClassifier([{ shape: [2, 3, 1] }], 'probabilities'), false);
  assert.is(isClassifier([{ shape: [2, 3] }], 'numbers'), false);
  assert.is(isClassifier([{ shape: [2, 3] }], 'logits'), true);
  assert.is(isClassifier([{ shape: [2, 3] }, { shape: [2, 3] }], 'probabilities'), false);
});

test('outputs that are not numbers make a divergence that is none', () => {
  const pair = {
    float: [tf.tensor([0.5, 0.5], [1, 2])],
    quantized: [tf.tensor([Number.NaN, 0.5], [1, 2])],
  };
  assert.ok(Number.isNaN(divergence([pair], 'probabilities')));
  assert.ok(Number.isNaN(divergence([pair], 'probability')));
});

test.run();
