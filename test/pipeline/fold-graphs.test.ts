import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { JsonObject, ModelSource } from '../../src/model.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { foldBatchNorm } from '../../src/pipeline/transform/fold.js';
import { sizeOf } from '../../src/shape.js';
import {
  add,
  conv,
  dense,
  farthest,
  input,
  norm,
  outputsOf,
  random,
  type SmallLayer,
  smallModel,
} from './support.js';

const { tf } = await loadTensorFlow({ prefer: 'wasm' });

/** Outputs of a model and of the same folded, in both ways; what was folded and left. */
async function check(model: ModelSource, shape: readonly number[], inputCount = 1) {
  const next = random(9);
  const inputs = Array.from({ length: inputCount }, () =>
    tf.tensor(Float32Array.from({ length: 2 * sizeOf(shape) }, next), [2, ...shape]),
  );
  const want = await outputsOf(tf, model, inputs);
  for (const keepLayers of [true, false]) {
    const { source, folded, left } = foldBatchNorm(model, { keepLayers });
    const error = farthest(await outputsOf(tf, source, inputs), want);
    assert.ok(error <= 1e-5, `keepLayers ${keepLayers}: ${error}`);
    if (!keepLayers) {
      tf.dispose(inputs);
      return {
        source,
        folded: folded.map((row) => `${row.norm} > ${row.layer}`),
        left: left.map(({ layer, why }) => `${layer}: ${why}`),
      };
    }
  }
  throw new Error('no way was tried');
}

for (const version of ['2.15.0', '3.15.1']) {
  test(`Keras ${version}: a layer called twice, with its normalization`, async () => {
    const layers = [input([5, 5, 2]), conv('c', [3, 3, 2, 2], ['x', 'n']), norm('n', 2, ['c', 'c:1'])];
    const { folded, left, source } = await check(smallModel(layers, ['n:1', 'n'], { version }), [5, 5, 2]);
    assert.equal([folded, left], [['n > c'], []]);
    const config = source.architecture?.config as JsonObject;
    assert.equal(config.output_layers, [
      ['c', 1, 0],
      ['c', 0, 0],
    ]);
    assert.equal(
      source.weights.map(({ id }) => id),
      ['c/kernel', 'c/bias'],
    );
  });

  test(`Keras ${version}: one normalization behind two layers goes into both`, async () => {
    const layers = [
      input([4]),
      dense('a', [4, 3], ['x']),
      dense('b', [4, 3], ['x'], { use_bias: false }),
      norm('n', 3, ['a', 'b']),
      add(['n', 'n:1']),
    ];
    const { folded, left } = await check(smallModel(layers, ['sum'], { version }), [4]);
    assert.equal([folded, left], [['n > a', 'n > b'], []]);
  });

  test(`Keras ${version}: a normalization behind a normalization`, async () => {
    const model = smallModel(
      [input([4]), dense('a', [4, 3], ['x']), norm('n', 3, ['a']), norm('m', 3, ['n'])],
      ['m'],
      { version },
    );
    const { source, folded, left } = await check(model, [4]);
    assert.equal([folded, left], [['n > a', 'm > a'], []]);
    assert.is(source.weights.length, 2);
    const kept = foldBatchNorm(model, { keepLayers: true });
    assert.equal(
      kept.left.map(({ layer }) => layer),
      ['m'],
    );
  });
}

test('every kind of layer takes a normalization, along its own channel axis', async () => {
  const layers = [
    input([6, 6, 4]),
    conv('grouped', [3, 3, 2, 6], ['x'], { groups: 2 }),
    norm('n1', 6, ['grouped'], { scale: false }),
    conv('deep', [3, 3, 6, 2], ['n1'], { class: 'DepthwiseConv2D' }),
    norm('n2', 12, ['deep'], { center: false, axis: [3] }),
    { ...conv('up', [3, 3, 5, 12], ['n2'], { class: 'Conv2DTranspose', filters: 5 }) },
    norm('n3', 5, ['up'], { axis: 3 }),
    {
      ...conv('apart', [3, 3, 5, 2], ['n3'], {
        class: 'SeparableConv2D',
        filters: 7,
        depth_multiplier: 2,
        use_bias: true,
      }),
      weights: { depthwise_kernel: [3, 3, 5, 2], pointwise_kernel: [1, 1, 10, 7], bias: [7] },
    },
    norm('n4', 7, ['apart']),
    dense('wide', [7, 3], ['n4']),
    norm('n5', 3, ['wide']),
  ];
  const { folded, left } = await check(smallModel(layers, ['n5']), [6, 6, 4]);
  assert.equal(folded, ['n1 > grouped', 'n2 > deep', 'n3 > up', 'n4 > apart', 'n5 > wide']);
  assert.equal(left, []);
});

