// Keras 1 in the words of Keras 2, and functions of TensorFlow as operations of Keras 3.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Json, JsonObject } from '../../src/model.js';
import { fromKeras1, isKeras1 } from '../../src/network/keras1.js';
import { fromOpLambda, isOpLambda } from '../../src/network/op-lambda.js';

/** The class and configuration that a layer of Keras 1 has in Keras 2. */
const modern = (class_name: string, config: JsonObject): [Json | undefined, Json | undefined] => {
  const model = { class_name: 'Sequential', config: [{ class_name, config }] as unknown as JsonObject };
  const [entry] = fromKeras1(model).config as unknown as JsonObject[];
  return [entry?.class_name, entry?.config];
};
const config = (class_name: string, given: JsonObject) => modern(class_name, given)[1];

test('Keras 1 is told by its version, or where that is not known by its words', () => {
  const is = (kerasVersion: string, architecture?: JsonObject) =>
    isKeras1({ file: 'f', backend: '', kerasVersion, architecture });
  assert.equal(
    ['0.3.3', '1.2.2', '2.0.0', '3.15.1', '10.0', '11.2'].map((version) => is(version)),
    [...[true, true, false, false, false, false]],
  );
  assert.is(is(''), false);
  for (const key of ['nb_filter', 'W_regularizer', 'border_mode', 'inner_activation', 'dim_ordering']) {
    assert.is(is('', { config: [{ config: { [key]: 1 } }] as unknown as JsonObject }), true, key);
    assert.is(is('2.1.0', { config: { [key]: 1 } }), false, key);
  }
  assert.is(is('', { config: { filters: 3, note: 'nb_filter' } }), false);
});

test('classes of Keras 1 by the names of Keras 2', () => {
  const names: [string, string][] = [
    ...([
      ['AtrousConvolution1D', 'Conv1D'],
      ['AtrousConvolution2D', 'Conv2D'],
    ] as [string, string][]),
    ...([
      ['Convolution1D', 'Conv1D'],
      ['Convolution2D', 'Conv2D'],
    ] as [string, string][]),
    ...([
      ['Convolution3D', 'Conv3D'],
      ['Deconvolution2D', 'Conv2DTranspose'],
    ] as [string, string][]),
    ...([
      ['SeparableConvolution2D', 'SeparableConv2D'],
      ['Dense', 'Dense'],
    ] as [string, string][]),
  ];
  for (const [old, now] of names) assert.equal(modern(old, {}), [now, {}]);
});

