import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import type { Json, JsonObject, ModelInfo, WeightInfo } from '../../src/model.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { registerLayers, type Topology, toTopology } from '../../src/tfjs/index.js';
import { LAYERS } from '../../src/tfjs/register.js';

type Layer = [className: string, config: JsonObject];

const base = { trainable: true, dtype: 'float32' };

function info(architecture: JsonObject, kerasVersion = '2.15.0'): ModelInfo {
  return { file: 'model.h5', architecture, kerasVersion, backend: 'tensorflow' };
}

/** Layers in a row, named by their class. */
function sequential(shape: Json[], layers: readonly Layer[], kerasVersion?: string): ModelInfo {
  const entries: Json[] = layers.map(([class_name, config], i) => ({
    class_name,
    config: {
      name: `${class_name.toLowerCase()}_${i}`,
      ...base,
      ...(i === 0 ? { batch_input_shape: shape } : {}),
      ...config,
    },
  }));
  return info({ class_name: 'Sequential', config: { name: 'model', layers: entries } }, kerasVersion);
}

/** Functional, Keras 2: each layer with the calls that Keras writes. */
function functional(
  layers: readonly [...Layer, nodes: Json[]][],
  outputs: Json[],
  kerasVersion?: string,
): ModelInfo {
  const entries = layers.map(([class_name, config, inbound_nodes]) => ({
    class_name,
    name: config.name ?? null,
    config: { ...base, ...config },
    inbound_nodes,
  }));
  const inputs = layers
    .filter(([name]) => name === 'InputLayer')
    .map(([, { name }]): Json => [name ?? '', 0, 0]);
  const config = { name: 'model', layers: entries, input_layers: inputs, output_layers: outputs };
  return info({ class_name: 'Functional', config }, kerasVersion);
}

const input = (name: string, shape: Json[], dtype = 'float32'): [string, JsonObject, Json[]] => [
  'InputLayer',
  { name, batch_input_shape: shape, dtype },
  [],
];

function fault(model: ModelInfo, code = 'unsupported-layer'): string {
  try {
    toTopology(model);
  } catch (error) {
    assert.instance(error, BitnibbleError);
    assert.is((error as BitnibbleError).code, code);
    return (error as Error).message;
  }
  return assert.unreachable('nothing was thrown') as never;
}

const classes = ({ modelTopology }: Topology): string[] => {
  const config = modelTopology.config as JsonObject;
  return (config.layers as JsonObject[]).map(({ class_name }) => String(class_name));
};

test('one error names every layer, its class and the reason', () => {
  const message = fault(
    sequential(
      [null, 8, 8, 3],
      [
        ['Lambda', {}],
        ['Conv2D', { filters: 2, activation: 'my_activation' }],
        ['CuDNNGRU', {}],
        ['StringLookup', {}],
        ['Dense', { units: 2, dtype: 'string' }],
        ['Bidirectional', { layer: { class_name: 'Custom>Cell', config: { name: 'cell' } } }],
        ['Resizing', { height: 4, width: 4, interpolation: 'lanczos3' }],
      ],
    ),
  );
  for (const part of [
    'model.h5: TensorFlow.js cannot run 7 layers: lambda_0',
    'lambda_0 (Lambda): it holds code, which is never executed',
    'conv2d_1 (Conv2D): kernel_size: expected positive integers, got nothing, activation my_activation',
    'cudnngru_2 (CuDNNGRU)',
    'stringlookup_3 (StringLookup): a layer that bitnibble does not know',
    'dense_4 (Dense): values of type string',
    'bidirectional_5 (Bidirectional/Custom>Cell): a layer that bitnibble does not know',
    'resizing_6 (Resizing): interpolation: lanczos3',
  ]) {
    assert.ok(message.includes(part), `${part} is not in: ${message}`);
  }
});

