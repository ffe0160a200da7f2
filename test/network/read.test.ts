// Reading a model as a network: inputs, models inside, weights, masks as values, and what is refused or a problem.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Json, JsonObject, ModelSource, WeightInfo } from '../../src/model.js';
import { layerShapes, openNetwork, readNetwork, requireRunnable } from '../../src/network/index.js';
import { shapeFault, weightsByLayer } from '../../src/network/weights.js';
import {
  dense,
  ends,
  info,
  input,
  layer,
  lines,
  net,
  on,
  problems,
  refused,
  sequential,
  tensor,
} from './support.js';

const weight = (id: string, shape: number[]): WeightInfo => {
  const [own = '', name = ''] = [id.slice(0, id.lastIndexOf('/')), id.slice(id.lastIndexOf('/') + 1)];
  return { id, layer: own, name, shape, className: 'Dense', dtype: 'F32' };
};

test('a file without an architecture, and a class without layers, are refused by name', () => {
  refused(
    () => readNetwork(info(undefined)),
    'no-model-config',
    'file.keras: the file holds weights and no architecture: expected a whole model, saved with model.save',
  );
  refused(
    () => readNetwork(info({ class_name: 'Mine', config: { name: 'm' } })),
    'no-model-config',
    'file.keras: expected the architecture of a Sequential or Functional model, got class Mine without layers',
  );
  assert.equal(problems(sequential()), ['unsupported-layer seq: it has no inputs']);
  assert.equal(problems(net([input('x', [null, 3])], ends('x'), [])), [
    'unsupported-layer net: it has no outputs',
  ]);
});

test('inputs: their names, shapes and number types', () => {
  assert.equal(lines(sequential(layer('Dense', 'a', { units: 2, batch_input_shape: [null, 3] }))), [
    ...['network seq', 'input seq_input: %0 [?, 3]', '%1 [?, 2] = Dense(%0) a', 'output a: %1'],
  ]);
  const tokens = layer('Embedding', 'e', { input_dim: 5, output_dim: 2, batch_input_shape: [null, 4] });
  assert.is(lines(sequential(tokens))[1], 'input seq_input: %0 int32 [?, 4]');
  const typed = (dtype: Json) => lines(net([input('x', [null, 3], { dtype })], ends('x'), ends('x')))[1];
  assert.is(typed('int64'), 'input x: %0 int64 [?, 3]');
  assert.is(typed('float16'), 'input x: %0 [?, 3]');
  assert.is(typed('bool'), 'input x: %0 bool [?, 3]');
  assert.is(typed({ class_name: 'DTypePolicy', config: { name: 'uint8' } }), 'input x: %0 uint8 [?, 3]');
  const text = net([input('x', [null, 3], { dtype: 'string' })], ends('x'), ends('x'));
  assert.equal(problems(text), ['unsupported-layer x: values of type string']);
  const nothing = 'unsupported-layer seq: it does not say which shape its input has';
  assert.equal(problems(sequential(layer('Flatten', 'f'))), [nothing]);
  const built = layer('Sequential', 'seq', { layers: [dense('a', 'x')], build_input_shape: [null, 7] });
  assert.is(lines(built)[1], 'input seq_input: %0 [?, 7]');
  const inner = sequential(sequential(layer('Dense', 'a', { units: 2, batch_input_shape: [8, 'x'] })));
  assert.is(lines(inner)[1], 'input seq_input: %0 [8, ?]');
  const held = layer('Dense', 'a', { units: 2, batch_input_shape: [null, 3] });
  assert.ok(problems(sequential(layer('TimeDistributed', 't', { layer: held }))).includes(nothing));
  // Inputs as a dictionary have its keys as names.
  const keyed = net(
    [input('x', [null, 3]), input('y', [null, 2])],
    { b: ['x', 0, 0], a: ['y', 0, 0] },
    ends('x'),
  );
  assert.equal(lines(keyed).slice(1, 3), ['input a: %0 [?, 2]', 'input b: %1 [?, 3]']);
});

