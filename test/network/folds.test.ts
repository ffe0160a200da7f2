// Which normalizations fold into which layers and which kernels follow each other, or why not, on networks written by hand.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { JsonObject } from '../../src/model.js';
import {
  findNormFolds,
  findPairs,
  foldedRows,
  foldNorms,
  type KernelScale,
} from '../../src/network/passes/index.js';
import type { Weights } from '../../src/network/passes/kernel.js';
import type { Network, NetworkNode, Problem, Shape } from '../../src/network/types.js';

interface Told extends Partial<NetworkNode> {
  readonly config?: JsonObject;
}

const LINEAR = { use_bias: true, activation: 'linear' };

/** `name = Operation inputs`: values have the names of their layers, another call of a layer is `name:1`; `Norm` for short. */
function network(
  rows: string,
  outputs: string,
  told: Readonly<Record<string, Told>> = {},
  more: Partial<Network> = {},
  shapes: Readonly<Record<string, Shape | undefined>> = {},
): Network {
  const names = ['x', 'z'];
  const nodes = rows.split(', ').map((row): NetworkNode => {
    const [made = '', , kind = '', ...inputs] = row.split(' ');
    const operation = kind === 'Norm' ? 'BatchNormalization' : kind;
    const { config = {}, ...own } = told[made] ?? {};
    const [layer = ''] = made.split(':');
    const id = (name: string) => `${layer}/${name}`;
    const weights: Record<string, string> = /^(Dense|Conv)/.test(operation)
      ? { kernel: id('kernel'), bias: id('bias') }
      : kind === 'Norm'
        ? { gamma: id('gamma'), beta: id('beta'), moving_mean: id('mean'), moving_variance: id('variance') }
        : {};
    const standard: JsonObject = /^(Dense|Conv)/.test(operation)
      ? { ...(operation === 'Dense' ? { units: 2 } : { filters: 2, kernel_size: [1, 1] }), ...LINEAR }
      : kind === 'Norm'
        ? { axis: -1, epsilon: 0, scale: true, center: true }
        : {};
    const node = {
      ...{
        operation,
        attributes: { ...standard, ...config },
        layer,
        className: operation,
        steps: 0,
        training: {},
      },
      ...{ roles: [], inputs: inputs.map((name) => names.indexOf(name)), outputs: [names.length], weights },
      ...own,
    };
    names.push(made);
    return node;
  });
  const values = names.map((name) => ({
    ...{ shape: name in shapes ? shapes[name] : [null, 2], dtype: 'float32' as const },
  }));
  const port = (name: string) => ({ name, value: names.indexOf(name) });
  return {
    ...{ name: 'net', values, nodes, inputs: [port('x'), port('z')], outputs: outputs.split(' ').map(port) },
    ...{ problems: [], ...more },
  };
}

/** Kernels of `[2, 2]`, vectors of 2. */
const VALUES: Record<string, number[]> = {
  kernel: [1, 2, 3, 4],
  bias: [10, 20],
  gamma: [2, 3],
  beta: [1, -1],
  mean: [5, 6],
  variance: [1, 4],
};
const weights: Weights = {
  read: (id) => VALUES[id.split('/').at(-1) as string] as number[],
  size: (id) => VALUES[id.split('/').at(-1) as string]?.length,
};
const problem = (layer: string, code: Problem['code'] = 'unsupported-layer'): Problem => ({
  ...{ layer, className: 'X', reason: 'it is odd', code },
});

const image: Shape = [null, 4, 4, 2];

const foldsOf = (given: Network, own = weights) => {
  const { folds, left } = findNormFolds(given, own);
  return [
    ...folds.map(({ layer, into }) => `${layer} > ${into.map((one) => one.layer).join(' ')}`),
    ...left.map(({ layer, why }) => `${layer}: ${why}`),
  ];
};

