// Architectures of small models in Keras 3's words, and what is told of the networks that they are read as.
import * as assert from 'uvu/assert';
import type { Json, JsonObject, ModelInfo, WeightInfo } from '../../src/model.js';
import { printNetwork, readNetwork } from '../../src/network/index.js';

export const layer = (
  class_name: string,
  name: string,
  config: JsonObject = {},
  nodes: Json = [],
): JsonObject => ({
  ...{ class_name, config: { name, dtype: 'float32', trainable: true, ...config }, inbound_nodes: nodes },
});
export const tensor = (name: string, call = 0): JsonObject => ({
  class_name: '__keras_tensor__',
  config: { keras_history: [name, call, 0] },
});
export const on = (...inputs: Json[]): JsonObject => ({ args: inputs, kwargs: {} });
export const input = (name: string, shape: Json, config: JsonObject = {}) =>
  layer('InputLayer', name, { batch_shape: shape, ...config });
export const dense = (name: string, before: string, more: JsonObject = {}) =>
  layer('Dense', name, { units: 3, ...more }, [on(tensor(before))]);
export const net = (layers: JsonObject[], inputs: Json, outputs: Json, nodes: Json = [], name = 'net') =>
  layer('Functional', name, { layers, input_layers: inputs, output_layers: outputs }, nodes);
export const ends = (...names: string[]): Json => names.map((name) => [name, 0, 0]);
export const sequential = (...layers: JsonObject[]) => layer('Sequential', 'seq', { layers });

export const info = (architecture: JsonObject | undefined, kerasVersion = '3.15.1'): ModelInfo => ({
  ...{ file: 'file.keras', backend: 'tensorflow', kerasVersion, architecture },
});
/** The printed network without attributes. */
export const lines = (architecture: JsonObject, weights: WeightInfo[] = [], version?: string) =>
  printNetwork(readNetwork(info(architecture, version), weights))
    .split('\n')
    .map((line) => line.replace(/ \{.*?\}/, ''));
export const problems = (architecture: JsonObject, weights: WeightInfo[] = [], version?: string) =>
  readNetwork(info(architecture, version), weights).problems.map(
    (row) => `${row.code} ${row.layer}: ${row.reason}`,
  );
export const refused = (run: () => unknown, code: string, message: string) =>
  assert.throws(run, (error: { code?: string } & Error) => {
    assert.equal([error.code, error.message], [code, message]);
    return true;
  });
