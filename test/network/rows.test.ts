// Every row of the table of operations: shapes, weights, number types and defaults as Keras tells them
// (test/fixtures/rows/make_rows.py), and what training changes. rows-refused.test.ts has what is refused.
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Json, JsonObject } from '../../src/model.js';
import { type Layer, layerOf } from '../../src/network/layer.js';
import { OPERATIONS, operationOf } from '../../src/network/operations/index.js';
import { MASKS, slopeOf } from '../../src/network/operations/layers.js';
import type { Application, Operation, WeightRole } from '../../src/network/operations/operation.js';
import { readAttributes } from '../../src/network/operations/read-attributes.js';
import {
  bidirectional,
  CALL_FLAGS,
  CELLS,
  cellOf,
  everyRecurrent,
  gatesOf,
  givesZeros,
  mergedWays,
} from '../../src/network/operations/sequences.js';
import { outputType } from '../../src/network/operations/tensor-operation.js';
import type { Shape } from '../../src/network/types.js';
import { applied, layerFor, tensorOf, textOf } from './rows.js';

type Line = [row: string, given: JsonObject, inputs: string[], outputs: string[], weights: string[]];
const lines: (Line | [row: string, defaults: JsonObject])[] = readFileSync(
  new URL('../fixtures/rows/rows.jsonl', import.meta.url),
  'utf8',
)
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));
const told = lines.filter((line): line is Line => line.length === 5);

test('shapes, weights and number types are those that Keras tells', () => {
  for (const [row, given, inputs, outputs, weights] of told) {
    const what = `${row} ${JSON.stringify(given)} of ${inputs.join(' and ')}`;
    const found = applied(row, given, inputs);
    assert.is(found.fault, undefined, what);
    assert.equal(
      found.shapes,
      outputs.map((text) => textOf(tensorOf(text).shape)),
      what,
    );
    assert.is(found.type, tensorOf(outputs[0] as string).type, what);
    const isOpen = (text: string) =>
      /^(EinsumDense|Normalization)$/.test(row) || /^(renorm|moving_stddev)/.test(text);
    assert.equal(
      found.weights,
      weights.map((text) => (isOpen(text) ? text.split(' ')[0] : text)),
      what,
    );
  }
});

test('where the shape of an input is not known nothing follows from it, and nothing is refused for it', () => {
  for (const [row, given, inputs] of told) {
    const { application, own } = applied(row, given, inputs);
    const shapes = inputs.map(() => undefined);
    const unknown: Application = { ...application, shapes };
    assert.is(own.shape(unknown), undefined, row);
    assert.is(own.fault?.(unknown), undefined, row);
    const [known, open] = [application, unknown].map((one) =>
      typeof own.weights === 'function' ? own.weights(one) : [],
    ) as [WeightRole[], WeightRole[]];
    assert.equal(
      open.map(({ role }) => role),
      known.map(({ role }) => role),
      row,
    );
    for (const [i, { shape }] of open.entries())
      shape?.forEach((n, axis) => {
        assert.ok(n === null || n === known[i]?.shape?.[axis], `${row} ${known[i]?.role}`);
      });
  }
});

/** What files leave out is what the Keras took that wrote them, where that is another one. */
const OLDER: Readonly<Record<string, readonly string[]>> = {
  // Null is Keras's default to who computes it.
  AutoContrast: ['value_range'],
  LeakyReLU: ['negative_slope'],
  Rescaling: ['offset'],
  Resizing: ['fill_mode', 'fill_value'],
  GRU: ['reset_after'],
  ...Object.fromEntries([1, 2, 3].map((rank) => [`ConvLSTM${rank}D`, ['recurrent_activation']])),
};

test('what a configuration leaves out is what Keras takes', () => {
  for (const [row, defaults] of lines.filter((line) => line.length === 2) as [string, JsonObject][]) {
    const table = operationOf(row)?.attributes ?? {};
    const given = Object.fromEntries(Object.entries(defaults).filter(([key]) => key in table));
    for (const key of OLDER[row] ?? []) delete given[key];
    const read = (config: JsonObject) => readAttributes(table, config, { isKeras3: true });
    assert.equal(read({}), read(given), row);
  }
});

