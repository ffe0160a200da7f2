// What passes are made of, on networks written by hand: wires, kernels as matrices of channels, normalizations, ways of scales.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { JsonObject } from '../../src/model.js';
import {
  dropIdentities,
  inputChannel,
  outputChannel,
  readChanged,
  scaleKernel,
} from '../../src/network/passes/index.js';
import {
  hasKernel,
  isChannelsFirst,
  type Kernel,
  kernelLayer,
  type Weights,
} from '../../src/network/passes/kernel.js';
import { neededNodes } from '../../src/network/passes/needed.js';
import { isNorm, normAxis, normOf } from '../../src/network/passes/norm.js';
import { activationFault, passing } from '../../src/network/passes/passing.js';
import { wiresOf, withoutNodes } from '../../src/network/passes/wires.js';
import type { Network, NetworkNode, Shape, ValueType } from '../../src/network/types.js';

const node = (operation: string, more: Partial<NetworkNode> = {}): NetworkNode => ({
  ...{ operation, attributes: {}, inputs: [0], roles: ['x'], outputs: [1], weights: {} },
  ...{ layer: operation.toLowerCase(), className: operation, steps: 0, training: {}, ...more },
});
const wired = (layer: string, inputs: number[], outputs: number[], operation = 'ReLU') =>
  node(operation, { layer, inputs, outputs });

function network(
  nodes: NetworkNode[],
  inputs: number[],
  outputs: number[],
  more: Partial<Network> = {},
): Network {
  const count = 1 + Math.max(...inputs, ...nodes.flatMap((one) => [...one.inputs, ...one.outputs]));
  const values = Array.from({ length: count }, (_, i) => ({
    ...{ shape: [null, i] as Shape, dtype: 'float32' as ValueType },
  }));
  const port = (kind: string) => (value: number) => ({ name: `${kind}${value}`, value });
  return {
    ...{ name: 'net', values, nodes, inputs: inputs.map(port('in')), outputs: outputs.map(port('out')) },
    ...{ problems: [], ...more },
  };
}
const text = ({ nodes, inputs, outputs, values }: Network) => [
  inputs.map(({ name, value }) => `${name}=${value}`).join(),
  ...nodes.map((one) => `${one.layer}(${one.inputs})=${one.outputs}`),
  outputs.map(({ name, value }) => `${name}=${value}`).join(),
  values.map(({ shape }) => shape?.at(-1)).join(),
];

test('who makes and takes values, layers by their path in the order of the network, masks aside', () => {
  const [a, b, c] = [wired('a', [0], [1]), wired('b', [1, 1], [2]), wired('a', [2], [3])];
  const mask = wired('b', [0], [4], 'ComputeMask');
  const { layers, maker, takers, isOutput } = wiresOf(network([a, b, c, mask], [0], [3]));
  assert.equal(
    [...layers],
    [
      ['a', [a, c]],
      ['b', [b]],
    ],
  );
  assert.equal([0, 1, 2, 3, 4].map(maker), [undefined, a, b, c, mask]);
  assert.equal([0, 1, 2, 3].map(takers), [[a, mask], [b, b], [c], []]);
  assert.equal([2, 3].map(isOutput), [false, true]);
});

test('nodes taken out: who took their output takes their first input, values are numbered anew', () => {
  const nodes = [
    wired('a', [0], [1]),
    wired('b', [1], [2]),
    wired('c', [2], [3]),
    wired('d', [3, 2, 4], [5]),
  ];
  const given = network(nodes, [0, 4], [5, 3]);
  const out = (...layers: string[]) =>
    withoutNodes(given, new Set(nodes.filter(({ layer }) => layers.includes(layer))));
  assert.is(out(), given);
  assert.equal(text(out('b')), [
    'in0=0,in4=3',
    'a(0)=1',
    'c(1)=2',
    'd(2,1,3)=4',
    'out5=4,out3=2',
    '0,1,3,4,5',
  ]);
  assert.equal(text(out('b', 'c')), ['in0=0,in4=2', 'a(0)=1', 'd(1,1,2)=3', 'out5=3,out3=1', '0,1,4,5']);
  assert.equal(text(out('a', 'b', 'c', 'd')), ['in0=0,in4=1', 'out5=0,out3=0', '0,4']);
  assert.equal(text(given)[0], 'in0=0,in4=4');

  // What is known of a value by either shape is kept.
  const shaped = (first: Shape | undefined, second: Shape | undefined) => {
    const values = [first, second].map((shape) => ({ shape, dtype: 'float32' as const }));
    const own = network([wired('a', [0], [1])], [0], [1], { values });
    return withoutNodes(own, new Set(own.nodes)).values[0]?.shape;
  };
  assert.equal(shaped([null, 3, null], [7, null, null]), [7, 3, null]);
  assert.equal(shaped([2, 3], [7, 8]), [2, 3]);
  assert.equal(shaped([null, 3], [7, 3, 4]), [null, 3]);
  assert.equal(
    [shaped(undefined, [4]), shaped([4], undefined), shaped(undefined, undefined)],
    [[4], [4], undefined],
  );
  const odd = network([wired('a', [0], [1]), wired('b', [0], [])], [0], [1]);
  assert.equal(text(withoutNodes(odd, new Set([odd.nodes[1] as NetworkNode]))).slice(0, 3), [
    'in0=0',
    'a(0)=1',
    'out1=1',
  ]);
});

