// What an entry of an architecture is: out of its wrappers, with the reason where it cannot be computed.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Json, JsonObject } from '../../src/model.js';
import { classOf } from '../../src/network/config.js';
import { dtypeName, type Layer, layerOf, trainingOf } from '../../src/network/layer.js';
import { sequential } from './support.js';

const entry = (class_name: string, config: JsonObject = {}): JsonObject => ({ class_name, config });
const read = (given: JsonObject, isKeras3 = true, call: JsonObject = {}) =>
  layerOf(given, isKeras3, call) as Layer;
const wrapped = (wrapper: string, held: JsonObject, more: JsonObject = {}) =>
  entry(wrapper, { layer: held, ...more });
const units = entry('Dense', { units: 2 });
const lstm = entry('LSTM', { name: 'a', units: 2, seed: 1 });

test('the class of an entry: with its package where another than Keras registered it', () => {
  const of = (registered_name: Json) => classOf({ class_name: 'Odd', registered_name });
  assert.equal(
    [of('shop>Odd'), of('shop>Other'), of('>Odd x'), of(null), of(3)],
    [...['shop>Odd', 'shop>Other', 'Odd', 'Odd', 'Odd']],
  );
  // As Keras 3.15 writes a class that is not registered: by its module, or none, and its bare name.
  const from = (module: Json, registered_name: Json = 'Dense') =>
    classOf({ class_name: 'Dense', module, registered_name });
  assert.equal(
    ['keras.layers', 'keras.src.models.functional', 'tf_keras.src.engine', 'keras'].map((name) => from(name)),
    Array(4).fill('Dense'),
  );
  assert.equal(
    [
      from(null),
      from('__main__'),
      from('kerasy.layers'),
      from(null, 'keras>Dense'),
      from(null, 'keras.layers>ReLU'),
    ],
    ['Custom>Dense', '__main__>Dense', 'kerasy.layers>Dense', 'Custom>Dense', 'Custom>Dense'],
  );
});

test('classes of others by the names of those of Keras are not taken for them, wherever they stand', () => {
  const others = (class_name: string, config: JsonObject): JsonObject => ({
    ...{ class_name, config, module: null, registered_name: class_name },
  });
  const own = others('Dense', { units: 2 });
  assert.equal(
    [own, wrapped('TimeDistributed', own)].map((given) => read(given).problems),
    Array(2).fill(['a layer that bitnibble does not know']),
  );
  const cell = entry('RNN', { cell: others('LSTMCell', { units: 2 }) });
  assert.equal(read(cell).problems, ['the cell Custom>LSTMCell']);
  const activated = entry('Dense', {
    units: 2,
    activation: {
      module: 'builtins',
      class_name: 'function',
      config: 'Custom>relu',
      registered_name: 'function',
    },
  });
  assert.equal(read(activated).problems, ['activation Custom>relu']);
});

test('models of classes of their own are refused: the file does not say how they call their layers', () => {
  const model = (more: JsonObject): JsonObject => ({ ...sequential(units), ...more });
  const models: JsonObject[] = [
    {},
    { module: 'keras', registered_name: null },
    { class_name: 'Functional', module: 'keras.src.models.functional', registered_name: 'Functional' },
  ];
  assert.equal(
    models.map((more) => layerOf(model(more), true).kind),
    ['model', 'model', 'model'],
  );
  const own: JsonObject[] = [
    { module: null, registered_name: 'Sequential' },
    { class_name: 'VAE', registered_name: 'Custom>VAE' },
    { class_name: 'VAE' },
  ];
  for (const more of own) {
    assert.match(
      read(model(more)).problems.join(),
      /^a model of a class of its own, whose code is not in the file/,
    );
    assert.match(
      read(wrapped('TimeDistributed', model(more))).problems.join(),
      /^a model of a class of its own/,
    );
  }
  const pipeline = model({ class_name: 'Pipeline', module: 'keras.layers', registered_name: null });
  assert.equal(read(pipeline).problems, ['a layer that bitnibble does not know']);
});