test('normalizations that fold, and the reasons of those that do not', () => {
  const chain = (config: JsonObject = {}, norm: JsonObject = {}, kind = 'Dense') =>
    network(
      `a = ${kind} x, n = Norm a`,
      'n',
      { a: { config }, n: { config: norm } },
      {},
      { a: kind === 'Dense' ? [null, 2] : image },
    );
  const problems = (...list: Problem[]) => ({ problems: list });
  for (const [given, want] of [
    [chain(), 'n > a'],
    [chain({ activation: 'relu' }), 'n: the activation relu of a is before it'],
    [chain({}, { axis: 1 }), 'n > a'],
    [chain({}, { axis: 1 }, 'Conv2D'), 'n: it normalizes axis 1, channels lie along axis 3'],
    [chain({}, { axis: 3 }, 'Conv2D'), 'n > a'],
    [chain({ data_format: 'channels_first' }, { axis: 1 }, 'Conv2D'), 'n > a'],
    [
      chain({ data_format: 'channels_first' }, { axis: -1 }, 'Conv2D'),
      'n: it normalizes axis 3, channels lie along axis 1',
    ],
    [chain({}, { axis: [1, 2] }, 'Conv2D'), 'n: it normalizes the axes [1,2]'],
    [chain({}, { axis: null }), 'n: it normalizes the axes null'],
    [network('n = Norm x', 'n'), 'n: its input comes from x (InputLayer)'],
    [
      network('a = ReLU x, n = Norm a', 'n'),
      'n: its input comes from a (ReLU): a class without a kernel of known axes',
    ],
    [network('a = Dense x, n = Norm a', 'n a'), 'n: a before it is an output of the model'],
    [network('a = Dense x, n = Norm a, r = ReLU a', 'n r'), 'n: a before it also goes to r'],
    [network('a = Dense x, n = Norm a x', 'n'), 'n: it has several inputs'],
    [network('a = Dense x, b = Dense z, n = Norm a, n:1 = Norm b', 'n n:1'), 'n > a b'],
    [network('a = Dense x, a:1 = Dense z, n = Norm a, n:1 = Norm a:1', 'n n:1'), 'n > a'],
    [network('a = Dense x, a:1 = Dense z, n = Norm a', 'n a:1'), 'n: a before it is an output of the model'],
    [
      network('a = Dense x, n = Norm a', 'n', { a: { config: { units: 4 } } }),
      'n: it has 2 channels, a has 4',
    ],
    [
      network('a = Dense x, n = Norm a', 'n', {}, problems(problem('a'))),
      'n: its input comes from a (Dense): it is odd',
    ],
    [
      network('a = Dense x, n = Norm a', 'n', {}, problems(problem('a', 'missing-weight'))),
      'n: its input comes from a (Dense): it is odd',
    ],
    [network('a = Dense x, n = Norm a', 'n', {}, problems(problem('n'))), 'n: it is odd'],
    [network('a = Dense x, n = Norm a', 'n', {}, problems(problem('elsewhere'))), 'n > a'],
    [
      network('a = Dense x, n = Norm a', 'n', { n: { weights: {} } }),
      'n: its moving mean and variance are not in the file',
    ],
    [
      network('a = Dense x, n = Odd a', 'n', { n: { className: 'shop>BatchNormalization' } }),
      "n: the class shop>BatchNormalization is not Keras's own",
    ],
    [network('a = Dense x, n = Norm a', 'n', { n: { className: 'SyncBatchNormalization' } }), 'n > a'],
    [
      network('a = Dense x, n = Norm a', 'n', { n: { className: 'TimeDistributed/BatchNormalizationV1' } }),
      'n > a',
    ],
    // Steps are axes before those that are counted.
    [
      network(
        'a = Conv2D x, n = Norm a',
        'n',
        { a: { steps: 1 }, n: { steps: 1, config: { axis: 3 } } },
        {},
        { a: undefined },
      ),
      'n > a',
    ],
    [
      network('a = Dense x, n = Norm a', 'n', { n: { config: { axis: 1 } } }, {}, { a: undefined }),
      'n: it normalizes axis 1 of an unknown number of axes',
    ],
  ] as [Network, string][])
    assert.equal(foldsOf(given), [want]);
  // A class that only ends alike is no normalization.
  for (const className of ['MyBatchNormalization', 'BatchNormalizations'])
    assert.equal(foldsOf(network('a = Dense x, n = Norm a', 'n', { n: { className } })), []);
});

