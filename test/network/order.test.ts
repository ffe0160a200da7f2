// In which order the calls of a model are made, and what is refused as a circle.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Json, JsonObject, ModelInfo } from '../../src/model.js';
import { type Graph, type GraphLayer, modelIn, type Ref } from '../../src/network/notation.js';
import { checkCalls, keyOf, MAX_DEPTH, orderOf, versionOf } from '../../src/network/order.js';

/** `a` is output 0 of call 0 of layer a, `a:1` of its call 1. */
const refOf = (text: string): Ref => {
  const [layer = '', call = '0'] = text.split(':');
  return { layer, call: Number(call), tensor: 0 };
};

/** A layer with its calls, the inputs of each in words: `layer('add', 'a b')`. */
const layer = (name: string, ...calls: string[]): GraphLayer => ({
  ...{ name, entry: { class_name: 'Any', config: { name } }, isModel: false },
  calls: calls.map((inputs) => {
    const refs = inputs.split(' ').filter(Boolean).map(refOf);
    return { inputs: refs, roles: refs.map(() => 'x'), flags: {}, problems: [], isTraining: false };
  }),
});

const graph = (layers: readonly GraphLayer[], outputs: string, inputs = 'x'): Graph => ({
  layers,
  inputs: inputs.split(' ').map(refOf),
  outputs: outputs.split(' ').filter(Boolean).map(refOf),
});

const orderIn = (given: Graph, wanted: 'needed' | 'all' = 'needed') =>
  orderOf(given, 'net', 'file.h5', wanted)
    .map(([{ name }, call]) => (call === 0 ? name : `${name}:${call}`))
    .join(' ');

/** The message about a circle. */
const circleOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    assert.is((error as { code?: string }).code, 'corrupt-file');
    return (error as Error).message;
  }
  return 'no circle';
};
const onOwn = (names: string) => `file.h5: layers of net are called on their own outputs: ${names}`;

test('calls stay in the order in which they are listed where that is possible', () => {
  const layers = [layer('x', ''), layer('b', 'x'), layer('a', 'x'), layer('s', 'a b')];
  assert.is(orderIn(graph(layers, 's')), 'x b a s');
});

test('what is listed after the layers that take it is made before them, its inputs from the first on', () => {
  const layers = [layer('s', 'a b'), layer('b', 'c'), layer('a', 'x'), layer('c', 'x'), layer('x', '')];
  assert.is(orderIn(graph(layers, 's')), 'x a c b s');
});

test('a call is made once, however many take it', () => {
  // Each layer takes the one before it twice: 2^40 ways from the output to the input.
  const layers = [layer('x', '')];
  for (let i = 0; i < 40; i++) layers.unshift(layer(`l${i}`, i === 0 ? 'x x' : `l${i - 1} l${i - 1}`));
  const wanted = ['x', ...Array.from({ length: 40 }, (_, i) => `l${i}`)].join(' ');
  assert.is(orderIn(graph(layers, 'l39')), wanted);
  assert.is(orderIn(graph(layers, 'l39'), 'all'), wanted);
});

test('calls of a shared layer come each at its own time', () => {
  const layers = [layer('x', ''), layer('shared', 'x', 'b'), layer('b', 'shared')];
  assert.is(orderIn(graph(layers, 'shared:1')), 'x shared b shared:1');
  // The second call before the first.
  const turned = [layer('x', ''), layer('shared', 'b', 'x'), layer('b', 'shared:1')];
  assert.is(orderIn(graph(turned, 'shared')), 'x shared:1 b shared');
});