test('wrappers: steps, class names and weights that they store behind those of the layer', () => {
  const timed = read(wrapped('TimeDistributed', wrapped('TimeDistributed', units)));
  assert.equal(
    [timed.name, timed.steps, timed.className],
    [...['Dense', 2, 'TimeDistributed/TimeDistributed/Dense']],
  );
  assert.equal(timed.attributes, { units: 2, activation: 'linear', use_bias: true });
  const spectral = read(wrapped('SpectralNormalization', wrapped('TimeDistributed', units)));
  assert.equal([spectral.className, spectral.steps], ['SpectralNormalization/TimeDistributed/Dense', 1]);
  assert.equal(spectral.behind, [{ role: 'vector_u', isUnused: true }]);
  assert.equal(read(units).behind, []);
  const both = read(wrapped('Bidirectional', wrapped('SpectralNormalization', lstm)));
  assert.equal(both.behind, [{ role: 'vector_u', isUnused: true }]);

  const model = layerOf(wrapped('TimeDistributed', sequential(units)), true);
  assert.equal([model.kind, model.steps, model.className], ['model', 1, 'TimeDistributed/Sequential']);
});

// From the sources of Keras, release by release: `Bidirectional` and `RNN` of keras/layers. tf_keras 2.21 and Keras 3.15.1 were run.
test('sequences of both directions: which Keras has zeros at masked steps, and which repeats the step before', () => {
  const zeros = (className: string, config: JsonObject, isKeras3: boolean) =>
    read(wrapped('Bidirectional', entry(className, { ...config })), isKeras3).attributes.zero_output_for_mask;
  /** What a release writes of a layer beside `return_sequences`. */
  const OWN = {};
  const TENSORFLOW = { time_major: false };
  const written = { time_major: false, zero_output_for_mask: true };
  const conv = { filters: 2, kernel_size: 1 };
  for (const [releases, config, isKeras3, cell, convolution] of [
    ['2.0.0 to 2.3.1, of its own', OWN, false, false, false],
    ['tf.keras and Keras 2.6.0 to 2.15.0', TENSORFLOW, false, true, false],
    ['the same, written down once it is forced', written, false, true, false],
    ['3', OWN, true, true, true],
  ] as const) {
    const sequences = { ...config, return_sequences: true };
    for (const name of ['LSTM', 'GRU', 'SimpleRNN'])
      assert.is(zeros(name, { units: 2, ...sequences }, isKeras3), cell, `${releases}: ${name}`);
    for (const name of ['ConvLSTM1D', 'ConvLSTM2D'])
      assert.is(zeros(name, { ...conv, ...sequences }, isKeras3), convolution, `${releases}: ${name}`);
    assert.is(zeros('LSTM', { units: 2, ...config }, isKeras3), false, `${releases}: the last step alone`);
  }
  const alone = read(entry('LSTM', { units: 2, return_sequences: true, time_major: false }), false);
  assert.is(alone.attributes.zero_output_for_mask, false);
});