test('folded weights: W scale and b scale + shift, one normalization after the other, biases where there were none', () => {
  const given = network('a = Dense x, n = Norm a, m = Norm n', 'm', {});
  const folded = foldNorms(given, weights);
  assert.equal(
    folded.network.nodes.map(({ layer }) => layer),
    ['a'],
  );
  assert.equal(folded.folded, [
    { norm: 'n', layer: 'a', className: 'Dense', spread: 2 / 1.5 },
    { norm: 'm', layer: 'a', className: 'Dense', spread: 2 / 1.5 },
  ]);
  // scale = gamma / sqrt(variance) = 2, 3/2; shift = beta - mean scale.
  const [s, shift] = [
    [2, 1.5],
    [1 - 10, -1 - 9],
  ];
  const once = [0, 1].map((c) => (VALUES.bias?.[c] as number) * (s[c] as number) + (shift[c] as number));
  const twice = once.map((value, c) => value * (s[c] as number) + (shift[c] as number));
  assert.equal([...(folded.values.get('a/bias') as Float64Array)], twice);
  assert.equal([...((folded.scaled.get('a/kernel') as KernelScale).outputs as Float64Array)], [4, 2.25]);
  assert.equal([...folded.biases], []);

  const bare = { config: { use_bias: false }, weights: { kernel: 'a/kernel' } };
  const without = foldNorms(network('a = Dense x, n = Norm a', 'n', { a: bare }), {
    ...weights,
    size: (id) => (id === 'a/bias' ? 7 : weights.size?.(id)),
  });
  // An id that is taken is not taken again.
  assert.equal([...without.biases], [['a/kernel', 'a/bias#2']]);
  assert.equal([...(without.values.get('a/bias#2') as Float64Array)], shift);
  assert.equal(without.network.nodes[0]?.weights, { kernel: 'a/kernel', bias: 'a/bias#2' });
  assert.is(without.network.nodes[0]?.attributes.use_bias, true);
  assert.equal(foldsOf(without.network), []);

  const zero = {
    layer: 'n',
    norm: { scale: Float64Array.of(0, -4, 2) },
    into: [{ layer: 'a', className: 'Dense' }],
  };
  assert.is(foldedRows(zero as never)[0]?.spread, 2);
  assert.is(foldedRows({ ...zero, norm: { scale: Float64Array.of(0) } } as never)[0]?.spread, 1);
});

const pairsOf = (given: Network, own = weights) => {
  const { pairs, left } = findPairs(given, own);
  return [
    ...pairs.map(({ first, second, channels, vectors, through }) =>
      [`${first.id} > ${second.id}`, channels, vectors.join(' '), through.join(' ')].join(', '),
    ),
    ...left.map(({ layer, why }) => `${layer}: ${why}`),
  ];
};