test('lengths that no input can have are refused, of models inside too', () => {
  for (const bad of [0, -1, 1.5, 2 ** 60]) {
    const message = `file.keras: expected lengths of at least 1 in the shape of input x, got [None,${bad}]`;
    const wrong = (shape: Json, more: Json = []) =>
      net([input('x', shape), dense('a', 'x')], ends('x'), ends('a'), more, 'body');
    refused(() => readNetwork(info(wrong([null, bad]))), 'corrupt-file', message);
    const outer = net([input('o', [null, 3]), wrong([null, bad], [on(tensor('o'))])], ends('o'), [
      ['body', 1, 0],
    ]);
    refused(() => readNetwork(info(outer)), 'corrupt-file', message);
  }
  assert.is(lines(net([input('x', [1, 1])], ends('x'), ends('x')))[1], 'input x: %0 [1, 1]');
});

test('outputs of one name are told apart; an output that is not there is a problem', () => {
  const two = net([input('x', [null, 3]), dense('a', 'x')], ends('x'), ends('a', 'x', 'a', 'a'));
  assert.equal(
    lines(two).filter((line) => line.startsWith('output')),
    ['output a: %1', 'output x: %0', 'output a_1: %1', 'output a_2: %1'],
  );
  const keyed = net([input('x', [null, 3]), dense('a', 'x')], ends('x'), { left: ['a', 0, 0] });
  assert.is(lines(keyed).at(-1), 'output left: %1');
  const missing = net([input('x', [null, 3])], ends('x'), ends('x', 'zzz'));
  assert.equal(problems(missing), ['unsupported-layer net: its output zzz is not there']);
});

test('a call on what is not there is a problem of its layer, said once', () => {
  const bad = layer('Add', 's', {}, [on([tensor('x'), tensor('a', 4)])]);
  const given = net([input('x', [null, 3]), dense('a', 'x'), bad], ends('x'), ends('s'));
  const why = 'it is called on output 0 of call 4 of a, which is not there';
  assert.equal(problems(given), [`unsupported-layer s: ${why}`, 'unsupported-layer net: it has no outputs']);
});

test('models inside: paths, several calls, lengths that they state, numbers of inputs', () => {
  const body = (nodes: Json, shape: Json = [null, null, 3]) =>
    net([input('i', shape), dense('a', 'i')], ends('i'), ends('a'), nodes, 'body');
  const outer = (inner: JsonObject, output: Json, shape: Json = [null, null, 3]) =>
    net([input('x', shape), inner], ends('x'), output);
  const twice = body([on(tensor('x')), on(tensor('body'))]);
  assert.equal(lines(outer(twice, [['body', 2, 0]])).slice(1), [
    'input x: %0 [?, ?, 3]',
    '%1 [?, ?, 3] = Dense(%0) body/a',
    '%2 [?, ?, 3] = Dense(%1) body/a',
    'output body: %2',
  ]);
  // The inner model knows the length; the batch stays open.
  const known = outer(body([on(tensor('x'))], [7, 5, 3]), [['body', 1, 0]]);
  assert.equal(lines(known).slice(1, 3), ['input x: %0 [?, 5, 3]', '%1 [?, 5, 3] = Dense(%0) body/a']);
  const other = outer(body([on(tensor('x'))], [null, 3]), [['body', 1, 0]]);
  assert.is(lines(other)[1], 'input x: %0 [?, ?, 3]');
  const more = outer(body([on(tensor('x'), tensor('x'))]), [['body', 1, 0]]);
  assert.equal(problems(more), ['unsupported-layer body: a call with 2 inputs, it takes 1']);
  const wrapped = layer('TimeDistributed', 't', { layer: body([], [null, 3]) }, [on(tensor('x'))]);
  assert.equal(lines(outer(wrapped, ends('t'), [null, 5, 3])).slice(2), [
    '%1 [?, 5, 3] = Dense(%0) t/a steps 1',
    'output t: %1',
  ]);
});

test('dictionaries of tensors reach the inputs of a model inside by their names', () => {
  const inner = net(
    [
      input('p', [null, 3]),
      input('q', [null, 3]),
      layer('Subtract', 's', {}, [on([tensor('p'), tensor('q')])]),
    ],
    { first: ['p', 0, 0], second: ['q', 0, 0] },
    ends('s'),
    [on({ second: tensor('x'), first: tensor('y') })],
    'body',
  );
  const outer = net([input('x', [null, 3]), input('y', [null, 3]), inner], ends('x', 'y'), [['body', 1, 0]]);
  assert.is(lines(outer)[3], '%2 [?, 3] = Subtract(%1, %0) body/s');
});

