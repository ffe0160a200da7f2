// Whole numbers by their width: what Keras 3.15.1 and tf_keras 2.21 make of them on TensorFlow 2.21, each seen in a run;
// slow/integers-keras.test.ts asks Keras again.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Json, JsonObject } from '../../src/model.js';
import { readNetwork } from '../../src/network/index.js';
import { operationOf } from '../../src/network/operations/index.js';
import {
  countsWhole,
  integerResult,
  LARGEST_WHOLE,
  mayGrow,
  numbersIn,
} from '../../src/network/operations/integers.js';
import type { Operation } from '../../src/network/operations/operation.js';
import { integerType, valueType } from '../../src/network/operations/tensor-operation.js';
import type { NetworkNode, Value } from '../../src/network/types.js';
import { layerFor } from './rows.js';
import { ends, info, input, layer, lines, net, on, problems, tensor } from './support.js';

const x: Json = { tensor: 0 };
const y: Json = { tensor: 1 };
const op = (...args: Json[]): JsonObject => ({ args, kwargs: {} });
const heldValue = (type: string): Value => {
  const integer = integerType(type);
  return { shape: [null, 8], dtype: valueType(type), ...(integer ? { integer } : {}) };
};

/** A row whose outputs have the type of its inputs. */
const SAME: Operation = { attributes: {}, dtype: 'same', shape: ({ shapes }) => [shapes[0] as number[]] };

/** The type that a row makes of inputs, `float` for none, or `!` and why not. */
function made(row: string, given: JsonObject, types: string, isKeras3 = true): string {
  const { operation, attributes, problems } = layerFor(row, given);
  assert.equal(problems, [], row);
  const inputs = types.split(' ').map(heldValue);
  const { type, fault } = integerResult(row, operation, attributes, inputs, isKeras3);
  return fault === undefined ? (type ?? 'float') : `!${fault}`;
}

const wrap = (what: string, type: string) =>
  `!${what} of type ${type}, which wrap at its limits: cast to float32 or int32 before`;
const arithmetic = (type: string) => wrap('arithmetic on values', type);

test('types of operands together', () => {
  for (const [types, want] of [
    ['uint8 uint8', 'uint8'],
    ['uint8 int8', 'int16'],
    ['uint8 int16', 'int16'],
    ['int16 uint16', 'int32'],
    ['uint16 int32', 'int32'],
    ['int32 uint32', 'int64'],
    ['uint8 uint32', 'uint32'],
    ['int8 int64', 'int64'],
    ['uint64 int8', 'float'],
    ['uint64 uint8', 'uint64'],
    ['uint8 bool', 'uint8'],
    ['uint8 float32', 'float'],
    ['bool bool', 'float'],
  ] as const)
    assert.is(made('ops.Maximum', op(x, y), types), want, types);
});

test('arithmetic: what wraps where int32 does not is refused', () => {
  for (const name of ['Add', 'Subtract', 'Multiply', 'SquaredDifference']) {
    for (const type of ['uint8', 'int8', 'int16', 'uint16', 'uint32', 'uint64'])
      assert.is(made(`ops.${name}`, op(x, y), `${type} ${type}`), arithmetic(type), `${name} ${type}`);
    for (const type of ['int32', 'int64']) assert.is(made(`ops.${name}`, op(x, y), `${type} ${type}`), type);
    assert.is(made(`ops.${name}`, op(x, 3), 'uint8'), arithmetic('uint8'));
    assert.is(made(`ops.${name}`, op(x, 0.5), 'uint8'), 'float');
    assert.is(made(`ops.${name}`, op(x, y), 'uint8 float32'), 'float');
    assert.is(made(`ops.${name}`, op(x, 1), 'bool'), 'int32');
    assert.is(made(`ops.${name}`, op(x, y), 'uint8 int32'), 'int32');
  }
  for (const name of ['Add', 'Subtract', 'Multiply', 'Average'])
    assert.is(made(name, {}, 'int8 uint8'), arithmetic('int16'), name);
  assert.is(made('Add', {}, 'int32 int32'), 'int32');
  assert.is(made('Average', {}, 'int32 int32'), 'float');
  for (const name of ['Negative', 'Square'])
    assert.is(made(`ops.${name}`, op(x), 'int8'), arithmetic('int8'));
  for (const name of ['Abs', 'Absolute']) {
    assert.is(made(`ops.${name}`, op(x), 'int8'), arithmetic('int8'));
    assert.is(made(`ops.${name}`, op(x), 'uint8'), 'uint8');
  }
  for (const name of ['FloorDivide', 'Mod']) {
    assert.is(made(`ops.${name}`, op(x, 7), 'uint8'), 'uint8');
    assert.is(made(`ops.${name}`, op(x, 300), 'uint8'), '!300 beside values of type uint8');
    assert.is(made(`ops.${name}`, op(x, 7), 'int16'), arithmetic('int16'));
    assert.is(made(`ops.${name}`, op(x, 7), 'int32'), 'int32');
  }
});

