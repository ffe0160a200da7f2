import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import type { JsonObject, ModelSource } from '../../src/model.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { decodedWeights, quantizeModel } from '../../src/pipeline/quantize.js';
import { type EqualizeResult, equalize } from '../../src/pipeline/transform/equalize.js';
import { foldBatchNorm } from '../../src/pipeline/transform/fold.js';
import { sizeOf } from '../../src/shape.js';
import { fileOf, names, stored } from '../tfjs/support.js';
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

/** Pairs of each fixture that has one: as it is, and with its normalizations folded. */
const PAIRS: Readonly<Record<string, readonly [asItIs: number, folded: number]>> = {
  channels_first_conv: [1, 1],
  channels_first_conv13: [1, 1],
  conv1d: [6, 6],
  conv2d: [6, 6],
  conv3d: [4, 4],
  graph_autoencoder: [2, 2],
  graph_dictionaries: [1, 1],
  graph_float16: [2, 2],
  graph_frozen: [2, 2],
  graph_renorm: [1, 1],
  graph_short_kernels: [2, 2],
  graph_siamese: [1, 1],
  k2_autoencoder: [2, 2],
  k2_normalized: [2, 2],
  k2_short_kernels: [2, 2],
  k2_siamese: [1, 1],
  merges: [4, 4],
  mixed_float16: [1, 1],
  mobilenet_v2: [1, 1],
  resnet: [2, 2],
  spectral: [1, 1],
  unet: [3, 3],
  wrappers: [1, 1],
};

const counts: Record<string, [number, number]> = {};
for (const name of names) {
  test(`${name}: equalized, its outputs are the same`, async () => {
    const model = await openKeras(fileOf(name));
    const plain = equalize(model);
    const folded = equalize(foldBatchNorm(model).source);
    if (plain.pairs.length + folded.pairs.length > 0)
      counts[name] = [plain.pairs.length, folded.pairs.length];
    const { inputs } = stored(tf, name, 'y');
    const want = await outputsOf(tf, model, inputs);
    for (const { source, pairs } of [plain, folded]) {
      assert.ok(farthest(await outputsOf(tf, source, inputs), want) <= 1e-4);
      for (const { before, after } of pairs) assert.ok(before > 0 && after <= 1.0001, `${before}, ${after}`);
    }
    assert.equal(plain.source.architecture, model.architecture);
    assert.equal(plain.source.weights, model.weights);
    tf.dispose(inputs);
    model.close();
  });
}

test('the pairs of the fixtures are those of the table', () => {
  assert.equal(counts, Object.fromEntries(Object.entries(PAIRS).filter(([name]) => names.includes(name))));
});

/** Equalizes a small model, compares its outputs, and gives what was found. */
async function check(model: ModelSource, shape: readonly number[]): Promise<EqualizeResult> {
  const next = random(5);
  const x = tf.tensor(Float32Array.from({ length: 2 * sizeOf(shape) }, next), [2, ...shape]);
  const want = await outputsOf(tf, model, [x]);
  const result = equalize(model);
  const error = farthest(await outputsOf(tf, result.source, [x]), want);
  assert.ok(error <= 1e-5, String(error));
  x.dispose();
  return result;
}

const pairsOf = ({ pairs }: EqualizeResult) => pairs.map(({ first, second }) => `${first} > ${second}`);
const layer = (className: string, name: string, before: string, config: JsonObject = {}): SmallLayer => ({
  className,
  config: { name, ...config },
  calls: [[before]],
});

/** `max |w|` for each value of `channel(index in C order)`. */
function ranges(values: Float32Array, channels: number, channel: (i: number) => number): number[] {
  const out = new Array<number>(channels).fill(0);
  values.forEach((value, i) => {
    out[channel(i)] = Math.max(out[channel(i)] as number, Math.abs(value));
  });
  return out;
}

const near = (a: readonly number[], b: readonly number[]) =>
  a.forEach((value, i) => {
    const ratio = value / (b[i] as number);
    assert.ok(ratio > 0.97 && ratio < 1.03, `channel ${i}: ${value}, ${b[i]}`);
  });

