// How Keras 1, 2 and 3 write the graph of a model: entries, calls, references.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Json, JsonObject } from '../../src/model.js';
import {
  entriesOf,
  historyOf,
  isModel,
  kerasTensor,
  modelIn,
  nameOf,
  outputNumber,
  readGraph,
  tensorsIn,
} from '../../src/network/notation.js';

const entry = (class_name: string, name: string, nodes: Json = [], config: JsonObject = {}): JsonObject => ({
  ...{ class_name, config: { name, dtype: 'float32', trainable: true, ...config }, inbound_nodes: nodes },
});
const ref = (layer: string, call = 0, tensor = 0) => ({ layer, call, tensor });
const tensor = (name: string, call = 0, at = 0): JsonObject => ({
  class_name: '__keras_tensor__',
  config: { shape: [null, 3], dtype: 'float32', keras_history: [name, call, at] },
});
const net = (layers: JsonObject[], outputs: Json = [], inputs: Json = []): JsonObject => ({
  class_name: 'Functional',
  config: { name: 'net', layers, input_layers: inputs, output_layers: outputs },
});

/** The only call of a layer of Keras 3 with such arguments, or of Keras 2 with such a node. */
const called = (className: string, node: Json, others: readonly JsonObject[] = []) => {
  const { layers } = readGraph(net([entry(className, 'own', [node]), ...others]), !Array.isArray(node));
  const call = layers[0]?.calls[0];
  assert.ok(call);
  return call;
};
const modern = (className: string, args: Json[], kwargs: JsonObject = {}, others: JsonObject[] = []) =>
  called(className, { args, kwargs }, others);

/** Inputs of a call as text, `role=layer`. */
const inputsOf = ({ inputs, roles }: ReturnType<typeof called>) =>
  inputs
    .map(({ layer, call, tensor: at, key }, i) =>
      [roles[i], '=', layer, call ? `:${call}` : '', at ? `/${at}` : '', key ? `@${key}` : ''].join(''),
    )
    .join(' ');

test('what is a model, and which layers it holds', () => {
  const list = [entry('Dense', 'a'), 'no entry', null, [1]] as unknown as JsonObject[];
  assert.ok(isModel({ class_name: 'Sequential', config: list as unknown as JsonObject }));
  assert.ok(isModel(net([])));
  for (const config of [null, 'x', { layers: 'x' }, { layers: {} }, {}] as Json[])
    assert.not.ok(isModel({ class_name: 'Model', config }), JSON.stringify(config));
  assert.equal(entriesOf({ config: list as unknown as JsonObject }), [list[0]]);
  assert.equal(entriesOf(net(list)), [list[0]]);
  for (const config of [null, {}, { layers: 'x' }] as Json[]) assert.equal(entriesOf({ config }), []);
  assert.equal(entriesOf({}), []);
});

test('the name of an entry: of its configuration, its own, or that of its place', () => {
  assert.is(nameOf({ config: { name: 'a' }, name: 'b' }, 'c'), 'a');
  assert.is(nameOf({ config: { name: null }, name: 'b' }, 'c'), 'b');
  assert.is(nameOf({ config: [], name: 'b' }, 'c'), 'b');
  assert.is(nameOf({ config: null }, 'c'), 'c');
  assert.is(nameOf({ config: { name: 7 } }, 'c'), '7');
  assert.is(nameOf({ config: { name: '' }, name: 'b' }, 'c'), '');
});

test('the model that wrappers hold', () => {
  const inner = net([entry('Dense', 'a')]);
  const once = entry('TimeDistributed', 't', [], { layer: inner });
  assert.is(modelIn(inner), inner);
  assert.is(modelIn(once), inner);
  assert.is(modelIn(entry('TimeDistributed', 'u', [], { layer: once })), inner);
  assert.is(modelIn(entry('TimeDistributed', 't', [], { layer: entry('Dense', 'a') })), undefined);
  assert.is(modelIn({ config: { layer: 'x' } }), undefined);
  assert.is(modelIn({ config: null }), undefined);
});