test('words of Keras 1 by those of Keras 2, and what Keras 2 does without', () => {
  const words = {
    ...{ nb_filter: 'filters', filter_length: 'kernel_size', border_mode: 'padding', subsample: 'strides' },
    ...{ subsample_length: 'strides', stride: 'strides', atrous_rate: 'dilation_rate' },
    ...{
      pool_length: 'pool_size',
      length: 'size',
      concat_axis: 'axis',
      bias: 'use_bias',
      input_dtype: 'dtype',
    },
    ...{ inner_activation: 'recurrent_activation', dropout_W: 'dropout', dropout_U: 'recurrent_dropout' },
    ...{
      sigma: 'stddev',
      p: 'rate',
      W_constraint: 'kernel_constraint',
      U_constraint: 'recurrent_constraint',
    },
    ...{ b_constraint: 'bias_constraint', output_dim: 'units', name: 'name', activation: 'activation' },
  };
  for (const [old, now] of Object.entries(words))
    assert.equal(config('Any', { [old]: 7 }), { [now]: 7 }, old);
  for (const key of ['input_dim', 'input_length', 'consume_less', 'forget_bias_init', 'weights', 'dot_axes'])
    assert.equal(config('Any', { [key]: 7 }), {}, key);
  for (const key of ['nb_row', 'nb_col', 'kernel_dim1', 'kernel_dim2', 'kernel_dim3'])
    assert.equal(config('Any', { [key]: 7 }), {}, key);
  assert.equal(config('Embedding', { input_dim: 9, output_dim: 4 }), { input_dim: 9, output_dim: 4 });
  assert.equal(config('Any', { nb_row: 2, nb_col: 3 }), { kernel_size: [2, 3] });
  assert.equal(config('Any', { kernel_dim1: 2, kernel_dim2: 3, kernel_dim3: 4 }), { kernel_size: [2, 3, 4] });
  assert.equal(config('Any', { kernel_dim1: 2, kernel_dim2: 3 }), {});
  assert.equal(
    [config('Any', { dim_ordering: 'th' }), config('Any', { dim_ordering: 'tf' })],
    [...[{ data_format: 'channels_first' }, { data_format: 'channels_last' }]],
  );
  for (const [old, now] of [
    ...[
      ['init', 'kernel'],
      ['inner_init', 'recurrent'],
      ['beta_init', 'beta'],
    ],
    ...[
      ['gamma_init', 'gamma'],
      ['depthwise_init', 'depthwise'],
      ['pointwise_init', 'pointwise'],
    ],
  ] as [string, string][])
    for (const [from, to] of [
      ...[
        ['uniform', 'random_uniform'],
        ['normal', 'random_normal'],
        ['zero', 'zeros'],
      ],
      ...[
        ['one', 'ones'],
        ['glorot_uniform', 'glorot_uniform'],
      ],
    ] as [string, string][])
      assert.equal(config('Any', { [old]: from }), { [`${now}_initializer`]: to });
  for (const [old, now] of [
    ['W', 'kernel'],
    ['U', 'recurrent'],
    ['b', 'bias'],
  ] as [string, string][]) {
    const key = `${now}_regularizer`;
    const given = (value: Json) => config('Any', { [`${old}_regularizer`]: value });
    assert.equal(given({ name: 'WeightRegularizer', l1: 2, l2: 3 }), {
      [key]: { class_name: 'L1L2', config: { l1: 2, l2: 3 } },
    });
    assert.equal(given({ name: 'L1L2Regularizer' }), {
      [key]: { class_name: 'L1L2', config: { l1: 0, l2: 0 } },
    });
    assert.equal(given(null), { [key]: null });
  }
});

test('what single layers of Keras 1 have of their own', () => {
  assert.equal(config('GRU', {}), { reset_after: false });
  assert.equal(config('LSTM', { forget_bias_init: 'one' }), { unit_forget_bias: true });
  assert.equal(config('LSTM', { forget_bias_init: 'zero' }), { unit_forget_bias: false });
  for (const name of ['MaxPooling1D', 'AveragePooling1D']) {
    assert.equal(config(name, { pool_length: 2, stride: null }), { pool_size: 2, strides: 2 });
    assert.equal(config(name, { pool_length: 2, stride: 3 }), { pool_size: 2, strides: 3 });
    assert.equal(config(name, { stride: null }), { strides: null });
  }
  assert.equal(config('MaxPooling2D', { stride: null, pool_size: [2, 2] }), {
    strides: null,
    pool_size: [2, 2],
  });
  assert.equal(config('ZeroPadding1D', { padding: { left_pad: 1, right_pad: 2 } }), { padding: [1, 2] });
  assert.equal(config('ZeroPadding1D', { padding: { right_pad: 2 } }), { padding: [0, 2] });
  const four = { top_pad: 1, bottom_pad: 2, left_pad: 3, right_pad: 4 };
  for (const given of [four, [1, 2, 3, 4]])
    assert.equal(config('ZeroPadding2D', { padding: given }), {
      padding: [
        [1, 2],
        [3, 4],
      ],
    });
  assert.equal(config('ZeroPadding2D', { padding: [1, 2] }), {
    padding: [
      [1, 1],
      [2, 2],
    ],
  });
  assert.equal(config('ZeroPadding2D', { padding: 3 }), { padding: 3 });
  assert.equal(config('ZeroPadding3D', { padding: [1, 2, 3] }), { padding: [1, 2, 3] });
  // Left in its own words, to be refused for them.
  for (const name of ['ConvLSTM2D', 'LocallyConnected1D', 'LocallyConnected2D', 'Highway', 'MaxoutDense'])
    assert.equal(modern(name, { nb_filter: 3 }), [name, { nb_filter: 3 }]);
  for (const name of ['MyHighway', 'ConvLSTM2DCell'])
    assert.equal(config(name, { nb_filter: 3 }), { filters: 3 });
  assert.equal(
    modern('TimeDistributed', { layer: { class_name: 'Convolution1D', config: { bias: true } } }),
    [...['TimeDistributed', { layer: { class_name: 'Conv1D', config: { use_bias: true } } }]],
  );
  const dense = { name: 't', output_dim: 3, batch_input_shape: [null, 5, 2] };
  const inner = { class_name: 'Dense', config: { name: 't', units: 3 } };
  assert.equal(modern('TimeDistributedDense', dense), [
    ...['TimeDistributed', { name: 't', layer: inner, batch_input_shape: [null, 5, 2] }],
  ]);
  assert.equal(modern('TimeDistributedDense', { name: 't', output_dim: 3 }), [
    ...['TimeDistributed', { name: 't', layer: inner }],
  ]);
  assert.equal(modern('TimeDistributedDense', {}), [
    ...['TimeDistributed', { name: null, layer: { class_name: 'Dense', config: {} } }],
  ]);
});

