// Networks as text, one of each notation. Who changes how a graph is read sees here what became of it.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Json, JsonObject, ModelInfo } from '../../src/model.js';
import { openNetwork, printNetwork, readNetwork } from '../../src/network/index.js';
import { openKeras } from '../../src/node/models.js';
import { root } from '../support/needs.js';
import { fileOf } from '../tfjs/support.js';

const folder = path.join(root, 'test/fixtures/networks');

for (const file of readdirSync(folder)) {
  const name = file.slice(0, -'.txt'.length);
  test(`${name}: the network is the one that was read and found right`, async () => {
    const model = await openKeras(fileOf(name));
    const text = printNetwork(openNetwork(model).network);
    model.close();
    assert.equal(text.split('\n'), readFileSync(path.join(folder, file), 'utf8').trimEnd().split('\n'));
  });
}

/** A layer's entry. */
const entry = (class_name: string, config: JsonObject, inbound_nodes: Json): JsonObject => ({
  ...{ class_name, name: config.name ?? null, config, inbound_nodes },
});

/** Output of a call in Keras 1 and 2, and in Keras 3. */
const old = (name: string, call = 0): Json => [name, call, 0];
const tensor = (name: string, call = 0): JsonObject => ({
  class_name: '__keras_tensor__',
  config: { shape: [null, 3], dtype: 'float32', keras_history: [name, call, 0] },
});

/**
 * `y = body(x)`, `z = body(y) + x` with the outputs `z`, `y`, where `body` is a model of one Dense layer. Keras 1 and 2 count
 * calls of a model inside from 1; Keras 3 counts them from 0, and from 1 where they are outputs of the model.
 */
const NOTATIONS: Readonly<Record<string, JsonObject>> = {
  '1.2.2': {
    class_name: 'Model',
    config: {
      name: 'm',
      layers: [
        entry('InputLayer', { name: 'x', batch_input_shape: [null, 3], input_dtype: 'float32' }, []),
        entry(
          'Model',
          {
            name: 'body',
            layers: [
              entry('InputLayer', { name: 'i', batch_input_shape: [null, 3], input_dtype: 'float32' }, []),
              entry('Dense', { name: 'd', output_dim: 3, activation: 'relu', bias: true }, [[old('i')]]),
            ],
            input_layers: [old('i')],
            output_layers: [old('d')],
          },
          [[old('x')], [old('body', 1)]],
        ),
        entry('Merge', { name: 's', mode: 'sum', mode_type: 'raw' }, [[old('body', 2), old('x')]]),
      ],
      input_layers: [old('x')],
      output_layers: [old('s'), old('body', 1)],
    },
  },
  '2.15.0': {
    class_name: 'Functional',
    config: {
      name: 'm',
      layers: [
        entry('InputLayer', { name: 'x', batch_input_shape: [null, 3], dtype: 'float32' }, []),
        entry(
          'Functional',
          {
            name: 'body',
            layers: [
              entry('InputLayer', { name: 'i', batch_input_shape: [null, 3], dtype: 'float32' }, []),
              entry('Dense', { name: 'd', units: 3, activation: 'relu', use_bias: true }, [
                [['i', 0, 0, {}]],
              ]),
            ],
            input_layers: [old('i')],
            output_layers: [old('d')],
          },
          [[['x', 0, 0, {}]], [['body', 1, 0, {}]]],
        ),
        entry('Add', { name: 's' }, [
          [
            ['body', 2, 0, {}],
            ['x', 0, 0, {}],
          ],
        ]),
      ],
      input_layers: [old('x')],
      output_layers: [old('s'), old('body', 1)],
    },
  },
  '3.15.1': {
    class_name: 'Functional',
    config: {
      name: 'm',
      layers: [
        entry('InputLayer', { name: 'x', batch_shape: [null, 3], dtype: 'float32' }, []),
        entry(
          'Functional',
          {
            name: 'body',
            layers: [
              entry('InputLayer', { name: 'i', batch_shape: [null, 3], dtype: 'float32' }, []),
              entry('Dense', { name: 'd', units: 3, activation: 'relu', use_bias: true, dtype: 'float32' }, [
                { args: [tensor('i')], kwargs: {} },
              ]),
            ],
            input_layers: ['i', 0, 0],
            output_layers: ['d', 0, 0],
          },
          [
            { args: [tensor('x')], kwargs: {} },
            { args: [tensor('body')], kwargs: {} },
          ],
        ),
        entry('Add', { name: 's', dtype: 'float32' }, [
          { args: [[tensor('body', 1), tensor('x')]], kwargs: {} },
        ]),
      ],
      input_layers: ['x', 0, 0],
      output_layers: [old('s'), old('body', 1)],
    },
  },
};

for (const [kerasVersion, architecture] of Object.entries(NOTATIONS)) {
  test(`one network in the notation of Keras ${kerasVersion}`, () => {
    const model: ModelInfo = { file: 'small', backend: 'tensorflow', kerasVersion, architecture };
    const weights = [
      { id: 'k', layer: 'body/d', name: 'kernel', shape: [3, 3] },
      { id: 'b', layer: 'body/d', name: 'bias', shape: [3] },
    ].map((weight) => ({ ...weight, className: 'Dense', dtype: 'F32' as const }));
    assert.equal(printNetwork(readNetwork(model, weights)).split('\n'), [
      'network m',
      'input x: %0 [?, 3]',
      '%1 [?, 3] = Dense(%0) body/d {units: 3, activation: "relu", use_bias: true} kernel=k bias=b',
      '%2 [?, 3] = Dense(%1) body/d {units: 3, activation: "relu", use_bias: true} kernel=k bias=b',
      '%3 [?, 3] = Add(%2, %0) s',
      'output s: %3',
      'output body: %1',
    ]);
  });
}

test('what is not known is printed with its reason', () => {
  const architecture = {
    class_name: 'Sequential',
    config: {
      name: 'm',
      layers: [
        entry('InputLayer', { name: 'x', batch_shape: [null, 3], dtype: 'int32' }, []),
        entry('Lambda', { name: 'l' }, []),
      ],
    },
  };
  const model: ModelInfo = { file: 'small', backend: '', kerasVersion: '3.15.1', architecture };
  const lines = printNetwork(readNetwork(model)).split('\n');
  assert.is(lines[1], 'input x: %0 int32 [?, 3]');
  assert.match(lines[2] as string, /^%1 \[unknown\], .* = Lambda\(%0\) l$/);
  assert.is(lines.at(-1), 'problem l (Lambda): it holds code, which is never executed');
});

test.run();