test("rows that Keras is not asked for by name: other packages' functions, old layers, masks", () => {
  const x = '?,4,3';
  const op = (...args: Json[]): JsonObject => ({ args: args as Json, kwargs: {} });
  const t = (tensor: number): Json => ({ tensor });
  for (const [row, given, inputs, outputs, type = 'float32'] of [
    ['ops.SquaredDifference', op(t(0), t(1)), [x, '?,1,3'], [x]],
    ['ops.SquaredDifference', op(t(0), t(1)), [`int32 ${x}`, '?,1,3'], [x]],
    ['ops.SquaredDifference', op(t(0), 2), [`int32 ${x}`], [x], 'int32'],
    ['ops.L2Normalize', { args: [t(0)], kwargs: { axis: -1 } }, [x], [x]],
    ['ops.Mish', op(t(0)), [x], [x]],
    ['ops.Exponential', op(t(0)), [x], [x]],
    ['ops.ZerosLike', op(t(0)), [`bool ${x}`], [x], 'bool'],
    ['ops.OnesLike', { args: [t(0)], kwargs: { dtype: 'int32' } }, [x], [x], 'int32'],
    ['ops.ReLU', op(t(0)), [`int32 ${x}`], [x]],
    ['ThresholdedReLU', {}, [x], [x]],
    ['RandomCrop', { height: 2, width: 2 }, ['?,8,8,3'], ['?,8,8,3']],
    ['ComputeMask', {}, ['int32 ?,4'], ['?,4'], 'bool'],
    ['ComputeMask', { tokens: false }, [x], ['?,4'], 'bool'],
    ['ConcatenateMasks', { axis: 1 }, ['bool ?,4', 'bool ?,5'], ['?,9'], 'bool'],
    ['ConcatenateMasks', {}, ['bool ?,2,4', 'bool ?,2,5'], ['?,2,9'], 'bool'],
    ['CombineMasks', { how: 'and' }, ['bool ?,4', 'bool ?,1'], ['?,4'], 'bool'],
    // Keras's symbolic tensors have lengths in another order here, or twice the same; its outputs have these.
    ['EinsumDense', { equation: '...x,xy->...y', output_shape: 4 }, ['?,5,6,3'], ['?,5,6,4']],
    ['EinsumDense', { equation: 'a...x,xy->a...y', output_shape: [4] }, ['?,5,6,3'], ['?,5,6,4']],
    [
      'MultiHeadAttention',
      { num_heads: 2, key_dim: 3, return_attention_scores: true },
      ['?,5,6', '?,7,4', '?,7,3'],
      ['?,5,6', '?,2,5,7'],
    ],
    ['MultiHeadAttention', { num_heads: 2, key_dim: 3 }, ['?,5,6', '?,7,4'], ['?,5,6']],
    // TensorFlow's split has lengths, NumPy's has cuts.
    ['ops.Split', { args: [t(0)], kwargs: { sizes: [1, 3], axis: 1 } }, [x], ['?,1,3', '?,3,3']],
    ['ops.Argmax', op(t(0)), [x], [''], 'int32'],
    ['ops.Argmin', { args: [t(0)], kwargs: { keepdims: true } }, [x], ['1,1,1'], 'int32'],
    ['Cropping1D', { cropping: 5 }, ['?,8,4'], ['?,0,4']],
    ['ops.Repeat', { args: [t(0)], kwargs: { axis: 1 } }, [x], [x]],
  ] as [string, JsonObject, string[], string[], string?][]) {
    const found = applied(row, given, inputs);
    const what = `${row} ${JSON.stringify(given)}`;
    assert.equal([found.fault, found.shapes, found.type], [undefined, outputs, type], what);
    assert.is(
      found.own.shape({ ...found.application, shapes: inputs.map(() => undefined) }),
      undefined,
      what,
    );
  }
  assert.equal(
    [slopeOf({}), slopeOf({ alpha: 0.1 }), slopeOf({ negative_slope: 0, alpha: 1 })],
    [0.3, 0.1, 0],
  );
  const { own } = applied('ComputeMask', {}, ['int32 ?,4']);
  assert.equal(Object.keys(own.attributes), ['tokens', 'mask_value']);
  assert.equal(layerFor('ComputeMask', {}).attributes, { tokens: true, mask_value: 0 });
  assert.equal(layerFor('CombineMasks', {}).attributes, { how: 'or' });
});