test('a Merge with a mode is the layer of Keras 2; of functions and branches it stays a Merge', () => {
  const aside = {
    mode_type: 'raw',
    output_shape: null,
    output_shape_type: 'raw',
    output_mask: null,
    arguments: {},
  };
  const modes = { sum: 'Add', mul: 'Multiply', ave: 'Average', max: 'Maximum' };
  for (const [mode, name] of Object.entries(modes))
    assert.equal(modern('Merge', { name: 'm', mode, ...aside, output_mask_type: 'raw', concat_axis: 1 }), [
      ...[name, { name: 'm' }],
    ]);
  assert.equal(modern('Merge', { mode: 'concat', concat_axis: 2 }), ['Concatenate', { axis: 2 }]);
  assert.equal(modern('Merge', { mode: 'concat' }), ['Concatenate', { axis: -1 }]);
  for (const mode of ['dot', 'cos', null] as Json[])
    assert.equal(modern('Merge', { mode }), ['Merge', { mode }]);
  const lambda = { mode: 'sum', mode_type: 'function' };
  assert.equal(modern('Merge', lambda), ['Merge', lambda]);
  assert.equal(modern('NoMerge', { mode: 'sum' }), ['NoMerge', { mode: 'sum' }]);
  const layers = [{ class_name: 'Dense', config: {} }];
  assert.equal(modern('Merge', { name: 'm', mode: 'sum', layers }), ['Merge', { name: 'm' }]);
  assert.equal(modern('Merge', { layers }), ['Merge', { name: null }]);
});

test('models of Keras 1 and models inside them; what is no layer stays', () => {
  const dense = { class_name: 'Dense', config: { output_dim: 3 } };
  const now = { class_name: 'Dense', config: { units: 3 } };
  const list = { class_name: 'Sequential', config: [dense, 'odd', null] as unknown as JsonObject };
  const turned = { class_name: 'Sequential', config: [now, 'odd', null] as unknown as JsonObject };
  const model = { class_name: 'Model', config: { name: 'm', layers: [dense, list], input_layers: [] } };
  assert.equal(fromKeras1(model), {
    ...{ class_name: 'Model', config: { name: 'm', layers: [now, turned], input_layers: [] } },
  });
  for (const odd of [
    { class_name: 'Model', config: null },
    { class_name: 'Model', config: { layers: 'x' } },
  ])
    assert.equal(fromKeras1(odd), odd);
  const bare = { class_name: 'Dense', config: null };
  assert.equal(fromKeras1({ class_name: 'Sequential', config: [bare] as unknown as JsonObject }).config, [
    bare,
  ]);
});

