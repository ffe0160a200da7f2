// What becomes of masks at a call, in Keras 3 and before. `test/slow/graphs-keras` holds it against Keras itself.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Mask, type MaskedCall, maskRule } from '../../src/network/masks.js';

const mask: Mask = { value: () => 0 };
const other: Mask = { value: () => 1 };
const call = (operation: string, given: Partial<MaskedCall> = {}): MaskedCall => ({
  ...{
    operation,
    attributes: {},
    roles: ['x'],
    masks: [mask],
    isGiven: false,
    steps: 0,
    rank: 3,
    isKeras3: true,
  },
  ...given,
});

test('recurrent layers take the mask of their input; in Keras 3 not beside initial states', () => {
  const given = { roles: ['x', 'state', 'state'], masks: [mask, undefined, undefined] };
  for (const isKeras3 of [true, false]) {
    assert.equal(maskRule(call('LSTM', { isKeras3 })).used, [[mask, 'mask']]);
    const { used, result } = maskRule(
      call('LSTM', { ...given, isKeras3, attributes: { return_sequences: true } }),
    );
    assert.equal(used, isKeras3 ? [] : [[mask, 'mask']]);
    assert.is(result, mask);
    // One that the call itself gives is taken by all.
    assert.equal(maskRule(call('LSTM', { ...given, isKeras3, isGiven: true })).used, [[mask, 'mask']]);
  }
  assert.is(maskRule(call('GRU')).result, undefined);
});

test('merges that choose values by masks are refused in Keras 3, and only there', () => {
  const two = { roles: ['x', 'x'], masks: [mask, other] };
  for (const name of ['Multiply', 'Maximum', 'Minimum']) {
    for (const masks of [
      [mask, mask],
      [mask, other],
      [undefined, mask],
    ])
      assert.match(maskRule(call(name, { ...two, masks })).problem as string, /^a mask of its inputs/);
    assert.is(maskRule(call(name, { ...two, isKeras3: false })).problem, undefined);
    assert.is(maskRule(call(name, { ...two, masks: [undefined, undefined] })).problem, undefined);
  }
  assert.equal(maskRule(call('Add', two)), { used: [], result: { combine: 'or' } });
  assert.equal(maskRule(call('Add', { ...two, isKeras3: false })), { used: [], result: { combine: 'and' } });
  assert.equal(maskRule(call('Add', { ...two, masks: [mask, mask] })), { used: [], result: mask });
  assert.equal(maskRule(call('Add', { ...two, masks: [mask, undefined] })), { used: [], result: 'unclear' });
});

test('masks joined over time and over features', () => {
  const two = { roles: ['x', 'x'], masks: [mask, other] };
  const joined = (axis: number, masks: readonly Mask[]) =>
    maskRule(call('Concatenate', { ...two, masks, attributes: { axis } })).result;
  for (const axis of [1, -2]) assert.equal(joined(axis, [mask, other]), { concatenate: 1 });
  assert.is(joined(1, [mask, undefined]), 'unclear');
  assert.is(joined(1, [mask, { ...other, isLate: true }]), 'unclear');
  assert.is(joined(-1, [mask, mask]), mask);
  assert.is(joined(2, [mask, other]), 'unclear');
});

test('layers that know no masks end them', () => {
  assert.equal(maskRule(call('Conv1D')), { used: [], result: undefined });
  assert.equal(maskRule(call('Flatten')), { used: [], result: undefined });
  assert.is(maskRule(call('Dense')).result, mask);
  assert.is(maskRule(call('Dense', { masks: [undefined] })).result, undefined);
});

test.run();