/** Augmentations that Keras leaves out in `predict`, and the like: they hand on what they are given, whatever their options. */
const AUGMENTATIONS =
  'RandomFlip RandomRotation RandomZoom RandomTranslation RandomContrast RandomBrightness RandomShear RandomHue ' +
  'RandomSaturation RandomSharpness RandomColorJitter RandomColorDegeneration RandomGrayscale RandomPosterization ' +
  'RandomInvert RandomErasing RandomElasticTransform RandomGaussianBlur RandomPerspective RandomHeight RandomWidth ' +
  'Solarization MaxNumBoundingBoxes AugMix CutMix MixUp RandAugment';
const NOISE =
  'Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D GaussianNoise GaussianDropout AlphaDropout';

test('identities outside of training: their weights are of no use, their values keep their type', () => {
  const plain = `${NOISE} ActivityRegularization Identity RandomCrop Equalization`.split(' ');
  const identities = Object.keys(OPERATIONS).filter((row) => operationOf(row)?.isIdentity);
  assert.equal(identities.sort(), [...plain, ...AUGMENTATIONS.split(' ')].sort());
  for (const row of identities) {
    const own = operationOf(row) as Operation;
    assert.is(own.weights, 'any', row);
    assert.is(outputType(own, {}, ['int32']), 'int32', row);
    assert.equal(own.shape({ attributes: {}, shapes: [[null, 2]], roles: ['x'] }), [[null, 2]], row);
  }
  for (const row of AUGMENTATIONS.split(' ')) {
    const layer = layerFor(row, { factor: 0.3, odd: [1, 2], data_format: 'channels_first' });
    assert.equal([layer.problems, layer.attributes], [[], {}], row);
    assert.is(layer.operation?.isTrained?.({}), true, row);
  }
});

test('what training=True changes: noise and dropout that is on, statistics of a batch, augmentation', () => {
  const on: Record<string, JsonObject[]> = {
    ...Object.fromEntries(
      NOISE.split(' ').map((row) => [row, [{ rate: 0.1 }, { p: 0.1 }, { stddev: 0.1 }, { sigma: 0.1 }, {}]]),
    ),
    BatchNormalization: [{}],
    RandomCrop: [{}],
  };
  const off: JsonObject[] = [{ rate: 0 }, { p: 0 }, { stddev: 0 }, { sigma: 0 }, { dropout: 0 }];
  const dropping =
    'LSTM GRU SimpleRNN ConvLSTM1D ConvLSTM2D ConvLSTM3D MultiHeadAttention GroupQueryAttention Attention AdditiveAttention';
  for (const row of dropping.split(' ')) on[row] = [{ dropout: 0.1 }, { recurrent_dropout: 0.1 }];
  for (const [row, { isTrained }] of Object.entries(OPERATIONS)) {
    if (AUGMENTATIONS.split(' ').includes(row)) continue;
    assert.is(isTrained !== undefined, row in on, row);
    for (const config of on[row] ?? [])
      assert.is(isTrained?.(config), true, `${row} ${JSON.stringify(config)}`);
    if (row === 'BatchNormalization' || row === 'RandomCrop') continue;
    for (const config of off)
      assert.is(isTrained?.(config) ?? false, false, `${row} ${JSON.stringify(config)}`);
    if (dropping.split(' ').includes(row)) assert.is(isTrained?.({}), false, row);
  }
});

