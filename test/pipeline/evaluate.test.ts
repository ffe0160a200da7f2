import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { arrayDataset } from '../../src/data/index.js';
import type { BitnibbleError } from '../../src/errors.js';
import { openNpz } from '../../src/formats/npz.js';
import { openKeras } from '../../src/keras/index.js';
import type { Json, ModelSource } from '../../src/model.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { evaluateModel } from '../../src/pipeline/evaluate.js';
import { scalesItself } from '../../src/pipeline/input-range.js';
import { outputKind } from '../../src/pipeline/outputs.js';
import { root } from '../support/needs.js';

const folder = path.join(root, 'test/fixtures/keras');
const { tf } = await loadTensorFlow();
const model = await openKeras(readFileSync(path.join(folder, 'keras3_sequential.h5')), 'm.h5');
const stored = openNpz(readFileSync(path.join(folder, 'keras3_sequential.npz')));
const x = stored.read('x').data as Float32Array;
const y = stored.read('y').data as Float32Array;
const labels = Int32Array.of(0, 3, 5, 1);
const dataset = (more: object = {}) =>
  arrayDataset({ name: 'd', inputShape: [8, 8, 2], values: x, labels, ...more });

/** A model of the same weights with another last layer. */
function endingWith(activation: string): ModelSource {
  const architecture = structuredClone(model.architecture) as {
    config: { layers: { config: Record<string, unknown> }[] };
  };
  (architecture.config.layers.at(-1) as { config: Record<string, unknown> }).config.activation = activation;
  return {
    file: 'm.h5',
    architecture: architecture as unknown as ModelSource['architecture'],
    kerasVersion: model.kerasVersion,
    backend: '',
    weights: model.weights,
    read: (id) => model.read(id),
  };
}

test('loss and accuracies are those of the outputs that Keras gave', async () => {
  const result = await evaluateModel(tf, model, dataset(), { batchSize: 3 });
  const rows = [...labels].map((label, i) => ({ label, p: [...y.subarray(i * 6, i * 6 + 6)] }));
  const rank = ({ label, p }: { label: number; p: number[] }) =>
    p.filter((v) => v > (p[label] as number)).length;
  const loss = rows.reduce((sum, { label, p }) => sum - Math.log(Math.max(p[label] as number, 1e-7)), 0) / 4;
  assert.ok(Math.abs(result.loss - loss) < 1e-4, `${result.loss}, expected ${loss}`);
  assert.is(result.top1, rows.filter((row) => rank(row) === 0).length / 4);
  assert.is(result.top5, rows.filter((row) => rank(row) < 5).length / 4);
  assert.is(result.samples, 4);
  assert.is(result.outputs, 'probabilities');
});

test('batches, limits and progress do not change what is counted', async () => {
  const whole = await evaluateModel(tf, model, dataset(), {});
  const seen: number[] = [];
  const pieces = await evaluateModel(tf, model, dataset(), {
    batchSize: 1,
    onProgress: (done) => seen.push(done),
  });
  assert.ok(Math.abs(whole.loss - pieces.loss) < 1e-5);
  assert.equal(seen, [1, 2, 3, 4]);
  assert.is((await evaluateModel(tf, model, dataset(), { limit: 2 })).samples, 2);
});

test('the loss that was saved with a model tells numbers from logits, where no activation does', () => {
  const trainedWith = (loss: Json, activation = 'linear') =>
    outputKind({ ...endingWith(activation), trainingConfig: { loss } });
  const numbers: Json[] = [
    'mse',
    'mean_squared_error',
    'MeanSquaredError',
    'huber',
    'log_cosh',
    ['mae'],
    { class_name: 'MeanAbsoluteError', config: {} },
    { class_name: 'function', config: 'mean_squared_error' },
  ];
  for (const loss of numbers) assert.is(trainedWith(loss), 'numbers', JSON.stringify(loss));
  const others: Json[] = [
    'sparse_categorical_crossentropy',
    { class_name: 'SparseCategoricalCrossentropy', config: { from_logits: true } },
    ['mse', 'mae'],
    null,
    3,
    'mse2',
  ];
  for (const loss of others) assert.is(trainedWith(loss), 'logits', JSON.stringify(loss));
  assert.is(trainedWith('mse', 'softmax'), 'probabilities');
});