const lambda = (name: string, kwargs: JsonObject, from: Json = ['x', 0, 0]): JsonObject => ({
  ...{ class_name: 'TFOpLambda', name: 'f', config: { name: 'f', function: name } },
  inbound_nodes: [[...(from as Json[]), kwargs]],
});
const tensor = (name: string, call = 0, at = 0) => ({
  class_name: '__keras_tensor__',
  config: { keras_history: [name, call, at] },
});
/** Class, attributes and arguments of the operation; undefined where it stays a function. */
const operation = (entry: JsonObject) => {
  const made = fromOpLambda(entry);
  if (made === entry) return undefined;
  const { name: _, ...attributes } = made.config as JsonObject;
  return [made.class_name, attributes, ((made.inbound_nodes as JsonObject[])[0] as JsonObject).args];
};

test('which entries are functions of TensorFlow', () => {
  const is = (class_name: string) => isOpLambda({ class_name });
  assert.equal(['TFOpLambda', 'SlicingOpLambda', 'Lambda', 'TFOp'].map(is), [true, true, false, false]);
});

test('functions of two operands: the second by its keyword, a tensor, a number, numbers', () => {
  const names = {
    ...{
      '__operators__.add': 'Add',
      'math.add': 'Add',
      'math.subtract': 'Subtract',
      'math.multiply': 'Multiply',
    },
    ...{ 'math.divide': 'Divide', 'math.truediv': 'TrueDivide', 'math.floordiv': 'FloorDivide' },
    ...{ 'math.floormod': 'Mod', 'math.maximum': 'Maximum', 'math.minimum': 'Minimum', 'math.pow': 'Power' },
    ...{ 'math.squared_difference': 'SquaredDifference' },
    ...{ 'math.greater': 'Greater', 'math.greater_equal': 'GreaterEqual', 'math.less': 'Less' },
    ...{ 'math.less_equal': 'LessEqual', 'math.equal': 'Equal', 'math.not_equal': 'NotEqual' },
    ...{ 'math.logical_and': 'LogicalAnd', 'math.logical_or': 'LogicalOr' },
  };
  for (const [name, made] of Object.entries(names)) {
    assert.equal(operation(lambda(name, { y: 2, name: null })), [`ops.${made}`, {}, [tensor('x'), 2]], name);
    assert.is(operation(lambda(name, {})), undefined, name);
  }
  for (const [name, made] of [
    ['__operators__.eq', 'Equal'],
    ['__operators__.ne', 'NotEqual'],
  ] as const)
    assert.equal(operation(lambda(name, { other: 1 })), [`ops.${made}`, {}, [tensor('x'), 1]]);
  assert.equal(operation(lambda('linalg.matmul', { b: ['w', 1, 2] })), [
    ...['ops.Matmul', {}, [tensor('x'), tensor('w', 1, 2)]],
  ]);
  assert.equal(operation(lambda('where', { x: 1, y: ['z', 0] })), [
    'ops.Where',
    {},
    [tensor('x'), 1, tensor('z')],
  ]);
  assert.is(operation(lambda('where', { y: 1 })), undefined);
  const add = (y: Json) => operation(lambda('math.add', { y }))?.[2];
  assert.equal(add([1, [2, 3]]), [tensor('x'), [1, [2, 3]]]);
  assert.equal(add(true), [tensor('x'), true]);
  assert.equal(add(['_CONSTANT_VALUE', -1, 4]), [tensor('x'), 4]);
  for (const odd of ['text', { a: 1 }, [1, 'text'], null] as Json[])
    assert.is(add(odd), undefined, JSON.stringify(odd));
});

