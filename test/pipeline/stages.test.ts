// What tuning compares within a network, and how it counts.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { JsonObject } from '../../src/model.js';
import { openNetwork } from '../../src/network/open.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { inverseVariances, stageEnds, stageLoss, withStages } from '../../src/pipeline/calibrate/stages.js';
import { tuningLoss } from '../../src/pipeline/calibrate/tuning-loss.js';
import type { OutputKind } from '../../src/pipeline/outputs.js';
import { addConvolutionGradients } from '../../src/tfjs/gradients.js';
import { loadNetwork } from '../../src/tfjs/load.js';
import type { Tensor } from '../../src/tfjs/types.js';
import { conv, dense, input, type SmallLayer, smallModel } from './support.js';

const { tf } = await loadTensorFlow();
addConvolutionGradients(tf);

const pool = (name: string, before: string, config: JsonObject = {}): SmallLayer => ({
  className: 'MaxPooling2D',
  config: { name, pool_size: [2, 2], strides: [2, 2], padding: 'valid', ...config },
  calls: [[before]],
});
const all = (name: string, before: string, config: JsonObject = {}): SmallLayer => ({
  className: 'GlobalAveragePooling2D',
  config: { name, ...config },
  calls: [[before]],
});

/** The layers whose values are ends of stages. */
const endsOf = (layers: readonly SmallLayer[], output: string): string[] => {
  const { network } = openNetwork(smallModel(layers, [output]));
  return stageEnds(network).map(
    (value) => network.nodes.find(({ outputs }) => outputs.includes(value))?.layer as string,
  );
};

const classifier = [
  input([8, 8, 2]),
  conv('a', [3, 3, 2, 3], ['x']),
  conv('b', [3, 3, 3, 3], ['a'], { activation: 'relu' }),
  pool('half', 'b'),
  conv('c', [1, 1, 3, 4], ['half'], { activation: 'relu' }),
  conv('d', [3, 3, 4, 4], ['c'], { strides: [2, 2], activation: 'relu' }),
  all('whole', 'd'),
  dense('out', [4, 3], ['whole'], { activation: 'softmax' }),
];

test('stages end before pooling, strides and global pooling', () => {
  assert.equal(endsOf(classifier, 'out'), ['b', 'c', 'd']);
});

test('borders that a filter takes off, and what no weight has a part in, end no stage', () => {
  const layers = [
    input([12, 12, 2]),
    pool('first', 'x', { strides: [1, 1] }),
    conv('a', [3, 3, 2, 3], ['first'], { padding: 'valid', strides: [1, 1] }),
    conv('b', [3, 3, 3, 3], ['a'], { padding: 'valid' }),
    all('whole', 'b'),
    dense('out', [3, 3], ['whole']),
  ];
  assert.equal(endsOf(layers, 'out'), ['b']);
  const strided = conv('a', [3, 3, 2, 3], ['x'], { strides: [2, 2] });
  assert.equal(endsOf([input([8, 8, 2]), strided, all('whole', 'a')], 'whole'), ['a'], 'the input');
});

test('of several values of one size the last one; by the axes of channels first; none of unknown size', () => {
  const branch = [
    input([8, 8, 2]),
    conv('a', [3, 3, 2, 4], ['x']),
    all('side', 'a', { keepdims: true }),
    { className: 'Multiply', config: { name: 'scaled' }, calls: [['a', 'side']] },
    pool('half', 'scaled'),
    all('whole', 'half'),
  ];
  assert.equal(endsOf(branch, 'whole'), ['scaled', 'half']);
  const first = { data_format: 'channels_first' };
  const turned = [
    input([2, 8, 8]),
    conv('a', [3, 3, 2, 8], ['x'], { ...first, filters: 8 }),
    conv('b', [3, 3, 8, 2], ['a'], { ...first, filters: 2 }),
    pool('half', 'b', first),
    all('whole', 'half', first),
  ];
  assert.equal(endsOf(turned, 'whole'), ['b', 'half'], 'fewer channels are no smaller image');
  const open = [input([null, null, 2]), conv('a', [3, 3, 2, 4], ['x']), pool('half', 'a'), all('w', 'half')];
  assert.equal(endsOf(open, 'w'), []);
});

