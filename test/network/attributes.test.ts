// Attributes of operations out of configurations, slices as Python counts them, shapes that numbers fill.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Json, JsonObject } from '../../src/model.js';
import { operationConfig } from '../../src/network/operations/arguments.js';
import {
  ACTIVATIONS,
  type Attribute,
  activation,
  activationText,
  anything,
  axes,
  choice,
  Fault,
  flag,
  int,
  ints,
  number,
  optional,
  optionalSizes,
  pairs,
  plain,
  size,
  sizes,
  text,
} from '../../src/network/operations/attributes.js';
import { canonicalName, operationOf } from '../../src/network/operations/index.js';
import {
  areKnown,
  biasOf,
  broadcast,
  fromStart,
  product,
  sameShape,
  withoutSteps,
} from '../../src/network/operations/operation.js';
import { readAttributes } from '../../src/network/operations/read-attributes.js';
import { reshape, reshaped, reshapeFault } from '../../src/network/operations/reshape.js';
import { type Place, place, placesOf, sliced } from '../../src/network/operations/slices.js';
import {
  operandShape,
  operandShapes,
  outputType,
  valueType,
} from '../../src/network/operations/tensor-operation.js';

/** What an attribute makes of values; of a fault what was expected, after `!`. */
const read = (attribute: Attribute, values: (Json | undefined)[], isKeras3 = true) =>
  values.map((value) => {
    const found = attribute(value, { isKeras3 });
    return found instanceof Fault ? `!${found.expected}` : found;
  });
const all = (length: number, what: string) => new Array<string>(length).fill(`!${what}`);

test('values that Keras 3 wraps', () => {
  assert.is(plain({ type: 'ndarray', value: 3 }), 3);
  assert.is(plain({ type: 'ndarray' }), null);
  for (const class_name of ['__numpy__', '__tensor__']) {
    assert.equal(plain({ class_name, config: { value: [1, 2] } }), [1, 2]);
    assert.is(plain({ class_name, config: {} }), null);
    assert.is(plain({ class_name, config: null }), null);
  }
  assert.equal(plain({ class_name: '__tuple__', items: [1, 2] }), [1, 2]);
  for (const value of [
    { class_name: '__tuple__', items: 1 },
    { class_name: 'Other', items: [1], config: { value: 1 } },
  ] as JsonObject[])
    assert.is(plain(value), value);
  assert.equal([plain(7), plain(null), plain(undefined), plain('x')], [7, null, undefined, 'x']);
});

test('whole numbers, numbers, flags, texts', () => {
  assert.equal(read(size, [1, 9]), [1, 9]);
  assert.equal(read(size, [0, -1, 1.5, '1', null, undefined, 2 ** 53]), all(7, 'a positive integer'));
  assert.equal(read(int(5), [0, -3, null, undefined]), [0, -3, 5, 5]);
  assert.equal(read(int(5), [0.5, '1', [1]]), all(3, 'a whole number'));
  assert.equal(read(number(2), [0.5, -1e9, null, undefined]), [0.5, -1e9, 2, 2]);
  assert.equal(read(number(2, 0), [0, 1, -0.1, '1']), [0, 1, '!a number', '!a number']);
  assert.equal(read(flag(true), [true, false, 1, 0, null, undefined]), [
    true,
    false,
    true,
    false,
    true,
    true,
  ]);
  assert.equal(read(flag(false), [null, 2, 'true']), [false, ...all(2, 'true or false')]);
  assert.equal(read(text, ['a', '', 1, null]), ['a', '', ...all(2, 'a text')]);
  assert.equal(read(choice(['a', 'b'], 'b'), ['a', 'B', null, undefined, 'c', 1]), [
    ...['a', 'b', 'b', 'b', '!a or b', '!a or b'],
  ]);
  assert.equal(read(optional(size), [null, undefined, 3, 0]), [null, null, 3, '!a positive integer']);
  assert.equal(read(anything, [undefined, null, 0, { a: 1 }]), [null, null, 0, { a: 1 }]);
});

