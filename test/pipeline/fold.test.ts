import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import type { ModelSource } from '../../src/model.js';
import { openDataset } from '../../src/node/datasets.js';
import { openKeras, openModel, saveQuantized } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { evaluateModel } from '../../src/pipeline/evaluate.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { foldBatchNorm } from '../../src/pipeline/transform/fold.js';
import { sizeOf } from '../../src/shape.js';
import { root, tempDir } from '../support/needs.js';
import { everyName, fileOf, names, stored } from '../tfjs/support.js';
import { farthest, outputsOf } from './support.js';

const { tf } = await loadTensorFlow({ prefer: 'wasm' });
const kernels = await loadKernels();
const INT4 = { default: { scheme: 'int4', granularity: 'channel' } } as const;

const parameters = ({ weights }: Pick<ModelSource, 'weights'>) =>
  weights.reduce((n, { shape }) => n + sizeOf(shape), 0);
const isNorm = ({ className }: { className: string }) => className.endsWith('BatchNormalization');

/** Normalizations folded and left of each fixture that has one. */
const COUNTS: Readonly<Record<string, readonly [folded: number, left: number]>> = {
  channels_first: [0, 1],
  channels_first_conv: [0, 1],
  cifar10: [0, 6],
  conv3d: [1, 0],
  conv_lstm: [0, 1],
  efficientnet: [3, 0],
  graph_distributed_model: [1, 0],
  graph_float16: [1, 0],
  graph_frozen: [2, 0],
  graph_masks_given: [0, 1],
  graph_model_of_models: [0, 1],
  graph_renorm: [1, 0],
  graph_shared_layers: [1, 0],
  k2_called_in_training: [0, 1],
  k2_distributed: [1, 0],
  k2_models_in_models: [0, 2],
  k2_normalized: [3, 0],
  keras1_tensorflow: [0, 1],
  keras1_theano: [0, 1],
  mobilenet_v2: [7, 0],
  nested_shared: [2, 0],
  normalizations: [0, 2],
  resnet: [6, 0],
};

test('the fixtures with batch normalization are those of the table', async () => {
  const found: string[] = [];
  for (const name of everyName) {
    const model = await openKeras(fileOf(name));
    if (model.weights.some(isNorm)) found.push(name);
    model.close();
  }
  assert.equal(found.sort(), Object.keys(COUNTS).sort());
});

for (const [name, [count, left]] of Object.entries(COUNTS).filter(([own]) => names.includes(own))) {
  test(`${name}: folded, its outputs are the same, and the normalizations are gone or do nothing`, async () => {
    const model = await openKeras(fileOf(name));
    const { inputs } = stored(tf, name, 'y');
    const want = await outputsOf(tf, model, inputs);
    const gone = foldBatchNorm(model);
    assert.equal([gone.folded.length, gone.left.length], [count, left]);
    assert.ok(farthest(await outputsOf(tf, gone.source, inputs), want) <= 1e-5);
    const removed = new Set(gone.folded.map(({ norm }) => norm));
    const before = model.weights.filter(({ layer }) => !removed.has(layer)).map(({ id }) => id);
    const added = gone.source.weights.filter(({ id }) => !before.includes(id));
    assert.is(gone.source.weights.length, before.length + added.length);
    assert.ok(added.every(({ name: own }) => own === 'bias'));
    assert.is(gone.source.parameters, parameters(gone.source));
    const less = model.weights.filter(({ layer }) => removed.has(layer));
    assert.is(
      gone.source.parameters,
      model.parameters + parameters({ weights: added }) - parameters({ weights: less }),
    );
    assert.ok(count === 0 || gone.source.parameters < model.parameters);

    const kept = foldBatchNorm(model, { keepLayers: true });
    // A variance of 1 - 0.001 is no number of float16: the normalization could not divide by 1.
    const isHalf = name === 'graph_float16';
    assert.equal(kept.folded, isHalf ? [] : gone.folded);
    assert.is(/cannot be stored as F16/.test(kept.left[0]?.why ?? ''), isHalf);
    assert.equal(kept.source.architecture, model.architecture);
    assert.equal(kept.source.weights, model.weights);
    assert.ok(farthest(await outputsOf(tf, kept.source, inputs), want) <= 1e-5);
    for (const { layer, name: own, id } of kept.source.weights.filter(isNorm)) {
      if (isHalf || !removed.has(layer)) assert.equal(kept.source.read(id), model.read(id));
      else if (own === 'gamma') assert.ok(kept.source.read(id).every((v) => v === 1));
      else if (own === 'moving_mean')
        // Without a beta the mean has to take the shift.
        assert.ok(
          !model.weights.some((weight) => weight.layer === layer && weight.name === 'beta') ||
            kept.source.read(id).every((v) => v === 0),
        );
      else if (own === 'moving_variance')
        assert.ok(kept.source.read(id).every((v) => Math.fround(v + Math.fround(1e-3)) === 1));
    }
    tf.dispose(inputs);
    model.close();
  });
}