test('training=True of Keras 2 holds for what is inside; frozen normalizations are spared', () => {
  const old = (name: string, training: Json) => [[[name, 0, 0, { training }]]];
  const norm = (more: JsonObject = {}) =>
    layer(
      'Sequential',
      'body',
      { layers: [layer('BatchNormalization', 'n', { axis: -1, ...more })] },
      old('x', true),
    );
  const given = (inner: JsonObject) =>
    net([layer('InputLayer', 'x', { batch_input_shape: [null, 3] }), inner], ends('x'), ends('body'));
  const said = 'unsupported-layer body/n: a call with training=True';
  assert.equal(problems(given(norm()), [], '2.15.0'), [said]);
  assert.equal(problems(given(norm({ trainable: false })), [], '2.15.0'), []);
  const dropout = (training: Json) => layer('Dropout', 'body', { rate: 0.5 }, old('x', training));
  assert.equal(problems(given(dropout(true)), [], '2.15.0'), [said.replace('/n', '')]);
  assert.equal(problems(given(dropout(false)), [], '2.15.0'), []);
});

test('weights by role; one too many and one of another shape are problems, of a file without any nothing is said', () => {
  const given = net([input('x', [null, 4]), dense('a', 'x')], ends('x'), ends('a'));
  const [kernel, bias] = [weight('a/kernel', [4, 3]), weight('a/bias', [3])];
  assert.is(lines(given, [kernel, bias])[2], '%1 [?, 3] = Dense(%0) a kernel=a/kernel bias=a/bias');
  assert.is(lines(given)[2], '%1 [?, 3] = Dense(%0) a');
  const count = (n: number) => `missing-weight a: layer a (Dense) expected 2 weights, got ${n}`;
  assert.equal(problems(given, [kernel]), [count(1)]);
  assert.equal(problems(given, [kernel, bias, bias]), [count(3)]);
  // Keras 3 stores once, in an archive, what two models share.
  const [none] = problems(given, [weight('other/kernel', [4, 3])]);
  assert.ok(none?.startsWith(`${count(0)}; a .keras file stores a layer once`), none);
  assert.equal(problems(given, [weight('other/kernel', [4, 3])], '2.15.0'), [count(0)]);
  const shape = 'expected shape [4,3] as the architecture says, got [4,2] (tensor a/kernel)';
  assert.equal(problems(given, [weight('a/kernel', [4, 2]), bias]), [
    `shape-mismatch a: layer a (Dense) ${shape}`,
  ]);
  // A wrapper's vector is stored, and used by nobody.
  const spectral = layer('SpectralNormalization', 's', { layer: layer('Dense', 'd', { units: 3 }) }, [
    on(tensor('x')),
  ]);
  const wrapped = net([input('x', [null, 4]), spectral], ends('x'), ends('s'));
  const own = [weight('s/kernel', [4, 3]), weight('s/bias', [3]), weight('s/u', [1, 3])];
  const line = '%1 [?, 3] = Dense(%0) s kernel=s/kernel bias=s/bias';
  assert.is(lines(wrapped, own)[2], line);
  assert.is(lines(wrapped, own.slice(0, 2))[2], line);
});

test('shapeFault: ranks and lengths; null is any', () => {
  const own = weight('a/k', [4, 3]);
  assert.is(shapeFault(own, undefined), undefined);
  assert.is(shapeFault(own, [4, 3]), undefined);
  assert.is(shapeFault(own, [null, 3]), undefined);
  const fault = (shown: string) =>
    `expected shape [${shown}] as the architecture says, got [4,3] (tensor a/k)`;
  assert.is(shapeFault(own, [null, 4]), fault('any,4'));
  assert.is(shapeFault(own, [4]), fault('4'));
  assert.is(shapeFault(own, [4, 3, null]), fault('4,3,any'));
  const [k, b, other] = [weight('a/k', [1]), weight('a/b', [2]), weight('b/k', [3])];
  assert.equal(
    [...weightsByLayer([k, other, b])],
    [
      ['a', [k, b]],
      ['b', [other]],
    ],
  );
});