test('what TensorFlow.js could not build is named, key by key', () => {
  const message = fault(
    sequential(
      [null, 8, 8, 3],
      [
        ['Conv2D', { filters: 2 }],
        ['SeparableConv2D', { filters: 0, kernel_size: 3 }],
        ['DepthwiseConv2D', { kernel_size: [3, -1] }],
        ['Conv2DTranspose', { filters: 2, kernel_size: '3' }],
        ['Resizing', { height: 4 }],
        ['Permute', {}],
        ['Flatten', {}],
        ['Dense', {}],
        ['RepeatVector', { n: 1.5 }],
        ['Bidirectional', { layer: { class_name: 'LSTM', config: { name: 'lstm' } } }],
        ['Embedding', { input_dim: 5 }],
      ],
    ),
  );
  for (const part of [
    'cannot run 10 layers: conv2d_0 (Conv2D): kernel_size: expected positive integers, got nothing',
    'separableconv2d_1 (SeparableConv2D): filters: expected a positive integer, got 0',
    'depthwiseconv2d_2 (DepthwiseConv2D): kernel_size: expected positive integers, got [3,-1]',
    'conv2dtranspose_3 (Conv2DTranspose): kernel_size: expected positive integers, got "3"',
    'resizing_4 (Resizing): width: expected a positive integer, got nothing',
    'permute_5 (Permute): dims: expected a list of axes, got nothing',
    'dense_7 (Dense): units: expected a positive integer, got nothing',
    'repeatvector_8 (RepeatVector): n: expected a positive integer, got 1.5',
    'bidirectional_9 (Bidirectional/LSTM): units: expected a positive integer, got nothing',
    'embedding_10 (Embedding): output_dim: expected a positive integer, got nothing',
  ]) {
    assert.ok(message.includes(part), `${part} is not in: ${message}`);
  }
});

test('a Sequential model that does not say the shape of its input is refused, unless another holds it', () => {
  const dense: JsonObject = { class_name: 'Dense', config: { name: 'dense', units: 2, ...base } };
  const bare: JsonObject = { class_name: 'Sequential', config: { name: 'inner', layers: [dense] } };
  assert.match(fault(info(bare)), 'inner (Sequential): it does not say which shape its input has');
  const model = sequential([null, 3, 4], [['TimeDistributed', { layer: bare }]]);
  assert.equal(classes(toTopology(model)), ['InputLayer', 'Dense']);
  const built = { ...bare, config: { ...(bare.config as JsonObject), build_input_shape: [null, 3] } };
  assert.equal(classes(toTopology(info(built))), ['InputLayer', 'Dense']);
});

test('an input of one number for each sample, without an axis, is refused: TensorFlow.js adds one', () => {
  const scalar = sequential([null], [['Activation', { activation: 'relu' }]], '3.15.1');
  assert.throws(() => toTopology(scalar), /\(InputLayer\): one number for each sample, without an axis/);
});

test('layers of code in functional models are named as such', () => {
  const lambda = functional(
    [
      input('x', [null, 3]),
      ['TFOpLambda', { name: 'tf.add', function: 'add' }, [['x', 0, 0, { y: 1, name: null }]]],
    ],
    [['tf.add', 0, 0]],
  );
  assert.match(
    fault(lambda),
    /the layer tf\.add \(TFOpLambda\): the function add with these arguments is not among those converted/,
  );
  const tensor = { class_name: '__keras_tensor__', config: { keras_history: ['x', 0, 0] } };
  const operation = info(
    {
      class_name: 'Functional',
      config: {
        name: 'model',
        layers: [
          {
            class_name: 'InputLayer',
            name: 'x',
            config: { name: 'x', batch_shape: [null, 3], dtype: 'float32' },
            inbound_nodes: [],
          },
          {
            class_name: 'Cholesky',
            name: 'add',
            config: { name: 'add' },
            inbound_nodes: [{ args: [tensor, 2], kwargs: {} }],
          },
        ],
        input_layers: ['x', 0, 0],
        output_layers: ['add', 0, 0],
      },
    },
    '3.9.0',
  );
  assert.match(fault(operation), /add \(keras\.ops\.Cholesky\): an operation that bitnibble does not know/);
});