test('two layers: every channel gets the same range on both sides, sqrt(r1 r2)', async () => {
  const model = smallModel(
    [input([6]), dense('a', [6, 5], ['x'], { activation: 'relu' }), dense('b', [5, 3], ['a'])],
    ['b'],
  );
  const { source } = await check(model, [6]);
  const rangesOf = (of: ModelSource) =>
    [
      ranges(of.read('a/kernel'), 5, (i) => i % 5),
      ranges(of.read('b/kernel'), 5, (i) => Math.floor(i / 3)),
    ] as const;
  const [r1, r2] = rangesOf(model);
  const [s1, s2] = rangesOf(source);
  near(s1, s2);
  near(
    s1,
    r1.map((r, i) => Math.sqrt(r * (r2[i] as number))),
  );
  // The bias goes with the outputs: b / s, as the kernel's channel.
  const factor = (id: string, at: number) => (source.read(id)[at] as number) / (model.read(id)[at] as number);
  for (let c = 0; c < 5; c++) assert.ok(Math.abs(factor('a/bias', c) / factor('a/kernel', c) - 1) < 1e-5);
  assert.equal(source.read('b/bias'), model.read('b/bias'));
  assert.equal([...source.changed].sort(), ['a/bias', 'a/kernel', 'b/kernel']);
});

test('a depthwise convolution in the middle: the rule of three layers, (r1 r2 r3)^(1/3)', async () => {
  const model = smallModel(
    [
      input([6, 6, 3]),
      conv('a', [1, 1, 3, 4], ['x'], { activation: 'relu' }),
      conv('d', [3, 3, 4, 1], ['a'], { class: 'DepthwiseConv2D' }),
      layer('LeakyReLU', 'r', 'd', { negative_slope: 0.2 }),
      conv('b', [1, 1, 4, 5], ['r']),
    ],
    ['b'],
  );
  const { source } = await check(model, [6, 6, 3]);
  const rangesOf = (of: ModelSource) => [
    ranges(of.read('a/kernel'), 4, (i) => i % 4),
    ranges(of.read('d/kernel'), 4, (i) => i % 4),
    ranges(of.read('b/kernel'), 4, (i) => Math.floor(i / 5)),
  ];
  const [r1, r2, r3] = rangesOf(model) as [number[], number[], number[]];
  const wanted = r1.map((r, i) => Math.cbrt(r * (r2[i] as number) * (r3[i] as number)));
  for (const range of rangesOf(source)) near(range, wanted);
});

test('scales pass pooling, padding, dropout, flatten and batch normalization', async () => {
  const layers: SmallLayer[] = [
    input([8, 8, 2]),
    conv('a', [3, 3, 2, 4], ['x']),
    norm('n', 4, ['a'], { axis: [3] }),
    { ...layer('PReLU', 'p', 'n', { shared_axes: [1, 2] }), weights: { alpha: [1, 1, 4] } },
    layer('ZeroPadding2D', 'z', 'p', {
      padding: [
        [1, 1],
        [1, 1],
      ],
    }),
    layer('MaxPooling2D', 'm', 'z', { pool_size: [2, 2], strides: [2, 2], padding: 'valid' }),
    conv('b', [3, 3, 4, 6], ['m'], {
      use_bias: false,
      activation: { class_name: 'function', config: 'relu' },
    }),
    layer('AveragePooling2D', 'v', 'b', { pool_size: [2, 2], strides: [2, 2], padding: 'same' }),
    layer('Dropout', 'o', 'v', { rate: 0.5 }),
    layer('Flatten', 'f', 'o'),
    dense('c', [54, 4], ['f'], { activation: 'relu' }),
    norm('k', 4, ['c'], { scale: false, center: false }),
    dense('d', [4, 3], ['k']),
  ];
  const result = await check(smallModel(layers, ['d']), [8, 8, 2]);
  assert.equal(pairsOf(result), ['a/kernel > b/kernel', 'b/kernel > c/kernel', 'c/kernel > d/kernel']);
  assert.equal(result.pairs[0]?.through, ['n', 'p', 'z', 'm']);
  for (const { before, after } of result.pairs) assert.ok(after > before, `${before}, ${after}`);
});