test('nodes that no output needs go, with what was wrong with their layers', () => {
  const nodes = [
    wired('a', [0], [1]),
    wired('dead', [1], [2]),
    wired('b', [1], [3]),
    wired('tail', [3], [4]),
  ];
  const problems = ['a', 'dead', 'tail', 'elsewhere'].map((layer) => ({
    ...{ layer, className: 'X', reason: 'r', code: 'unsupported-layer' as const },
  }));
  const needed = neededNodes(network(nodes, [0], [3], { problems }));
  assert.equal(text(needed), ['in0=0', 'a(0)=1', 'b(1)=2', 'out3=2', '0,1,3']);
  assert.equal(
    needed.problems.map(({ layer }) => layer),
    ['a', 'elsewhere'],
  );
  // A layer that is called twice stays known while one of its calls is needed.
  const shared = network([wired('a', [0], [1]), wired('a', [1], [2])], [0], [1], { problems });
  assert.equal(neededNodes(shared).problems.length, 4);
  const whole = network(nodes, [0], [2, 4]);
  assert.is(neededNodes(whole), whole);
});

test('identities go; those that change the type, cannot be run or make several values stay', () => {
  const one = (own: NetworkNode, more: Partial<Network> = {}) =>
    dropIdentities(network([own], [0], [1], more)).nodes.length;
  assert.equal([one(node('Dropout')), one(node('Identity')), one(node('ReLU'))], [0, 0, 1]);
  const activation = (name: string) => one(node('Activation', { attributes: { activation: name } }));
  assert.equal([activation('linear'), activation('relu')], [0, 1]);
  assert.is(one(node('ReLU', { attributes: { activation: 'linear' } })), 1);
  const types = ['int32', 'float32'].map((dtype) => ({ shape: [1], dtype: dtype as ValueType }));
  assert.is(one(node('Dropout'), { values: types }), 1);
  const fault = { layer: 'dropout', className: 'Dropout', reason: 'r', code: 'unsupported-layer' as const };
  assert.is(one(node('Dropout'), { problems: [fault] }), 1);
  const two = network([node('Dropout', { outputs: [1, 2] })], [0], [1]);
  assert.is(dropIdentities(two).nodes.length, 1);
});

const size = (n: number): Weights => ({ read: () => [], size: () => n });
const conv = (
  operation: string,
  attributes: JsonObject,
  weights: Record<string, string> = { kernel: 'k', bias: 'b' },
) => node(operation, { attributes: { use_bias: true, ...attributes }, weights });

