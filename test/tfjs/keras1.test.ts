// Keras 1 and Theano: what their files become. The parity tests run whole models of both.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import type { Json, JsonObject, ModelSource, WeightInfo } from '../../src/model.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { loadLayersModel, toTopology } from '../../src/tfjs/index.js';
import { fileOf } from './support.js';

const sequential = (layers: Json[]): JsonObject => ({ class_name: 'Sequential', config: layers });
const layer = (class_name: string, config: JsonObject): JsonObject => ({
  class_name,
  config: { name: class_name.toLowerCase(), batch_input_shape: [null, 8, 8, 2], trainable: true, ...config },
});
const model = (layers: Json[], kerasVersion = '1.2.2') => ({
  file: 'old.h5',
  architecture: sequential(layers),
  kerasVersion,
  backend: 'tensorflow',
});

/** The config of the last layer in TensorFlow.js. */
function converted(className: string, config: JsonObject, kerasVersion?: string): JsonObject {
  const { modelTopology } = toTopology(model([layer(className, config)], kerasVersion), {
    keepTraining: true,
  });
  const { layers } = modelTopology.config as { layers: JsonObject[] };
  const last = layers.at(-1) as JsonObject;
  return { class_name: last.class_name ?? null, ...(last.config as JsonObject) };
}

function has(found: JsonObject, wanted: JsonObject): void {
  for (const [key, value] of Object.entries(wanted)) assert.equal(found[key], value, key);
}

const convolution = {
  nb_filter: 3,
  nb_row: 2,
  nb_col: 3,
  border_mode: 'same',
  dim_ordering: 'tf',
  bias: false,
};

test('classes and words of Keras 1 become those of Keras 2', () => {
  has(
    converted('Convolution2D', {
      ...convolution,
      subsample: [2, 1],
      init: 'uniform',
      activation: 'relu',
      W_regularizer: { name: 'WeightRegularizer', l1: 0, l2: 0.5 },
      W_constraint: { name: 'MaxNorm' },
    }),
    {
      class_name: 'Conv2D',
      filters: 3,
      kernel_size: [2, 3],
      padding: 'same',
      strides: [2, 1],
      data_format: 'channels_last',
      use_bias: false,
      activation: 'relu',
      kernel_initializer: { class_name: 'RandomUniform', config: {} },
      kernel_regularizer: { class_name: 'L1L2', config: { l1: 0, l2: 0.5 } },
    },
  );
  has(converted('AtrousConvolution2D', { ...convolution, atrous_rate: [2, 2] }), {
    class_name: 'Conv2D',
    dilation_rate: [2, 2],
  });
  has(converted('MaxPooling2D', { pool_size: [2, 2], dim_ordering: 'th', border_mode: 'valid' }), {
    data_format: 'channels_first',
    padding: 'valid',
  });
  const pairs = [
    [1, 2],
    [3, 4],
  ];
  for (const padding of [[1, 2, 3, 4], { top_pad: 1, bottom_pad: 2, left_pad: 3, right_pad: 4 }])
    has(converted('ZeroPadding2D', { padding, dim_ordering: 'tf' }), { padding: pairs });
  has(converted('ZeroPadding2D', { padding: [1, 2], dim_ordering: 'tf' }), {
    padding: [
      [1, 1],
      [2, 2],
    ],
  });
  const sequence = { batch_input_shape: [null, 8, 2] };
  has(converted('ZeroPadding1D', { ...sequence, padding: { left_pad: 1, right_pad: 2 } }), {
    padding: [1, 2],
  });
  has(converted('MaxPooling1D', { ...sequence, pool_length: 3, stride: null, border_mode: 'valid' }), {
    pool_size: [3],
    strides: [3],
  });
  has(converted('GaussianNoise', { sigma: 0.25 }), { stddev: 0.25 });
  has(converted('Dropout', { p: 0.25 }), { rate: 0.25 });
  const recurrent = {
    ...sequence,
    output_dim: 4,
    inner_init: 'orthogonal',
    inner_activation: 'hard_sigmoid',
  };
  has(converted('LSTM', { ...recurrent, forget_bias_init: 'one', dropout_U: 0.5 }), {
    units: 4,
    unit_forget_bias: true,
    recurrent_activation: 'hardSigmoid',
    recurrent_dropout: 0.5,
    recurrent_initializer: { class_name: 'Orthogonal', config: {} },
  });
  has(converted('GRU', recurrent), { class_name: 'GRU', reset_after: false });
  // Where a file does not say its version, its words do.
  has(converted('Convolution2D', convolution, ''), { class_name: 'Conv2D', filters: 3 });
});

function refused(layers: Json[], kerasVersion?: string): string {
  try {
    toTopology(model(layers, kerasVersion));
  } catch (error) {
    assert.instance(error, BitnibbleError);
    assert.is((error as BitnibbleError).code, 'unsupported-layer');
    return (error as Error).message;
  }
  return assert.unreachable('nothing was thrown') as never;
}