test('the length of the batch goes through, where it is known', () => {
  const seven = (texts: readonly string[]) => texts.map((text) => text.replace(/(^| )\?/, '$17'));
  for (const [row, given, inputs, outputs] of told) {
    // A reshaped batch is not told; joined along the first axis, two batches are one of twice the length.
    if (row === 'ops.Reshape' || /^\{"args":\[\[.*\]\],"kwargs":\{\}\}$/.test(JSON.stringify(given)))
      continue;
    const want = seven(outputs).map((text) => textOf(tensorOf(text).shape));
    assert.equal(applied(row, given, seven(inputs)).shapes, want, `${row} ${JSON.stringify(given)}`);
  }
});

test('lengths that are not known: those that depend on them are not known either', () => {
  for (const [row, given, inputs, outputs] of told) {
    const open = inputs.map((text) => text.replace(/\d+(,|$)/g, '?$1'));
    if (/^ops.(Squeeze|Add|GetItem|Where)$/.test(row) || inputs.some((text) => !text.includes('?'))) continue;
    const found = applied(row, given, open).shapes ?? outputs;
    for (const [i, text] of found.entries()) {
      const [dims, known] = [text, outputs[i] as string].map((one) => tensorOf(one).shape) as [Shape, Shape];
      assert.is(dims.length, known.length, `${row} ${JSON.stringify(given)}`);
      dims.forEach((n, axis) => {
        assert.ok(n === null || n === known[axis], `${row} ${JSON.stringify(given)} ${text}`);
      });
    }
  }
});

test('gates and states of cells are those of the kernels and outputs that Keras tells', () => {
  for (const [cell, { gates, states }] of Object.entries(CELLS)) {
    const of = told.filter(([row]) => row === cell);
    for (const [, given, , outputs, [kernel = '']] of of) {
      assert.is(
        tensorOf(kernel.replace('kernel ', '')).shape.at(-1),
        gates * Number(given.units ?? given.filters),
      );
      if (given.return_state === true) assert.is(outputs.length, 1 + states);
    }
    assert.ok(
      of.some(([, { return_state }]) => return_state === true),
      cell,
    );
    assert.is(gatesOf(cell), gates);
    assert.is(typeof bidirectional(cell)?.weights, 'function');
  }
  assert.equal(Object.keys(CELLS).length, 6);
  assert.is(gatesOf('Dense'), 1);
  for (const name of ['Dense', 'Attention', 'MultiHeadAttention']) assert.is(bidirectional(name), undefined);
  assert.equal(
    [
      cellOf({ operation: 'LSTM', attributes: {} }),
      cellOf({ operation: 'Bidirectional', attributes: { cell: 'GRU' } }),
    ],
    ['LSTM', 'GRU'],
  );
  const how = { concat: () => 'c', sum: () => 's', mul: () => 'm', ave: () => 'a' };
  const merged = ['concat', 'sum', 'mul', 'ave', null].map((mode) => mergedWays(mode, 'f', 'b', how));
  assert.equal(merged, [['c'], ['s'], ['m'], ['a'], ['f', 'b']]);
  const open = { attributes: { units: 2, return_sequences: true, merge_mode: 'concat' }, roles: ['x'] };
  assert.equal(bidirectional('LSTM')?.shape({ ...open, shapes: [[null, null, 3]] }), [[null, null, 4]]);
});

test('queries without a key: zeros of Keras 3, but for its fused product', () => {
  // Fused: one axis of queries, no dropout, no scores.
  for (const [attributes, axes, want] of [
    [{ zero_masked: true }, 1, false],
    [{ zero_masked: true, dropout: 0 }, 1, false],
    [{ zero_masked: true }, 2, true],
    [{ zero_masked: true, dropout: 0.1 }, 1, true],
    [{ zero_masked: true, return_attention_scores: true }, 1, true],
    [{ zero_masked: true, return_attention_scores: false }, 1, false],
    [{ zero_masked: false, dropout: 0.1, return_attention_scores: true }, 2, false],
    [{}, 2, false],
  ] as const)
    assert.is(givesZeros(attributes, axes), want, JSON.stringify(attributes));
  const mha = { class_name: 'MultiHeadAttention', config: { num_heads: 2, key_dim: 3 } };
  const zeros = [true, false].map((isKeras3) => (layerOf(mha, isKeras3) as Layer).attributes.zero_masked);
  assert.equal(zeros, [true, false]);
});

