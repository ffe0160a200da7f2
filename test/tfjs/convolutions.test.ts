// Convolutions of the WebAssembly backend by bitnibble's kernels, against those that it has itself.

import type { Tensor, Tensor4D } from '@tensorflow/tfjs';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadLinearAlgebra } from '../../src/kernels/linalg.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { withFastConvolutions } from '../../src/tfjs/convolutions.js';

const { tf } = await loadTensorFlow({ prefer: 'wasm' });
const algebra = await loadLinearAlgebra();

/** Counts the convolutions that the kernels compute. */
let computed = 0;
const counting = {
  ...algebra,
  convolve: (...call: Parameters<typeof algebra.convolve>) => {
    computed++;
    algebra.convolve(...call);
  },
};

interface Case {
  readonly shape: [number, number, number, number];
  readonly filter: [number, number, number, number];
  readonly strides?: number;
  readonly dilations?: number;
  readonly pad?: 'same' | 'valid';
  readonly activation?: 'linear' | 'relu' | 'relu6';
  readonly seed?: number;
}

/** A convolution with a bias, and one without. */
function run({ shape, filter, strides = 1, dilations = 1, pad = 'same', activation, seed = 1 }: Case) {
  return tf.tidy(() => {
    const x = tf.randomNormal(shape, 0, 1, 'float32', seed) as Tensor4D;
    const w = tf.randomNormal(filter, 0, 1, 'float32', seed + 1) as Tensor4D;
    const bias = tf.randomNormal([filter[3]], 0, 1, 'float32', seed + 2);
    const made: Tensor[] = [
      tf.fused.conv2d({ x, filter: w, strides, dilations, pad, bias, activation: activation ?? 'linear' }),
      tf.conv2d(x, w, strides, pad, 'NHWC', dilations),
    ];
    return made.map((y) => ({ shape: y.shape, values: Float32Array.from(y.dataSync()) }));
  });
}

async function compare(given: Case): Promise<number> {
  const wanted = run(given);
  computed = 0;
  const got = await withFastConvolutions(tf, counting, async () => run(given));
  for (const [i, { shape, values }] of got.entries()) {
    const other = wanted[i] as (typeof wanted)[number];
    assert.equal(shape, other.shape);
    const most = 2e-5 * other.values.reduce((a, b) => Math.max(a, Math.abs(b)), 1);
    values.forEach((value, at) => {
      assert.ok(Math.abs(value - (other.values[at] as number)) <= most, `${value} at ${at} of ${shape}`);
    });
  }
  return computed;
}

test('by 3 x 3: as the backend computes them', async () => {
  const size = fc.integer({ min: 3, max: 13 });
  const given = fc.record({
    shape: fc.tuple(fc.constant(2048), size, size, fc.constant(4)),
    outputs: fc.constantFrom(8, 16),
    pad: fc.constantFrom('same' as const, 'valid' as const),
    activation: fc.constantFrom('linear' as const, 'relu' as const),
    seed: fc.integer({ min: 1, max: 1000 }),
  });
  const property = fc.asyncProperty(given, async ({ outputs, shape, ...rest }) => {
    const [least, height, width, channels] = shape;
    const across = (length: number) => length - (rest.pad === 'valid' ? 2 : 0);
    const images = Math.ceil(least / across(height) / across(width));
    const own: Case = {
      ...rest,
      shape: [images, height, width, channels],
      filter: [3, 3, channels, outputs],
    };
    assert.is(await compare(own), 2);
  });
  await fc.assert(property, { numRuns: 30 });
});

test('others are left to the backend', async () => {
  const shape: Case['shape'] = [150, 9, 8, 4];
  for (const own of [
    { filter: [3, 3, 4, 8], strides: 2 },
    { filter: [3, 3, 4, 8], dilations: 2 },
    { filter: [5, 5, 4, 8] },
    { filter: [3, 1, 4, 8] },
    { filter: [3, 3, 4, 6] },
  ] as const)
    assert.is(await compare({ shape, ...own, filter: [...own.filter] }), 0, JSON.stringify(own));
  assert.is(await compare({ shape: [150, 9, 8, 3], filter: [3, 3, 3, 8] }), 0);
  assert.is(await compare({ shape: [28, 9, 8, 4], filter: [3, 3, 4, 8] }), 0);
  // The kernel with an activation is the backend's, the one without is not.
  assert.is(await compare({ shape, filter: [3, 3, 4, 8], activation: 'relu6' }), 1);
});

test('the backend has its own kernels again, also after an error; a filter that is set anew is read anew', async () => {
  const own = ['Conv2D', 'FusedConv2D'].map((name) => tf.getKernel(name, 'wasm'));
  const fails = withFastConvolutions(tf, algebra, async () => {
    assert.is.not(tf.getKernel('Conv2D', 'wasm').kernelFunc, own[0]?.kernelFunc);
    throw new Error('no');
  });
  await fails.then(assert.unreachable, (error) => assert.is(error.message, 'no'));
  assert.equal(
    ['Conv2D', 'FusedConv2D'].map((name) => tf.getKernel(name, 'wasm')),
    own,
  );
  const filter = tf.variable(tf.ones([3, 3, 4, 8])) as unknown as Tensor4D & { assign(value: Tensor): void };
  const x = tf.ones([82, 5, 5, 4]) as Tensor4D;
  await withFastConvolutions(tf, algebra, async () => {
    const middle = () => tf.tidy(() => tf.conv2d(x, filter, 1, 'same').dataSync()[12 * 8]);
    assert.is(middle(), 36);
    filter.assign(tf.fill([3, 3, 4, 8], 2));
    assert.is(middle(), 72);
  });
  tf.dispose([x, filter]);
});

test('other backends are left alone', async () => {
  const before = tf.getBackend();
  await tf.setBackend('cpu');
  const own = tf.getKernel('Conv2D', 'cpu');
  await withFastConvolutions(tf, algebra, async () => assert.is(tf.getKernel('Conv2D', 'cpu'), own));
  await tf.setBackend(before);
});

test.run();