test('sizes of axes, axes, pairs', () => {
  assert.equal(read(sizes(2), [3, [3], [3, 4]]), [
    [3, 3],
    [3, 3],
    [3, 4],
  ]);
  assert.equal(read(sizes(2), [[1, 2, 3], []]), all(2, '2 positive integers'));
  assert.equal(read(sizes(2), [0, [1, 0], 'x', null, undefined]), all(5, 'positive integers'));
  assert.equal(read(sizes(2, 7), [null, undefined, 3]), [
    [7, 7],
    [7, 7],
    [3, 3],
  ]);
  assert.equal(read(optionalSizes(2), [null, undefined, 3, 0]), [null, null, [3, 3], '!positive integers']);
  assert.equal(read(axes(-1), [null, undefined, 2, [1, 2]]), [[-1], [-1], [2], [1, 2]]);
  assert.equal(read(axes(null), [null, 'x', [1, 0.5]]), [null, ...all(2, 'an axis or a list of axes')]);
  assert.equal(read(ints('a shape'), [3, [3, -1], [], 'x', [0.5], null]), [
    ...[[3], [3, -1], []],
    ...all(3, 'a shape'),
  ]);
  assert.equal(
    read(pairs(2, 1), [
      null,
      3,
      [1, 2],
      [
        [1, 2],
        [0, 4],
      ],
      [[1, 2], 3],
    ]),
    [
      ...[
        [
          [1, 1],
          [1, 1],
        ],
        [
          [3, 3],
          [3, 3],
        ],
        [
          [1, 1],
          [2, 2],
        ],
        [
          [1, 2],
          [0, 4],
        ],
        [
          [1, 2],
          [3, 3],
        ],
      ],
    ],
  );
  assert.equal(read(pairs(1, 1), [null, 3, [1, 2], [[1, 2]], [3]]), [
    [[1, 1]],
    [[3, 3]],
    [[1, 2]],
    [[1, 2]],
    [[3, 3]],
  ]);
  const wrong = '2 pairs of whole numbers of at least 0';
  assert.equal(
    read(pairs(2, 1), [-1, [1], [1, 2, 3], [[1, 2, 3], 1], [[1, -1], 1], 0.5, 'x']),
    all(7, wrong),
  );
});

test('activations by name: synonyms, functions as Keras 3 writes them, hard_sigmoid of each Keras', () => {
  assert.equal(
    ['relu', { class_name: 'function', config: 'tanh' }, { class_name: 'keras>ReLU', config: {} }, null].map(
      activationText,
    ),
    [...['relu', 'tanh', 'ReLU', 'linear']],
  );
  assert.is(activationText(undefined), 'linear');
  assert.is(activationText({}), '');
  for (const name of ACTIVATIONS) assert.equal(read(activation(), [name]), [name], name);
  assert.equal(read(activation(), ['swish', 'hard_swish', null, undefined]), [
    'silu',
    'hard_silu',
    'linear',
    'linear',
  ]);
  assert.equal(read(activation('tanh'), [null, 'relu']), ['tanh', 'relu']);
  assert.equal(read(activation(), ['Relu', 'mine>relu', '', {}]), all(4, 'an activation of Keras'));
  assert.equal(read(activation(), ['hard_sigmoid'], false), ['hard_sigmoid_2']);
  assert.equal(read(activation('hard_sigmoid'), [null, 'relu'], false), ['hard_sigmoid_2', 'relu']);
  assert.is(ACTIVATIONS.size, 31);
});