test('functions of TensorFlow between the layers of tf.keras are computed', async () => {
  const { tf } = await loadTensorFlow();
  const op = (name: string, func: string, ...node: Json[]): [string, JsonObject, Json[]] => [
    'TFOpLambda',
    { name, function: func },
    [node],
  ];
  const model = functional(
    [
      input('x', [null, 3]),
      input('y', [null, 3]),
      op('sum', '__operators__.add', 'x', 0, 0, { y: ['y', 0, 0], name: null }),
      op('less', 'math.subtract', '_CONSTANT_VALUE', -1, 1, { y: ['sum', 0, 0], name: null }),
      op('twice', 'math.multiply', 'less', 0, 0, { y: 2, name: null }),
      op('kept', 'nn.relu', 'twice', 0, 0, { name: null }),
    ],
    [
      ['kept', 0, 0],
      ['sum', 0, 0],
    ],
  );
  const { modelTopology, registered } = toTopology(model);
  assert.equal(registered, ['Operation']);
  registerLayers(tf);
  const network = await tf.loadLayersModel({ load: async () => ({ modelTopology }) });
  const [kept, sum] = network.predict([
    tf.tensor2d([[1, 2, -3]]),
    tf.tensor2d([[0.5, -4, 1]]),
  ]) as unknown as [{ arraySync(): unknown }, { arraySync(): unknown }];
  assert.equal(sum.arraySync(), [[1.5, -2, -2]]);
  assert.equal(kept.arraySync(), [[0, 6, 6]]);
  network.dispose();
  for (const wrong of [
    op('a', 'linalg.matmul', 'x', 0, 0, { y: ['y', 0, 0], name: null }),
    op('a', 'math.add', 'x', 0, 0, { y: ['z'], name: null }),
    op('a', 'nn.relu', 'x', 0, 0, { alpha: 2, name: null }),
    op('a', 'constructor', 'x', 0, 0, { name: null }),
  ]) {
    assert.match(fault(functional([input('x', [null, 3]), wrong], [['a', 0, 0]])), /a \(TFOpLambda\)/);
  }
});

test('calls that would be computed otherwise are refused', () => {
  const dropout = functional(
    [input('x', [null, 3]), ['Dropout', { name: 'd', rate: 0.5 }, [[['x', 0, 0, { training: true }]]]]],
    [['d', 0, 0]],
  );
  assert.match(fault(dropout), /d \(Dropout\): a call with training=True/);
  const mask = functional(
    [
      input('x', [null, 4, 3]),
      input('m', [null, 4]),
      ['LSTM', { name: 'l', units: 2 }, [[['x', 0, 0, { mask: ['m', 0, 0] }]]]],
    ],
    [['l', 0, 0]],
  );
  assert.match(fault(mask), /l \(LSTM\): the argument mask of type float32/);
  const stateful = sequential(
    [2, 4, 3],
    [
      ['Masking', {}],
      ['LSTM', { units: 2, stateful: true }],
    ],
  );
  assert.match(fault(stateful), /lstm_1 \(LSTM\): stateful: true/);
  const two = { class_name: 'LSTM', config: { name: 'l', units: 2, ...base } };
  const other = {
    class_name: 'LSTM',
    config: { name: 'b', units: 2, go_backwards: true, activation: 'relu', ...base },
  };
  assert.match(
    fault(sequential([null, 4, 3], [['Bidirectional', { layer: two, backward_layer: other }]])),
    /a backward layer unlike/,
  );
});

