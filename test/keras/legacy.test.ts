import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import { parseJson } from '../../src/formats/json.js';
import { bytesSource, loadModelWeights, openKeras, saveModelWeights } from '../../src/keras/index.js';
import { dense, fakeKeras } from '../support/h5.js';
import { root } from '../support/needs.js';

const fixture = (name: string) => readFileSync(path.join(root, 'test/fixtures/keras', name));

async function codeOf(bytes: Uint8Array, name = 'bad.h5'): Promise<{ code: string; message: string }> {
  try {
    const model = await openKeras(bytes, name);
    for (const { id } of model.weights) model.read(id);
    model.close();
  } catch (error) {
    assert.instance(error, BitnibbleError, String(error));
    return error as BitnibbleError;
  }
  throw new Error('expected an error');
}

for (const version of ['keras2', 'keras3']) {
  test(`${version}: architecture, layers and weights of a compiled Sequential model`, async () => {
    const model = await openKeras(fixture(`${version}_sequential.h5`), 'x.h5');
    assert.is(model.name, 'small');
    assert.is(model.parameters, 1337);
    assert.is(model.backend, 'tensorflow');
    assert.match(model.kerasVersion, version === 'keras2' ? /^2\./ : /^3\./);
    assert.is(model.trainingConfig?.loss, 'sparse_categorical_crossentropy');
    const names = model.layers.filter(({ className }) => className !== 'InputLayer').map(({ name }) => name);
    assert.equal(names, [
      'conv',
      'norm',
      'pool',
      'depthwise',
      'up',
      'flatten',
      'dropout',
      'dense',
      'softmax',
    ]);
    assert.equal(
      model.weights.map(({ id }) => id),
      [
        'conv/kernel',
        'conv/bias',
        'norm/gamma',
        'norm/beta',
        'norm/moving_mean',
        'norm/moving_variance',
        'depthwise/kernel',
        'up/kernel',
        'up/bias',
        'dense/kernel',
        'dense/bias',
      ].map((id) =>
        model.weights.some((weight) => weight.id === id) ? id : id.replace('kernel', 'depthwise_kernel'),
      ),
    );
    assert.equal(model.weight('up/kernel').shape, [2, 2, 3, 4]);
    assert.is(model.weight('up/kernel').className, 'Conv2DTranspose');
    model.close();
  });

  test(`${version}: a shared sub-model's weights belong to its layers`, async () => {
    const model = await openKeras(fixture(`${version}_nested.h5`));
    const inner = model.weights.filter(({ layer }) => layer.startsWith('block/'));
    assert.equal(
      inner.map(({ id, className }) => `${id} ${className}`),
      [
        'block/conv/kernel Conv2D',
        'block/conv/bias Conv2D',
        'block/norm/gamma BatchNormalization',
        'block/norm/beta BatchNormalization',
        'block/norm/moving_mean BatchNormalization',
        'block/norm/moving_variance BatchNormalization',
      ],
    );
    model.close();
  });

  test(`${version}: wrappers are named before the class they hold`, async () => {
    const model = await openKeras(fixture(`${version}_recurrent.h5`));
    const classes = new Set(model.weights.map(({ layer, className }) => `${layer} ${className}`));
    assert.equal([...classes], ['both Bidirectional/LSTM', 'rnn SimpleRNN', 'dense Dense']);
    model.close();
  });
}

test('saving changes the weights named and nothing else', async () => {
  const bytes = fixture('keras3_sequential.h5');
  const model = await openKeras(bytes, 'x.h5');
  const before = loadModelWeights(model);
  const kernel = before.find(({ name }) => name === 'dense')?.weights[0];
  assert.ok(kernel);
  const changed = kernel.values.map((w) => -w);
  const saved = await saveModelWeights(model, new Map([[kernel.id, changed]]));
  const again = await openKeras(saved, 'y.h5');
  for (const layer of loadModelWeights(again)) {
    for (const { id, values } of layer.weights) {
      assert.equal(values, id === kernel.id ? changed : model.read(id), id);
    }
  }
  assert.equal(again.architecture, model.architecture);
  assert.equal(again.trainingConfig, model.trainingConfig);
  // Rewritten in place: the files differ in the bytes of that one tensor alone.
  assert.is(saved.length, bytes.length);
  const differing = saved.reduce((count, byte, i) => count + (byte === bytes[i] ? 0 : 1), 0);
  assert.ok(differing > 0 && differing <= changed.byteLength, `${differing} bytes differ`);
  model.close();
  again.close();
});