test('functions of one operand, with what their keywords are called in Keras 3', () => {
  const names =
    'logical_not=LogicalNot negative=Negative abs=Absolute sign=Sign square=Square sqrt=Sqrt rsqrt=Rsqrt exp=Exp log=Log ' +
    'log1p=Log1p floor=Floor ceil=Ceil round=Round sin=Sin cos=Cos tan=Tan tanh=Tanh erf=Erf reciprocal=Reciprocal ' +
    'sigmoid=Sigmoid softplus=Softplus';
  const activations =
    'sigmoid=Sigmoid relu=Relu relu6=Relu6 elu=Elu selu=Selu silu=Silu tanh=Tanh softsign=Softsign ' +
    'leaky_relu=LeakyRelu softmax=Softmax log_softmax=LogSoftmax';
  for (const [space, list] of [
    ['math', names],
    ['nn', activations],
  ] as const)
    for (const pair of list.split(' ')) {
      const [name = '', made] = pair.split('=');
      assert.equal(
        operation(lambda(`${space}.${name}`, { name: null })),
        [`ops.${made}`, {}, [tensor('x')]],
        pair,
      );
      assert.is(operation(lambda(`${space}.${name}`, { strange: 1 })), undefined, pair);
    }
  // Told nothing, TensorFlow's gelu is exact, where that of `keras.ops` is not; its argmax is over the first axis.
  for (const given of [{}, { approximate: null }] as JsonObject[])
    assert.equal(operation(lambda('nn.gelu', given))?.slice(0, 2), ['ops.Gelu', { approximate: false }]);
  assert.equal(operation(lambda('math.argmax', { axis: null }))?.slice(0, 2), ['ops.Argmax', { axis: 0 }]);
  const words: [name: string, made: string, words: Record<string, string>][] = [
    ['nn.silu', 'Silu', { beta: 'beta' }],
    ['nn.gelu', 'Gelu', { approximate: 'approximate' }],
    ['nn.leaky_relu', 'LeakyRelu', { alpha: 'negative_slope' }],
    ['nn.softmax', 'Softmax', { axis: 'axis' }],
    ['nn.log_softmax', 'LogSoftmax', { axis: 'axis' }],
    ['math.l2_normalize', 'L2Normalize', { axis: 'axis', epsilon: 'epsilon' }],
    ...['Mean', 'Sum', 'Prod', 'Max', 'Min'].map((made): [string, string, Record<string, string>] => [
      ...([`math.reduce_${made.toLowerCase()}`, made, { axis: 'axis', keepdims: 'keepdims' }] as const),
    ]),
    ['math.reduce_variance', 'Var', { axis: 'axis', keep_dims: 'keepdims' }],
    ['math.reduce_std', 'Std', { axis: 'axis', keepdims: 'keepdims' }],
    ['math.argmax', 'Argmax', { axis: 'axis' }],
    ['compat.v1.norm', 'Norm', { ord: 'ord', axis: 'axis', keepdims: 'keepdims' }],
    ['norm', 'Norm', { ord: 'ord', axis: 'axis', keepdims: 'keepdims' }],
    ['concat', 'Concatenate', { axis: 'axis' }],
    ['stack', 'Stack', { axis: 'axis' }],
    ['expand_dims', 'ExpandDims', { axis: 'axis' }],
    ['compat.v1.squeeze', 'Squeeze', { axis: 'axis' }],
    ['squeeze', 'Squeeze', { axis: 'axis' }],
    ['reshape', 'Reshape', { shape: 'newshape' }],
    ['compat.v1.transpose', 'Transpose', { perm: 'axes' }],
    ['transpose', 'Transpose', { perm: 'axes' }],
    ['cast', 'Cast', { dtype: 'dtype' }],
    ['clip_by_value', 'Clip', { clip_value_min: 'x_min', clip_value_max: 'x_max' }],
    ['split', 'Split', { num_or_size_splits: 'sizes', axis: 'axis' }],
    ['tile', 'Tile', { multiples: 'repeats' }],
    ['repeat', 'Repeat', { repeats: 'repeats', axis: 'axis' }],
    ['reverse', 'Flip', { axis: 'axis' }],
  ];
  for (const [name, made, keys] of words) {
    const given = Object.fromEntries(Object.keys(keys).map((key, i) => [key, i + 5]));
    const wanted = Object.fromEntries(Object.values(keys).map((key, i) => [key, i + 5]));
    assert.equal(operation(lambda(name, given)), [`ops.${made}`, wanted, [tensor('x')]], name);
  }
});