test('a table of attributes: what is read, what is a fault, what is aside', () => {
  const table = { units: size, activation: activation(), mode: choice(['a', 'b'], 'a') };
  const given = (config: JsonObject) => readAttributes(table, config, { isKeras3: true });
  assert.equal(given({ units: { class_name: '__numpy__', config: { value: 3 } } }), {
    ...{ attributes: { units: 3, activation: 'linear', mode: 'a' }, faults: [] },
  });
  assert.equal(given({ units: 0, activation: { class_name: 'mine>odd' }, mode: 'c' }), {
    attributes: {},
    faults: [
      'units: expected a positive integer, got 0',
      'activation mine>odd',
      'mode: expected a or b, got "c"',
    ],
  });
  assert.equal(given({}).faults, ['units: expected a positive integer, got nothing']);
  const named = readAttributes({ activation_bits: size }, { activation_bits: 0 }, { isKeras3: true });
  assert.equal(named.faults, ['activation_bits: expected a positive integer, got 0']);
  const extra = (more: JsonObject) => given({ units: 3, ...more }).faults;
  assert.equal(extra({ power: 2, other: 'x', list: [], yes: true }), [
    'power: 2',
    'other: "x"',
    'list: []',
    'yes: true',
  ]);
  assert.equal(extra({ a: null, b: false, c: 0, groups: 1 }), []);
  assert.equal(extra({ groups: 2, power: 1 }), ['groups: 2', 'power: 1']);
  assert.equal(extra({ long: 'x'.repeat(200) }), [`long: "${'x'.repeat(99)}`]);
  const aside =
    'kernel_initializer bias_regularizer kernel_constraint ' +
    'name trainable dtype batch_input_shape batch_shape input_shape batch_size sparse ragged autocast seed ' +
    'module class_name registered_name build_config compile_config quantization_config implementation ' +
    'unroll time_major synchronized virtual_batch_size fused adjustment momentum renorm renorm_clipping ' +
    'renorm_momentum optional input_dtype input_dim input_length input_spec unit_forget_bias dropout ' +
    'recurrent_dropout rate noise_shape stddev l1 l2 cell_type flash_attention lora_rank lora_alpha ' +
    'gptq_unpacked_column_size shared_object_id build_input_shape num_constants constants_size ' +
    'validate_indices experimental_autocast expects_training_arg sparse_indices arguments supports_masking ' +
    'function data_format query_shape key_shape value_shape';
  for (const key of aside.split(' ')) assert.equal(extra({ [key]: 'on' }), [], key);
  for (const key of ['named', 'my_seed', 'initializer', 'kernel_initializers', 'l1x', 'names', 'my_name'])
    assert.equal(extra({ [key]: 7 }), [`${key}: 7`], key);
});

test('names that Keras gave a class before', () => {
  const names =
    'BatchNormalizationV1=BatchNormalization BatchNormalizationV2=BatchNormalization ' +
    'SyncBatchNormalization=BatchNormalization LSTMV2=LSTM GRUV2=GRU Convolution1D=Conv1D Convolution2D=Conv2D ' +
    'Convolution3D=Conv3D Conv2DTransposeV2=Conv2DTranspose Convolution1DTranspose=Conv1DTranspose ' +
    'Convolution2DTranspose=Conv2DTranspose Convolution3DTranspose=Conv3DTranspose Deconvolution2D=Conv2DTranspose ' +
    'Deconvolution3D=Conv3DTranspose MaxPool1D=MaxPooling1D MaxPool2D=MaxPooling2D MaxPool3D=MaxPooling3D ' +
    'AvgPool1D=AveragePooling1D AvgPool2D=AveragePooling2D AvgPool3D=AveragePooling3D ' +
    'GlobalMaxPool1D=GlobalMaxPooling1D GlobalMaxPool2D=GlobalMaxPooling2D GlobalMaxPool3D=GlobalMaxPooling3D ' +
    'GlobalAvgPool1D=GlobalAveragePooling1D GlobalAvgPool2D=GlobalAveragePooling2D ' +
    'GlobalAvgPool3D=GlobalAveragePooling3D SeparableConvolution1D=SeparableConv1D SeparableConvolution2D=SeparableConv2D';
  for (const pair of names.split(' ')) {
    const [old = '', now = ''] = pair.split('=');
    assert.is(canonicalName(old), now);
    assert.is(canonicalName(`keras>${old}`), now);
    assert.ok(operationOf(now), now);
    assert.is(operationOf(old), undefined);
  }
  assert.equal(['builtins>Dense', 'qkeras>QDense', 'my_keras>Dense'].map(canonicalName), [
    ...['Dense', 'qkeras>QDense', 'my_keras>Dense'],
  ]);
  for (const name of ['toString', 'constructor', '__proto__']) assert.is(operationOf(name), undefined);
});

