// Masks that are inputs of the model itself: no layer of the network makes them.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { JsonObject, ModelSource } from '../../src/model.js';
import { loadNetwork } from '../../src/runtime/index.js';

/** A mean over the steps that the second input leaves. */
function masked(): ModelSource {
  const input = (name: string, dtype: string, batch_shape: (number | null)[]) => ({
    ...{ class_name: 'InputLayer', name, config: { name, dtype, batch_shape }, inbound_nodes: [] },
  });
  const tensor = (from: string) => ({
    class_name: '__keras_tensor__',
    config: { keras_history: [from, 0, 0] },
  });
  const layers = [
    input('x', 'float32', [null, 3, 2]),
    input('is_there', 'bool', [null, 3]),
    {
      ...{ class_name: 'GlobalAveragePooling1D', name: 'mean', config: { name: 'mean', trainable: true } },
      inbound_nodes: [{ args: [tensor('x')], kwargs: { mask: tensor('is_there') } }],
    },
  ];
  const inputs = ['x', 'is_there'].map((name) => [name, 0, 0]);
  const config = { name: 'masked', layers, input_layers: inputs, output_layers: [['mean', 0, 0]] };
  return {
    ...{ file: 'masked.keras', kerasVersion: '3.15.1', backend: 'tensorflow', weights: [] },
    architecture: { class_name: 'Functional', config } as unknown as JsonObject,
    read: (id) => assert.unreachable(id) as never,
  };
}

test('a mean over time leaves out what a mask that is an input says', async () => {
  for (const backend of ['simd', 'reference'] as const) {
    const network = await loadNetwork(masked(), { backend });
    const x = Float32Array.of(1, 2, 3, 5, 8, 13);
    assert.equal(network.run({ x, is_there: Float32Array.of(1, 0, 1) }), Float32Array.of(4.5, 7.5));
    assert.equal(network.run({ x, is_there: Float32Array.of(0, 1, 0) }), Float32Array.of(3, 5));
    assert.equal(network.run({ x, is_there: Float32Array.of(1, 1, 0) }), Float32Array.of(2, 3.5));
    network.dispose();
  }
});

test.run();