test('squared errors over variances, their mean; a value that is the same everywhere counts nothing', () => {
  const floats = [tf.tensor4d([1, 3, 5, 7], [1, 2, 2, 1]), tf.tensor4d([2, 2], [1, 1, 2, 1])];
  const own = [tf.tensor4d([2, 3, 5, 5], [1, 2, 2, 1]), tf.tensor4d([9, 2], [1, 1, 2, 1])];
  const inverses = inverseVariances(tf, floats);
  assert.equal(
    inverses.map((value) => (value.dataSync() as Float32Array)[0]),
    [Math.fround(1 / 5), 0],
  );
  const [loss] = stageLoss(tf, floats, inverses, own).dataSync();
  assert.ok(Math.abs((loss as number) - (5 / 4 / 5 + 0) / 2) < 1e-6, String(loss));
  tf.dispose([floats, own, inverses]);
});

const data = () =>
  tf.tensor4d(
    Float32Array.from({ length: 5 * 128 }, (_, i) => Math.sin(i * i)),
    [5, 8, 8, 2],
  );
const number = (tensor: Tensor) => (tensor.dataSync() as Float32Array)[0] as number;

test('a model with its stages gives the same outputs, and the layers their values', async () => {
  const loaded = await loadNetwork(tf, smallModel(classifier, ['out']));
  const x = data();
  const [out, b, c, d] = withStages(tf, loaded).predict(x) as Tensor[];
  assert.equal(out?.dataSync(), (loaded.model.predict(x) as Tensor).dataSync());
  assert.equal(
    [b, c, d].map((value) => value?.shape),
    [
      [5, 8, 8, 3],
      [5, 4, 4, 4],
      [5, 2, 2, 4],
    ],
  );
  const pooled = loaded.model.getLayer('whole').apply(d as Tensor) as Tensor;
  const last = loaded.model.getLayer('out').apply(pooled) as Tensor;
  assert.equal(last.dataSync(), out?.dataSync());
  loaded.model.dispose();
});

test('the loss has its second term for classes of images alone, and a gradient that reaches the first layer', async () => {
  const [exact, rounded] = [
    await loadNetwork(tf, smallModel(classifier, ['out'])),
    await loadNetwork(tf, smallModel(classifier, ['out'], { seed: 2 })),
  ];
  const x = data();
  const at = (stageWeight: number, kind: OutputKind) => {
    const loss = tuningLoss(tf, exact, rounded, { kind, stageWeight });
    return tf.tidy(() => number(loss.of([x], loss.wanted([x]))));
  };
  const [none, some, twice] = [0, 0.5, 1].map((weight) => at(weight, 'probabilities')) as [
    number,
    number,
    number,
  ];
  assert.ok(some > none);
  assert.ok(Math.abs(twice - none - 2 * (some - none)) < 1e-4 * twice);
  assert.is(at(1, 'numbers'), at(0, 'numbers'));
  const stagesOf = (kind: OutputKind) => tuningLoss(tf, exact, rounded, { kind, stageWeight: 1 }).stages;
  assert.equal([stagesOf('logits'), stagesOf('numbers')], [3, 0]);
  const loss = tuningLoss(tf, exact, rounded, { kind: 'probabilities', stageWeight: 1 });
  const before = tf.memory().numTensors;
  const wanted = tf.tidy(() => loss.wanted([x]));
  assert.is(wanted.length, 1 + 3 + 3);
  const kernel = rounded.model.getLayer('a').getWeights()[0] as Tensor;
  const { value, grads } = tf.variableGrads(() => loss.of([x], wanted));
  const [slope] = Object.values(grads).filter(({ shape }) => shape.join() === kernel.shape.join());
  assert.ok(slope && (slope.dataSync() as Float32Array).some((own) => Math.abs(own) > 1e-6));
  tf.dispose([value, grads, wanted]);
  assert.is(tf.memory().numTensors, before, 'every tensor is disposed of');
  exact.model.dispose();
  rounded.model.dispose();
});

test.run();