test('what Keras 2 has no counterpart for is refused by name', () => {
  const conv = { ...convolution, W_regularizer: null };
  for (const [className, config, reason] of [
    ['ConvLSTM2D', conv, 'convlstm2d (ConvLSTM2D): its configuration is that of Keras 1'],
    [
      'MaxoutDense',
      { output_dim: 2, nb_feature: 4 },
      'maxoutdense (MaxoutDense): a layer that bitnibble does not know',
    ],
    ['Merge', { mode: 'dot', dot_axes: 1 }, 'merge (Merge): '],
    ['Merge', { mode: 'sum', mode_type: 'function' }, 'merge (Merge): '],
    ['Merge', { mode: 'sum', layers: [sequential([])] }, 'merge (Merge): '],
    ['BatchNormalization', { mode: 2, axis: -1 }, 'batchnormalization (BatchNormalization): mode: 2'],
    ['Convolution2D', { ...convolution, border_mode: 'full' }, 'convolution2d (Conv2D): padding: full'],
    [
      'Deconvolution2D',
      { ...convolution, subsample: [2, 2], output_shape: [null, 15, 16, 3] },
      'deconvolution2d (Conv2DTranspose): output_shape: [null,15,16,3]',
    ],
    ['Lambda', { function: 'code', function_type: 'lambda' }, 'lambda (Lambda): it holds code'],
  ] as [string, JsonObject, string][]) {
    const message = refused([layer(className, config)]);
    assert.ok(message.includes(reason), message);
  }
  // The words of Keras 1 in a file of Keras 2.
  assert.match(refused([layer('Conv2D', { nb_filter: 3 })], '2.1.0'), /conv2d \(Conv2D\): .*Keras 1/);
});

test('kernels of Convolution1D in both forms that Keras 1 gave them', async () => {
  const { tf } = await loadTensorFlow();
  const config = { nb_filter: 3, filter_length: 5, bias: false, batch_input_shape: [null, 8, 2] };
  const kernels: unknown[] = [];
  for (const shape of [
    [3, 2, 5, 1],
    [5, 1, 2, 3],
  ]) {
    const source = single('Convolution1D', config, { W: shape }, 'tensorflow');
    const network = await loadLayersModel(tf, { ...source, kerasVersion: '1.0.4' });
    kernels.push(network.getWeights()[0]?.arraySync());
    network.dispose();
  }
  const [before, after] = kernels as [number[][][], number[][][]];
  for (let k = 0; k < 5; k++)
    for (let i = 0; i < 2; i++)
      for (let o = 0; o < 3; o++) {
        assert.is(before[k]?.[i]?.[o], (o * 2 + i) * 5 + k + 1);
        assert.is(after[k]?.[i]?.[o], (k * 2 + i) * 3 + o + 1);
      }
});

test("the names of a file's weights tell Theano from TensorFlow", async () => {
  for (const name of ['theano', 'tensorflow']) {
    const source = await openKeras(fileOf(`keras1_${name}`));
    assert.is(source.backend, name);
    source.close();
  }
});

/** A model of Keras 2 with one layer: its first weight counts up from 1. */
function single(
  className: string,
  config: JsonObject,
  shapes: Record<string, number[]>,
  backend: string,
): ModelSource {
  const weights = Object.entries(shapes).map(
    ([name, shape]): WeightInfo => ({ id: `x/${name}`, layer: 'x', className, name, shape, dtype: 'F32' }),
  );
  const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
  return {
    file: 'theano.h5',
    architecture: sequential([{ class_name: className, config: { name: 'x', use_bias: false, ...config } }]),
    kerasVersion: '2.1.3',
    backend,
    weights,
    read: (id) => {
      const shape = weights.find((weight) => weight.id === id)?.shape ?? [];
      return Float32Array.from({ length: size(shape) }, (_, i) => i + 1);
    },
  };
}

test('kernels that Theano turns round are turned, of Keras 2 as well', async () => {
  const { tf } = await loadTensorFlow();
  const values = async (...args: Parameters<typeof single>) => {
    const network = await loadLayersModel(tf, single(...args));
    const all = network.getWeights().map((tensor) => tensor.arraySync());
    network.dispose();
    return all;
  };
  const flipped = (value: unknown, axes: number): unknown =>
    axes === 0 || !Array.isArray(value) ? value : value.map((item) => flipped(item, axes - 1)).reverse();
  const image = { batch_input_shape: [null, 8, 8, 2] };
  const cases: [string, JsonObject, Record<string, number[]>, number][] = [
    ['Conv1D', { filters: 3, kernel_size: [3], batch_input_shape: [null, 8, 2] }, { kernel: [3, 2, 3] }, 1],
    ['Conv2D', { filters: 4, kernel_size: [3, 2], ...image }, { kernel: [3, 2, 2, 4] }, 2],
    ['Conv2DTranspose', { filters: 4, kernel_size: [3, 2], ...image }, { kernel: [3, 2, 4, 2] }, 2],
    [
      'Conv3D',
      { filters: 2, kernel_size: [2, 3, 2], batch_input_shape: [null, 4, 4, 4, 1] },
      { kernel: [2, 3, 2, 1, 2] },
      3,
    ],
    ['DepthwiseConv2D', { kernel_size: [3, 2], ...image }, { depthwise_kernel: [3, 2, 2, 1] }, 0],
    [
      'SeparableConv2D',
      { filters: 3, kernel_size: [3, 2], ...image },
      { depthwise_kernel: [3, 2, 2, 1], pointwise_kernel: [1, 1, 2, 3] },
      0,
    ],
    ['Dense', { units: 3, batch_input_shape: [null, 2] }, { kernel: [2, 3] }, 0],
    ['LSTM', { units: 1, batch_input_shape: [null, 3, 2] }, { kernel: [2, 4], recurrent_kernel: [1, 4] }, 0],
  ];
  for (const [className, config, shapes, axes] of cases) {
    const plain = await values(className, config, shapes, 'tensorflow');
    const theano = await values(className, config, shapes, 'theano');
    assert.equal(
      theano,
      plain.map((value) => flipped(value, axes)),
      className,
    );
    if (axes > 0) assert.not.equal(theano, plain, className);
  }
});

test.run();
