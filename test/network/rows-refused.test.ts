// What each row of the table of operations refuses, and why.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Json, JsonObject } from '../../src/model.js';
import { type Layer, layerOf } from '../../src/network/layer.js';
import { applied } from './rows.js';

type Case = [row: string, given: JsonObject, inputs: string[], want: string | undefined];

const conv: JsonObject = { filters: 4, kernel_size: 3 };

function refuses(...[row, given, inputs, want]: Case): void {
  assert.is(applied(row, given, inputs).fault, want, `${row} ${JSON.stringify(given)} of ${inputs}`);
}

test('windows that an input is too small for, axes that it does not have, groups that do not divide', () => {
  for (const rank of [1, 2, 3]) {
    const small = '2,'.repeat(rank);
    const flat = `?,${'8,'.repeat(rank - 1)}4`;
    const axes = `an input of ${rank + 1} axes where it takes ${rank + 2}`;
    const pools = ['MaxPooling', 'AveragePooling', 'GlobalMaxPooling', 'GlobalAveragePooling'];
    for (const name of [...pools, 'UpSampling', 'ZeroPadding', 'Cropping'])
      refuses(`${name}${rank}D`, {}, [flat], axes);
    refuses(`Conv${rank}D`, conv, [flat], axes);
    refuses(`Conv${rank}DTranspose`, conv, [flat], axes);
    const steps = `an input of ${rank + 2} axes where it takes ${rank + 3}`;
    refuses(`ConvLSTM${rank}D`, conv, [flat.replace('?', '?,5')], steps);

    const window = (shape: string) => `an input of shape [,${shape}] is smaller than its window`;
    refuses(`Conv${rank}D`, conv, [`?,${small}4`], window(`${small}4`));
    refuses(`MaxPooling${rank}D`, { pool_size: 3 }, [`?,${small}4`], window(`${small}4`));
    const first = `4,${small.slice(0, -1)}`;
    const pool = { pool_size: 3, strides: 5, data_format: 'channels_first' };
    refuses(`MaxPooling${rank}D`, pool, [`?,${first}`], window(first));

    for (const [groups, channels] of [
      [3, 6],
      [2, 3],
      [0, 4],
    ]) {
      const what = `groups: ${groups} of ${channels} channels and 4 filters`;
      refuses(`Conv${rank}D`, { ...conv, groups: groups as number }, [`?,${small}${channels}`], what);
    }
  }
});