test('only what the outputs need, and the inputs; or everything', () => {
  const layers = [
    ...[layer('x', ''), layer('y', ''), layer('shared', 'x', 'x', 'side')],
    ...[layer('side', 'x'), layer('a', 'shared:1'), layer('dead', 'a')],
  ];
  const given = graph(layers, 'a', 'x y');
  assert.is(orderIn(given), 'x y shared:1 a');
  assert.is(orderIn(given, 'all'), 'x y shared shared:1 side shared:2 a dead');
  // Several outputs, one of which is on the way to the other.
  assert.is(orderIn(graph(layers, 'a shared:1 side')), 'x shared:1 side a');
  assert.is(orderIn(graph([layer('x', ''), layer('a', 'x')], '')), 'x');
  assert.is(orderIn(graph([layer('x', ''), layer('a', 'x')], '', 'a')), 'x a');
});

test('layers and calls that are not there are left to who makes the calls', () => {
  const layers = [layer('a', 'zzz x', 'a:7'), layer('x', ''), layer('never')];
  for (const wanted of ['needed', 'all'] as const)
    assert.is(orderIn(graph(layers, 'a a:1 never zzz a:9'), wanted), 'x a a:1');
});

test('a name with a line break is not taken for another layer', () => {
  assert.is.not(keyOf('a', 11), keyOf('a1', 1));
  assert.is(keyOf('a', 0), 'a\n0');
});

test('circles are refused, with the layers in the order in which they take each other', () => {
  const cases: [layers: GraphLayer[], names: string][] = [
    [[layer('a', 'a')], 'a'],
    [[layer('x', ''), layer('a', 'x c'), layer('b', 'a'), layer('c', 'b')], 'b, c, a'],
    // Layers on the way to the circle are not in it.
    [[layer('end', 'b'), layer('b', 'a x'), layer('a', 'b'), layer('x', '')], 'a, b'],
    // One call of a shared layer is on the way to the circle of another call.
    [[layer('a', 'b', 'a'), layer('b', 'a')].reverse(), 'a, b'],
    [[layer('end', 'a:1'), layer('a', 'b', 'a'), layer('b', 'a')], 'b, a'],
    // A circle behind an input that is all right.
    [[layer('x', ''), layer('a', 'x x b'), layer('b', 'a')], 'b, a'],
  ];
  for (const [layers, names] of cases)
    for (const wanted of ['needed', 'all'] as const)
      assert.is(
        circleOf(() => orderIn(graph(layers, `${(layers[0] as GraphLayer).name} a`), wanted)),
        onOwn(names),
      );
});

test('a circle that no output needs is none for who runs the network', () => {
  const given = graph([layer('x', ''), layer('out', 'x'), layer('a', 'b'), layer('b', 'a')], 'out');
  assert.is(orderIn(given), 'x out');
  assert.is(
    circleOf(() => orderIn(given, 'all')),
    onOwn('b, a'),
  );
});

test('of a long circle six layers are named', () => {
  const layers = Array.from({ length: 9 }, (_, i) => layer(`l${i}`, `l${(i + 1) % 9}`));
  assert.is(
    circleOf(() => orderIn(graph(layers, 'l0'))),
    onOwn('l8, l7, l6, l5, l4, l3'),
  );
});

test('a chain of 50,000 layers, listed backwards, does not fill the stack', () => {
  const layers = Array.from({ length: 50_000 }, (_, i) => layer(`l${i}`, i < 49_999 ? `l${i + 1}` : ''));
  const order = orderOf(graph(layers, 'l0', 'l49999'), 'net', 'file.h5', 'needed');
  assert.is(order.length, 50_000);
  assert.is(order[0]?.[0].name, 'l49999');
  assert.is(order.at(-1)?.[0].name, 'l0');
});

test('the major version of Keras; none where the file has none', () => {
  const version = (kerasVersion: string) =>
    versionOf({ ...{ file: 'f', backend: '', kerasVersion }, architecture: undefined });
  assert.is(version('3.15.1'), 3);
  assert.is(version('10.0'), 10);
  assert.ok(Number.isNaN(version('')));
});