test('references: lists of Keras 2, tensors of Keras 3, and what is neither', () => {
  assert.equal(historyOf(['a', 1, 2]), ref('a', 1, 2));
  assert.equal(historyOf(['a', 1, 2, { training: true }]), ref('a', 1, 2));
  assert.equal(historyOf(['a', 1]), ref('a', 1, 0));
  assert.equal(historyOf(['a', 1, {}]), ref('a', 1, 0));
  for (const value of [undefined, null, 'a', {}, ['a'], ['a', '1'], [1, 0, 0], []] as Json[])
    assert.is(historyOf(value), undefined, JSON.stringify(value));
  assert.equal(kerasTensor(tensor('a', 1, 2)), ref('a', 1, 2));
  const { config } = tensor('a');
  for (const value of [
    ...[undefined, null, ['a', 0, 0], { config }, { class_name: 'Dense', config }],
    ...[{ class_name: '__keras_tensor__' }, { class_name: '__keras_tensor__', config: {} }],
  ] as Json[])
    assert.is(kerasTensor(value), undefined, JSON.stringify(value));
});

test('tensors in lists and dictionaries, these in the order of their names', () => {
  const nested = [tensor('a'), [tensor('b', 1)], { z: tensor('c'), k: [tensor('d'), tensor('e')] }, 7, null];
  const found = [
    ...[ref('a'), ref('b', 1)],
    ...[
      { ...ref('d'), key: 'k' },
      { ...ref('e'), key: 'k' },
      { ...ref('c'), key: 'z' },
    ],
  ];
  assert.equal(tensorsIn(nested, false), found);
  assert.equal(tensorsIn(nested, true), found);
  // In Keras 3 a list is none.
  assert.equal(tensorsIn(['a', 0, 0], true), [ref('a')]);
  assert.equal(tensorsIn(['a', 0, 0], false), []);
  assert.equal(tensorsIn({ y: ['b', 0, 0], x: ['a', 0, 0] }, true), [
    { ...ref('a'), key: 'x' },
    { ...ref('b'), key: 'y' },
  ]);
  // Names are compared as Python does: large letters before small ones.
  assert.equal(
    tensorsIn({ a: tensor('1'), B: tensor('2') }, false).map(({ layer }) => layer),
    ['2', '1'],
  );
  assert.equal(tensorsIn('x', true), []);
});

test('a Sequential model is a chain from its first layer on', () => {
  const list = [entry('InputLayer', 'x'), entry('Dense', 'a'), { class_name: 'Dense', config: {} }];
  const chain = (layers: JsonObject[]) =>
    readGraph({ class_name: 'Sequential', config: { name: 's', layers } }, true);
  const { layers, inputs, outputs } = chain([...list, net([])]);
  assert.equal(
    layers.map(({ name, isModel: inner, calls }) => [name, inner, calls.map((call) => inputsOf(call))]),
    [
      ['x', false, []],
      ['a', false, ['x=x']],
      ['layer_2', false, ['x=a']],
      ['net', true, ['x=layer_2']],
    ],
  );
  assert.equal([inputs, outputs], [[ref('x')], [ref('net')]]);
  const [call] = chain([entry('Dense', 'a')]).layers[0]?.calls ?? [];
  assert.equal(call, { inputs: [], roles: [], flags: {}, problems: [], isTraining: false });
  assert.equal(chain([]), { layers: [], inputs: [], outputs: [] });
});

test('inputs and outputs of a functional model: one, a list, a dictionary', () => {
  const ends = (value: Json) => readGraph(net([entry('Dense', 'a')], value, value), false);
  assert.equal(ends(['a', 0, 1]).outputs, [ref('a', 0, 1)]);
  assert.equal(
    ends([
      ['a', 0, 1],
      ['a', 1, 0],
    ]).inputs,
    [ref('a', 0, 1), ref('a', 1, 0)],
  );
  assert.equal(ends({ k: ['a', 0, 0] }).outputs, [{ ...ref('a'), key: 'k' }]);
  assert.equal(ends(null), { ...ends([]), inputs: [], outputs: [] });
});