test('what a row refuses, and why', () => {
  const slice = (start: Json, stop: Json, step: Json = null): Json => ({
    ...{ class_name: '__slice__', config: { start, stop, step } },
  });
  const whole = slice(null, null);
  const op = (args: Json[], kwargs: JsonObject = {}, count = 1): JsonObject => ({
    args: [...Array.from({ length: count }, (_, tensor): Json => ({ tensor })), ...args],
    kwargs,
  });
  const two = (kwargs: JsonObject = {}): JsonObject => ({ args: [[{ tensor: 0 }, { tensor: 1 }]], kwargs });
  const heads: JsonObject = { num_heads: 2, key_dim: 3 };
  const groups: JsonObject = { head_dim: 2, num_query_heads: 6, num_key_value_heads: 3 };
  const x = '?,4,3';
  const batch = 'samples of a batch repeated';
  const cases: Case[] = [
    [
      'DepthwiseConv2D',
      { kernel_size: 3 },
      ['?,2,9,4'],
      'an input of shape [,2,9,4] is smaller than its window',
    ],
    ['SeparableConv1D', conv, ['?,2,4'], 'an input of shape [,2,4] is smaller than its window'],
    ['SeparableConv1D', { ...conv, groups: 2 }, ['?,8,4'], 'groups: 2'],
    ['Conv1DTranspose', { ...conv, output_shape: [null, 11, 4] }, ['?,8,4'], 'output_shape: [null,11,4]'],
    ['Conv1DTranspose', { ...conv, output_shape: [9, 10, 4] }, ['?,8,4'], undefined],
    ['Conv1DTranspose', { ...conv, output_shape: [9, null, 4] }, ['?,8,4'], undefined],
    ['Conv1DTranspose', { ...conv, output_shape: [9, 11, 4] }, ['?,?,4'], undefined],
    [
      'Resizing',
      { height: 2, width: 2, crop_to_aspect_ratio: true },
      ['?,4,4,3'],
      'cropping, padding or antialiasing',
    ],
    [
      'Resizing',
      { height: 2, width: 2, pad_to_aspect_ratio: true },
      ['?,4,4,3'],
      'cropping, padding or antialiasing',
    ],
    ['Resizing', { height: 2, width: 2, antialias: true }, ['?,4,4,3'], 'cropping, padding or antialiasing'],
    ['LSTM', { units: 2 }, ['?,4'], 'an input of 2 axes where it takes 3'],
    ['MultiHeadAttention', heads, ['?,4,3'], 'a call without value'],
    ['MultiHeadAttention', heads, [], 'a call without query'],
    ['MultiHeadAttention', { ...heads, output_shape: [2, 3] }, [x, x], 'an output_shape of several axes'],
    ['MultiHeadAttention', { ...heads, sliding_window: 4 }, [x, x], undefined],
    [
      'MultiHeadAttention',
      { ...heads, sliding_window: 4 },
      ['?,2,4,3', x],
      'a sliding window over several axes',
    ],
    ['GroupQueryAttention', groups, [x], 'a call without value'],
    ['GroupQueryAttention', groups, [x, '?,2,4,3'], 'a value of several axes'],
    [
      'GroupQueryAttention',
      { ...groups, num_key_value_heads: 4 },
      [x, x],
      '6 query heads, 4 heads of keys and values',
    ],
    ['MultiHeadAttention', { ...heads, attention_axes: [2] }, [x, x], 'attention_axes: [2]'],
    ['MultiHeadAttention', { ...heads, attention_axes: [1, 3] }, [x, x], 'attention_axes: [1,3]'],
    ['Attention', {}, [x], 'a call without value'],
    ['AdditiveAttention', {}, [x], 'a call without value'],
    ['Attention', { score_mode: 'concat' }, [x, x], 'score_mode: concat'],
    ['Dense', { units: 2 }, ['?'], 'an input of 1 axes'],
    ['Add', {}, [x], '1 inputs where it takes at least two'],
    ['Add', {}, [x, '?,5,3'], 'inputs of [?, 4, 3] and [?, 5, 3]'],
    ['Subtract', {}, [x, x, x], '3 inputs where it takes two'],
    ['Subtract', {}, [x, '?,5,3'], 'inputs of [?, 4, 3] and [?, 5, 3]'],
    ['Concatenate', {}, [x, '?,5,3'], 'inputs of [?, 4, 3] and [?, 5, 3]'],
    ['Concatenate', { axis: 1 }, [x, '?,4,2'], 'inputs of [?, 4, 3] and [?, 4, 2]'],
    ['Concatenate', {}, [x, '?,4'], 'inputs of [?, 4, 3] and [?, 4]'],
    ['BatchNormalization', { mode: 2 }, [x], 'mode: 2'],
    ['BatchNormalization', { axis: [1, 2] }, [x], 'axis: [1,2]'],
    ['BatchNormalization', { axis: [2] }, [x], undefined],
    ['BatchNormalization', { axis: 0 }, [x], 'axis 0 of an input of 3 axes'],
    ['BatchNormalization', { axis: 3 }, [x], 'axis 3 of an input of 3 axes'],
    ['BatchNormalization', { axis: -3 }, [x], 'axis -3 of an input of 3 axes'],
    ['BatchNormalization', { axis: 1 }, [x], undefined],
    ['Equalization', {}, [x], 'its values depend on the other images of a batch'],
    ['ops.Add', op([[1, 2]]), [x], 'inputs of [?, 4, 3] and [2]'],
    ['ops.Greater', op([], {}, 2), [x, '?,5,3'], 'inputs of [?, 4, 3] and [?, 5, 3]'],
    ['ops.Sum', op([]), [x], 'a sum over the samples of a batch'],
    ['ops.Mean', op([], { axis: [1, 0] }), [x], 'a sum over the samples of a batch'],
    ['ops.Max', op([], { axis: [-3] }), [x], 'a sum over the samples of a batch'],
    ['ops.Max', op([], { axis: 1, initial: 0 }), [x], 'initial: expected none, got 0'],
    ['ops.Min', op([], { axis: 1, initial: 0 }), [x], 'initial: expected none, got 0'],
    ['ops.Einsum', op([], { subscripts: 'a,b,c->abc' }, 3), ['2', '3', '4'], '3 operands'],
    ['ops.OneHot', op([], { num_classes: 3, axis: 1 }), [x], 'axis: 1'],
    ['ops.OneHot', op([], { num_classes: 3, sparse: true }), [x], 'axis: -1'],
    ['ops.Concatenate', two({ axis: 1 }), [x, '?,4,2'], 'inputs of [?, 4, 3] and [?, 4, 2]'],
    ['ops.Stack', two(), [x, x], 'a new axis before the batch'],
    ['ops.Stack', two({ axis: 1 }), [x, '?,4,2'], 'inputs of [?, 4, 3] and [?, 4, 2]'],
    ['ops.ExpandDims', op([], { axis: 0 }), [x], 'a new axis before the batch'],
    ['ops.ExpandDims', op([], { axis: [1, -4] }), [x], 'a new axis before the batch'],
    ['ops.Squeeze', op([], { axis: -1 }), [x], 'axis -1 of length 3'],
    ['ops.Squeeze', op([], { axis: [1] }), [x], 'axis 1 of length 4'],
    ['ops.Reshape', op([[4, 3]]), [x], 'a shape that begins with 4 instead of the batch'],
    ['ops.Reshape', op([[-1, 3]]), [x], 'a shape that mixes samples of a batch'],
    ['ops.Reshape', op([[-1, 5, -1]]), [x], '12 values in the shape [5,-1]'],
    ['ops.Reshape', op([[null, 4, 3]]), [x], undefined],
    ['ops.Reshape', op([[-1, 4, 3]]), ['?,?,3'], undefined],
    ['ops.Reshape', op(['x']), [x], 'newshape: expected a shape of numbers, got "x"'],
    ['ops.Transpose', op([[1, 0, 2]]), [x], 'the batch to another place'],
    ['ops.Transpose', op([]), [x], 'the batch to another place'],
    ['ops.Swapaxes', op([0, 1]), [x], 'the batch to another place'],
    ['ops.Swapaxes', op([-3, 1]), [x], 'the batch to another place'],
    ['ops.Repeat', op([2]), [x], batch],
    ['ops.Repeat', op([2], { axis: 0 }), [x], batch],
    ['ops.Tile', op([[2, 1, 1]]), [x], batch],
    ['ops.Tile', op([[1, 1, 1, 1]]), [x], batch],
    [
      'ops.Pad',
      op([
        [
          [1, 0],
          [0, 0],
          [0, 0],
        ],
      ]),
      [x],
      'samples added to a batch',
    ],
    ['ops.Pad', op([[[0, 1]]]), [x], 'samples added to a batch'],
    ['ops.Pad', op([[]]), [x], undefined],
    ...[[[0, 0], 1], [[0, 0, 0]], [[0, -1]], [[0, 0.5]]].map(
      (pads): Case => [
        'ops.Pad',
        op([pads as Json]),
        [x],
        `pad_width: expected pairs of numbers, got ${JSON.stringify(pads)}`,
      ],
    ),
    ['ops.Pad', op([2]), [x], 'pad_width: expected pairs of numbers, got 2'],
    ['ops.Pad', op([[[0, 0]]], { mode: 'reflect' }), [x], 'mode: expected constant, got "reflect"'],
    ...['x', 0, 1.5, 4097, [-1], [0.5], Array(4096).fill(1)].map(
      (cuts) => ['ops.Split', op([cuts as Json], { axis: 1 }), [x], 'parts that are no numbers'] as Case,
    ),
    ['ops.Split', op([2]), [x], 'a part of the batch'],
    ['ops.Split', op([2], { axis: -3 }), [x], 'a part of the batch'],
    [
      'ops.Split',
      op([3], { axis: 1 }),
      [x],
      'parts of [1.3333333333333333,1.3333333333333333,1.3333333333333333]',
    ],
    ['ops.Split', op([[3, 1]], { axis: 1 }), [x], 'parts of [3,-2,3]'],
    ['ops.Split', op([[0, 4]], { axis: 1 }), [x], undefined],
    ['ops.Split', op([], { sizes: [1, 3], axis: 1 }), [x], undefined],
    ['ops.Split', op([], { sizes: [1, 'x'], axis: 1 }), [x], 'parts that are no numbers'],
    ['ops.Split', op([4096], { axis: 1 }), ['?,4096,3'], undefined],
    ['ops.Cast', op([], { dtype: 'string' }), [x], 'dtype: string'],
    ['ops.Cast', op([], { dtype: 'xint8' }), [x], 'dtype: xint8'],
    ['ops.Cast', op([], { dtype: 'int8x' }), [x], 'dtype: int8x'],
    ...'bool uint8 int16 float32 float64 bfloat16'
      .split(' ')
      .map((dtype) => ['ops.Cast', op([], { dtype }), [x], undefined] as Case),
    ['ops.GetItem', op([[whole, 4]]), [x], 'place 4 of 4'],
    ['ops.GetItem', op([[whole, null, -5]]), [x], 'place -5 of 4'],
    ['ops.GetItem', op([[whole, -4, 2]]), [x], undefined],
    ['ops.GetItem', op([[whole, 9]]), ['?,?,3'], undefined],
    ['ops.GetItem', op([[whole, 0, 0, 0]]), [x], 'more places than axes'],
    ['ops.GetItem', op([[null, whole]]), [x], 'a part of the batch'],
    ...[0, slice(1, null), slice(null, 2), slice(null, null, 2), slice(null, null, -1)].map(
      (first) => ['ops.GetItem', op([[first]]), [x], 'a part of the batch'] as Case,
    ),
    ['ops.GetItem', op([[slice(null, null, 1), 0]]), [x], undefined],
    ['ops.GetItem', op([whole]), [x], undefined],
    ['ops.GetItem', op([['x']]), [x], 'key: expected numbers, slices, new axes and ..., got ["x"]'],
    ['ops.GetItem', op([]), [x], 'key: expected numbers, slices, new axes and ..., got nothing'],
  ];
  for (const one of cases) refuses(...one);
  const ellipsis: Json = { class_name: '__ellipsis__', config: {} };
  const key = op([[ellipsis, ellipsis]]);
  assert.match(applied('ops.GetItem', key, [x]).fault as string, 'key: expected numbers, slices');
  const crop = { class_name: 'RandomCrop', config: { height: 2, width: 2 } };
  const { operation, attributes } = layerOf(crop, false) as Layer;
  const of = { attributes, shapes: [[null, 8, 8, 3]], roles: ['x'] };
  assert.is(operation?.fault?.(of), 'Keras 2 resizes images with it outside of training');
});