test('kernels as matrices: rows, columns and channels from the sizes of weights', () => {
  const both = { depthwise_kernel: 'd', pointwise_kernel: 'p', bias: 'b' };
  const of = (own: NetworkNode, weights: Weights) => kernelLayer(own, weights);
  for (const [own, n, want] of [
    [
      conv('Dense', { units: 4 }),
      12,
      { kind: 'dense', rows: 3, columns: 4, groups: 1, inputs: 3, outputs: 4 },
    ],
    [
      conv('Conv2D', { filters: 4, kernel_size: [3, 2], groups: 2 }),
      ...[3 * 2 * 5 * 4, { kind: 'dense', rows: 5, columns: 4, groups: 2, inputs: 10, outputs: 4 }],
    ],
    [
      conv('Conv1DTranspose', { filters: 4, kernel_size: [3] }),
      ...[3 * 4 * 5, { kind: 'transpose', rows: 4, columns: 5, groups: 1, inputs: 5, outputs: 4 }],
    ],
    [
      conv(
        'DepthwiseConv2D',
        { depth_multiplier: 2, kernel_size: [3, 3] },
        { depthwise_kernel: 'k', bias: 'b' },
      ),
      ...[9 * 5 * 2, { kind: 'depthwise', rows: 5, columns: 2, groups: 1, inputs: 5, outputs: 10 }],
    ],
  ] as [NetworkNode, number, object][]) {
    assert.ok(hasKernel(own));
    assert.equal(of(own, size(n)), { kernels: [{ id: 'k', ...want }], bias: 'b', usesBias: true });
    // Without sizes weights are read for theirs.
    assert.equal(of(own, { read: () => new Float32Array(n) }), of(own, size(n)));
  }
  const separable = conv('SeparableConv1D', { filters: 4, depth_multiplier: 2, kernel_size: [3] }, both);
  const sizes: Weights = { read: () => [], size: (id) => (id === 'd' ? 3 * 5 * 2 : 10 * 4) };
  assert.equal((of(separable, sizes) as { readonly kernels: readonly Kernel[] }).kernels, [
    { id: 'd', kind: 'depthwise', rows: 5, columns: 2, groups: 1, inputs: 5, outputs: 10 },
    { id: 'p', kind: 'dense', rows: 10, columns: 4, groups: 1, inputs: 10, outputs: 4 },
  ]);
  const free = conv('Dense', { units: 4, use_bias: false }, { kernel: 'k' });
  assert.equal(of(free, size(12)), {
    ...{ kernels: [{ id: 'k', kind: 'dense', rows: 3, columns: 4, groups: 1, inputs: 3, outputs: 4 }] },
    ...{ bias: undefined, usesBias: false },
  });
});

test('why a layer has no kernel that can be scaled', () => {
  const dense = (attributes: JsonObject, weights?: Record<string, string>) =>
    conv('Dense', attributes, weights);
  for (const [own, weights, want] of [
    [node('LSTM'), size(4), 'a class without a kernel of known axes'],
    [node('Conv4D'), size(4), 'a class without a kernel of known axes'],
    [node('MyDense'), size(4), 'a class without a kernel of known axes'],
    [node('DenseX'), size(4), 'a class without a kernel of known axes'],
    [dense({ units: 4 }, {}), size(4), 'expected one weight kernel, the file has 0'],
    [dense({ units: 4 }), size(13), 'its kernel has 13 elements, 1 positions of 4 channels'],
    [dense({ units: 4 }), size(0), 'its kernel has 0 elements, 1 positions of 4 channels'],
    [conv('Conv1D', { filters: 4, kernel_size: [3], groups: 0 }), size(12), '0 groups of 4 filters'],
    [conv('Conv1D', { filters: 4, kernel_size: [3], groups: 3 }), size(12), '3 groups of 4 filters'],
    [dense({ units: 4 }, { kernel: 'k' }), size(4), 'its bias is not in the file'],
    [dense({ units: 4, use_bias: false }), size(4), 'a bias that it does not use'],
    [
      dense({ units: 4 }),
      { ...size(4), fixed: (id: string) => (id === 'k' ? 'I8' : undefined) },
      'its kernel is I8',
    ],
    [
      dense({ units: 4 }),
      { ...size(4), fixed: (id: string) => (id === 'b' ? 'I8' : undefined) },
      'its bias is I8',
    ],
  ] as [NetworkNode, Weights, string][])
    assert.is(kernelLayer(own, weights), want);
  assert.equal(
    [hasKernel(node('LSTM')), hasKernel(node('SeparableConv2D')), hasKernel(node('SeparableConv3D'))],
    [...[false, true, false]],
  );
  const kinds = ['Dense', ...[1, 2, 3].flatMap((rank) => [`Conv${rank}D`, `Conv${rank}DTranspose`])];
  for (const rank of [1, 2]) kinds.push(`DepthwiseConv${rank}D`, `SeparableConv${rank}D`);
  for (const kind of kinds) {
    assert.ok(hasKernel(node(kind)), kind);
    for (const odd of [`My${kind}`, `${kind}X`]) assert.not.ok(hasKernel(node(odd)), odd);
  }
  const first = (data_format: string) => isChannelsFirst(node('Conv2D', { attributes: { data_format } }));
  assert.equal([first('channels_first'), first('channels_last')], [true, false]);
});

