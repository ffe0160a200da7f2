// Gradients of convolutions that the WebAssembly backend lacks, against those of TensorFlow.js's own cpu backend.

import type { Tensor } from '@tensorflow/tfjs';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { addConvolutionGradients } from '../../src/tfjs/gradients.js';

const { tf } = await loadTensorFlow({ prefer: 'wasm' });

const geometry = fc
  .record({
    size: fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })),
    filter: fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 })),
    strides: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 })),
    pad: fc.constantFrom('same' as const, 'valid' as const),
    batch: fc.integer({ min: 1, max: 3 }),
    channels: fc.integer({ min: 1, max: 5 }),
    outputs: fc.integer({ min: 1, max: 3 }),
    seed: fc.integer({ min: 1, max: 1000 }), // 0 is no seed to randomNormal,
  })
  .filter(({ size, filter, pad }) => pad === 'same' || (filter[0] <= size[0] && filter[1] <= size[1]));

type Operation = 'conv2d' | 'depthwiseConv2d';

/** Gradients of a weighted sum of the outputs by inputs and filters. */
async function gradients(backend: string, operation: Operation, g: ReturnType<typeof geometryOf>) {
  await tf.setBackend(backend);
  if (backend === 'wasm') addConvolutionGradients(tf);
  const made = tf.tidy(() => {
    const x = tf.randomNormal(g.input, 0, 1, 'float32', g.seed);
    const w = tf.randomNormal(g.filter, 0, 1, 'float32', g.seed + 1);
    const apply = (a: Tensor, b: Tensor) =>
      tf[operation](a as never, b as never, g.strides, g.pad) as unknown as Tensor;
    const weights = tf.randomNormal(apply(x, w).shape, 0, 1, 'float32', g.seed + 2);
    const by = tf.grads((a, b) => tf.sum(tf.mul(apply(a as Tensor, b as Tensor), weights)));
    return by([x, w]);
  });
  const values = made.map((tensor) => ({ shape: tensor.shape, values: [...tensor.dataSync()] }));
  tf.dispose(made);
  return values;
}

const geometryOf = (operation: Operation, g: typeof geometry extends fc.Arbitrary<infer T> ? T : never) => ({
  input: [g.batch, ...g.size, g.channels] as [number, number, number, number],
  filter: [...g.filter, g.channels, g.outputs] as [number, number, number, number],
  ...{ strides: g.strides, pad: g.pad, seed: g.seed, operation },
});

for (const operation of ['conv2d', 'depthwiseConv2d'] as const) {
  test(`${operation}: by inputs and by filters, every stride and edge`, async () => {
    await fc.assert(
      fc.asyncProperty(geometry, async (drawn) => {
        const g = geometryOf(operation, drawn);
        const before = tf.memory().numTensors;
        const [own, exact] = [await gradients('wasm', operation, g), await gradients('cpu', operation, g)];
        assert.is(tf.memory().numTensors, before, 'no tensor is left');
        for (const [i, { shape, values }] of exact.entries()) {
          assert.equal(own[i]?.shape, shape);
          const most = Math.max(1, ...values.map(Math.abs));
          values.forEach((value, at) => {
            const error = Math.abs((own[i]?.values[at] as number) - value);
            assert.ok(
              error <= 1e-5 * most,
              `${JSON.stringify(g)}: ${i} at ${at}: ${own[i]?.values[at]}, ${value}`,
            );
          });
        }
      }),
      { numRuns: 150, includeErrorInReport: true },
    );
  });
}

test('what a backend has is left alone', async () => {
  await tf.setBackend('cpu');
  const has = tf.getKernel('Conv2DBackpropFilter', 'cpu');
  addConvolutionGradients(tf);
  assert.is(tf.getKernel('Conv2DBackpropFilter', 'cpu'), has);
});

test.run();