test('a packed file of a folded model holds its architecture: it opens and gives the same outputs', async () => {
  const model = await openKeras(fileOf('mobilenet_v2'));
  const plain = quantizeModel(model, INT4, { kernels });
  const folded = quantizeModel(foldBatchNorm(model).source, INT4, { kernels });
  const { inputs } = stored(tf, 'mobilenet_v2', 'y');
  const file = path.join(tempDir(), 'folded.safetensors');
  await saveQuantized(folded.model, model, file);
  const opened = await openModel(file, kernels);
  assert.is(opened.model.weights.filter(isNorm).length, 0);
  const want = await outputsOf(tf, folded.model, inputs);
  assert.equal(await outputsOf(tf, opened.model, inputs), want);
  // 7 normalizations of 58 channels: 4 vectors become one.
  assert.is(
    plain.report.bytesAfter - folded.report.bytesAfter,
    4 * (model.parameters - parameters(opened.model)),
  );
  // One scale per channel absorbs the factor of the channel: the same codes, but for rounding.
  assert.ok(farthest(want, await outputsOf(tf, plain.model, inputs)) <= 1e-4);
  tf.dispose(inputs);
  model.close();
});

test('a classifier keeps its accuracy: folded, folded and packed, folded and written back', async () => {
  const model = await openKeras(path.join(root, 'examples/digits/digits.h5'));
  const dataset = await openDataset(path.join(root, 'examples/digits'));
  const evaluate = (source: ModelSource) =>
    evaluateModel(tf, source, dataset, { limit: 300, preprocess: { scale: 1 / 255 } });
  const float = await evaluate(model);
  const { source, folded } = foldBatchNorm(model);
  assert.equal(
    folded.map(({ norm, layer }) => [norm, layer]),
    [['norm3', 'conv3']],
  );
  const near = (a: number, b: number) => assert.ok(Math.abs(a - b) <= 1e-5 * Math.max(1, b), `${a}, ${b}`);
  near((await evaluate(source)).loss, float.loss);
  const int4 = await evaluate(quantizeModel(model, INT4, { kernels }).model);
  const file = path.join(tempDir(), 'folded.safetensors');
  await saveQuantized(quantizeModel(source, INT4, { kernels }).model, model, file);
  const packed = await openModel(file, kernels);
  near((await evaluate(packed.model)).loss, int4.loss);

  const kept = quantizeModel(foldBatchNorm(model, { keepLayers: true }).source, INT4, { kernels }).model;
  const keras = path.join(tempDir(), 'folded.h5');
  await saveQuantized(kept, model, keras);
  const reopened = await openKeras(keras);
  assert.equal(reopened.architecture, model.architecture);
  for (const { id } of reopened.weights) assert.equal(reopened.read(id), kept.read(id), id);
  assert.not.equal(reopened.read('norm3/gamma'), model.read('norm3/gamma'));
  near((await evaluate(reopened)).loss, int4.loss);
  reopened.close();
  model.close();
});

test('a model whose layers were folded away is not written into the Keras file', async () => {
  const model = await openKeras(fileOf('conv3d'));
  const { model: quantized } = quantizeModel(foldBatchNorm(model).source, INT4, { kernels });
  const file = path.join(tempDir(), 'folded.h5');
  try {
    await saveQuantized(quantized, model, file);
    assert.unreachable();
  } catch (error) {
    assert.is((error as { code?: string }).code, 'missing-weight');
    assert.match((error as Error).message, /lacks the weight batch_normalization\/gamma .*keepLayers/);
  }
  model.close();
});

test.run();