test('both directions: the merge that is said, concatenation where nothing is, none for null', () => {
  const merge = (more: JsonObject) => read(wrapped('Bidirectional', lstm, more)).attributes.merge_mode;
  assert.equal(
    [merge({}), merge({ merge_mode: 'sum' }), merge({ merge_mode: null })],
    ['concat', 'sum', null],
  );
  const found = read(wrapped('Bidirectional', lstm));
  assert.equal(
    [found.name, found.className, found.attributes.cell, found.problems],
    [...['Bidirectional', 'Bidirectional/LSTM', 'LSTM', []]],
  );
  assert.equal(read(wrapped('Bidirectional', lstm, { merge_mode: 'odd' })).problems.length, 1);
  const back = (config: JsonObject, kind = 'LSTM') =>
    read(wrapped('Bidirectional', lstm, { backward_layer: entry(kind, config) }));
  // Names, directions and training may differ.
  for (const aside of [
    ...['name', 'go_backwards', 'module', 'registered_name', 'build_config', 'shared_object_id', 'seed'],
    ...['kernel_initializer', 'bias_regularizer', 'kernel_constraint'],
  ])
    assert.equal(back({ name: 'b', units: 2, [aside]: 'other' }).problems, [], aside);
  for (const other of [
    ...[back({ units: 3 }), back({ units: 2, activation: 'relu' }), back({ units: 2 }, 'GRU')],
    ...['my_name', 'names', 'seeds', 'initializer', 'kernel_initializers', 'modules'].map((key) =>
      back({ units: 2, [key]: 7 }),
    ),
  ]) {
    assert.is(other.operation, undefined);
    assert.equal(
      [other.className, ...other.problems],
      [...['Bidirectional', 'a backward layer unlike the forward layer']],
    );
  }
});

test('a cell within RNN is its layer', () => {
  for (const name of ['LSTM', 'GRU', 'SimpleRNN']) {
    const cell = entry(`${name}Cell`, { units: 3, use_bias: false, activation: 'relu' });
    const found = read(entry('RNN', { cell, return_sequences: true, units: 4 }));
    assert.equal([found.name, found.className, found.problems], [name, 'RNN', []]);
    const { attributes: a } = found;
    // What the layer says stands before what its cell says.
    assert.equal([a.units, a.use_bias, a.return_sequences, a.activation], [4, false, true, 'relu']);
  }
  for (const [cell, want] of [
    [entry('XLSTMCell'), 'the cell XLSTMCell'],
    [entry('LSTMCells'), 'the cell LSTMCells'],
    [entry('StackedRNNCells'), 'the cell StackedRNNCells'],
    [null, 'the cell of nothing'],
  ] as const)
    assert.equal(read(entry('RNN', { cell })).problems, [want]);
  assert.equal(read(entry('RNN', { cell: { class_name: 'GRUCell' } })).problems, [
    'units: expected a positive integer, got nothing',
  ]);
});

test('what cannot be computed is named', () => {
  const code = 'it holds code, which is never executed';
  const foreign = 'its configuration is that of Keras 1: load the model with Keras 2 and save it again';
  for (const name of 'Lambda TensorFlowOpLayer TorchModuleWrapper JaxLayer FlaxLayer TFSMLayer PyTorchLayer'.split(
    ' ',
  ))
    assert.equal(read(entry(name)).problems, [code], name);
  for (const [given, want] of [
    [entry('LambdaNet'), ['a layer that bitnibble does not know']],
    [entry('MyLambda'), ['a layer that bitnibble does not know']],
    [entry('ops.Unheard'), ['an operation that bitnibble does not know']],
    [entry('ops.Add'), ['arguments other than tensors and numbers']],
    [entry('TimeDistributed'), ['it holds no layer']],
    [entry('SpectralNormalization'), ['it holds no layer']],
    [entry('Bidirectional'), ['it holds no layer']],
    [
      wrapped('SpectralNormalization', entry('Embedding', { input_dim: 2, output_dim: 2 })),
      ['an Embedding inside, whose outputs Keras makes whole numbers'],
    ],
    [wrapped('SpectralNormalization', sequential(units)), ['a model inside']],
    [wrapped('Bidirectional', sequential(lstm)), ['a model inside']],
    [wrapped('Bidirectional', wrapped('TimeDistributed', sequential(lstm))), ['a model inside']],
    [wrapped('Bidirectional', units), ['Dense inside']],
    [wrapped('Bidirectional', entry('Odd')), ['a layer that bitnibble does not know']],
    [entry('Conv1D', { filters: 2, kernel_size: 3, padding: 'full' }), ['padding: full']],
    [entry('Dense', { units: 2, W_regularizer: null }), [foreign]],
    [entry('Dense', { units: 2, W_constraint: null }), [foreign]],
    [entry('Conv1D', { filters: 2, kernel_size: 3, nb_filter: 2 }), [foreign]],
    [
      entry('Dense', { units: 2, dtype: { class_name: 'QuantizedDTypePolicy', config: { mode: 'int8' } } }),
      ['its weights were quantized by Keras (int8), and the file has too little to decode them'],
    ],
    [entry('Dense', { units: 2, odd: 1 }), ['odd: 1']],
    [entry('Identity', { dtype: 'complex64', odd: 1 }), ['odd: 1', 'values of type complex64']],
    // A configuration of augmentation is not read, whatever is in it.
    [entry('RandomFlip', { odd: 1 }), []],
  ] as [JsonObject, string[]][])
    assert.equal(read(given).problems, want, JSON.stringify(given));
  const text = 'the function tf.odd with these arguments is not among those converted';
  assert.equal(read(entry('TFOpLambda', { function: 'tf.odd' }), false).problems, [text]);
  const unknown = read(entry('Odd', { a: 1 }));
  assert.equal(
    [unknown.name, unknown.operation, unknown.attributes, unknown.config],
    [...['Odd', undefined, {}, { a: 1 }]],
  );
  assert.equal(read({ class_name: 'Odd', config: null }).config, {});
  assert.is(read(wrapped('Bidirectional', units)).operation, undefined);
});

