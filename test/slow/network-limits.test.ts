// Limits of the size of a model: of models inside models, and of calls.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Json, JsonObject, ModelInfo } from '../../src/model.js';
import { readNetwork } from '../../src/network/index.js';

const layer = (class_name: string, name: string, config: JsonObject = {}, nodes: Json = []): JsonObject => ({
  ...{ class_name, config: { name, dtype: 'float32', trainable: true, ...config }, inbound_nodes: nodes },
});
const tensor = (name: string, call = 0): JsonObject => ({
  class_name: '__keras_tensor__',
  config: { keras_history: [name, call, 0] },
});
const on = (...inputs: Json[]): JsonObject => ({ args: inputs, kwargs: {} });
const input = (name: string, shape: Json, config: JsonObject = {}) =>
  layer('InputLayer', name, { batch_shape: shape, ...config });
const dense = (name: string, before: string, more: JsonObject = {}) =>
  layer('Dense', name, { units: 3, ...more }, [on(tensor(before))]);
const net = (layers: JsonObject[], inputs: Json, outputs: Json, nodes: Json = [], name = 'net') =>
  layer('Functional', name, { layers, input_layers: inputs, output_layers: outputs }, nodes);
const ends = (...names: string[]): Json => names.map((name) => [name, 0, 0]);
const info = (architecture: JsonObject): ModelInfo => ({
  ...{ file: 'file.keras', backend: 'tensorflow', kerasVersion: '3.15.1', architecture },
});
const refused = (run: () => unknown, code: string, message: string) =>
  assert.throws(run, (error: { code?: string } & Error) => {
    assert.equal([error.code, error.message], [code, message]);
    return true;
  });

test('models that call each other ever more often are refused before memory is full', () => {
  let model: JsonObject = dense('d', 'x');
  for (let i = 0; i < 6; i++) {
    const name = i === 0 ? 'd' : `m${i - 1}`;
    const nodes = Array.from({ length: 10 }, (_, n) => on(tensor(n === 0 ? 'x' : name, Math.max(n - 1, 0))));
    const inner = { ...model, inbound_nodes: nodes };
    model = net([input('x', [null, 3]), inner], ends('x'), [[name, i === 0 ? 9 : 10, 0]], [], `m${i}`);
  }
  refused(() => readNetwork(info(model)), 'corrupt-file', 'file.keras: more than 100000 calls of layers');
});

test.run();