test('masks are values, made where they are used, once', () => {
  const chain = sequential(
    layer('InputLayer', 'x', { batch_shape: [null, 5], dtype: 'int32' }),
    layer('Embedding', 'e', { input_dim: 9, output_dim: 4, mask_zero: true }),
    layer('LSTM', 'l', { units: 3, return_sequences: true }),
    layer('GRU', 'g', { units: 3 }),
  );
  const text = lines(chain);
  assert.equal(text.slice(1), [
    'input x: %0 int32 [?, 5]',
    '%1 [?, 5, 4] = Embedding(%0) e',
    '%2 bool [?, 5] = ComputeMask(%0) e_mask',
    '%3 [?, 5, 3] = LSTM(x=%1, mask=%2) l',
    '%4 [?, 3] = GRU(x=%3, mask=%2) g',
    'output g: %4',
  ]);
  const unused = sequential(
    layer('InputLayer', 'x', { batch_shape: [null, 5, 2] }),
    layer('Masking', 'm', { mask_value: 0 }),
    layer('Flatten', 'f'),
  );
  assert.not.ok(lines(unused).some((line) => line.includes('Mask(')));
});

test('layerShapes: of layers, of models inside, of inputs; nothing without an architecture', () => {
  const body = net(
    [input('i', [null, 3]), dense('a', 'i', { units: 5 })],
    ends('i'),
    ends('a'),
    [on(tensor('x'))],
    'body',
  );
  const flat = layer('Flatten', 'f', {}, [on(tensor('body'))]);
  const shapes = layerShapes(info(net([input('x', [null, 3]), body, flat], ends('x'), ends('f'))));
  assert.equal(Object.fromEntries(shapes), {
    ...{ 'body/a': [null, 5], f: [null, 5], x: [null, 3], 'body/i': [null, 3], body: [null, 5] },
  });
  const last = layerShapes(info(net([input('x', [null, 3]), body], ends('x'), [['body', 1, 0]])));
  assert.equal(last.get('body'), [null, 5]);
  assert.is(layerShapes(info(undefined)).size, 0);
  assert.is(layerShapes(info({ class_name: 'Mine', config: {} })).size, 0);
});

test('requireRunnable names every layer with each reason; then what of the file contradicts itself', () => {
  const given = net([input('x', [null, 4]), dense('a', 'x')], ends('x'), ends('a'));
  const source: ModelSource = {
    ...info(given),
    weights: [weight('a/kernel', [4, 3])],
    read: () => new Float32Array(),
  };
  const { network, source: own } = openNetwork(source);
  assert.is(own, source);
  const who = 'bitnibble';
  refused(
    () => requireRunnable(network, 'f', who),
    'missing-weight',
    'f: layer a (Dense) expected 2 weights, got 1',
  );
  const row = (name: string, reason: string) => ({
    ...{ layer: name, className: 'Odd', reason, code: 'unsupported-layer' as const },
  });
  refused(
    () => requireRunnable(network, 'f', who, [row('o', 'one'), row('o', 'two')]),
    'unsupported-layer',
    'f: bitnibble cannot run the layer o (Odd): one, two',
  );
  refused(
    () => requireRunnable({ ...network, problems: [row('o', 'one')] }, 'f', who, [row('p', 'two')]),
    'unsupported-layer',
    'f: bitnibble cannot run 2 layers: o (Odd): one; p (Odd): two',
  );
  requireRunnable({ ...network, problems: [] }, 'f', who);
});