test('models that end without softmax give logits, which are put through it', async () => {
  const logits = endingWith('linear');
  assert.is(outputKind(logits), 'logits');
  assert.is(outputKind(model), 'probabilities');
  const [a, b] = [await evaluateModel(tf, logits, dataset()), await evaluateModel(tf, model, dataset())];
  assert.ok(Math.abs(a.loss - b.loss) < 1e-3);
  assert.is(a.top1, b.top1);
});

test('axes of length 1 come and go; other shapes of as many values are refused', async () => {
  assert.is((await evaluateModel(tf, model, dataset({ inputShape: [8, 8, 1, 2] }))).samples, 4);
  for (const inputShape of [[2, 8, 8], [128], [8, 16]]) {
    try {
      await evaluateModel(tf, model, dataset({ inputShape }));
      assert.unreachable();
    } catch (error) {
      assert.is((error as BitnibbleError).code, 'data-mismatch');
    }
  }
});

test('data that does not fit is refused', async () => {
  const code = async (data: ReturnType<typeof dataset>) => {
    try {
      await evaluateModel(tf, model, data);
    } catch (error) {
      return (error as BitnibbleError).message;
    }
    throw new Error('expected an error');
  };
  assert.match(await code(dataset({ inputShape: [8, 4, 2], labels: undefined })), 'the data has no labels');
  assert.match(
    await code(dataset({ inputShape: [8, 4, 2], labels: new Int32Array(8) })),
    'expects inputs of shape [8,8,2], the data has [8,4,2]',
  );
  assert.match(
    await code(dataset({ labels: Int32Array.of(0, 1, 2, 6) })),
    'label 6, the model has 6 classes',
  );
});

test('layers that cannot be run are all named, before any weight is read', async () => {
  const architecture = structuredClone(model.architecture) as { config: { layers: object[] } };
  architecture.config.layers.push(
    { class_name: 'Lambda', config: { name: 'secret', function: ['ignored'] } },
    { class_name: 'Mystery', config: { name: 'odd' } },
  );
  const source: ModelSource = {
    ...endingWith('softmax'),
    architecture: architecture as unknown as ModelSource['architecture'],
    read: () => {
      throw new Error('a weight was read');
    },
  };
  try {
    await evaluateModel(tf, source, dataset());
    assert.unreachable();
  } catch (error) {
    assert.is((error as BitnibbleError).code, 'unsupported-layer');
    assert.match((error as Error).message, /2 layers: secret \(Lambda\): it holds code.*odd \(Mystery\)/);
  }
});

test('a Rescaling layer is noticed', () => {
  assert.is(scalesItself(model), false);
  const layers = [{ class_name: 'Rescaling', config: { name: 'r', scale: 1 / 255 } }];
  assert.is(
    scalesItself({
      ...endingWith('softmax'),
      architecture: { class_name: 'Sequential', config: { layers } },
    }),
    true,
  );
});

const codeOf = async (work: Promise<unknown>) => {
  const error = await work.then(
    () => undefined,
    (thrown) => thrown as BitnibbleError,
  );
  return `${error?.code}: ${error?.message}`;
};

test('images and outputs that are NaN or infinite are refused', async () => {
  for (const [value, name] of [
    [Number.NaN, 'NaN'],
    [Number.NEGATIVE_INFINITY, '-Infinity'],
  ] as const) {
    const values = x.slice();
    values[2 * 128 + 5] = value;
    const fault = await codeOf(evaluateModel(tf, model, dataset({ values }), { batchSize: 3 }));
    assert.is(fault, `data-mismatch: d: expected finite samples, got ${name} at value 5 of sample 2`);
  }
  const spoilt: ModelSource = {
    ...endingWith('linear'),
    read: (id) =>
      id === 'dense/bias' ? Float32Array.of(0, Number.POSITIVE_INFINITY, 0, 0, 0, 0) : model.read(id),
  };
  const fault = await codeOf(evaluateModel(tf, spoilt, dataset()));
  assert.is(fault, "not-finite: m.h5 and d: the model's output for sample 0 is Infinity");
  const counted = await evaluateModel(tf, spoilt, dataset(), { allowNotFinite: true });
  assert.equal([counted.notFinite, counted.samples, counted.top1, counted.loss], [4, 4, 0, Number.NaN]);
  assert.is((await evaluateModel(tf, model, dataset())).notFinite, 0);
});

test.run();
