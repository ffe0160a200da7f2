import type { Tensor } from '@tensorflow/tfjs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openKeras } from '../../src/keras/index.js';
import type { Json, JsonObject } from '../../src/model.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { loadLayersModel, toTopology } from '../../src/tfjs/index.js';
import { type FakeLayer, fakeKeras } from '../support/h5.js';

/** What a layer behind an input of some shape becomes, without the prefix where it is bitnibble's. */
function converted(className: string, config: JsonObject, shape: Json[], kerasVersion = '3.15.1') {
  const layers: Json[] = [
    { class_name: 'InputLayer', config: { name: 'i', batch_shape: shape, dtype: 'float32' } },
    { class_name: className, config: { name: 'layer', dtype: 'float32', ...config } },
  ];
  const architecture: JsonObject = { class_name: 'Sequential', config: { name: 'model', layers } };
  const { modelTopology, registered } = toTopology({
    file: 'model.keras',
    architecture,
    kerasVersion,
    backend: 'tensorflow',
  });
  const entry = ((modelTopology.config as JsonObject).layers as JsonObject[]).at(-1);
  return registered.includes(className) ? `own ${className}` : String(entry?.class_name);
}

const conv = { filters: 2, kernel_size: 3, strides: 4, padding: 'same' };

test('a window shorter than its stride with padding is computed here, whatever the size of the input', () => {
  for (const rank of [1, 2, 3]) {
    const shape = (n: number | null) => [null, ...(Array(rank).fill(n) as Json[]), 3];
    const name = `Conv${rank}D`;
    for (const n of [8, 9, null]) assert.is(converted(name, conv, shape(n)), `own ${name}`);
    assert.is(converted(name, { ...conv, padding: 'valid' }, shape(8)), name);
    assert.is(converted(name, { ...conv, strides: 3 }, shape(8)), name);
    // A kernel of one tap is right but for windows over three axes.
    const point = converted(name, { ...conv, kernel_size: 1 }, shape(8));
    assert.is(point, rank === 3 ? 'own Conv3D' : name);
  }
  const image = [null, 8, 8, 4];
  assert.is(
    converted('DepthwiseConv2D', { kernel_size: [3, 3], strides: 4, padding: 'same' }, image),
    'own DepthwiseConv2D',
  );
  assert.is(converted('SeparableConv2D', conv, image), 'own SeparableConv2D');
  assert.is(converted('Conv2D', { ...conv, kernel_size: [3, 1], strides: [3, 2] }, image), 'own Conv2D');
  const pool = { pool_size: 1, strides: 2, padding: 'same' };
  assert.is(converted('AveragePooling3D', pool, [null, 8, 8, 8, 4]), 'own AveragePooling3D');
  assert.is(converted('AveragePooling2D', pool, image), 'AveragePooling2D');
});

test('ConvLSTM2D is computed here with channels first', () => {
  const config = { filters: 2, kernel_size: 3, padding: 'same' };
  assert.is(converted('ConvLSTM2D', config, [null, 4, 8, 8, 3]), 'ConvLSTM2D');
  const first = { ...config, data_format: 'channels_first' };
  assert.is(converted('ConvLSTM2D', first, [null, 4, 3, 8, 8]), 'own ConvLSTM2D');
  assert.throws(
    () => converted('ConvLSTM2D', { ...first, stateful: true }, [null, 4, 3, 8, 8]),
    /stateful: true/,
  );
});

test('global averages of more numbers than can be added one by one are computed here', () => {
  const name = 'GlobalAveragePooling2D';
  assert.is(converted(name, {}, [null, 32, 32, 4]), name);
  assert.is(converted(name, {}, [null, 33, 32, 4]), `own ${name}`);
  assert.is(converted(name, {}, [null, null, null, 4]), `own ${name}`);
  assert.is(converted(name, { data_format: 'channels_first' }, [null, 4, 32, 32]), name);
});

test('layers that augment in training are left out, others not', () => {
  const image = [null, 8, 8, 3];
  for (const name of ['RandomFlip', 'RandomCrop', 'Solarization', 'MixUp', 'RandomErasing'])
    assert.is(converted(name, {}, image), 'Activation');
  assert.is(converted('AutoContrast', { value_range: [0, 1] }, image), 'own AutoContrast');
  for (const name of ['Equalization', 'ContrastLimitedAdaptiveHistogramEqualization', 'RandomWhatever'])
    assert.throws(() => converted(name, {}, image), new RegExp(`layer \\(${name}\\)`));
  assert.throws(() => converted('RandomCrop', {}, image, '2.15.0'), /resizes images/);
});