test('every kind of convolution on both sides', async () => {
  const bias = { use_bias: true };
  const layers: SmallLayer[] = [
    input([6, 6, 4]),
    conv('one', [3, 3, 2, 6], ['x'], { groups: 2, activation: 'relu' }),
    conv('two', [3, 3, 3, 4], ['one'], { groups: 2, activation: 'relu' }),
    {
      ...conv('up', [3, 3, 5, 4], ['two'], { class: 'Conv2DTranspose', filters: 5, ...bias }),
      weights: { kernel: [3, 3, 5, 4], bias: [5] },
    },
    layer('UpSampling2D', 'grow', 'up', { size: [2, 2], interpolation: 'nearest' }),
    conv('deep', [3, 3, 5, 2], ['grow'], { class: 'DepthwiseConv2D' }),
    {
      ...conv('apart', [3, 3, 10, 2], ['deep'], {
        class: 'SeparableConv2D',
        filters: 7,
        depth_multiplier: 2,
        ...bias,
      }),
      weights: { depthwise_kernel: [3, 3, 10, 2], pointwise_kernel: [1, 1, 20, 7], bias: [7] },
    },
    layer('GlobalMaxPooling2D', 'pool', 'apart'),
    dense('out', [7, 3], ['pool'], { activation: 'softmax' }),
  ];
  const result = await check(smallModel(layers, ['out']), [6, 6, 4]);
  assert.equal(pairsOf(result), [
    'one/kernel > two/kernel',
    'two/kernel > up/kernel',
    'up/kernel > deep/kernel',
    'deep/kernel > apart/depthwise_kernel',
    'apart/depthwise_kernel > apart/pointwise_kernel',
    'apart/pointwise_kernel > out/kernel',
  ]);
  assert.equal(
    result.left.map(({ layer: own, why }) => `${own}: ${why}`),
    ['out: the activation softmax'],
  );
});

test('shared layers: where every call leads to the same layer, else not', async () => {
  const both = [
    input([4]),
    dense('a', [4, 4], ['x', 'y']),
    layer('ReLU', 'y', 'x'),
    dense('b', [4, 3], ['a', 'a:1']),
  ];
  const result = await check(smallModel([...both, add(['b', 'b:1'])], ['sum']), [4]);
  assert.equal(pairsOf(result), ['a/kernel > b/kernel']);
  const apart = [
    input([4]),
    dense('a', [4, 4], ['x', 'y']),
    layer('ReLU', 'y', 'x'),
    dense('b', [4, 3], ['a']),
    dense('c', [4, 3], ['a:1']),
    add(['b', 'c']),
  ];
  const left = equalize(smallModel(apart, ['sum'])).left.find((row) => row.layer === 'a');
  assert.is(left?.why, 'its calls lead to different layers');
  const itself = [input([4]), dense('a', [4, 4], ['x', 'a']), dense('b', [4, 3], ['a:1'])];
  assert.equal(pairsOf(equalize(smallModel(itself, ['b']))), []);
});