test('an operation that nobody computes is refused by name, and so is a function of TensorFlow', () => {
  const bare: JsonObject = {
    class_name: 'Sparsemax',
    config: { name: 'o' },
    inbound_nodes: [on(tensor('x'))],
  };
  assert.equal(problems(net([input('x', [null, 3]), bare], ends('x'), ends('o'))), [
    'unsupported-layer o: an operation that bitnibble does not know',
  ]);
  const lambda: JsonObject = {
    ...{ class_name: 'TFOpLambda', config: { name: 'o', function: 'math.unheard_of' } },
    inbound_nodes: [['x', 0, 0, { y: ['x', 0, 0] }]],
  };
  const old = net([layer('InputLayer', 'x', { batch_input_shape: [null, 3] }), lambda], ends('x'), ends('o'));
  assert.equal(problems(old, [], '2.15.0'), [
    'unsupported-layer o: the function math.unheard_of with these arguments is not among those converted',
  ]);
});

test('shapes that do not go together are a problem that names them', () => {
  const of = (className: string, config: JsonObject, a: Json, b: Json) =>
    problems(
      net(
        [
          input('a', a),
          input('b', b),
          layer(className, 'joined', config, [{ args: [[tensor('a'), tensor('b')]], kwargs: {} }]),
        ],
        ends('a', 'b'),
        ends('joined'),
      ),
    );
  const [small, large] = [
    [null, 12, 12, 4],
    [null, 16, 16, 4],
  ];
  const reason = 'inputs of [?, 12, 12, 4] and [?, 16, 16, 4]';
  for (const className of ['Concatenate', 'Add'])
    assert.equal(of(className, {}, small, large), [`unsupported-layer joined: ${reason}`]);
  assert.equal(of('Concatenate', { axis: 1 }, [null, 12, 4], [null, 16, 4]), []);
  assert.equal(of('Concatenate', {}, [null, null, 4], [null, 16, 4]), []);
  assert.equal(of('Add', {}, [null, 12, 1], [null, 1, 4]), []);
  assert.equal(of('Concatenate', {}, [null, 4], [null, 3, 4]).length, 1);
});

test('images that are smaller than what is cut out of them, and norms of a whole batch, are problems', () => {
  const of = (className: string, config: JsonObject, shape: Json) =>
    problems(
      net([input('x', shape), layer(className, 'l', config, [on(tensor('x'))])], ends('x'), ends('l')),
    );
  const crop = (shape: Json) => of('CenterCrop', { height: 8, width: 4 }, shape);
  assert.equal(crop([null, 5, 6, 3]), [
    'unsupported-layer l: an image that is smaller than what is cut out of it, which Keras resizes',
  ]);
  assert.equal([crop([null, 8, 4, 3]), crop([null, null, null, 3])], [[], []]);
  const bare = (class_name: string, axis: Json, kerasVersion?: string) =>
    problems(
      net(
        [
          input('x', [null, 4]),
          { class_name, config: { name: 'n', axis }, inbound_nodes: [on(tensor('x'))] },
        ],
        ends('x'),
        ends('n'),
      ),
      [],
      kerasVersion,
    );
  assert.equal(bare('Normalize', -1), []);
  assert.equal(bare('Normalize', null), ['unsupported-layer n: axis: expected an axis, got null']);
  const norm = (axis: Json) => ({
    ...{ class_name: 'TFOpLambda', config: { name: 'n', function: 'math.l2_normalize' } },
    inbound_nodes: [['x', 0, 0, { axis }]],
  });
  const lambda = (axis: Json) =>
    problems(net([input('x', [null, 4]), norm(axis)], ends('x'), ends('n')), [], '2.15.0');
  assert.equal(lambda(-1), []);
  for (const axis of [null, 0, -2])
    assert.equal(lambda(axis), ['unsupported-layer n: a sum over the samples of a batch']);
});

test('attention that is called without a query or a value is a problem', () => {
  const of = (className: string, config: JsonObject, call: JsonObject) =>
    problems(net([input('a', [null, 4, 2]), layer(className, 'm', config, [call])], ends('a'), ends('m')));
  for (const [given, missing] of [
    ['value', 'query'],
    ['query', 'value'],
  ] as const)
    assert.equal(
      of('MultiHeadAttention', { num_heads: 1, key_dim: 2 }, { args: [], kwargs: { [given]: tensor('a') } }),
      [`unsupported-layer m: a call without ${missing}`],
    );
  assert.equal(of('Attention', {}, { args: [[tensor('a')]], kwargs: {} }), [
    'unsupported-layer m: a call without value',
  ]);
});

test.run();