const entry = (class_name: string, name: string, nodes: Json, more: JsonObject = {}): JsonObject => ({
  ...{ class_name, name, config: { name, ...more }, inbound_nodes: nodes },
});
const call = (...names: string[]): Json => [names.map((name) => [name, 0, 0, {}])];
const x = entry('InputLayer', 'x', [], { batch_input_shape: [null, 3] });
const circle = [entry('Dense', 'a', call('b'), { units: 3 }), entry('Dense', 'b', call('a'), { units: 3 })];
const functional = (name: string, layers: JsonObject[], output: string, nodes: Json = []) =>
  entry('Functional', name, nodes, {
    ...{ layers, input_layers: [['x', 0, 0]], output_layers: [[output, 0, 0]] },
  });
const info = (architecture: JsonObject | undefined, kerasVersion = '2.15.0'): ModelInfo => ({
  ...{ file: 'file.h5', backend: 'tensorflow', kerasVersion, architecture },
});
const checked = (architecture: JsonObject | undefined, version?: string) =>
  circleOf(() => checkCalls(info(architecture, version)));

test('checkCalls: circles anywhere in a model, whether an output needs them or not', () => {
  assert.is(checked(functional('net', [x, ...circle], 'x')), onOwn('b, a'));
  const good = functional('net', [x, entry('Dense', 'a', call('x'), { units: 3 })], 'a');
  assert.is(checked(good), 'no circle');
  // A file of weights alone; a model whose layers are in its code.
  assert.is(checked(undefined), 'no circle');
  assert.is(checked({ class_name: 'MyModel', config: { name: 'm' } }), 'no circle');
});

test('checkCalls: a model inside, within a wrapper, and the name of a model without one', () => {
  const inner = functional('net', [x, ...circle], 'x', call('x'));
  assert.is(checked(functional('outer', [x, inner], 'net')), onOwn('b, a'));
  const wrapped = entry('TimeDistributed', 't', call('x'), { layer: inner });
  assert.is(modelIn(wrapped), inner);
  assert.is(checked(functional('outer', [x, wrapped], 't')), onOwn('b, a'));
  const nameless = { class_name: 'Model', config: { layers: circle, input_layers: [], output_layers: [] } };
  assert.is(checked(nameless), onOwn('b, a').replace('of net', 'of Model'));
});

test('checkCalls: calls of inner models are counted as the Keras of the file does', () => {
  // On its call 1: in Keras 2 that is its first, which is a circle; in Keras 3 its second, which is not there.
  const node: Json = [[['body', 1, 0, {}]]];
  const body = functional('body', [x, entry('Dense', 'd', call('x'), { units: 3 })], 'd', node);
  const net = functional('net', [x, body], 'x');
  assert.is(checked(net, '2.15.0'), onOwn('body'));
  assert.is(checked(net, ''), onOwn('body'));
  assert.is(checked(net, '3.0.0'), 'no circle');
});

test('checkCalls: models of Keras 1, and nested as deep as one is read', () => {
  const old = { class_name: 'Model', config: { name: 'net', layers: circle } };
  assert.is(checked(old, '1.2.2'), onOwn('b, a'));
  // In Keras 1 a Merge holds the branches that it begins with: they are no model inside.
  const merge = { class_name: 'Merge', name: 'm', config: { name: 'm', mode: 'sum', layers: circle } };
  const sequential = { class_name: 'Sequential', config: [merge] as unknown as JsonObject };
  assert.is(checked(sequential, '1.2.2'), 'no circle');
  assert.is(checked(sequential, '2.15.0'), onOwn('b, a').replace('of net', 'of m'));
  const nested = (depth: number): JsonObject => {
    let model = functional('net', [x, ...circle], 'x', call('x'));
    for (let i = 0; i < depth; i++) model = functional(`outer${i}`, [x, model], 'x', call('x'));
    return model;
  };
  assert.is(checked(nested(MAX_DEPTH)), onOwn('b, a'));
  assert.is(checked(nested(MAX_DEPTH + 1)), 'no circle');
  assert.is(checked(nested(1000)), 'no circle');
});

test.run();