test('two directions are the same whatever Keras calls their parts', () => {
  const direction = (name: string, id: number, more: JsonObject): JsonObject => ({
    module: 'keras.layers',
    class_name: 'LSTM',
    registered_name: null,
    build_config: { input_shape: [null, 4, 3] },
    config: {
      name,
      units: 2,
      ...base,
      kernel_initializer: { class_name: 'GlorotUniform', config: { seed: id }, shared_object_id: id },
      ...more,
    },
  });
  const both = (more: JsonObject): ModelInfo =>
    sequential(
      [null, 4, 3],
      [
        [
          'Bidirectional',
          {
            layer: direction('a', 1, {}),
            backward_layer: direction('b', 2, { go_backwards: true, ...more }),
          },
        ],
      ],
      '3.8.0',
    );
  assert.is(classes(toTopology(both({}))).at(-1), 'Bidirectional');
  assert.match(fault(both({ activation: 'relu' })), /a backward layer unlike/);
});

test("TensorFlow.js's classes where they compute the same, bitnibble's where not", () => {
  const image = (className: string, config: JsonObject) =>
    sequential(
      [null, 8, 8, 4],
      [[className, /Conv/.test(className) ? { ...config, kernel_size: [3, 3] } : config]],
    );
  const one = (model: ModelInfo) => classes(toTopology(model)).at(-1);
  assert.is(one(image('Conv2D', { filters: 4, groups: 1 })), 'Conv2D');
  assert.is(one(image('Conv2D', { filters: 4, groups: 2 })), 'bitnibble>Conv2D');
  assert.is(one(image('DepthwiseConv2D', { dilation_rate: [1, 1] })), 'DepthwiseConv2D');
  assert.is(one(image('DepthwiseConv2D', { dilation_rate: [2, 2] })), 'bitnibble>DepthwiseConv2D');
  assert.is(one(image('Conv2DTranspose', { filters: 2, output_padding: null })), 'Conv2DTranspose');
  assert.is(
    one(image('Conv2DTranspose', { filters: 2, output_padding: [0, 0] })),
    'bitnibble>Conv2DTranspose',
  );
  assert.is(one(image('BatchNormalization', { axis: [3] })), 'BatchNormalization');
  assert.is(one(image('BatchNormalization', { axis: [1] })), 'bitnibble>BatchNormalization');
  assert.is(one(image('UpSampling2D', { interpolation: 'nearest' })), 'UpSampling2D');
  assert.is(one(image('UpSampling2D', { interpolation: 'bilinear' })), 'bitnibble>UpSampling2D');
  assert.is(one(image('ReLU', { max_value: 6, negative_slope: 0, threshold: 0 })), 'ReLU');
  assert.is(one(image('RandomRotation', { factor: 0.1 })), 'Activation');
  const rnn = (config: JsonObject) => sequential([null, 4, 3], [['GRU', { units: 2, ...config }]]);
  assert.is(one(rnn({ reset_after: false })), 'GRU');
  assert.is(one(rnn({ reset_after: true })), 'bitnibble>GRU');
  const sigmoid = (version: string) =>
    JSON.stringify(
      toTopology(sequential([null, 3], [['Dense', { units: 1, activation: 'hard_sigmoid' }]], version)),
    );
  assert.match(sigmoid('2.15.0'), /"activation":"hardSigmoid"/);
  assert.match(sigmoid('3.1.0'), /"activation":"bitnibble>hardSigmoid"/);
});

test('calls are numbered in the order in which TensorFlow.js makes them', async () => {
  const dense = (name: string, ...nodes: string[]): [string, JsonObject, Json[]] => [
    'Dense',
    { name, units: 2, use_bias: false },
    nodes.map((node) => [[...node.split(' ').map((part, i) => (i === 0 ? part : Number(part))), {}]]),
  ];
  // "shared" is listed first, and its second call is ready before its first.
  const model = functional(
    [input('x', [null, 2]), dense('shared', 'late 0 0', 'x 0 0'), dense('late', 'x 0 0')],
    [
      ['shared', 0, 0],
      ['shared', 1, 0],
    ],
  );
  const topology = toTopology(model);
  const { tf } = await loadTensorFlow();
  const network = await tf.loadLayersModel({ load: async () => ({ modelTopology: topology.modelTopology }) });
  const sources = network.outputs.map(({ inputs }) => inputs[0]?.sourceLayer.name);
  assert.equal(sources, ['late', 'x']);
  network.dispose();
  const circle = functional([input('x', [null, 2]), dense('a', 'b 0 0'), dense('b', 'a 0 0')], [['a', 0, 0]]);
  assert.match(fault(circle, 'corrupt-file'), 'layers of model are called on their own outputs: ');
});