test('kernels that follow each other, and the reasons of those that do not', () => {
  const end = 'b: its outputs are those of the model';
  const through = (operation: string, told: Told = {}, more: Partial<Network> = {}) =>
    network(`a = Dense x, m = ${operation} a, b = Dense m`, 'b', { m: told }, more);
  for (const [given, want] of [
    [network('a = Dense x, b = Dense a', 'b'), ['a/kernel > b/kernel, 2, a/bias, ', end]],
    [through('Dropout'), ['a/kernel > b/kernel, 2, a/bias, m', end]],
    [through('Norm'), ['a/kernel > b/kernel, 2, a/bias m/mean m/beta, m', end]],
    [through('Norm', { config: { axis: 1 } }), ['a/kernel > b/kernel, 2, a/bias m/mean m/beta, m', end]],
    [through('Norm', { config: { axis: [1, 2] } }), ['a: m behind it normalizes axis [1,2]', end]],
    [
      through('Norm', { weights: {} }),
      ['a: m behind it: its moving mean and variance are not in the file', end],
    ],
    [through('ELU'), ['a: m behind it: the class ELU', end]],
    [through('Dropout', {}, { problems: [problem('m')] }), ['a: m behind it: it is odd', end]],
    [
      through('Dropout', {}, { problems: [problem('m', 'missing-weight')] }),
      ['a/kernel > b/kernel, 2, a/bias, m', end],
    ],
    [through('Dropout', {}, { problems: [problem('a')] }), ['a: it is odd', end]],
    [through('Dropout', {}, { problems: [problem('a', 'missing-weight')] }), ['a: it is odd', end]],
    [
      through('Dropout', {}, { problems: [problem('b')] }),
      ['a: b (Dense) behind it: it is odd', 'b: it is odd'],
    ],
    [
      network('a = Dense x, b = Dense a', 'b', { a: { config: { activation: 'elu' } } }),
      ['a: the activation elu', end],
    ],
    [
      network('a = Dense x, b = Dense a', 'b', { a: { config: { data_format: 'channels_first' } } }),
      ['a: channels first', end],
    ],
    [
      network('a = Dense x, b = Dense a', 'b', { b: { config: { data_format: 'channels_first' } } }),
      ['a: channels first', 'b: channels first'],
    ],
    [network('a = Dense x, b = Dense a', 'b a'), ['a: its outputs are those of the model', end]],
    [network('a = Dense x, b = Dense x', 'b'), ['a: nothing takes its outputs', end]],
    [network('a = Dense x, b = Dense a, r = ReLU a', 'b r'), ['a: its outputs go to 2 layers', end]],
    [network('a = Dense x, m = Dropout a z, b = Dense m', 'b'), ['a: m behind it takes several inputs', end]],
    [
      network('a = Dense x, m = ReLU a, m:1 = ReLU m, b = Dense m:1', 'b'),
      ['a: m behind it is called again and again', end],
    ],
    [network('a = Dense x, a:1 = Dense a', 'a:1'), ['a: its outputs are those of the model']],
    [
      network('a = Dense x, b = Dense a', 'b', { b: { config: { units: 4 } } }),
      ['a: it has 2 channels, b behind it takes 1', end],
    ],
    [
      network('a = Dense x, m = Flatten a, b = Dense m', 'b', { a: { config: { units: 1 } } }),
      ['a/kernel > b/kernel, 1, a/bias, m', end],
    ],
    [
      network('a = Dense x, m = Flatten a, b = Dense m', 'b', { a: { config: { units: 4 } } }),
      ['a: it has 4 channels, b behind it takes 2', end],
    ],
    // Shared layers: all calls to one layer that nothing else calls.
    [
      network('a = Dense x, a:1 = Dense z, b = Dense a, b:1 = Dense a:1', 'b b:1'),
      ['a/kernel > b/kernel, 2, a/bias, ', end],
    ],
    [
      network('a = Dense x, a:1 = Dense z, b = Dense a, c = Dense a:1', 'b c'),
      ['a: its calls lead to different layers', end, 'c: its outputs are those of the model'],
    ],
    [
      network('a = Dense x, b = Dense a, b:1 = Dense z', 'b b:1'),
      ['a: b behind it is called from elsewhere too', end],
    ],
    [
      network('a = Dense x, n = Norm a, n:1 = Norm z, b = Dense n', 'b n:1'),
      ['a: n behind it is called from elsewhere too', end],
    ],
    [
      network('a = Dense x, a:1 = Dense a, a:2 = Dense a:1, b = Dense a:2', 'b'),
      ['a: its calls lead to different layers', end],
    ],
    [network('r = ReLU x', 'r'), []],
  ] as [Network, string[]][])
    assert.equal(pairsOf(given), want);
  // Rows of a kernel above 2^24 elements are not held.
  const large: Weights = { ...weights, size: (id) => (id === 'a/kernel' ? 2 ** 24 + 2 : 4) };
  const wide = network('a = Dense x, b = Dense a', 'b', {});
  assert.equal(pairsOf(wide, large), ['a: a kernel of too many weights', end]);
  assert.equal(
    pairsOf(wide, { ...large, size: (id) => (id === 'a/kernel' ? 2 ** 24 : 4) })[0],
    'a/kernel > b/kernel, 2, a/bias, ',
  );
  const fixed: Weights = { ...weights, fixed: (id) => (id === 'b/kernel' ? 'I8' : undefined) };
  assert.equal(pairsOf(wide, fixed), ['a: b (Dense) behind it: its kernel is I8', 'b: its kernel is I8']);
});

test('the two kernels of a separable convolution are a pair', () => {
  const both = { weights: { depthwise_kernel: 's/d', pointwise_kernel: 's/p', bias: 's/bias' } };
  const config = {
    filters: 2,
    kernel_size: [1, 1],
    depth_multiplier: 1,
    use_bias: true,
    activation: 'linear',
  };
  const given = network('s = SeparableConv2D x, b = Dense s', 'b', { s: { ...both, config } });
  const sized = (d: number, p: number): Weights => ({
    read: weights.read,
    size: (id) => (id === 's/d' ? d : id === 's/p' ? p : 4),
  });
  assert.equal(pairsOf(given, sized(2, 4)).slice(0, 2), ['s/d > s/p, 2, , ', 's/p > b/kernel, 2, s/bias, ']);
  const large = pairsOf(given, sized(2, 2 ** 24 + 2));
  assert.equal(large.slice(0, 2), ['s: a kernel of too many weights', 's: a kernel of too many weights']);
  assert.equal(pairsOf(given, sized(2 ** 24 + 1, 4))[1], 's: a kernel of too many weights');
});

test.run();
