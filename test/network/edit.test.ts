import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Json, JsonObject, ModelInfo } from '../../src/model.js';
import { editArchitecture, printNetwork, readNetwork } from '../../src/network/index.js';

const model = (
  kerasVersion: string,
  class_name: string,
  config: Json,
): ModelInfo & { readonly architecture: JsonObject } => ({
  ...{ file: 'small', backend: 'tensorflow', kerasVersion },
  architecture: { class_name, config },
});

const entry = (class_name: string, config: JsonObject, more: JsonObject = {}): JsonObject => ({
  ...{ class_name, name: config.name ?? null, config },
  ...more,
});

const tensor = (name: string, call = 0): JsonObject => ({
  class_name: '__keras_tensor__',
  config: { shape: [null, 3], dtype: 'float32', keras_history: [name, call, 0] },
});

/** The network of an edited architecture, a line for each input, node and output, without attributes and problems. */
const printed = (info: ModelInfo, architecture: JsonObject) =>
  printNetwork(readNetwork({ ...info, architecture }))
    .split('\n')
    .slice(1)
    .filter((line) => !line.startsWith('problem'))
    .map((line) => line.replace(/ \{.*$/, ''));

const NORM = { name: 'n', axis: -1 };
const dense = (name: string, more: JsonObject = {}): JsonObject => ({ name, units: 3, ...more });

test('a Sequential model of Keras 1: a list of layers, and `bias`', () => {
  const info = model('1.2.2', 'Sequential', [
    entry('Dropout', { name: 'd', p: 0.5, batch_input_shape: [null, 4], input_dtype: 'float32' }),
    entry('Dense', { name: 'a', output_dim: 3, activation: 'linear', bias: false }),
    entry('BatchNormalization', { ...NORM, mode: 0 }),
  ]);
  const before = structuredClone(info.architecture);
  const edited = editArchitecture(info, { removed: ['d', 'n'], biased: ['a'] });
  assert.equal(info.architecture, before);
  assert.equal(edited.config, [
    entry('Dense', {
      ...{ name: 'a', output_dim: 3, activation: 'linear', bias: true },
      ...{ batch_input_shape: [null, 4], input_dtype: 'float32' },
    }),
  ]);
  assert.equal(printed(info, edited), [
    'input model_input: %0 [?, 4]',
    '%1 [?, 3] = Dense(%0) a',
    'output a: %1',
  ]);
});

test('Keras 2: keyword arguments and other lists of a call stay, several layers in a row go', () => {
  const info = model('2.15.0', 'Functional', {
    name: 'm',
    layers: [
      entry('InputLayer', { name: 'x', batch_input_shape: [null, 3] }, { inbound_nodes: [] }),
      entry('Dropout', { name: 'd', rate: 0.5 }, { inbound_nodes: [[['x', 0, 0, {}]], [['a', 0, 0, {}]]] }),
      entry('Dropout', { name: 'e', rate: 0.5 }, { inbound_nodes: [[['d', 0, 0, {}]]] }),
      entry('Dense', dense('a'), { inbound_nodes: [[['e', 0, 0, { training: false }]]] }),
      entry(
        'Add',
        { name: 's' },
        {
          inbound_nodes: [
            [
              ['a', 0, 0, {}],
              ['d', 1, 0, {}],
            ],
          ],
        },
      ),
      entry(
        'TFOpLambda',
        { name: 'f', function: 'math.multiply' },
        { inbound_nodes: [['s', 0, 0, { y: ['d', 1, 0], name: null }]] },
      ),
    ],
    input_layers: [['x', 0, 0]],
    output_layers: [
      ['f', 0, 0],
      ['d', 1, 0],
    ],
  });
  const edited = editArchitecture(info, { removed: ['d', 'e'] });
  const { layers, output_layers: outputs } = edited.config as { layers: JsonObject[]; output_layers: Json };
  assert.equal(
    layers.map(({ name }) => name),
    ['x', 'a', 's', 'f'],
  );
  assert.equal(layers[1]?.inbound_nodes, [[['x', 0, 0, { training: false }]]]);
  assert.equal(layers[2]?.inbound_nodes, [
    [
      ['a', 0, 0, {}],
      ['a', 0, 0, {}],
    ],
  ]);
  assert.equal(layers[3]?.inbound_nodes, [['s', 0, 0, { y: ['a', 0, 0], name: null }]]);
  assert.equal(outputs, [
    ['f', 0, 0],
    ['a', 0, 0],
  ]);
  assert.equal(printed(info, edited).slice(-4), [
    '%2 [?, 3] = Add(%1, %1) s',
    '%3 [?, 3] = ops.Multiply(%2, %1) f',
    'output f: %3',
    'output a: %1',
  ]);
});

test('Keras 3: tensors keep what is said of them, and outputs of inner models are counted from 1', () => {
  const inner = entry('Functional', {
    name: 'body',
    layers: [
      entry('InputLayer', { name: 'i', batch_shape: [null, 3], dtype: 'float32' }, { inbound_nodes: [] }),
      entry(
        'Dense',
        { ...dense('a'), dtype: 'float32' },
        { inbound_nodes: [{ args: [tensor('i')], kwargs: {} }] },
      ),
    ],
    input_layers: ['i', 0, 0],
    output_layers: ['a', 0, 0],
  });
  const call = (...args: Json[]): JsonObject => ({ args, kwargs: {} });
  const info = model('3.15.1', 'Functional', {
    name: 'm',
    layers: [
      entry('InputLayer', { name: 'x', batch_shape: [null, 3], dtype: 'float32' }, { inbound_nodes: [] }),
      { ...inner, inbound_nodes: [call(tensor('x')), call(tensor('n', 0))] },
      // A list that looks like the reference of Keras 2.
      entry(
        'Dropout',
        { name: 'n', rate: 0.5, dtype: 'float32' },
        { inbound_nodes: [call(tensor('body')), call(tensor('body', 1))] },
      ),
      entry(
        'Add',
        { name: 's', dtype: 'float32' },
        { inbound_nodes: [{ args: [[tensor('n', 1), tensor('n')]], kwargs: { note: ['n', 0, 0] } }] },
      ),
    ],
    input_layers: [['x', 0, 0]],
    output_layers: { sum: ['s', 0, 0], own: ['n', 1, 0] },
  });
  const edited = editArchitecture(info, { removed: ['n'], biased: ['body/a'] });
  const { layers, output_layers: outputs } = edited.config as { layers: JsonObject[]; output_layers: Json };
  assert.equal(outputs, { sum: ['s', 0, 0], own: ['body', 2, 0] });
  assert.equal(layers[1]?.inbound_nodes, [call(tensor('x')), call(tensor('body', 0))]);
  assert.equal(layers[2]?.inbound_nodes, [
    { args: [[tensor('body', 1), tensor('body')]], kwargs: { note: ['n', 0, 0] } },
  ]);
  const [, body] = (layers[1] as { config: { layers: JsonObject[] } }).config.layers;
  assert.is((body?.config as JsonObject | undefined)?.use_bias, true);
  assert.equal(printed(info, edited).slice(-3), [
    '%3 [?, 3] = Add(%2, %1) s',
    'output own: %2',
    'output sum: %3',
  ]);
});

test('wrappers: a bias within TimeDistributed, a layer of the model within it', () => {
  const held = entry('Sequential', {
    name: 'seq',
    layers: [
      entry('InputLayer', { name: 'i', batch_shape: [null, 3] }),
      entry('Dense', dense('a')),
      entry('Dropout', { name: 'd', rate: 0.5 }),
    ],
  });
  const info = model('3.15.1', 'Sequential', {
    name: 'm',
    layers: [
      entry('InputLayer', { name: 'x', batch_shape: [null, 5, 3] }),
      entry('TimeDistributed', { name: 't', layer: entry('Dense', dense('b', { use_bias: false })) }),
      entry('TimeDistributed', { name: 'u', layer: held }),
    ],
  });
  const edited = editArchitecture(info, { removed: ['u/d'], biased: ['t'] });
  assert.equal(printed(info, edited), [
    'input x: %0 [?, 5, 3]',
    '%1 [?, 5, 3] = Dense(%0) t steps 1',
    '%2 [?, 5, 3] = Dense(%1) u/a steps 1',
    'output u: %2',
  ]);
});

test('layers without names keep those that they have by their place', () => {
  const info = model('2.0.0', 'Sequential', [
    { class_name: 'Dropout', config: { rate: 0.5, batch_input_shape: [null, 3] } },
    { class_name: 'Dense', config: { units: 3 } },
  ]);
  const edited = editArchitecture(info, { removed: ['layer_0'], biased: ['layer_1'] });
  assert.match(printed(info, edited)[1] as string, /Dense\(%0\) layer_1$/);
});

test('what is no layer of the architecture, and what cannot go, is refused by name', () => {
  const list = [
    entry('InputLayer', { name: 'x', batch_input_shape: [null, 3] }, { inbound_nodes: [] }),
    entry(
      'Sequential',
      { name: 'seq', layers: [entry('Dense', dense('a'))] },
      { inbound_nodes: [[['x', 0, 0, {}]]] },
    ),
    entry(
      'Add',
      { name: 's' },
      {
        inbound_nodes: [
          [
            ['x', 0, 0, {}],
            ['seq', 1, 0, {}],
          ],
        ],
      },
    ),
  ];
  const info = model('2.15.0', 'Functional', {
    ...{ name: 'm', layers: list, input_layers: [['x', 0, 0]], output_layers: [['s', 0, 0]] },
  });
  const fails = (edits: Parameters<typeof editArchitecture>[1], message: RegExp) =>
    assert.throws(
      () => editArchitecture(info, edits),
      (error: unknown) => error instanceof RangeError && message.test(error.message),
    );
  fails({ removed: ['zzz'] }, /expected the path of a layer of the architecture, got zzz/);
  fails({ biased: ['a'] }, /got a$/);
  fails({ removed: ['seq'] }, /seq cannot be taken out: it is a model/);
  fails({ removed: ['x'] }, /x cannot be taken out: it is an input/);
  fails({ removed: ['s'] }, /s cannot be taken out: a call of several inputs/);
  assert.throws(
    () => editArchitecture({ ...info, architecture: undefined }, {}),
    /expected a model with an architecture/,
  );
  assert.equal(editArchitecture(info, {}), info.architecture);
});

test('a Sequential model that loses all of its layers keeps one that hands on its input, by the name of the last', () => {
  const left = (layers: JsonObject[], removed: string[]) =>
    editArchitecture(model('3.15.1', 'Sequential', { name: 'm', layers }), { removed }).config;
  const given = entry('InputLayer', { name: 'x', batch_shape: [null, 3] });
  const first = entry('Dropout', { name: 'd', rate: 0.5 });
  const more = {
    module: 'keras.mine',
    registered_name: 'mine>Dropout',
    build_config: { input_shape: [null, 3] },
  };
  const last = entry('Dropout', { name: 'e', rate: 0.5, trainable: false, dtype: 'float32' }, more);
  assert.equal(left([given, first, last], ['d', 'e']), {
    name: 'm',
    layers: [
      given,
      {
        ...{ class_name: 'Activation', name: 'e', module: 'keras.layers', registered_name: null },
        config: { name: 'e', trainable: false, dtype: 'float32', activation: 'linear' },
      },
    ],
  });
  const start = entry('Dropout', { name: 'd', rate: 0.5, batch_shape: [null, 3] });
  assert.equal(left([start], ['d']), {
    name: 'm',
    layers: [entry('Activation', { name: 'd', activation: 'linear', batch_shape: [null, 3] })],
  });
  // What the next layer says of its input itself stays, and so does a model that has but an input.
  const own = entry('Dense', dense('a', { batch_shape: [8, 3] }));
  assert.equal(left([start, own], ['d']), { name: 'm', layers: [own] });
  assert.equal(left([given, own, last], ['e']), { name: 'm', layers: [given, own] });
  const alone = entry('Sequential', { name: 's', layers: [given] });
  assert.equal(left([alone, first, own], ['d']), { name: 'm', layers: [alone, own] });
});

test.run();