test("scaled kernels: each element by the factors of its channels, by Keras's equations of the layers", () => {
  const kernel = (
    kind: Kernel['kind'],
    rows: number,
    columns: number,
    groups: number,
    inputs: number,
    outputs: number,
  ) => ({
    ...{ id: 'k', kind, rows, columns, groups, inputs, outputs },
  });
  for (const [own, channels] of [
    // A dense kernel (in, out); of two groups, whose outputs are one half each.
    [kernel('dense', 3, 4, 1, 3, 4), (a: number, b: number) => [a, b]],
    [kernel('dense', 3, 4, 2, 6, 4), (a: number, b: number) => [a + (b >= 2 ? 3 : 0), b]],
    // (out, in); (in, multiplier): output `in * multipliers + m`.
    [kernel('transpose', 4, 3, 1, 3, 4), (a: number, b: number) => [b, a]],
    [kernel('depthwise', 3, 2, 1, 3, 6), (a: number, b: number) => [a, 2 * a + b]],
  ] as [Kernel, (a: number, b: number) => [number, number]][]) {
    const inputs = Float64Array.from({ length: own.inputs }, (_, i) => 2 + i);
    const outputs = Float64Array.from({ length: own.outputs }, (_, i) => 1 / (3 + i));
    const [inputOf, outputOf] = [inputChannel(own), outputChannel(own)];
    const positions = 2;
    const values = Float32Array.from({ length: positions * own.rows * own.columns }, (_, i) => 1 + i);
    const want = values.map((value, i) => {
      const [a, b] = [Math.floor(i / own.columns) % own.rows, i % own.columns];
      const [c, d] = channels(a, b);
      assert.equal([inputOf(a, b), outputOf(a, b)], [c, d]);
      return value * ((inputs[c] as number) * (outputs[d] as number));
    });
    const whole = values.slice();
    scaleKernel({ kernel: own, inputs, outputs }, whole);
    assert.equal(whole, want);
    // In pieces, from anywhere.
    for (const cut of [1, 5, own.columns, 7]) {
      const [head, tail] = [values.slice(0, cut), values.slice(cut)];
      scaleKernel({ kernel: own, inputs, outputs }, head);
      scaleKernel({ kernel: own, inputs, outputs }, tail, cut);
      assert.equal([...head, ...tail], [...want], `${own.kind} ${cut}`);
    }
    const plain = values.slice();
    scaleKernel({ kernel: own }, plain);
    assert.equal(plain, values);
    const read = readChanged(() => values, {
      scaled: new Map([['k', { kernel: own, inputs, outputs }]]),
      values: new Map([['v', Float64Array.of(1, 2)]]),
    });
    assert.equal([read('k'), read('v'), read('other')], [want, Float32Array.of(1, 2), values]);
    assert.is(values[0], 1);
  }
});

const ids = { gamma: 'gamma', beta: 'beta', moving_mean: 'mean', moving_variance: 'variance' };
const norm = (attributes: JsonObject = {}, weights: Record<string, string> = ids, steps = 0) =>
  node('BatchNormalization', { attributes: { epsilon: 0.25, axis: -1, ...attributes }, weights, steps });
const vectors: Record<string, number[]> = {
  gamma: [2, 3],
  beta: [1, -1],
  mean: [4, 5],
  variance: [0.75, 3.75],
};
const vectorsWith = (more: Record<string, number[]> = {}, fixed?: string): Weights => ({
  read: (id) => ({ ...vectors, ...more })[id] as number[],
  fixed: (id) => (id === fixed ? 'I8' : undefined),
});

test('a normalization is scale x + shift: gamma / sqrt(variance + epsilon), beta - mean scale', () => {
  // sqrt(1) and sqrt(4)
  const found = normOf(norm(), vectorsWith());
  assert.equal(found, {
    ...{ scale: Float64Array.of(2, 1.5), shift: Float64Array.of(1 - 8, -1 - 7.5), epsilon: 0.25 },
    ...{ gamma: 'gamma', beta: 'beta', mean: 'mean', variance: 'variance' },
  });
  const { gamma: _, beta: __, ...bare } = ids;
  const plain = normOf(norm({ scale: false, center: false }, bare), vectorsWith());
  assert.equal(plain, {
    ...{ scale: Float64Array.of(1, 0.5), shift: Float64Array.of(-4, -2.5), epsilon: 0.25 },
    ...{ gamma: undefined, beta: undefined, mean: 'mean', variance: 'variance' },
  });
  assert.equal([isNorm(norm()), isNorm(node('LayerNormalization'))], [true, false]);
  for (const [axis, steps, rank, want] of [
    [1, 0, 4, 1],
    [1, 2, 6, 3],
    [0, 0, undefined, 0],
    [-1, 1, 4, 3],
    [-2, 0, 4, 2],
    [-1, 0, undefined, undefined],
  ] as const)
    assert.is(normAxis(norm({ axis }, ids, steps), rank), want);
});

