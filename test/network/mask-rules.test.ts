// What becomes of masks at a call: the rules of `compute_mask` in tf_keras 2.21 and Keras 3.15.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Mask, type MaskedCall, maskRule } from '../../src/network/masks.js';

const a: Mask = { value: () => 1 };
const b: Mask = { value: () => 2 };
const late: Mask = { value: () => 3, isLate: true };

/** The rule for a call of a layer on tensors with masks; of rank 3 in Keras 3 unless said otherwise. */
const rule = (operation: string, masks: readonly Mask[], more: Partial<MaskedCall> = {}) =>
  maskRule({
    ...{ operation, attributes: {}, masks, roles: masks.map(() => 'x') },
    ...{ isGiven: false, steps: 0, rank: 3, isKeras3: true, ...more },
  });

const NOTHING = { used: [], result: undefined };
const passes = (mask: Mask) => ({ used: [], result: mask });

test('masks begin at Masking, and at an Embedding that masks zeros', () => {
  assert.equal(rule('Masking', [undefined]), { used: [], result: 'own' });
  assert.equal(rule('Masking', [a]), { used: [], result: 'own' });
  assert.equal(rule('Embedding', [undefined], { attributes: { mask_zero: true } }), {
    ...{ used: [], result: 'own' },
  });
  assert.equal(rule('Embedding', [undefined], { attributes: { mask_zero: false } }), NOTHING);
  assert.equal(rule('Embedding', [undefined]), NOTHING);
  assert.equal(rule('Dense', [undefined], { attributes: { mask_zero: true } }), NOTHING);
});

test('layers of one step, of activations and of noise hand a mask on', () => {
  const names =
    'Activation ReLU LeakyReLU PReLU ELU ThresholdedReLU Dense Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D ' +
    'GaussianNoise GaussianDropout AlphaDropout ActivityRegularization Identity BatchNormalization LayerNormalization ' +
    'GroupNormalization UnitNormalization Rescaling Normalization';
  for (const name of names.split(' ')) {
    assert.equal(rule(name, [a]), passes(a), name);
    assert.equal(rule(name, ['unclear']), passes('unclear'), name);
    assert.equal(rule(name, [undefined]), NOTHING, name);
  }
  assert.equal(rule('RMSNormalization', [a]), NOTHING);
  const before = (name: string) => rule(name, [a], { isKeras3: false });
  for (const name of ['Identity', 'Rescaling', 'Normalization']) assert.equal(before(name), NOTHING, name);
  for (const name of ['Dense', 'UnitNormalization']) assert.equal(before(name), passes(a), name);
});

test('what Keras gives no mask has none behind it', () => {
  const names =
    'Conv1D Flatten Reshape MaxPooling1D GlobalMaxPooling1D Dot SpatialDropout4D ' +
    // Classes of others, whose names hold those of Keras.
    'NotDense DenseX AddNorm SafeAdd MyLSTM LSTMNorm LinearAttention AttentionPool';
  for (const name of names.split(' ')) assert.equal(rule(name, [a]), NOTHING, name);
});

test('a Softmax of masked values is computed otherwise: refused by name', () => {
  assert.equal(rule('Softmax', [a]), { ...passes(a), problem: 'a mask of its input' });
  // A mask of another input does not count.
  assert.equal(rule('Softmax', [undefined, a]), NOTHING);
});

test('recurrent layers use the mask, and hand it on with sequences', () => {
  const used = [[a, 'mask']];
  for (const name of ['LSTM', 'GRU', 'SimpleRNN', 'Bidirectional']) {
    assert.equal(rule(name, [a]), { used, result: undefined }, name);
    const attributes = { return_sequences: true };
    assert.equal(rule(name, [a], { attributes }), { used, result: a }, name);
    assert.equal(rule(name, [undefined, undefined]), NOTHING, name);
    // The mask of a state alone is not one of the sequence.
    assert.equal(rule(name, [undefined, b]), { used: [[undefined, 'mask']], result: undefined }, name);
    // Keras 3 does not use it beside initial states.
    const roles = ['x', 'state'];
    assert.equal(rule(name, [a, undefined], { roles, attributes }), { used: [], result: a }, name);
    const before = { roles, attributes, isKeras3: false };
    assert.equal(rule(name, [a, undefined], before), { used, result: a }, name);
  }
  for (const name of ['ConvLSTM1D', 'ConvLSTM2D', 'ConvLSTM3D']) {
    const problem = 'a mask or an initial state';
    assert.equal(rule(name, [a]), { used, result: undefined, problem }, name);
    assert.equal(rule(name, [undefined, b]), { used: [[undefined, 'mask']], result: undefined }, name);
  }
});