test('a smaller tensor comes first in a product that is flattened', async () => {
  const { tf } = await loadTensorFlow();
  const model = functional(
    [
      input('s', [null, 1, 1, 4]),
      input('y', [null, 3, 3, 4]),
      [
        'Multiply',
        { name: 'm' },
        [
          [
            ['s', 0, 0, {}],
            ['y', 0, 0, {}],
          ],
        ],
      ],
      ['Flatten', { name: 'f' }, [[['m', 0, 0, {}]]]],
    ],
    [['f', 0, 0]],
  );
  const { modelTopology } = toTopology(model);
  const network = await tf.loadLayersModel({ load: async () => ({ modelTopology }) });
  const output = network.predict([tf.ones([2, 1, 1, 4]), tf.ones([2, 3, 3, 4])]) as { shape: number[] };
  assert.equal(output.shape, [2, 36]);
});

test('names are unique and safe', () => {
  const block: JsonObject = {
    class_name: 'Sequential',
    config: {
      name: 'block',
      layers: [
        { class_name: 'Dense', config: { name: 'dense', units: 2, batch_input_shape: [null, 2], ...base } },
      ],
    },
  };
  const layers: Json[] = [
    { class_name: 'Dense', config: { name: 'dense', units: 2, batch_input_shape: [null, 2], ...base } },
    block,
  ];
  const odd = { class_name: 'Dense', config: { name: '_my dense:1', units: 2, ...base } };
  const model = info({ class_name: 'Sequential', config: { name: 'm', layers: [...layers, odd] } });
  const held = ['dense', 'block/dense', '_my dense:1'].flatMap((layer) =>
    [
      ['kernel', [2, 2]],
      ['bias', [2]],
    ].map(([name, shape]) => ({
      id: `${layer}/${name}`,
      layer,
      className: 'Dense',
      name,
      shape,
      dtype: 'F32',
    })),
  );
  const source = { ...model, weights: held as WeightInfo[], read: () => new Float32Array(0) };
  assert.equal(
    [...toTopology(source).weights],
    [
      ['dense/kernel', 'dense/kernel'],
      ['dense/bias', 'dense/bias'],
      ['block_dense/kernel', 'block/dense/kernel'],
      ['block_dense/bias', 'block/dense/bias'],
      ['layer_my_dense_1/kernel', '_my dense:1/kernel'],
      ['layer_my_dense_1/bias', '_my dense:1/bias'],
    ],
  );
});

test('registering twice does nothing, and leaves the classes of TensorFlow.js', async () => {
  const { tf } = await loadTensorFlow();
  const map = () => ({ ...tf.serialization.SerializationMap.getMap().classNameMap });
  const before = map();
  registerLayers(tf);
  const after = map();
  for (const [name, entry] of Object.entries(before)) assert.is(after[name], entry);
  for (const { className } of LAYERS) assert.ok(`bitnibble>${className}` in after, className);
  registerLayers(tf);
  assert.equal(Object.values(map()), Object.values(after));
});

test('layers that Keras quantized are refused by name', () => {
  const dtype: JsonObject = {
    class_name: 'QuantizedDTypePolicy',
    config: { mode: 'int8', source_name: 'float32' },
  };
  const int8 = sequential([null, 4], [['Dense', { units: 2, dtype }]], '3.15.1');
  assert.match(fault(int8), 'dense_0 (Dense): its weights were quantized by Keras (int8)');
});

test.run();