test('why a normalization cannot be taken as scale and shift', () => {
  const without = (...gone: string[]) =>
    Object.fromEntries(Object.entries(ids).filter(([role]) => !gone.includes(role)));
  for (const [own, weights, want] of [
    [norm({}, without('moving_mean')), vectorsWith(), 'its moving mean and variance are not in the file'],
    [norm({}, without('moving_variance')), vectorsWith(), 'its moving mean and variance are not in the file'],
    [norm({}, without('gamma')), vectorsWith(), 'its gamma is not in the file'],
    [norm({}, without('beta')), vectorsWith(), 'its beta is not in the file'],
    [norm(), vectorsWith({}, 'mean'), 'its moving_mean is I8'],
    [norm(), vectorsWith({}, 'variance'), 'its moving_variance is I8'],
    [norm(), vectorsWith({}, 'gamma'), 'its gamma is I8'],
    [norm(), vectorsWith({}, 'beta'), 'its beta is I8'],
    [norm(), vectorsWith({ gamma: [1] }), 'its gamma has 1 values, its mean 2'],
    [norm(), vectorsWith({ variance: [1, 1, 1] }), 'its moving_variance has 3 values, its mean 2'],
    [
      norm(),
      vectorsWith({ gamma: [], beta: [], mean: [], variance: [] }),
      'its moving_mean has 0 values, its mean 0',
    ],
    [
      ...[norm(), vectorsWith({ variance: [1, -0.25] })],
      'channel 1 has variance -0.25, mean 5: its scale or shift is not finite',
    ],
    [
      ...[norm(), vectorsWith({ mean: [Number.NaN, 1] })],
      'channel 0 has variance 0.75, mean NaN: its scale or shift is not finite',
    ],
  ] as [NetworkNode, Weights, string][])
    assert.is(normOf(own, weights), want);
});

test('how scales of channels pass a layer: f(s x) = s f(x) for positive s, or why not', () => {
  const how = (operation: string, attributes: JsonObject = {}, className = operation) => {
    const found = passing(node(operation, { attributes, className }));
    return typeof found === 'string' ? found : `! ${found.why}`;
  };
  const images = [1, 2, 3].flatMap((rank) =>
    [
      'MaxPooling',
      'AveragePooling',
      'GlobalMaxPooling',
      'GlobalAveragePooling',
      'ZeroPadding',
      'Cropping',
      'UpSampling',
    ].map((name) => `${name}${rank}D`),
  );
  for (const name of images) {
    assert.is(how(name), 'same', name);
    assert.is(how(name, { data_format: 'channels_first' }), '! channels first', name);
  }
  const noise =
    'Dropout SpatialDropout2D GaussianDropout AlphaDropout GaussianNoise ActivityRegularization Identity';
  for (const name of `${noise} LeakyReLU PReLU`.split(' ')) assert.is(how(name), 'same', name);
  assert.equal(
    [how('Flatten'), how('Flatten', { data_format: 'channels_first' })],
    ['flatten', '! channels first'],
  );
  assert.is(how('BatchNormalization'), 'affine');
  for (const [operation, attributes, want] of [
    ['Activation', { activation: 'relu' }, 'same'],
    ['Activation', { activation: 'linear' }, 'same'],
    ['Activation', { activation: 'leaky_relu' }, 'same'],
    ['Activation', { activation: 'tanh' }, '! the activation tanh'],
    ['ReLU', {}, 'same'],
    ['ReLU', { max_value: null, threshold: 0 }, 'same'],
    ['ReLU', { max_value: 6 }, '! a largest value of 6'],
    ['ReLU', { threshold: 0.5 }, '! a threshold of 0.5'],
    ['ELU', {}, '! the class ELU'],
    ['RandomFlip', {}, '! the class RandomFlip'],
    ['Reshape', {}, '! the class Reshape'],
    ['Odd', {}, '! the class Odd'],
  ] as [string, JsonObject, string][])
    assert.is(how(operation, attributes), want, `${operation} ${JSON.stringify(attributes)}`);
  assert.is(how('Odd', {}, 'shop>Odd'), '! a class that is not one of Keras');
  const fault = (activation: string) => activationFault(node('Dense', { attributes: { activation } }));
  assert.equal(['linear', 'relu', 'leaky_relu', 'elu'].map(fault), [
    undefined,
    undefined,
    undefined,
    'the activation elu',
  ]);
});

test.run();