test('layers inside TimeDistributed', async () => {
  const inner = (layer: SmallLayer) => ({ class_name: layer.className, config: layer.config });
  const held = dense('held', [4, 3], [], { use_bias: false });
  const normal = norm('held_norm', 3, []);
  const layers: SmallLayer[] = [
    input([5, 4]),
    {
      className: 'TimeDistributed',
      label: 'TimeDistributed/Dense',
      config: { name: 't', layer: inner(held) },
      weights: held.weights ?? {},
      calls: [['x']],
    },
    {
      className: 'TimeDistributed',
      label: 'TimeDistributed/BatchNormalization',
      config: { name: 'n', layer: inner(normal) },
      weights: normal.weights ?? {},
      calls: [['t']],
    },
    dense('out', [3, 2], ['n']),
    norm('m', 2, ['out'], { axis: 2 }),
  ];
  const { folded, left, source } = await check(smallModel(layers, ['m']), [5, 4]);
  assert.equal([folded, left], [['n > t', 'm > out'], []]);
  assert.equal(
    source.weights.map(({ id }) => id),
    ['t/kernel', 't/bias', 'out/kernel', 'out/bias'],
  );
});

test('what cannot be folded exactly stays, and the report says why', async () => {
  const a = dense('a', [4, 3], ['x']);
  const n = norm('n', 3, ['a']);
  const cases: [layers: SmallLayer[], outputs: string[], why: RegExp][] = [
    [[a, n], ['n', 'a'], /^n: a before it is an output of the model$/],
    [[a, n, add(['n', 'a'])], ['sum'], /^n: a before it also goes to sum$/],
    [
      [dense('a', [4, 3], ['x'], { activation: 'relu' }), n],
      ['n'],
      /^n: the activation relu of a is before it$/,
    ],
    [
      [dense('a', [4, 3], ['x'], { activation: { class_name: 'function', config: 'tanh' } }), n],
      ['n'],
      /the activation tanh/,
    ],
    [
      [a, { className: 'ReLU', config: { name: 'r' }, calls: [['a']] }, norm('n', 3, ['r'])],
      ['n'],
      /comes from r \(ReLU\)/,
    ],
    [
      [a, norm('n', 3, ['a', 'x2']), { className: 'ReLU', config: { name: 'x2' }, calls: [['a']] }],
      ['n', 'n:1'],
      /^n: a before it also goes to x2$/,
    ],
    [[dense('a', [4, 3], ['x', 'x']), n], ['n', 'a:1'], /^n: a before it is an output of the model$/],
    [[norm('n', 4, ['x'])], ['n'], /^n: its input comes from x \(InputLayer\)$/],
    [[a, norm('n', 3, ['a'], { axis: [1, 2] })], ['n'], /normalizes the axes \[1,2\]/],
    [[a, norm('n', 3, ['a'], { axis: -2 })], ['n'], /normalizes axis 0, channels lie along axis 1/],
    [[a, norm('n', 2, ['a'])], ['n'], /^n: it has 2 channels, a has 3$/],
    [
      [a, { ...n, weights: { gamma: [3], beta: [3] } }],
      ['n'],
      /moving mean and variance are not in the file/,
    ],
    [[{ ...a, weights: {} }, n], ['n'], /expected one weight kernel, the file has 0/],
    [[a, { ...n, className: 'shop>BatchNormalization' }], ['n'], /is not Keras's own/],
    [[{ ...a, className: 'EinsumDense' }, n], ['n'], /comes from a \(EinsumDense\)/],
  ];
  for (const [layers, outputs, why] of cases) {
    const model = smallModel([input([4]), ...layers], outputs);
    const { folded, left, source } = foldBatchNorm(model);
    assert.equal(folded, []);
    assert.is(left.length, 1);
    assert.match(`${left[0]?.layer}: ${left[0]?.why}`, why);
    assert.equal(source.architecture, model.architecture);
    assert.equal(source.weights, model.weights);
  }
});

test('a call in training, values that are not finite, a variance that cannot be stored', () => {
  const layers = [input([4]), dense('a', [4, 3], ['x']), norm('n', 3, ['a'])];
  const why = (model: ModelSource, keepLayers = false) =>
    foldBatchNorm(model, { keepLayers }).left.map((row) => row.why);
  const training = smallModel(layers, ['n'], { version: '2.15.0' });
  const { config } = training.architecture as JsonObject;
  const entries = (config as JsonObject).layers as JsonObject[];
  (entries[2] as JsonObject).inbound_nodes = [[['a', 0, 0, { training: true }]]];
  assert.equal(why(training), ['a call with training=True']);
  const dead = smallModel(layers, ['n']);
  (dead.values.get('n/moving_variance') as Float32Array)[1] = -0.5;
  assert.match(why(dead).join(), /channel 1 has variance -0.5/);
  const epsilon = smallModel([...layers.slice(0, 2), norm('n', 3, ['a'], { epsilon: 1.5 })], ['n']);
  assert.equal(why(epsilon), []);
  assert.match(why(epsilon, true).join(), /1 - 1.5 cannot be stored/);
  const half = smallModel(layers, ['n'], { dtype: 'F16' });
  assert.match(why(half, true).join(), /1 - 0.01 cannot be stored as F16/);
  // Without layers kept, what is computed is float32.
  assert.equal(
    foldBatchNorm(half).source.weights.map(({ dtype }) => dtype),
    ['F32', 'F32'],
  );
});

test('without an architecture every normalization is reported', async () => {
  const model = smallModel([input([4]), dense('a', [4, 3], ['x']), norm('n', 3, ['a'])], ['n']);
  const { left, source } = foldBatchNorm({ ...model, architecture: undefined });
  assert.equal(left, [
    { layer: 'n', className: 'BatchNormalization', why: 'the file holds no architecture' },
  ]);
  assert.equal(source.weights, model.weights);
});

test("W' = W scale and b' = b scale + shift, in float64, for any values and flags", () => {
  const finite = (min: number, max: number) => fc.double({ min, max, noNaN: true });
  const channel = fc.record({
    w: finite(-3, 3),
    b: finite(-3, 3),
    gamma: finite(-2, 2),
    beta: finite(-2, 2),
    mean: finite(-2, 2),
    variance: finite(0, 4),
  });
  fc.assert(
    fc.property(
      fc.array(channel, { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      fc.boolean(),
      fc.boolean(),
      fc.constantFrom(1e-5, 1e-3, 0.1),
      (channels, center, scale, bias, epsilon) => {
        const size = channels.length;
        const layers = [
          input([1]),
          dense('a', [1, size], ['x'], { use_bias: bias }),
          norm('n', size, ['a'], { center, scale, epsilon }),
        ];
        const model = smallModel(layers, ['n']);
        const set = (id: string, key: keyof (typeof channels)[number]) =>
          model.values.get(id)?.set(channels.map((c) => c[key]));
        for (const [id, key] of [
          ['a/kernel', 'w'],
          ['a/bias', 'b'],
          ['n/gamma', 'gamma'],
          ['n/beta', 'beta'],
          ['n/moving_mean', 'mean'],
          ['n/moving_variance', 'variance'],
        ] as const)
          set(id, key);
        const { source, folded } = foldBatchNorm(model);
        assert.is(folded.length, 1);
        const f = Math.fround;
        channels.forEach((c, i) => {
          const s = (scale ? f(c.gamma) : 1) / Math.sqrt(f(c.variance) + epsilon);
          assert.is(source.read('a/kernel')[i], f(f(c.w) * s));
          const want = (bias ? f(c.b) * s : 0) + ((center ? f(c.beta) : 0) - f(c.mean) * s);
          assert.ok(
            Math.abs((source.read('a/bias')[i] as number) - want) <= 1e-6 * Math.max(1, Math.abs(want)),
          );
        });
      },
    ),
    { seed: 4, numRuns: 200 },
  );
});

test.run();