test('inside TimeDistributed masks are those of the outer steps', () => {
  assert.equal(rule('Dense', [a], { steps: 1 }), passes(a));
  assert.equal(rule('Flatten', [a], { steps: 1 }), passes(a));
  assert.equal(rule('LSTM', [a], { steps: 1 }), {
    ...{ ...passes(a), problem: 'a mask inside TimeDistributed' },
  });
  assert.equal(rule('LSTM', [undefined], { steps: 2 }), NOTHING);
});

test('an average over time leaves masked steps out', () => {
  assert.equal(rule('GlobalAveragePooling1D', [a]), { used: [[a, 'mask']], result: undefined });
});

test('attention uses the masks of queries, values and, with several heads, keys', () => {
  const roles = ['query', 'value', 'key', 'attention_mask'];
  const masks = [a, b, late, undefined];
  const two = [
    [a, 'query_mask'],
    [b, 'value_mask'],
  ];
  for (const name of ['Attention', 'AdditiveAttention'])
    assert.equal(rule(name, masks, { roles }), { used: two, result: a }, name);
  assert.equal(rule('MultiHeadAttention', masks, { roles }), {
    ...{ used: [...two, [late, 'key_mask']], result: a, clears: true },
  });
  assert.equal(rule('MultiHeadAttention', [undefined, b], { roles: ['query', 'value'] }), {
    used: [
      [undefined, 'query_mask'],
      [b, 'value_mask'],
    ],
    ...{ result: undefined, clears: true },
  });
});

test('merged tensors: one mask for all stays, several are joined by "or" in Keras 3 and by "and" before', () => {
  const choosing = ['Multiply', 'Maximum', 'Minimum'];
  for (const name of ['Add', 'Subtract', 'Average', ...choosing])
    for (const isKeras3 of [true, false]) {
      const merged = (masks: readonly Mask[], attributes = {}) => rule(name, masks, { isKeras3, attributes });
      const what = `${name} ${isKeras3}`;
      if (isKeras3 && choosing.includes(name)) {
        const problem = 'a mask of its inputs, by which Keras 3 chooses values';
        for (const masks of [
          [a, a],
          [a, b],
          [undefined, a],
        ])
          assert.equal(merged(masks), { ...passes('unclear'), problem }, what);
        assert.equal(merged([undefined, undefined]), NOTHING, what);
        continue;
      }
      assert.equal(merged([a, a]), passes(a), what);
      assert.equal(merged([a, b]), { used: [], result: { combine: isKeras3 ? 'or' : 'and' } }, what);
      // Where one has none, or one that is not known, it is not known.
      assert.equal(merged([a, undefined]), passes('unclear'), what);
      assert.equal(merged(['unclear', a]), passes('unclear'), what);
      // "axis" means nothing to them.
      assert.equal(merged([a, a], { axis: 1 }), passes(a), what);
    }
  for (const name of ['SafeMultiply', 'MultiplyBy']) assert.equal(rule(name, [a, b]), NOTHING, name);
});

test('tensors side by side: one mask for all stays; of different ones versions of Keras differ', () => {
  for (const attributes of [{ axis: -1 }, { axis: 2 }]) {
    assert.equal(rule('Concatenate', [a, a], { attributes }), passes(a));
    assert.equal(rule('Concatenate', [a, b], { attributes }), passes('unclear'));
    assert.equal(rule('Concatenate', [a, undefined], { attributes }), passes('unclear'));
  }
});

test('tensors one after the other: their masks are, too, where all have one that is known as early', () => {
  const join = { used: [], result: { concatenate: 1 } };
  for (const attributes of [{ axis: 1 }, { axis: -2 }]) {
    assert.equal(rule('Concatenate', [a, b], { attributes }), join);
    assert.equal(rule('Concatenate', [a, a], { attributes }), join);
    assert.equal(rule('Concatenate', [late, late], { attributes }), join);
    assert.equal(rule('Concatenate', [a, late], { attributes }), passes('unclear'));
    assert.equal(rule('Concatenate', [a, undefined], { attributes }), passes('unclear'));
    assert.equal(rule('Concatenate', ['unclear', a], { attributes }), passes('unclear'));
  }
  // Along another axis, and where the rank that tells which one it is is not known.
  assert.equal(rule('Concatenate', [a, b], { attributes: { axis: 2 }, rank: 4 }), passes('unclear'));
  assert.equal(rule('Concatenate', [a, b], { attributes: { axis: -2 }, rank: undefined }), passes('unclear'));
  assert.equal(rule('Concatenate', [a, a], { attributes: { axis: 2 }, rank: undefined }), passes('unclear'));
  assert.equal(rule('Concatenate', [a, b], { attributes: { axis: 1 }, rank: undefined }), join);
});

test.run();