test('products, sums and means', () => {
  const products = (type: string) => wrap('sums of products or powers of values', type);
  for (const type of ['uint8', 'int32', 'int64']) {
    assert.is(made('ops.Matmul', op(x, y), `${type} ${type}`), products(type));
    assert.is(made('ops.Power', op(x, 2), type), products(type));
    assert.is(made('Dot', { axes: 1 }, `${type} ${type}`), products(type));
    assert.is(made('ops.Prod', op(x), type), wrap('a product of values', type));
  }
  const einsum: JsonObject = { args: [x, y], kwargs: { subscripts: 'bi,bi->b' } };
  assert.is(made('ops.Einsum', einsum, 'int32 int32'), products('int32'));
  assert.is(made('ops.Matmul', op(x, y), 'int32 float32'), 'float');
  assert.is(made('ops.Power', op(x, 0.5), 'uint8'), 'float');
  const sums = { uint8: 'uint32', int8: 'int32', uint16: 'uint32', int16: 'int32', uint32: 'uint32' };
  for (const [type, sum] of Object.entries({ ...sums, int32: 'int32', int64: 'int64', bool: 'int32' }))
    assert.is(made('ops.Sum', op(x), type), sum);
  assert.is(made('ops.Prod', op(x), 'bool'), 'int32');
  // TensorFlow adds in the type of the values.
  assert.is(made('ops.Sum', op(x), 'uint8', false), wrap('a sum of values', 'uint8'));
  assert.is(made('ops.Sum', op(x), 'int32', false), 'int32');
  assert.is(made('ops.Sum', op(x), 'int16', false), wrap('a sum of values', 'int16'));
  for (const row of ['ops.Mean', ...[1, 2, 3].map((rank) => `GlobalAveragePooling${rank}D`)]) {
    const given = row === 'ops.Mean' ? op(x) : {};
    assert.is(made(row, given, 'uint8'), 'float');
    for (const type of ['uint8', 'int32'])
      assert.is(made(row, given, type, false), '!a mean of whole numbers, which TensorFlow rounds');
  }
});

test('casts: to what holds every number, or refused', () => {
  const cast = (to: string, from: string) => made('ops.Cast', { args: [x], kwargs: { dtype: to } }, from);
  for (const [from, to] of [
    ...[['uint8', 'uint8'] as const, ['uint8', 'int16'] as const, ['int8', 'int32'] as const],
    ...[['uint16', 'uint32'] as const, ['int32', 'int64'] as const, ['int64', 'int32'] as const],
    ...[['uint32', 'int32'] as const, ['float32', 'int32'] as const, ['float32', 'int64'] as const],
    ...[['bool', 'uint8'] as const, ['bool', 'int8'] as const],
  ])
    assert.is(cast(to, from), to, `${from} ${to}`);
  for (const [from, to] of [
    ...[['uint8', 'int8'] as const, ['int8', 'uint8'] as const, ['int8', 'uint32'] as const],
    ...[['int32', 'int16'] as const, ['int32', 'uint32'] as const, ['uint16', 'int16'] as const],
    ...[['int64', 'uint8'] as const, ['uint32', 'uint16'] as const],
  ])
    assert.is(cast(to, from), `!a cast of ${from} to ${to}, which wraps at its limits`);
  assert.is(cast('uint8', 'float32'), '!a cast of float to uint8, which wraps at its limits');
  assert.is(cast('int16', 'float32'), '!a cast of float to int16, which wraps at its limits');
  assert.is(cast('float32', 'uint8'), 'float');
  assert.is(cast('bool', 'uint8'), 'float');
  const like = (dtype: Json, from: string) => made('ops.OnesLike', { args: [x], kwargs: { dtype } }, from);
  assert.equal(
    [like('uint8', 'float32'), like('float32', 'uint8'), like(null, 'int8')],
    ['uint8', 'float', 'int8'],
  );
  assert.is(made('ops.ZerosLike', { args: [x], kwargs: { dtype: 'int8' } }, 'uint8'), 'int8');
  // A cast to int32 holds every float that Keras casts to it; one to fewer numbers does not.
  assert.is(cast('uint32', 'float32'), '!a cast of float to uint32, which wraps at its limits');
  assert.is(cast('uint64', 'int64'), '!a cast of int64 to uint64, which wraps at its limits');
});