test('saving refuses unknown weights and other shapes', async () => {
  const model = await openKeras(fixture('keras3_sequential.h5'), 'x.h5');
  const attempt = async (id: string, length: number) => {
    try {
      await saveModelWeights(model, new Map([[id, new Float32Array(length)]]));
    } catch (error) {
      return error as BitnibbleError;
    }
    throw new Error('expected an error');
  };
  assert.is((await attempt('nowhere/kernel', 1)).code, 'missing-weight');
  const mismatch = await attempt('dense/kernel', 5);
  assert.is(mismatch.code, 'shape-mismatch');
  assert.match(mismatch.message, 'x.h5: expected 1152 values of shape [192,6], got 5 (tensor dense/kernel)');
  model.close();
});

test('what is not a Keras model is refused by its kind of fault', async () => {
  const text = new TextEncoder().encode('this is no model at all, only text');
  assert.is((await codeOf(text)).code, 'not-hdf5');
  assert.is((await codeOf(new Uint8Array(0))).code, 'not-hdf5');
  assert.is((await codeOf(fixture('keras3_sequential.h5').subarray(0, 20_000))).code, 'corrupt-file');
  const bare = await codeOf(await fakeKeras([], { config: null }), 'weights.h5');
  assert.is(bare.code, 'no-model-config');
  assert.match(bare.message, /^weights\.h5: /);
  assert.is(
    (await codeOf(await fakeKeras([], { config: '{"class_name": "Sequential", ' }))).code,
    'corrupt-file',
  );
  assert.is(
    (await codeOf(await fakeKeras([], { config: '{"class_name": "VAE", "config": {}}' }))).code,
    'no-model-config',
  );
});

test('a weight that is listed and missing is named', async () => {
  const layer = dense('d', 2, 2, () => 1);
  const weights = layer.weights.map((weight) =>
    weight.name === 'bias' ? { ...weight, missing: true } : weight,
  );
  const { code, message } = await codeOf(await fakeKeras([{ ...layer, weights }]), 'm.h5');
  assert.is(code, 'missing-weight');
  assert.is(message, 'm.h5: layer d lists the weight d/bias:0, which is not in the file');
});

test('names of Object.prototype are ordinary layer names', async () => {
  const model = await openKeras(
    await fakeKeras([dense('__proto__', 2, 2, () => 1), dense('constructor', 2, 2, () => 1)]),
  );
  assert.equal(
    model.weights.map(({ id }) => id).filter((id) => id.endsWith('kernel')),
    ['__proto__/kernel', 'constructor/kernel'],
  );
  model.close();
});

test('every truncation of a small file is refused', async () => {
  const bytes = await fakeKeras([dense('d', 3, 2, (i) => i)]);
  for (let length = 0; length < bytes.length; length += 7) {
    const { code } = await codeOf(bytes.subarray(0, length));
    assert.ok(
      ['not-hdf5', 'corrupt-file', 'no-model-config', 'missing-weight'].includes(code),
      `${length}: ${code}`,
    );
  }
});

test("Python's JSON constants are read", () => {
  assert.equal(parseJson('{"a": NaN, "b": [-Infinity, "NaN \\" Infinity"]}', 'x'), {
    a: null,
    b: [Number.NEGATIVE_INFINITY, 'NaN " Infinity'],
  });
});

test('a source is read in place, tensor by tensor', async () => {
  const bytes = fixture('keras3_sequential.h5');
  let read = 0;
  const plain = bytesSource(bytes);
  const model = await openKeras(
    {
      ...plain,
      read: (target, position) => {
        read += target.length;
        return plain.read(target, position);
      },
    },
    'x.h5',
  );
  const opened = read;
  model.read('dense/kernel');
  assert.ok(read - opened >= 192 * 6 * 4, 'the tensor is read when asked for');
  assert.ok(read - opened < bytes.length / 2, 'and nothing like the whole file');
  model.close();
});

test.run();