test('operations on tensors have the name of the function; arguments of a call are attributes', () => {
  const sum = read(entry('ops.Sum'), true, { args: [{ tensor: 0 }], kwargs: { axis: 1 } });
  assert.equal([sum.className, sum.name, sum.attributes.axis], ['keras.ops.Sum', 'ops.Sum', [1]]);
  assert.is(read(wrapped('TimeDistributed', entry('ops.Odd'))).className, 'TimeDistributed/keras.ops.Odd');
  const called = read(entry('Attention'), true, { use_causal_mask: true });
  assert.is(called.attributes.use_causal_mask, true);
  assert.equal(read(entry('ops.Sum'), true, { kwargs: null }).problems, [
    'arguments other than tensors and numbers',
  ]);
});

test('number types: by name, as a policy; those that nothing computes with', () => {
  assert.equal(
    [
      ...[
        'float32',
        { class_name: 'DTypePolicy', config: { name: 'mixed_float16' } },
        { name: 'float64' },
        {},
      ],
      ...[{ config: {} }, null, 7, undefined],
    ].map((value) => dtypeName(value as Json)),
    ['float32', 'mixed_float16', 'float64', undefined, undefined, undefined, undefined, undefined],
  );
  const types = (dtype: Json) => read(entry('Identity', { dtype })).problems;
  for (const name of [
    ...['float16', 'float32', 'float64', 'bfloat16', 'mixed_float16', 'mixed_bfloat16', 'bool'],
    ...['int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'uint32', 'uint64'],
  ])
    assert.equal(types(name), [], name);
  for (const name of [
    'string',
    'complex64',
    'xfloat',
    'int4',
    'int8x',
    'boolean',
    'uint128',
    'mixed',
    'xint8',
  ])
    assert.equal(types(name), [`values of type ${name}`]);
  assert.equal([types(null), types(3)], [[], []]);
});

test('what a configuration says of training alone', () => {
  const kept =
    'kernel_initializer bias_regularizer kernel_constraint trainable unit_forget_bias rate stddev dropout ' +
    'recurrent_dropout noise_shape momentum';
  const aside = 'units name initializer kernel_initializers my_rate rates momentums trainable2 dropouts seed';
  const config = Object.fromEntries(`${kept} ${aside}`.split(' ').map((key) => [key, 1]));
  assert.equal(Object.keys(trainingOf(config)), kept.split(' '));
});

test.run();