test('what keeps whole numbers, makes floats of them, and whole numbers of floats', () => {
  for (const row of ['Flatten', 'Masking', 'Dropout', 'ReLU', 'ThresholdedReLU', 'ZeroPadding2D'])
    assert.is(made(row, {}, 'uint8'), 'uint8', row);
  for (const rank of [1, 2, 3]) assert.is(made(`GlobalMaxPooling${rank}D`, {}, 'uint8'), 'uint8');
  for (const row of ['Maximum', 'Minimum']) assert.is(made(row, {}, 'uint8 int8'), 'int16', row);
  for (const row of ['AugMix', 'CutMix', 'MixUp', 'Solarization', 'MaxNumBoundingBoxes'])
    assert.is(
      integerResult(row, operationOf(row) ?? SAME, {}, [heldValue('uint8')], true).type,
      undefined,
      row,
    );
  for (const row of [
    'Rescaling',
    'Dense',
    'LeakyReLU',
    'RandomFlip',
    'BatchNormalization',
    'Embedding',
    'Resizing',
  ]) {
    const sizes = { units: 1, input_dim: 9, output_dim: 2, height: 4, width: 4 };
    const own = Object.fromEntries(
      Object.entries(sizes).filter(([key]) =>
        ({ Dense: /units/, Embedding: /put_dim/, Resizing: /ht|th/ })[row]?.test(key),
      ),
    );
    assert.is(made(row, own, 'uint8'), 'float', row);
  }
  for (const name of ['linear', 'relu', 'relu6'])
    assert.is(made('Activation', { activation: name }, 'int8'), 'int8', name);
  assert.is(made('Activation', { activation: 'tanh' }, 'int8'), 'float');
  assert.is(made('ReLU', { negative_slope: 0.5 }, 'int8'), 'float');
  assert.is(made('ReLU', { max_value: 300 }, 'uint8'), '!300 beside values of type uint8');
  assert.is(made('ReLU', { max_value: 6.5 }, 'int32'), '!6.5 beside values of type int32');
  const again = '!values of type int32, of which Keras makes whole numbers again';
  for (const row of ['LayerNormalization', 'RMSNormalization', 'GroupNormalization'])
    assert.is(made(row, {}, 'int32'), again, row);
  assert.is(made('LayerNormalization', {}, 'int32', false), 'float');
  assert.is(made('UpSampling2D', { interpolation: 'bilinear' }, 'int32'), again);
  assert.is(made('UpSampling2D', { interpolation: 'bilinear' }, 'int32', false), 'int32');
  assert.is(made('UpSampling2D', {}, 'int32'), 'int32');
  for (const name of ['Argmax', 'Argmin'])
    assert.is(made(`ops.${name}`, { args: [x], kwargs: { axis: 1 } }, 'uint8'), 'int32');
  assert.is(made('ops.Argmax', { args: [x], kwargs: { axis: 1 } }, 'float32'), 'int32');
  assert.is(made('ops.Greater', op(x, 300), 'uint8'), 'float');
  assert.is(made('ops.Where', op(x, y, { tensor: 2 }), 'bool uint8 int8'), 'int16');
  assert.is(made('ops.Where', op(x, y, -1), 'bool uint8'), '!-1 beside values of type uint8');
  assert.is(made('ops.Where', op(x, 3, -1), 'uint8'), 'int32');
});

test('numbers beside whole numbers have to be among them', () => {
  const clip = (low: Json, high: Json, type: string) =>
    made('ops.Clip', { args: [x], kwargs: { x_min: low, x_max: high } }, type);
  assert.is(clip(5, 100, 'uint8'), 'uint8');
  assert.is(clip(0, 255, 'uint8'), 'uint8');
  assert.is(clip(-3, 100, 'uint8'), '!-3 beside values of type uint8');
  assert.is(clip(5, 256, 'uint8'), '!256 beside values of type uint8');
  assert.is(clip(-128, 127, 'int8'), 'int8');
  assert.is(clip(-129, 127, 'int8'), '!-129 beside values of type int8');
  assert.is(clip(0.5, 3, 'int32'), '!0.5 beside values of type int32');
  assert.is(clip(0.5, 3, 'float32'), 'float');
  const pad: JsonObject = {
    args: [x],
    kwargs: {
      pad_width: [
        [0, 0],
        [1, 1],
      ],
      constant_values: -7,
    },
  };
  assert.is(made('ops.Pad', pad, 'uint8'), '!-7 beside values of type uint8');
  assert.is(made('ops.Maximum', op(x, [[1, 300]]), 'uint8'), '!300 beside values of type uint8');
  assert.equal(numbersIn([null, 2, [3, [4.5]]]), [2, 3, 4.5]);
});