test('layers without names have those of their places; nodes that are none make no calls', () => {
  const { layers } = readGraph(
    net([
      { class_name: 'Dense', config: {}, inbound_nodes: null },
      { class_name: 'Dense', config: {}, inbound_nodes: ['x', 7, [], { args: 'no list' }] },
    ]),
    false,
  );
  assert.equal(
    layers.map(({ name, calls }) => [name, calls.map((call) => inputsOf(call))]),
    [
      ['layer_0', []],
      ['layer_1', ['', '', '', '']],
    ],
  );
});

test('nodes of Keras 2: lists, one tensor without the list around it, a dictionary', () => {
  const pair: Json = [
    ['a', 0, 0, {}],
    ['b', 1, 2, {}],
  ];
  assert.is(inputsOf(called('Add', pair)), 'x=a x=b:1/2');
  assert.is(inputsOf(called('Dense', ['a', 0, 0, {}])), 'x=a');
  const { layers } = readGraph(
    net([entry('Mine', 'own', [{ q: ['b', 0, 0, { training: true }], p: ['a', 0, 0] }])]),
    false,
  );
  const [call] = layers[0]?.calls ?? [];
  assert.ok(call);
  assert.is(inputsOf(call), 'x=a@p x=b@q');
  assert.is(call.isTraining, true);
});

test('training=True counts in Keras 2; null, false and 0 do not, and Keras 3 overrides it', () => {
  const training = (value: Json) => called('Dropout', [['a', 0, 0, { training: value }]]);
  assert.equal(
    [true, 1, false, 0, null].map((value) => training(value).isTraining),
    [...[true, true, false, false, false]],
  );
  assert.equal(training(true).problems, []);
  const now = modern('Dropout', [tensor('a')], { training: true });
  assert.equal([now.isTraining, now.problems, inputsOf(now)], [false, [], 'x=a']);
});

test('arguments of calls: flags, states, tensors by name, and what cannot be run', () => {
  const given = modern('MultiHeadAttention', [tensor('a'), tensor('b'), tensor('c'), tensor('d')], {
    use_causal_mask: true,
    return_attention_scores: false,
  });
  assert.is(inputsOf(given), 'query=a value=b key=c query_mask=d');
  assert.equal([given.flags, given.problems], [{ use_causal_mask: true }, []]);
  const named = { value: tensor('v'), key: tensor('k'), attention_mask: tensor('m') };
  for (const name of ['MultiHeadAttention', 'GroupQueryAttention', 'GroupedQueryAttention']) {
    const byName = modern(name, [tensor('q')], { ...named, return_attention_scores: true });
    assert.is(inputsOf(byName), 'query=q value=v key=k attention_mask=m', name);
    assert.equal([byName.flags, byName.problems], [{ return_attention_scores: true }, []]);
  }
  for (const name of ['Attention', 'AdditiveAttention']) {
    const list = modern(name, [[tensor('q'), tensor('v'), tensor('k'), tensor('z')]]);
    assert.is(inputsOf(list), 'query=q value=v key=k x=z', name);
    assert.equal(modern(name, [[tensor('q')]], { value: tensor('v') }).problems, ['the argument value']);
  }
  for (const name of ['LSTM', 'GRU', 'SimpleRNN', 'Bidirectional', 'ConvLSTM2D', 'RNN']) {
    assert.is(inputsOf(modern(name, [tensor('a'), tensor('h'), tensor('c')])), 'x=a state=h state=c', name);
    const states = modern(name, [tensor('a')], { initial_state: [tensor('h'), tensor('c')] });
    assert.is(inputsOf(states), 'x=a state=h state=c', name);
    assert.equal(states.problems, []);
  }
  assert.is(inputsOf(modern('Add', [tensor('a'), tensor('b')])), 'x=a x=b');
  assert.equal(modern('Add', [tensor('a'), 2]).problems, ['numbers as arguments']);
  assert.equal(modern('Add', [tensor('a'), null]).problems, []);
  // Classes of others, whose names hold those of Keras, take their arguments as any layer does.
  for (const name of ['MyMultiHeadAttention', 'MultiHeadAttentionX', 'AttentionPool', 'LinearAttention'])
    assert.is(inputsOf(modern(name, [tensor('a'), [tensor('b')]])), 'x=a x=b', name);
  const eight = modern(
    'MultiHeadAttention',
    [...'abcdefgh'].map((name) => tensor(name)),
  );
  assert.is(inputsOf(eight).split(' ').slice(6).join(' '), 'attention_mask=g x=h');
  const odd = modern('MultiHeadAttention', [tensor('q')], { bias: tensor('b'), mask_of: tensor('m') });
  assert.equal([inputsOf(odd), odd.problems], ['query=q', ['the argument bias', 'the argument mask_of']]);
  const first = modern('Dense', [], { inputs: tensor('a') });
  assert.equal([inputsOf(first), first.problems], ['x=a', []]);
  const second = modern('Dense', [tensor('a')], { other: tensor('b') });
  assert.equal([inputsOf(second), second.problems], ['x=a', ['the argument other']]);
  assert.equal(modern('Dense', [tensor('a')], { other: 3 }).problems, ['the argument other']);
  assert.equal(modern('Dense', [], { other: 3 }).problems, ['the argument other']);
  assert.equal(modern('Dense', [tensor('a')], { other: null, more: false }).problems, []);
  assert.equal(modern('LSTM', [tensor('a')], { initial_state: [0, 0] }).problems, [
    'the argument initial_state',
  ]);
  assert.equal(modern('LSTM', [tensor('a')], { initial_state: null }).problems, []);
});

