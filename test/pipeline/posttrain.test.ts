import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadModelWeights, openKeras } from '../../src/keras/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import { postTrainBinarization, postTrainQuantization } from '../../src/pipeline/posttrain.js';
import { dequantizeTensor } from '../../src/schemes/quantize.js';
import { root } from '../support/needs.js';

const model = await openKeras(
  readFileSync(path.join(root, 'test/fixtures/keras/keras2_sequential.h5')),
  'm.h5',
);
const layers = loadModelWeights(model);

test('every layer is there with its config, those without weights too', () => {
  assert.equal(
    layers.map(({ name }) => name),
    model.layers.map(({ name }) => name),
  );
  assert.is(layers.find(({ name }) => name === 'dense')?.config.units, 6);
  assert.is(layers.find(({ name }) => name === 'pool')?.weights.length, 0);
});

test('binarization takes every array, biases too: > 0 to 1, all else to -1', () => {
  for (const [i, layer] of postTrainBinarization(layers).entries()) {
    for (const [j, { values }] of layer.weights.entries()) {
      const original = layers[i]?.weights[j]?.values as Float32Array;
      assert.instance(values, Int8Array);
      assert.equal(
        [...values],
        [...original].map((w) => (w > 0 ? 1 : -1)),
      );
    }
  }
  const corner = { id: 'x', name: 'x', shape: [4], values: Float32Array.of(0, -0, Number.NaN, 1e-45) };
  const [layer] = postTrainBinarization([{ name: 'x', className: 'X', config: {}, weights: [corner] }]);
  assert.equal([...(layer?.weights[0]?.values ?? [])], [-1, -1, -1, 1]);
});

test('quantization takes every array to codes in [-8, 7], two to a byte', async () => {
  const kernels = await loadKernels();
  for (const [i, layer] of postTrainQuantization(layers, kernels).entries()) {
    for (const [j, { tensor, shape }] of layer.weights.entries()) {
      const original = layers[i]?.weights[j]?.values as Float32Array;
      assert.is(tensor.codes.length, Math.ceil(original.length / 2));
      assert.is(tensor.coding.granularity, shape.length < 2 ? 'tensor' : 'channel');
      const decoded = dequantizeTensor(kernels, tensor);
      const amax = Math.max(...original.map(Math.abs));
      const worst = Math.max(...decoded.map((value, k) => Math.abs(value - (original[k] as number))));
      assert.ok(worst <= amax / 14 + 1e-6);
    }
  }
});

test.run();
