// Calls of a network: types, masks of several layers, roles, and what is a problem of which layer.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Json, JsonObject } from '../../src/model.js';
import { printNetwork, readNetwork } from '../../src/network/index.js';
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

const network = (architecture: JsonObject, version?: string) => readNetwork(info(architecture, version));
const x = input('x', [null, 5, 4]);
const masking = (name: string, before: string, mask_value = 0) =>
  layer('Masking', name, { mask_value }, [on(tensor(before))]);
const lstm = (name: string, before: string) => layer('LSTM', name, { units: 3 }, [on(tensor(before))]);

test('a problem is said once for a layer and a reason', () => {
  const code = (name: string) => layer('Lambda', name, {}, [on(tensor('x')), on(tensor('x'))]);
  const both = layer('Add', 's', {}, [on([tensor('a'), tensor('a', 1), tensor('b')])]);
  const why = 'it holds code, which is never executed';
  assert.equal(problems(net([x, code('a'), code('b'), both], ends('x'), ends('s'))), [
    `unsupported-layer a: ${why}`,
    `unsupported-layer b: ${why}`,
  ]);
  const odd = layer('Dense', 'd', { units: 2, activation: 'odd', power: 2 }, [on(tensor('x'))]);
  assert.equal(problems(net([x, odd], ends('x'), ends('d'))), [
    'unsupported-layer d: activation odd',
    'unsupported-layer d: power: 2',
  ]);
  // Of a class that is not known, arguments say nothing more.
  const mine = layer('shop>Mine', 'd', {}, [{ args: [tensor('x')], kwargs: { strange: 3 } }]);
  assert.is(problems(net([x, mine], ends('x'), ends('d'))).length, 1);
  const known = layer('Dense', 'd', { units: 2 }, [{ args: [tensor('x')], kwargs: { strange: 3 } }]);
  assert.equal(problems(net([x, known], ends('x'), ends('d'))), [
    'unsupported-layer d: the argument strange',
  ]);
});

test('outputs of what cannot be computed are not known, eight of them', () => {
  const unknown = (own: JsonObject) => {
    const { nodes, values } = network(net([x, own], ends('x'), ends('d')));
    return nodes[0]?.outputs.map((value) => values[value]?.shape);
  };
  const nothing = new Array(8).fill(undefined);
  assert.equal(unknown(layer('Lambda', 'd', {}, [on(tensor('x'))])), nothing);
  assert.equal(unknown(layer('Dense', 'd', { units: 2, power: 2 }, [on(tensor('x'))])), nothing);
  assert.equal(unknown(layer('Reshape', 'd', { target_shape: [7] }, [on(tensor('x'))])), nothing);
  assert.equal(
    problems(net([x, layer('Reshape', 'd', { target_shape: [7] }, [on(tensor('x'))])], ends('x'), ends('d'))),
    ['unsupported-layer d: 20 values in the shape [7]'],
  );
  assert.equal(unknown(dense('d', 'x')), [[null, 5, 3]]);
  assert.equal(problems(net([x, layer('Dense', 'd', { units: 3 }, [on()])], ends('x'), ends('d'))), [
    'unsupported-layer d: it is never called',
  ]);
});

test('names and shapes that the file does not give', () => {
  const nameless = {
    class_name: 'Sequential',
    config: { layers: [layer('Dense', 'a', { units: 2, batch_input_shape: [null, 3] })] },
  };
  assert.equal(lines(nameless).slice(0, 2), ['network model', 'input model_input: %0 [?, 3]']);
  assert.equal(problems(net([x, dense('a', 'x')], ends('zzz'), ends('a'))).slice(0, 1), [
    'unsupported-layer net: it does not say which shape its input has',
  ]);
  const bad = sequential(layer('Dense', 'a', { units: 2, batch_input_shape: [null, 0] }));
  refused(
    () => network(bad),
    'corrupt-file',
    'file.keras: expected lengths of at least 1 in the shape of input a, got [None,0]',
  );
  const inner = net([input('i', [null, 5, 4])], ends('i'), ends('gone'), [on(tensor('x'))], 'body');
  assert.is(
    problems(net([x, inner], ends('x'), [['body', 1, 0]]))[0],
    'unsupported-layer body: its output gone is not there',
  );
  const text = net([input('x', [null, 3], { dtype: 'string' })], ends('x'), ends('x'));
  assert.is(network(text).problems[0]?.className, 'InputLayer');
});