test('masks that are given are inputs with roles, whoever made them', () => {
  const given = (className: string, kwargs: JsonObject) => inputsOf(modern(className, [tensor('a')], kwargs));
  assert.is(given('LSTM', { mask: tensor('m') }), 'x=a mask=m');
  assert.is(given('LSTM', { mask: null }), 'x=a');
  assert.is(
    given('MultiHeadAttention', { value: tensor('v'), value_mask: tensor('m'), key_mask: tensor('n') }),
    'query=a value=v value_mask=m key_mask=n',
  );
  // Attention has a list, in the order of its inputs.
  const attention = (mask: Json) => inputsOf(modern('Attention', [[tensor('a'), tensor('b')]], { mask }));
  assert.is(attention([tensor('m'), tensor('n')]), 'query=a value=b query_mask=m value_mask=n');
  assert.is(attention([null, tensor('n')]), 'query=a value=b value_mask=n');
});

test('operations of Keras 3: their arguments stay as they are written, with the numbers of tensors', () => {
  const bare = (name: string, node: Json): JsonObject => ({
    ...{ class_name: name, config: { name: 'own' }, inbound_nodes: [node] },
  });
  const read = (item: JsonObject) => readGraph(net([item]), true).layers[0];
  const node = {
    args: [[tensor('a'), 2, [tensor('b')]], 7],
    kwargs: { axis: 1, y: tensor('c'), keepdims: false, mask: null },
  };
  const layer = read(bare('keras.src>Stack', node));
  assert.is(layer?.entry.class_name, 'ops.Stack');
  const [call] = layer?.calls ?? [];
  assert.ok(call);
  assert.is(inputsOf(call), 'x=a x=b x=c');
  assert.equal(call.flags, {
    args: [[{ tensor: 0 }, 2, [{ tensor: 1 }]], 7],
    kwargs: { axis: 1, y: { tensor: 2 } },
  });
  assert.equal([call.problems, call.isTraining], [[], false]);
  // An operation has no dtype, but where that is what it is about; a layer is trainable; older Keras has none.
  const item = { args: [tensor('a')], kwargs: {} };
  const classOf = (name: string, config: JsonObject) =>
    read({ class_name: name, config: { name: 'own', ...config }, inbound_nodes: [item] })?.entry.class_name;
  assert.is(classOf('Cast', { dtype: 'int32' }), 'ops.Cast');
  assert.is(classOf('Add', {}), 'ops.Add');
  assert.is(classOf('Add', { dtype: 'float32' }), 'Add');
  assert.is(classOf('Add', { trainable: true }), 'Add');
  assert.is(classOf('Unheard', { dtype: 'float32' }), 'Unheard');
  assert.is(classOf('Unheard', {}), 'ops.Unheard');
  assert.is(classOf('InputLayer', {}), 'InputLayer');
  // An operation of another package is none of Keras's, whatever its name.
  assert.is(classOf('Custom>Add', {}), 'Custom>Add');
  const old = { class_name: 'Add', config: { name: 'own' }, inbound_nodes: [[['a', 0, 0, {}]]] };
  assert.is(readGraph(net([old as JsonObject]), false).layers[0]?.entry.class_name, 'Add');
  const model = { ...net([entry('Dense', 'd')]), inbound_nodes: [item] };
  assert.is(read(model)?.entry.class_name, 'Functional');
});