test('a vector that Keras 3 on TensorFlow adds along another axis than its own', () => {
  const what = (shape: string, axis: number, at: number) =>
    `a vector along axis ${axis} of [${shape}], which Keras 3 on TensorFlow adds along axis ${at}, as long`;
  const dense = (bias_axes: string | null, ...output_shape: number[]): JsonObject => ({
    ...{ equation: 'abc,bd->adc', output_shape, bias_axes },
  });
  refuses('EinsumDense', dense('d', 5, 5), ['?,3,5'], what('?, 5, 5', 1, 2));
  refuses('EinsumDense', dense('d', 4, 5), ['?,3,5'], undefined);
  for (const axes of ['c', 'dc', null]) refuses('EinsumDense', dense(axes, 5, 5), ['?,3,5'], undefined);
  const heads: JsonObject = { equation: 'abc,cde->abde', output_shape: [4, 4, 2], bias_axes: 'd' };
  refuses('EinsumDense', heads, ['?,4,3'], what('?, 4, 4, 2', 2, 1));

  const plus = (numbers: Json): JsonObject => ({ args: [{ tensor: 0 }, numbers], kwargs: {} });
  const column = [[1], [2], [3], [4]];
  refuses('ops.Add', plus(column), ['?,4,4'], what('?, 4, 4', 1, 2));
  refuses('ops.Add', plus(column), ['?,4,3'], undefined);
  for (const numbers of [1, [1], [1, 2, 3, 4], [[1, 2, 3, 4]], [[1], [2]]])
    refuses('ops.Add', plus(numbers), [`?,${numbers === 1 ? 4 : (numbers as Json[]).length},4`], undefined);
  refuses('ops.Subtract', plus(column), ['?,4,4'], undefined);

  // In predict, which is compiled, convolutions add it where it belongs, and so does Keras 2.
  const first: JsonObject = { filters: 4, kernel_size: 1, data_format: 'channels_first' };
  refuses('Conv2D', first, ['?,2,6,4'], undefined);
  const { own, application } = applied('EinsumDense', dense('d', 5, 5), ['?,3,5']);
  assert.is(own.fault?.({ ...application, isKeras3: false }), undefined);
});

test('a softmax of Keras 3 that states to have no axis takes all samples together', () => {
  const without = 'axis: expected an axis or a list of axes, got null';
  refuses('Softmax', { axis: null }, ['?,4'], without);
  for (const row of ['ops.Softmax', 'ops.LogSoftmax']) {
    refuses(row, { args: [{ tensor: 0 }], kwargs: {} }, ['?,4'], undefined);
    const { problems } = layerOf({ class_name: row, config: { axis: null } }, true, {
      args: [{ tensor: 0 }],
      kwargs: {},
    }) as Layer;
    assert.equal(problems, [without]);
  }
  assert.equal((layerOf({ class_name: 'Softmax', config: { axis: null } }, false) as Layer).problems, []);
});

test.run();