test('shapes: products, axes, spreading, without the axes of steps', () => {
  assert.equal([product([2, 3]), product([]), product([2, null])], [6, 1, null]);
  assert.equal([fromStart(-1, 3), fromStart(0, 3), fromStart(2, 3)], [2, 0, 2]);
  assert.equal(broadcast([[null, 3], [1]]), [null, 3]);
  assert.equal(
    broadcast([
      [4, 1, 3],
      [5, 1],
    ]),
    [4, 5, 3],
  );
  assert.equal(broadcast([[1], [1, 1], []]), [1, 1]);
  assert.equal(
    broadcast([
      [null, 2],
      [7, 2],
    ]),
    [7, 2],
  );
  assert.equal(withoutSteps([null, 5, 3], 0), [null, 5, 3]);
  assert.equal(withoutSteps([8, 5, 3], 1), [8, 3]);
  assert.equal(withoutSteps([null, 5, 4, 3], 2), [null, 3]);
  assert.is(withoutSteps([null, 5], 1), undefined);
  assert.is(withoutSteps(undefined, 1), undefined);
  assert.equal(
    ['uint8', 'int64', 'bool', 'string', 'float16', 'bfloat16', undefined, 'xint8', 'int8x', 'int'].map(
      valueType,
    ),
    [
      ...[
        'int32',
        'int32',
        'bool',
        'string',
        'float32',
        'float32',
        'float32',
        'float32',
        'float32',
        'float32',
      ],
    ],
  );
  assert.equal(
    [
      operandShape(3),
      operandShape([]),
      operandShape([7]),
      operandShape([
        [1, 2, 3],
        [4, 5, 6],
      ]),
    ],
    [[], [0], [1], [2, 3]],
  );
  const operands = {
    attributes: { operands: [null, 2, null, [1, 2], null] },
    shapes: [[1], undefined, [4]],
    roles: [],
  };
  assert.equal(operandShapes(operands), [[1], [], undefined, [2], [4]]);
});

test('number types of outputs: floats before whole numbers before truth values, numbers beside them as Keras takes them', () => {
  const f = 'float32';
  for (const [operands, types, want] of [
    [undefined, ['bool', 'int32'], 'int32'],
    [undefined, ['int32', f], f],
    [undefined, ['bool'], 'bool'],
    [undefined, ['string'], 'string'],
    [undefined, [], f],
    [[null, 2], ['int32'], 'int32'],
    [[null, 2], ['bool'], 'int32'],
    [[2.5, null], ['int32'], f],
    [[null, [1, [2, 3]]], ['int32'], 'int32'],
    [[null, [1, [2, 0.5]]], ['int32'], f],
    [[null, [0.5, 1]], ['int32'], f],
    [[null, null, 1], ['bool', 'int32'], 'int32'],
    [[null, null], ['int32'], f],
  ] as const) {
    const attributes = (operands === undefined ? {} : { operands }) as unknown as JsonObject;
    assert.is(outputType({ dtype: 'same' }, attributes, types), want, JSON.stringify([operands, types]));
    assert.is(outputType({}, attributes, types), f);
    assert.is(outputType({ dtype: 'bool' }, attributes, types), 'bool');
  }
  const last = (types: readonly string[]) =>
    (types.at(-1) === 'int32' ? 'bool' : 'string') as 'bool' | 'string';
  assert.equal(
    [
      outputType({ dtype: last }, {}, ['int32']),
      outputType({ dtype: last }, { operands: [null, 0.5] }, ['int32']),
    ],
    [...['bool', 'string']],
  );
});