test('calls of models inside are counted from 0, whatever the notation', () => {
  const x = entry('InputLayer', 'x');
  const body = (className: string, calls: number, layers: JsonObject[] = [x]): JsonObject => ({
    ...{ class_name: className, config: { name: 'body', layers } },
    inbound_nodes: Array.from({ length: calls }, () => [['x', 0, 0, {}]]),
  });
  /** Numbers of calls of `body` as the layers and the outputs of the model refer to it. */
  const numbers = (inner: JsonObject, inside: number[], outside: number[], isKeras3 = false) => {
    const node: Json = isKeras3
      ? { args: [inside.map((n) => tensor('body', n))], kwargs: {} }
      : inside.map((n) => ['body', n, 0, {}]);
    const given = net(
      [x, inner, entry('Add', 'sum', [node])],
      outside.map((n) => ['body', n, 0]),
    );
    const { layers, outputs } = readGraph(given, isKeras3);
    return [layers[2]?.calls[0]?.inputs.map(({ call }) => call), outputs.map(({ call }) => call)];
  };
  // tf.keras counts from 1 where the model was called to be made.
  assert.equal(numbers(body('Functional', 2), [1, 2], [1]), [[0, 1], [0]]);
  assert.equal(numbers(body('Functional', 2), [1], [1]), [[0], [0]]);
  assert.equal(numbers(body('Functional', 2), [0, 1], [1]), [[0, 1], [1]]);
  const dense = entry('Dense', 'd');
  assert.equal(numbers(body('Functional', 3, [dense]), [1], []), [[0], []]);
  assert.equal(numbers(body('Sequential', 3, [dense]), [1], []), [[1], []]);
  assert.equal(numbers(body('Sequential', 2, [dense]), [1], []), [[1], []]);
  assert.equal(numbers(body('Sequential', 2, [dense]), [2], [1]), [[1], [0]]);
  assert.equal(numbers(body('Sequential', 2, []), [1], []), [[1], []]);
  assert.equal(numbers(body('Sequential', 2, [x, dense]), [1], []), [[0], []]);
  const shaped = entry('Dense', 'd', [], { batch_input_shape: [null, 3] });
  assert.equal(numbers(body('Sequential', 2, [shaped]), [1], []), [[0], []]);
  // Keras 3 counts outputs of functional models from 1; number 0 less 1 is Python's last.
  assert.equal(numbers(body('Functional', 2), [0, 1], [1, 2], true), [
    [0, 1],
    [0, 1],
  ]);
  assert.equal(numbers(body('Functional', 3), [2], [0], true), [[2], [2]]);
  assert.equal(numbers(body('Functional', 0), [], [0], true), [[], [0]]);
  assert.equal(numbers(body('Sequential', 2), [0, 1], [1], true), [[0, 1], [1]]);
  // Layers that are no models are counted from 0 by all.
  assert.equal(numbers(entry('Dense', 'body'), [1, 2], [1]), [[1, 2], [1]]);
  assert.equal(numbers(entry('Dense', 'body'), [1], [1], true), [[1], [1]]);
  const model = net([]);
  assert.equal(
    [
      outputNumber(model, 1, true),
      outputNumber(model, 1, false),
      outputNumber(undefined, 1, true),
      outputNumber(dense, 1, true),
      outputNumber({ ...model, class_name: 'Sequential' }, 1, true),
    ],
    [2, 1, 1, 1, 1],
  );
});

test.run();