test('what scales do not pass stays, and the report says why', () => {
  const a = dense('a', [4, 4], ['x']);
  const b = (before: string) => dense('b', [4, 3], [before]);
  const cases: [layers: SmallLayer[], outputs: string[], why: string][] = [
    [[a, layer('ReLU', 'r', 'a', { max_value: 6 }), b('r')], ['b'], 'r behind it: a largest value of 6'],
    [[a, layer('ReLU', 'r', 'a', { threshold: 1 }), b('r')], ['b'], 'r behind it: a threshold of 1'],
    [[dense('a', [4, 4], ['x'], { activation: 'relu6' }), b('a')], ['b'], 'the activation relu6'],
    [
      [a, layer('Activation', 't', 'a', { activation: 'tanh' }), b('t')],
      ['b'],
      't behind it: the activation tanh',
    ],
    [[a, layer('LayerNormalization', 'l', 'a'), b('l')], ['b'], 'l behind it: the class LayerNormalization'],
    [[a, b('a'), dense('c', [4, 3], ['a'])], ['b', 'c'], 'its outputs go to 2 layers'],
    [[a, b('a')], ['b', 'a'], 'its outputs are those of the model'],
    [[a, add(['a', 'x']), b('sum')], ['b'], 'sum behind it: the class Add'],
    [[a, dense('b', [4, 3], ['a', 'x'])], ['b', 'b:1'], 'b behind it is called from elsewhere too'],
    [[a, { ...b('a'), className: 'EinsumDense' }], ['b'], 'b behind it: the class EinsumDense'],
    [[{ ...a, className: 'EinsumDense' }, b('a')], ['b'], 'a class without a kernel of known axes'],
    [[a, norm('n', 4, ['a', 'x']), b('n')], ['b', 'n:1'], 'n behind it is called from elsewhere too'],
    [
      [a, layer('Flatten', 'f', 'a', { data_format: 'channels_first' }), b('f')],
      ['b'],
      'f behind it: channels first',
    ],
  ];
  for (const [layers, outputs, why] of cases) {
    const { pairs, left, source } = equalize(smallModel([input([4]), ...layers], outputs));
    assert.equal(pairs, []);
    assert.is(left.find((row) => row.layer === 'a')?.why, why);
    assert.is(source.changed.size, 0);
  }
});

test('without an architecture nothing is done, which is said', () => {
  const model = smallModel([input([4]), dense('a', [4, 4], ['x'])], ['a']);
  const { left, pairs } = equalize({ ...model, architecture: undefined });
  assert.equal(pairs, []);
  assert.equal(left, [{ layer: 'small', className: 'model', why: 'the file holds no architecture' }]);
});

test('dead channels and zeros keep their factors at 1', async () => {
  const model = smallModel(
    [input([4]), dense('a', [4, 3], ['x'], { activation: 'relu' }), dense('b', [3, 2], ['a'])],
    ['b'],
  );
  const [kernel, after] = [model.values.get('a/kernel'), model.values.get('b/kernel')] as [
    Float32Array,
    Float32Array,
  ];
  for (let i = 0; i < 4; i++) kernel[3 * i] = 0;
  after.fill(0, 2, 4);
  const { source } = await check(model, [4]);
  for (const [id, channel, width] of [
    ['a/kernel', 0, 3],
    ['a/kernel', 1, 3],
    ['a/bias', 0, 3],
    ['a/bias', 1, 3],
  ] as const) {
    const values = source.read(id).filter((_, i) => i % width === channel);
    assert.equal(
      values,
      model.read(id).filter((_, i) => i % width === channel),
      `${id} ${channel}`,
    );
  }
  assert.equal(source.read('b/kernel').slice(0, 4), after.slice(0, 4));
  // So small that its factor would leave float32: it stops at 2^40.
  for (let i = 0; i < 4; i++) kernel[3 * i + 2] = 1e-40;
  assert.ok(equalize(model).source.read('a/kernel').every(Number.isFinite));
});

test('an equalized model is written back into its file: kernels, biases and means', async () => {
  const kernels = await loadKernels();
  const model = await openKeras(fileOf('resnet'));
  const { source } = equalize(foldBatchNorm(model, { keepLayers: true }).source);
  const { model: quantized } = quantizeModel(source, { default: { scheme: 'int4' } }, { kernels });
  const written = new Map(decodedWeights(quantized));
  for (const { id, kind } of quantized.weights) {
    assert.is(written.has(id), kind === 'quantized' || source.changed.has(id), id);
    if (kind === 'kept' && written.has(id)) assert.equal(written.get(id), source.read(id));
  }
  assert.ok(source.changed.has('batch_normalization/moving_variance'));
  model.close();
});

test.run();