test('what rows of the table have in common: shapes that are known, a bias, the shape of the first input', () => {
  assert.equal(
    [areKnown([]), areKnown([[1]]), areKnown([[1], undefined]), areKnown([undefined])],
    [...[false, true, false, false]],
  );
  assert.equal(biasOf({ use_bias: false }, 3), []);
  for (const given of [{ use_bias: true }, {}] as JsonObject[])
    assert.equal(biasOf(given, 3), [{ role: 'bias', shape: [3] }]);
  assert.equal(sameShape({ attributes: {}, shapes: [[1, 2], [3]], roles: [] }), [[1, 2]]);
  assert.is(sameShape({ attributes: {}, shapes: [undefined, [3]], roles: [] }), undefined);
  const shapes = [[null, 5, 4]];
  const given = (target: number[], x: (number | null)[][] = shapes) => ({
    ...{ attributes: { target_shape: target }, shapes: x, roles: ['x'] },
  });
  assert.equal(reshape.shape(given([2, -1])), [[null, 2, 10]]);
  assert.equal(reshape.shape(given([2, -1], [[7, 5, 4]])), [[7, 2, 10]]);
  assert.is(reshape.fault?.(given([2, -1])), undefined);
  assert.is(reshape.fault?.(given([3, -1])), '20 values in the shape [3,-1]');
  assert.is(reshape.fault?.(given([3, -1], [])), undefined);
  assert.is(reshape.shape(given([3, -1], [])), undefined);
  assert.equal([reshape.dtype, Object.keys(reshape.attributes)], ['same', ['target_shape']]);
});

test('a shape with one length of -1', () => {
  assert.equal(reshaped([2, -1], 12), [2, 6]);
  assert.equal(reshaped([2, -1], null), [2, null]);
  assert.equal(reshaped([0, -1], 0), [0, null]);
  assert.equal(reshaped([3, 4], 12), [3, 4]);
  const fault = (target: number[], total: number | null) => reshapeFault(target, total);
  for (const [target, total] of [
    [[2, -1], 12],
    [[3, 4], 12],
    [[-1], null],
    [[0], 0],
    [[5, 2], null],
    [[], 1],
  ] as const)
    assert.is(fault([...target], total), undefined, `${target} ${total}`);
  for (const [target, total] of [
    [[5, -1], 12],
    [[3, 5], 12],
    [[-1, -1], 12],
    [[-2, 3], 6],
    [[0, -1], 0],
    [[2], 0],
  ] as const)
    assert.is(fault([...target], total), `${total} values in the shape [${target}]`);
  assert.is(fault([-2], null), 'any number of values in the shape [-2]');
  assert.is(fault([-1, -1], null), 'any number of values in the shape [-1,-1]');
});

test('places of a slice, written out to every axis', () => {
  const slice = (config: Json): Json => ({ class_name: '__slice__', config });
  assert.equal([3, null, { class_name: '__ellipsis__' }, slice({ start: 1, stop: null })].map(place), [
    ...[3, null, '...', { start: 1, stop: null, step: null }],
  ]);
  assert.equal(place(slice({ start: -3, stop: 2, step: -1 })), { start: -3, stop: 2, step: -1 });
  for (const odd of [
    'x',
    { class_name: 'Other', config: {} },
    slice(null),
    slice({ step: 0 }),
    slice({ start: 0.5 }),
    slice({ stop: 'x' }),
  ] as Json[])
    assert.is(place(odd), undefined, JSON.stringify(odd));
  const whole = { start: null, stop: null, step: null };
  const places = (key: Place[], rank: number) => placesOf(key, rank);
  assert.equal(places([1], 3), [1, whole, whole]);
  assert.equal(places(['...', 1], 3), [whole, whole, 1]);
  assert.equal(places([0, '...', 1], 3), [0, whole, 1]);
  assert.equal(places([null, 1], 2), [null, 1, whole]);
  assert.equal(places([null, '...'], 1), [null, whole]);
  assert.equal(places(['...', 0, 1], 2), [0, 1]);
  assert.equal(places([0, 1, 2], 2), [0, 1, 2]);
});