test('number types: of a cast, of what keeps its input, of floats beside integers', () => {
  const ids = input('i', [null, 4], { dtype: 'int32' });
  const bare = (name: string, own: string, args: Json[], config: JsonObject = {}): JsonObject => ({
    ...{ class_name: name, config: { name: own, ...config }, inbound_nodes: [on(...args)] },
  });
  const typeOf = (...layers: JsonObject[]) => {
    const { values, outputs } = network(
      net([input('x', [null, 4]), ids, ...layers], ends('x', 'i'), ends('o')),
    );
    return values[outputs[0]?.value as number]?.dtype;
  };
  assert.is(typeOf(bare('Cast', 'o', [tensor('x')], { dtype: 'int32' })), 'int32');
  assert.is(typeOf(bare('Cast', 'o', [tensor('i')], { dtype: 'float32' })), 'float32');
  assert.is(typeOf(layer('Flatten', 'o', {}, [on(tensor('i'))])), 'int32');
  assert.is(typeOf(layer('Flatten', 'o', {}, [on(tensor('x'))])), 'float32');
  assert.is(typeOf(bare('Add', 'o', [tensor('i'), tensor('x')])), 'float32');
  assert.is(typeOf(bare('Add', 'o', [tensor('i'), tensor('i')])), 'int32');
  assert.is(typeOf(bare('Greater', 'o', [tensor('i'), tensor('i')])), 'bool');
});

test('roles stay with their inputs; a Sequential model gives its input to its first layer', () => {
  const state = layer('LSTM', 'l', { units: 4 }, [on(tensor('x'), tensor('h'), tensor('c'))]);
  const states = [input('h', [null, 4]), input('c', [null, 4])];
  const [node] = network(net([x, ...states, state], ends('x', 'h', 'c'), ends('l'))).nodes;
  assert.equal(node?.roles, ['x', 'state', 'state']);
  const first = layer(
    'Sequential',
    'seq',
    { layers: [layer('Dense', 'a', { units: 2 }), layer('Dense', 'b', { units: 3 })] },
    [on(tensor('x'))],
  );
  const { nodes } = network(net([x, first], ends('x'), ends('seq')));
  assert.equal(
    nodes.map(({ layer: own, inputs, roles }) => [own, inputs, roles]),
    [
      ['seq/a', [0], ['x']],
      ['seq/b', [1], ['x']],
    ],
  );
  // An input layer that is called hands on what it is given.
  const called = layer('InputLayer', 'again', { batch_shape: [null, 5, 4] }, [on(tensor('x'))]);
  assert.equal(lines(net([x, called, dense('d', 'again')], ends('x'), ends('d'))).slice(2), [
    '%1 [?, 5, 3] = Dense(%0) d',
    'output d: %1',
  ]);
  // A dictionary with more than the model inside asks for.
  const inner = net(
    [input('p', [null, 5, 4])],
    { p: ['p', 0, 0] },
    ends('p'),
    [on({ a: tensor('y'), p: tensor('x') })],
    'body',
  );
  const outer = net([x, input('y', [null, 2]), inner, dense('d', 'body')], ends('x', 'y'), ends('d'));
  assert.is(
    lines(outer).find((line) => line.includes('Dense')),
    '%2 [?, 5, 3] = Dense(%0) d',
  );
  assert.equal(problems(outer), ['unsupported-layer body: a call with 2 inputs, it takes 1']);
});

test('steps of wrappers within wrappers', () => {
  const held = layer('Sequential', 'seq', {
    layers: [layer('TimeDistributed', 'u', { layer: layer('Dense', 'd', { units: 2 }) })],
  });
  const deep = layer('TimeDistributed', 't', { layer: held }, [on(tensor('x'))]);
  assert.equal(lines(net([input('x', [null, 6, 5, 4]), deep], ends('x'), ends('t'))).slice(2), [
    '%1 [?, 6, 5, 2] = Dense(%0) t/u steps 2',
    'output t: %1',
  ]);
});

test('training=True of a layer that computes the same in training is none', () => {
  const given = net(
    [
      layer('InputLayer', 'x', { batch_input_shape: [null, 3] }),
      layer('Dense', 'd', { units: 3 }, [[['x', 0, 0, { training: true }]]]),
    ],
    ...([ends('x'), ends('d')] as const),
  );
  assert.equal(problems(given, [], '2.15.0'), []);
});