test('in a network: the type stands with the value, and what is behind a cast to float32 is free', () => {
  const cast = (name: string, before: string, dtype: string) =>
    layer('Cast', name, {}, [{ args: [tensor(before)], kwargs: { dtype } }]);
  const sum = (name: string, before: string) =>
    layer('Add', name, {}, [on([tensor(before), tensor(before)])]);
  const image = input('x', [null, 4], { dtype: 'uint8' });
  const wrong = net([image, sum('twice', 'x')], ends('x'), ends('twice'));
  assert.equal(problems(wrong), [`unsupported-layer twice: ${arithmetic('uint8').slice(1)}`]);
  assert.is(lines(wrong)[1], 'input x: %0 uint8 [?, 4]');
  const own = { ...cast('c', 'x', 'float32'), config: { name: 'c' }, module: 'keras.src.ops.core' };
  assert.equal(problems(net([image, own, sum('twice', 'c')], ends('x'), ends('twice'))), []);
  const scaled = layer('Rescaling', 'r', { scale: 0.5 }, [on(tensor('x'))]);
  assert.equal(problems(net([image, scaled, sum('twice', 'r')], ends('x'), ends('twice'))), []);
});

test('a layer whose own type is one of whole numbers: floats are refused, whole numbers stay', () => {
  const flat = (dtype: string, from: string, version?: string) =>
    problems(
      net(
        [input('x', [null, 4], { dtype: from }), layer('Flatten', 'f', { dtype }, [on(tensor('x'))])],
        ends('x'),
        ends('f'),
      ),
      [],
      version,
    );
  assert.equal(flat('uint8', 'float32'), ['unsupported-layer f: values of type uint8']);
  assert.equal(flat('int32', 'float32'), ['unsupported-layer f: values of type int32']);
  assert.equal(flat('int32', 'uint8'), []);
  assert.equal(flat('float32', 'uint8'), []);
  const scaled = layer('Rescaling', 'r', { scale: 2, dtype: 'int32' }, [on(tensor('x'))]);
  assert.equal(problems(net([input('x', [null, 4], { dtype: 'int32' }), scaled], ends('x'), ends('r'))), [
    'unsupported-layer r: values of type int32',
  ]);
  const table = layer('Embedding', 'e', { input_dim: 3, output_dim: 2, dtype: 'int32' }, [on(tensor('x'))]);
  assert.equal(problems(net([input('x', [null, 4]), table], ends('x'), ends('e'))), []);
});

test('nodes whose whole numbers may be too large for float32', () => {
  const counts = (dtype: string, ...operation: Parameters<typeof layer>) => {
    const network = readNetwork(
      info(net([input('x', [null, 4], { dtype }), layer(...operation)], ends('x'), ends(operation[1]))),
    );
    return network.nodes.map((node: NetworkNode) => countsWhole(node, network.values)).join();
  };
  const two: Json = [on([tensor('x'), tensor('x')])];
  const plain: Json = [on(tensor('x'))];
  for (const name of ['Add', 'Subtract', 'Multiply', 'Average']) {
    assert.is(counts('int32', name, 'm', {}, two), 'true', name);
    assert.is(counts('float32', name, 'm', {}, two), 'false', name);
  }
  assert.is(counts('bool', 'Average', 'm', {}, two), 'false');
  assert.is(LARGEST_WHOLE, 16_777_216);
  assert.is(counts('int32', 'Maximum', 'm', {}, two), 'false');
  assert.is(counts('int32', 'Flatten', 'm', {}, plain), 'false');
  assert.is(counts('int64', 'Embedding', 'm', { input_dim: 3, output_dim: 2 }, plain), 'false');
  assert.is(counts('int32', 'ops.Greater', 'm', {}, [on(tensor('x'), 3)]), 'true');
  assert.is(counts('uint8', 'ops.Greater', 'm', {}, [on(tensor('x'), 3)]), 'false');
  assert.is(counts('int32', 'ops.Add', 'm', {}, [on(tensor('x'), 0.5)]), 'false');
  assert.is(counts('int16', 'ops.Sum', 'm', {}, [{ args: [tensor('x')], kwargs: { axis: 1 } }]), 'true');
  assert.equal(['ops.Sum', 'ops.Cast', 'Add', 'ops.Maximum', 'Dense'].map(mayGrow), [
    true,
    true,
    true,
    false,
    false,
  ]);
});

test.run();