test('tensors of several types are joined as floats: the layer of TensorFlow.js makes whole numbers of all', async () => {
  const input = (name: string, dtype: string): JsonObject => ({
    ...{ class_name: 'InputLayer', name, config: { name, dtype, batch_shape: [null, 2] }, inbound_nodes: [] },
  });
  const ends = (...names: string[]): Json[][] => names.map((name) => [name, 0, 0]);
  const layers = [
    input('whole', 'int32'),
    input('real', 'float32'),
    {
      ...{ class_name: 'Concatenate', name: 'both', config: { name: 'both', axis: -1, dtype: 'float32' } },
      inbound_nodes: [ends('whole', 'real').map((end) => [...end, {}])],
    },
  ];
  const config = { layers, input_layers: ends('whole', 'real'), output_layers: ends('both') };
  const text = JSON.stringify({ class_name: 'Functional', config: { name: 'model', ...config } });
  const { tf } = await loadTensorFlow();
  const model = await openKeras(await fakeKeras([], { config: text }));
  const network = await loadLayersModel(tf, model);
  const output = network.predict([tf.tensor([1, 2], [1, 2], 'int32'), tf.tensor([[0.5, -0.25]])]) as Tensor;
  assert.equal([...(await output.data())], [1, 2, 0.5, -0.25]);
  network.dispose();
  model.close();
});

/** What a Sequential model of one layer makes of an input, without its batch. */
async function predicted(layer: JsonObject, weights: FakeLayer, shape: readonly number[]) {
  const layers: Json[] = [
    { class_name: 'InputLayer', config: { name: 'i', batch_shape: [null, ...shape], dtype: 'float32' } },
    layer,
  ];
  const text = JSON.stringify({ class_name: 'Sequential', config: { name: 'model', layers } });
  const { tf } = await loadTensorFlow({ prefer: 'wasm' });
  const model = await openKeras(await fakeKeras([weights], { config: text }));
  const network = await loadLayersModel(tf, model);
  const size = shape.reduce((a, b) => a * b, 1);
  const x = tf.tensor(
    Array.from({ length: size }, (_, i) => -i - 1),
    [1, ...shape],
  );
  const output = network.predict(x) as Tensor;
  const values = [...(await output.data())];
  network.dispose();
  model.close();
  return values;
}

test('slopes that other than the first axes share are multiplied here', async () => {
  const image = [null, 2, 3, 2];
  for (const shared of [null, [1], [1, 2], [2, 1], [1, 2, 3]])
    assert.is(converted('PReLU', { shared_axes: shared }, image), 'PReLU');
  for (const shared of [[2], [3], [2, 3], [1, 3]])
    assert.is(converted('PReLU', { shared_axes: shared }, image), 'own PReLU');
  const layer = { class_name: 'PReLU', config: { name: 'p', dtype: 'float32', shared_axes: [2] } };
  const alpha = { name: 'alpha', shape: [2, 1, 2], data: Float32Array.of(1, 2, 3, 4) };
  const values = await predicted(layer, { name: 'p', className: 'PReLU', weights: [alpha] }, [2, 3, 2]);
  assert.equal(values, [-1, -4, -3, -8, -5, -12, -21, -32, -27, -40, -33, -48]);
});

test('tensors are joined along any axis counted from the end: TensorFlow.js takes each for the last', async () => {
  const input: JsonObject = {
    ...{ class_name: 'InputLayer', name: 'i', inbound_nodes: [] },
    config: { name: 'i', dtype: 'float32', batch_shape: [null, 2, 2] },
  };
  const joining = (axis: number): JsonObject => ({
    ...{
      class_name: 'Concatenate',
      name: `to${axis}`,
      config: { name: `to${axis}`, axis, dtype: 'float32' },
    },
    inbound_nodes: [
      [
        ['i', 0, 0, {}],
        ['i', 0, 0, {}],
      ],
    ],
  });
  const outputs = [1, 2, -1, -2].map((axis) => [`to${axis}`, 0, 0]);
  const layers = [input, ...[1, 2, -1, -2].map(joining)];
  const config = { name: 'model', layers, input_layers: [['i', 0, 0]], output_layers: outputs };
  const { tf } = await loadTensorFlow();
  const model = await openKeras(
    await fakeKeras([], { config: JSON.stringify({ class_name: 'Functional', config }) }),
  );
  const network = await loadLayersModel(tf, model);
  const found = network.predict(tf.tensor([1, 2, 3, 4], [1, 2, 2])) as Tensor[];
  const values = await Promise.all(found.map(async (output) => [...(await output.data())]));
  const [over, beside] = [
    [1, 2, 3, 4, 1, 2, 3, 4],
    [1, 2, 1, 2, 3, 4, 3, 4],
  ];
  assert.equal(values, [over, beside, beside, over]);
  network.dispose();
  model.close();
});

test.run();