test('masks of several layers: joined as values, with what makes them', () => {
  const merged = (className: string, config: JsonObject = {}) => [
    ...[x, masking('m', 'x', 7), masking('n', 'x')],
    layer(className, 's', config, [on([tensor('m'), tensor('n')])]),
  ];
  const of = (layers: JsonObject[], output: string) =>
    printNetwork(network(net(layers, ends('x'), ends(output)))).split('\n');
  const added = of([...merged('Add'), lstm('l', 's')], 'l');
  assert.ok(
    added.some((line) => /ComputeMask\(%0\) m_mask \{.*mask_value: 7/.test(line)),
    added.join('\n'),
  );
  assert.ok(added.some((line) => /ComputeMask\(%0\) n_mask \{.*mask_value: 0/.test(line)));
  assert.ok(
    added.some((line) => /^%\d bool \[\?, 5\] = CombineMasks\(%\d, %\d\) s_mask \{how: "or"\}$/.test(line)),
  );
  const joined = of([...merged('Concatenate', { axis: 1 }), lstm('l', 's')], 'l');
  assert.ok(
    joined.some((line) =>
      /^%\d bool \[\?, 10\] = ConcatenateMasks\(%\d, %\d\) s_mask \{axis: 1\}$/.test(line),
    ),
    joined.join('\n'),
  );
  assert.not.ok(added.some((line) => line.startsWith('problem')));
});

test('a mask that is not clear is a problem of the layer that uses it', () => {
  const unclear = 'a mask merged from several others';
  const lone = layer('Add', 's', {}, [on([tensor('m'), tensor('x')])]);
  const given = (...layers: JsonObject[]) =>
    problems(net([x, masking('m', 'x'), ...layers], ends('x'), ends('l')));
  assert.equal(given(lone, lstm('l', 's')), [`unsupported-layer l: ${unclear}`]);
  assert.equal(given(lone, layer('Flatten', 'l', {}, [on(tensor('s'))])), []);
  // Attention of Keras 3 takes the masks off its tensors, for layers that run later.
  const attention = layer('MultiHeadAttention', 'a', { num_heads: 1, key_dim: 2 }, [
    on(tensor('m'), tensor('m')),
  ]);
  const sum = layer('Add', 'l', {}, [on([tensor('a'), tensor('r')])]);
  const later = layer('LSTM', 'r', { units: 4, return_sequences: true }, [on(tensor('m'))]);
  assert.equal(given(attention, later, sum), [`unsupported-layer r: ${unclear}`]);
  assert.equal(given(later, attention, sum), []);
  const [node] = network(net([x, masking('m', 'x'), attention], ends('x'), ends('a'))).nodes.filter(
    ({ operation }) => operation === 'MultiHeadAttention',
  );
  assert.equal(node?.roles, ['query', 'value', 'query_mask', 'value_mask']);
  // A mask out of a model inside is not seen while a model is built.
  const inner = net(
    [input('i', [null, 5, 4]), masking('k', 'i')],
    ends('i'),
    ends('k'),
    [on(tensor('x'))],
    'body',
  );
  const time = layer('Concatenate', 's', { axis: 1 }, [on([tensor('m'), tensor('body')])]);
  assert.equal(given(inner, time, lstm('l', 's')), [`unsupported-layer l: ${unclear}`]);
  const twice = layer('Concatenate', 's', { axis: 1 }, [on([tensor('m'), tensor('m')])]);
  assert.equal(given(twice, lstm('l', 's')), []);
});

test("a mask that is given takes the place of the tensor's own; what cannot be one is a problem", () => {
  const m = input('m', [null, 5], { dtype: 'bool' });
  const masked = (mask: string, before = 'x'): JsonObject => ({
    args: [tensor(before)],
    kwargs: { mask: tensor(mask) },
  });
  const recurrent = (mask: string, before?: string) =>
    layer('LSTM', 'l', { units: 3, return_sequences: true }, [masked(mask, before)]);
  const given = (own: JsonObject, ...layers: JsonObject[]) =>
    net([x, own, ...layers], ends('x', 'm'), ends('l'));
  const nodeOf = (architecture: JsonObject, name: string) =>
    lines(architecture).filter((line) => line.endsWith(` ${name}`));
  assert.equal(nodeOf(given(m, recurrent('m')), 'l'), ['%2 [?, 5, 3] = LSTM(x=%0, mask=%1) l']);
  // The mask of Masking is not made, and what the layer hands on is the mask that it was given.
  const behind = layer('GRU', 'l', { units: 2 }, [on(tensor('r'))]);
  const through = layer('LSTM', 'r', { units: 3, return_sequences: true }, [masked('m', 'k')]);
  const both = lines(given(m, masking('k', 'x'), through, behind));
  assert.ok(
    both.some((line) => /LSTM\(x=%2, mask=%1\) r$/.test(line)),
    both.join('\n'),
  );
  assert.ok(both.some((line) => /GRU\(x=%3, mask=%1\) l$/.test(line)));
  assert.not.ok(both.some((line) => line.includes('ComputeMask')));
  const why = (own: JsonObject, ...layers: JsonObject[]) => problems(given(own, ...layers));
  const said = (what: string) => [`unsupported-layer l: ${what}`];
  assert.equal(why(input('m', [null, 5]), recurrent('m')), said('the argument mask of type float32'));
  const bool = { dtype: 'bool' };
  for (const [shape, text] of [
    [[null, 4], '[?,4]'],
    [[null, 5, 1], '[?,5,1]'],
    [[null], '[?]'],
  ] as const)
    assert.equal(
      why(input('m', [...shape], bool), recurrent('m')),
      said(`the argument mask of shape ${text}`),
    );
  assert.equal(why(input('m', [null, null], bool), recurrent('m')), []);
  const multi = (mask: string) =>
    layer('MultiHeadAttention', 'l', { num_heads: 1, key_dim: 2 }, [
      { args: [tensor('x'), tensor('x')], kwargs: { [mask]: tensor('m') } },
    ]);
  assert.equal(why(m, multi('value_mask')), []);
  assert.equal(why(m, multi('key_mask')), said('the argument key_mask'));
  assert.equal(
    why(m, multi('query_mask')),
    said('the argument query_mask, which some versions of Keras 3 take and others ignore'),
  );
});

test('a mask that a model is given reaches its layers; no step of TimeDistributed has one', () => {
  const m = input('m', [null, 5], { dtype: 'bool' });
  const call = (before: string): JsonObject => ({ args: [tensor(before)], kwargs: { mask: tensor('m') } });
  const inner = (name: string, nodes: Json, user: JsonObject = lstm('u', 'i')) =>
    net([input('i', [null, 5, 4]), user], ends('i'), ends('u'), nodes, name);
  const wide = layer('Dense', 'w', { units: 4 }, [on(tensor('x'))]);
  const alone = net([x, m, wide, inner('l', [call('w')])], ends('x', 'm'), ends('l'));
  assert.ok(
    lines(alone).some((line) => /LSTM\(x=%2, mask=%1\) l\/u$/.test(line)),
    lines(alone).join('\n'),
  );
  assert.equal(problems(alone), []);
  // Keras hangs it on the model's input, where others see it or not, as they come.
  const also = layer('Flatten', 'f', {}, [on(tensor('w'))]);
  const shared = net([x, m, wide, also, inner('l', [call('w')])], ends('x', 'm'), ends('l', 'f'));
  const said = 'unsupported-layer l: the argument mask with a tensor that others take too';
  assert.equal(problems(shared), [said]);
  assert.equal(problems(shared, [], '2.15.0'), []);
  const steps = (user: JsonObject) =>
    problems(
      net(
        [
          input('x', [null, 5, 6, 4]),
          m,
          layer(
            'TimeDistributed',
            'l',
            { layer: net([input('i', [null, 6, 4]), user], ends('i'), ends('u')) },
            [call('x')],
          ),
        ],
        ends('x', 'm'),
        ends('l'),
      ),
    );
  assert.equal(steps(layer('Flatten', 'u', {}, [on(tensor('i'))])), []);
  assert.equal(steps(lstm('u', 'i')), ['unsupported-layer l: a mask inside TimeDistributed']);
});

test('more models inside each other than 64 are refused, 64 are read', () => {
  const deep = (depth: number) => {
    let model = layer('Sequential', 's', {
      layers: [layer('Dense', 'a', { units: 3, batch_input_shape: [null, 3] })],
    });
    for (let i = 0; i < depth; i++) model = layer('Sequential', 's', { layers: [model] });
    return model;
  };
  assert.is(readNetwork(info(deep(64))).nodes.length, 1);
  refused(
    () => readNetwork(info(deep(65))),
    'corrupt-file',
    'file.keras: models are nested more than 64 deep',
  );
});

test('a mean of whole numbers by TensorFlow, which is a whole number; by Keras 3, which is none', () => {
  const mean = (dtype: string): JsonObject => {
    const batch: Json = [null, 3];
    const config: JsonObject = { batch_input_shape: batch, batch_shape: batch, dtype };
    const lambda: JsonObject = {
      ...{ class_name: 'TFOpLambda', config: { name: 'm', function: 'math.reduce_mean' } },
      inbound_nodes: [['x', 0, 0, { axis: 1 }]],
    };
    return net([layer('InputLayer', 'x', config), lambda], ends('x'), ends('m'));
  };
  assert.equal(problems(mean('int32'), [], '2.15.0'), [
    'unsupported-layer m: a mean of whole numbers, which TensorFlow rounds',
  ]);
  assert.equal(problems(mean('float32'), [], '2.15.0'), []);
  const own: JsonObject = {
    ...{ class_name: 'Mean', config: { name: 'm', axis: 1 }, inbound_nodes: [on(tensor('x'))] },
  };
  assert.equal(problems(net([input('x', [null, 3], { dtype: 'int32' }), own], ends('x'), ends('m'))), []);
});

test.run();