test('options that some rows have and their like do not', () => {
  const faults = (row: string, given: JsonObject) => layerFor(row, given).problems;
  const conv = { filters: 2, kernel_size: 3 };
  assert.equal(faults('Conv2D', { ...conv, padding: 'causal' }), [
    'padding: expected valid or same, got "causal"',
  ]);
  assert.equal(faults('Conv3D', { ...conv, padding: 'causal' }).length, 1);
  assert.equal(faults('LSTM', { units: 2, reset_after: true }), ['reset_after: true']);
  assert.equal(faults('SimpleRNN', { units: 2, recurrent_activation: 'tanh' }), [
    'recurrent_activation: "tanh"',
  ]);
  assert.equal(faults('AdditiveAttention', { score_mode: 'dot' }), ['score_mode: "dot"']);
  assert.equal(layerFor('Attention', { score_mode: 'dot' }).attributes.score_mode, 'dot');
  for (const rank of [1, 3])
    assert.equal(faults(`UpSampling${rank}D`, { interpolation: 'area' }), ['interpolation: "area"']);
  const ways = 'nearest bilinear bicubic lanczos3 lanczos5 area mitchellcubic gaussian';
  for (const interpolation of ways.split(' ')) {
    assert.equal(faults('UpSampling2D', { interpolation }), [], interpolation);
    assert.equal(faults('Resizing', { height: 2, width: 2, interpolation }), [], interpolation);
  }
  // Keras 1 and 2: GRU of one bias, hard_sigmoid of ConvLSTM.
  assert.is(layerFor('GRU', { units: 2 }).attributes.reset_after, false);
  assert.is(layerFor('ConvLSTM2D', conv).attributes.recurrent_activation, 'hard_sigmoid');
  assert.equal([...CALL_FLAGS], ['use_causal_mask', 'return_attention_scores']);
  for (const row of ['MultiHeadAttention', 'Attention', 'AdditiveAttention'])
    for (const flag of CALL_FLAGS)
      assert.is(layerFor(row, { num_heads: 1, key_dim: 1 }).attributes[flag], false, `${row} ${flag}`);
  for (const row of ['Attention', 'AdditiveAttention']) assert.is(layerFor(row, {}).attributes.causal, false);
  const { attributes } = layerFor('LSTM', { units: 2 });
  assert.equal(
    [attributes.stateful, attributes.zero_output_for_mask, attributes.go_backwards],
    [...[false, false, false]],
  );
  const scores = { num_heads: 2, key_dim: 3, return_attention_scores: true };
  assert.equal(applied('MultiHeadAttention', scores, ['?,5,6', '?,7,4']).shapes, ['?,5,6', '?,2,5,7']);
  // Twice the kernel less the padding of both sides, by Keras's own formula for an output padding.
  const back = { filters: 2, kernel_size: 5, strides: 3, padding: 'same', output_padding: 1 };
  assert.equal(applied('Conv1DTranspose', back, ['?,8,2']).shapes, ['?,23,2']);
});

test('every row is held to something', () => {
  const seen = new Set([...told.map(([row]) => row), ...AUGMENTATIONS.split(' '), ...Object.keys(MASKS)]);
  for (const row of ['ops.SquaredDifference', 'ops.L2Normalize', 'ops.Mish', 'ops.Exponential'])
    seen.add(row);
  for (const row of [
    'ThresholdedReLU',
    'RandomCrop',
    'Equalization',
    'ops.ReLU',
    'ops.ZerosLike',
    'ops.OnesLike',
  ])
    seen.add(row);
  assert.equal(
    Object.keys(OPERATIONS).filter((row) => !seen.has(row)),
    [],
  );
  assert.equal(Object.keys(everyRecurrent(1)), [
    ...['LSTM', 'GRU', 'SimpleRNN', 'ConvLSTM1D', 'ConvLSTM2D', 'ConvLSTM3D', 'Bidirectional'],
  ]);
});

test.run();