test('keywords that say what is so anyway, and several calls', () => {
  const harmless = [
    'conjugate',
    'transpose_a',
    'transpose_b',
    'adjoint_a',
    'adjoint_b',
    'a_is_sparse',
    'b_is_sparse',
  ];
  for (const key of harmless) {
    assert.ok(operation(lambda('math.tanh', { [key]: false })), key);
    assert.is(operation(lambda('math.tanh', { [key]: true })), undefined, key);
  }
  assert.ok(operation(lambda('math.tanh', { other: null })));
  const entry = lambda('math.reduce_mean', { axis: 1 });
  const calls = (second: JsonObject) =>
    fromOpLambda({ ...entry, inbound_nodes: [...(entry.inbound_nodes as Json[]), ['y', 0, 0, second]] });
  assert.equal(calls({ axis: 1 }), {
    ...{ class_name: 'ops.Mean', name: 'f', config: { name: 'f', axis: 1 } },
    inbound_nodes: [tensor('x'), tensor('y')].map((arg) => ({ args: [arg], kwargs: {} })),
  });
  assert.is(calls({ axis: 2 }).class_name, 'TFOpLambda');
  const many = {
    ...entry,
    config: { function: 'concat' },
    inbound_nodes: [
      [
        ['x', 0, 0, { axis: 1 }],
        ['y', 0, 0, { axis: 1 }],
      ],
    ],
  };
  assert.equal(fromOpLambda(many as unknown as JsonObject).config, { name: null, axis: 1 });
  assert.equal(operation(many as unknown as JsonObject), [
    ...['ops.Concatenate', { axis: 1 }, [[tensor('x'), tensor('y')]]],
  ]);
  for (const odd of [{ ...entry, config: null }, { ...entry, inbound_nodes: null }, lambda('unheard', {})])
    assert.is(fromOpLambda(odd as JsonObject), odd);
  assert.is(operation(lambda('math.tanh', {}, ['x', 'y', 0])), undefined);
});

test('slices: numbers, new axes, "..." in both ways that it is written, from, to and by', () => {
  const sliced = (spec: Json) => operation(lambda('__operators__.getitem', { slice_spec: spec }))?.[2];
  const rest = { class_name: '__ellipsis__', config: {} };
  assert.equal(sliced([1, null, 'Ellipsis', { class_name: '__ellipsis__' }]), [
    tensor('x'),
    [1, null, rest, rest],
  ]);
  const slice = (start: Json, stop: Json, step: Json) => ({
    class_name: '__slice__',
    config: { start, stop, step },
  });
  assert.equal(sliced([{ start: 1, stop: null, step: 2 }, { stop: 3 }, { start: -1 }]), [
    ...[tensor('x'), [slice(1, null, 2), slice(null, 3, null), slice(-1, null, null)]],
  ]);
  assert.equal(sliced(2), [tensor('x'), [2]]);
  assert.equal(sliced(null), [tensor('x'), [null]]);
  for (const odd of [
    'text',
    [{}],
    [{ step: 1 }],
    [{ start: ['y', 0, 0] }],
    [{ start: 1, step: 'x' }],
    [1, 'x'],
  ] as Json[])
    assert.is(sliced(odd), undefined, JSON.stringify(odd));
});

test.run();