test('how many elements a slice takes: as counting them tells', () => {
  const ends = [null, -7, -5, -3, -1, 0, 1, 2, 4, 5, 8];
  for (const n of [0, 1, 5])
    for (const start of ends)
      for (const stop of ends)
        for (const step of [null, 1, 2, 3, -1, -2]) {
          // Python's slice.indices, by walking.
          const by = step ?? 1;
          const clip = (at: number) =>
            by > 0 ? Math.min(Math.max(at, 0), n) : Math.min(Math.max(at, -1), n - 1);
          const from = start === null ? (by > 0 ? 0 : n - 1) : clip(start < 0 ? start + n : start);
          const to = stop === null ? (by > 0 ? n : -1) : clip(stop < 0 ? stop + n : stop);
          let count = 0;
          for (let at = from; by > 0 ? at < to : at > to; at += by) count++;
          assert.is(sliced(n, { start, stop, step }), count, `${n}: ${start}:${stop}:${step}`);
        }
  assert.is(sliced(null, { start: 1, stop: 2, step: null }), null);
});

test('operands and arguments of operations on tensors, by place and by name', () => {
  const t = (tensor: number): Json => ({ tensor });
  const given = (name: string, args: Json[], kwargs: JsonObject = {}, config: JsonObject = {}) =>
    operationConfig(name, { name: 'o', ...config }, args, kwargs);
  assert.equal(given('Add', [t(0), 2]), { operands: [null, 2] });
  assert.equal(given('Add', [[1, [2]], t(0)]), { operands: [[1, [2]], null] });
  assert.equal(given('Add', [t(0), true]), { operands: [null, 1] });
  assert.is(given('Concatenate', [[t(0), t(1)], 2]), 'more arguments than it takes');
  assert.is(given('Einsum', [t(0), 'x']), 'arguments other than tensors and numbers');
  assert.equal(given('Add', [t(0), false]), { operands: [null, 0] });
  for (const class_name of ['__numpy__', '__tensor__']) {
    assert.equal(given('Add', [t(0), { class_name, config: { value: [1, 2] } }]), {
      operands: [null, [1, 2]],
    });
    assert.equal(given('Add', [t(0), { class_name, config: { value: 3 } }]), { operands: [null, 3] });
  }
  const odd = 'arguments other than tensors and numbers';
  for (const value of [
    'x',
    null,
    ['x'],
    [null],
    { class_name: '__other__', config: { value: [1] } },
  ] as Json[])
    assert.is(given('Add', [t(0), value]), odd, JSON.stringify(value));
  assert.is(given('Add', [1, 2]), odd);
  assert.is(given('Add', [t(0)]), odd);
  assert.equal(given('Concatenate', [[t(0), t(1)]], { axis: 1 }), { axis: 1, operands: [null, null] });
  assert.equal(given('Einsum', [t(0), t(1)], {}, { subscripts: 'a,b' }), {
    subscripts: 'a,b',
    operands: [null, null],
  });
  assert.equal(given('Softmax', [t(0)], { axis: 1 }, { axis: 2 }), { axis: 1, operands: [null] });
  assert.is(given('Softmax', [t(0)], { axis: t(1) }), 'a tensor where a number is expected');
  assert.is(given('Add', [t(0), t(1), 3]), 'more arguments than it takes');
  for (const name of ['Unheard', 'toString', 'Sparsemax'])
    assert.is(given(name, [t(0)]), 'an operation that is not known');
});

test.run();
