// Options as they are decided, and decoding into memory of the caller.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import { decodeHalf, floatToHalf } from '../../src/formats/float16.js';
import { requireFinite } from '../../src/schemes/finite.js';
import { inverseOf, inverseOfMax } from '../../src/schemes/grids.js';
import { packLevels, unpackLevels } from '../../src/schemes/levels.js';
import {
  codingOf,
  dequantizeTensor,
  quantizedBytes,
  quantizeTensor,
  SCHEME_NAMES,
} from '../../src/schemes/quantize.js';
import { fillTarget, holds, sinkOf } from '../../src/schemes/target.js';
import type { QuantizeOptions } from '../../src/schemes/types.js';
import { backends } from '../kernels/support.js';
import { throws } from '../support/throws.js';

const kernels = (backends.find(([name]) => name === 'simd') as (typeof backends)[0])[1];

test('defaults: per channel along the last axis, float32 scales; means of signs, least squares of int2, amax of int4', () => {
  const base = { granularity: 'channel', groupSize: undefined, scaleDtype: 'F32', axes: [2] } as const;
  assert.equal(codingOf({ scheme: 'binary' }, 3), { ...base, scheme: 'binary', scale: 'mean' });
  assert.equal(codingOf({ scheme: 'int2' }, 3), { ...base, scheme: 'int2', scale: 'lsq' });
  assert.equal(codingOf({ scheme: 'int4' }, 3), { ...base, scheme: 'int4', scale: 'absmax' });
  assert.equal(codingOf({ scheme: 'int4' }, 0).axes, [0]);
  assert.equal(codingOf({ scheme: 'int4' }, 1).axes, [0]);
  assert.is(SCHEME_NAMES, 'binary, int2 or int4');
});

test('what is asked for stays', () => {
  const asked: QuantizeOptions = {
    ...({ scheme: 'int4', granularity: 'group', groupSize: 1 } as const),
    ...({ scale: 'hqq', scaleDtype: 'F16', axes: [0, 1] } as const),
  };
  assert.equal(codingOf(asked, 3), asked);
});

test('every rule that a scheme has is taken, every other refused', () => {
  const rules = {
    ...{ binary: ['mean', 'none', 'lsq', 'hqq', 'calibrated'], int2: ['lsq', 'absmax', 'hqq', 'calibrated'] },
    int4: ['absmax', 'lsq', 'hqq', 'calibrated'],
  } as const;
  for (const scheme of ['binary', 'int2', 'int4'] as const)
    for (const scale of ['none', 'absmax', 'mean', 'lsq', 'hqq', 'calibrated'] as const) {
      const isThere = (rules[scheme] as readonly string[]).includes(scale);
      if (isThere) assert.is(codingOf({ scheme, scale }, 2).scale, scale);
      else throws(() => codingOf({ scheme, scale }, 2), RangeError);
    }
  throws(
    () => codingOf({ scheme: 'binary', scale: 'absmax' }, 2, 'tensor t'),
    RangeError,
    '"scale" expected one of mean, none, lsq, hqq for scheme binary, got "absmax" (tensor t)',
  );
});

test('wrong options are refused by name', () => {
  const refused = (options: object, text: string) =>
    assert.throws(
      () => codingOf(options as QuantizeOptions, 2, 't'),
      (error: Error) => {
        assert.instance(error, RangeError);
        return error.message.startsWith(text);
      },
    );
  for (const scheme of [undefined, null, 7, 'int3', 'toString', ['int4']])
    refused({ scheme }, '"scheme" expected binary, int2 or int4, got ');
  for (const scaleDtype of ['F64', 'f16', 16, ''])
    refused({ scheme: 'int4', scaleDtype }, '"scaleDtype" expected F32 or F16, got ');
  for (const groupSize of [undefined, 0, -1, 1.5, Number.NaN, '4'])
    refused(
      { scheme: 'int4', granularity: 'group', groupSize },
      '"groupSize" expected an integer of at least 1, got ',
    );
  refused({ scheme: 'int4', groupSize: 4 }, '"groupSize" expected granularity group, got "channel"');
  refused(
    { scheme: 'int4', granularity: 'tensor', groupSize: 4 },
    '"groupSize" expected granularity group, got "tensor"',
  );
  refused(
    { scheme: 'int4', granularity: 'row' },
    '"granularity" expected tensor, channel or group, got "row"',
  );
});

const ones = (scale: number) =>
  quantizeTensor(kernels, Float32Array.of(scale, -scale, scale / 2), [3], {
    scheme: 'binary',
    granularity: 'tensor',
    scale: 'none',
  });

test('into memory of the caller: as float32, or as half precision rounded half to even', () => {
  const weights = Float32Array.from({ length: 40 }, (_, i) => Math.sin(i));
  for (const scheme of ['binary', 'int2', 'int4'] as const) {
    const tensor = quantizeTensor(kernels, weights, [8, 5], { scheme });
    const exact = dequantizeTensor(kernels, tensor);
    const floats = new Float32Array(43).fill(7);
    assert.is(dequantizeTensor(kernels, tensor, floats), floats);
    assert.equal([...floats], [...exact, 7, 7, 7]);
    const bits = new Uint16Array(41).fill(7);
    assert.is(dequantizeTensor(kernels, tensor, bits), bits);
    assert.equal([...bits], [...floatToHalf(exact), 7]);
    throws(() => dequantizeTensor(kernels, tensor, new Float32Array(39), 'tensor t'), RangeError);
  }
});

test('65,504 is the largest half: from 65,520 on a value is refused, with either sign', () => {
  const half = new Uint16Array(3);
  const tensorOf = (scheme: 'binary' | 'int2' | 'int4', scale: number) => {
    const rule = scheme === 'binary' ? 'mean' : 'absmax';
    const options = { scheme, scale: rule, granularity: 'tensor' } as const;
    return {
      ...quantizeTensor(kernels, new Float32Array(3).fill(7), [3], options),
      scales: Float32Array.of(scale),
    };
  };
  // A weight of the largest magnitude lies on the level 1, 1.5 or 7; int4 has a level of 8 besides, which is not used here.
  for (const [scheme, top] of [
    ['binary', 1],
    ['int2', 1.5],
    ['int4', 7],
  ] as const)
    for (const sign of [1, -1]) {
      const most = dequantizeTensor(kernels, tensorOf(scheme, (sign * 65519) / top), half);
      assert.is(decodeHalf(most[0] as number), sign * 65504, scheme);
      const over = tensorOf(scheme, (sign * 65521) / top);
      const value = dequantizeTensor(kernels, over)[0];
      throws(
        () => dequantizeTensor(kernels, over, half, 'tensor t'),
        RangeError,
        `"out" expected a Float32Array for the value ${value}, got "half precision" (tensor t)`,
      );
      assert.is(dequantizeTensor(kernels, over, new Float32Array(3))[0], value);
    }
});

test('whether half precision holds every value of some scales', () => {
  const [half, float] = [new Uint16Array(1), new Float32Array(1)];
  assert.is(holds(half, Float32Array.of(1, 8189.9), 8), true);
  assert.is(holds(half, Float32Array.of(1, 8190), 8), false);
  assert.is(holds(half, Float32Array.of(-8190), 8), false);
  assert.is(holds(half, Float32Array.of(-65519), 1), true);
  assert.is(holds(half, Float32Array.of(43680), 1.5), false);
  assert.is(holds(float, Float32Array.of(3e38), 8), true);
  assert.is(holds(half, new Float32Array(0), 8), true);
});

test('values are copied to what is long enough, infinities and NaN as they are', () => {
  const values = Float32Array.of(1, -2, Number.POSITIVE_INFINITY, Number.NaN);
  const bits = fillTarget(values, new Uint16Array(5), 't');
  assert.equal([...bits], [0x3c00, 0xc000, 0x7c00, 0x7e00, 0]);
  assert.equal([...fillTarget(values, new Float32Array(4), 't')], [...values]);
  throws(
    () => fillTarget(values, new Uint16Array(3), 'tensor t'),
    RangeError,
    '"out" expected at least 4 floats, got 3 (tensor t)',
  );
  for (const value of [65520, -65520])
    throws(
      () => fillTarget(Float32Array.of(1, value), new Uint16Array(2), 't'),
      RangeError,
      `for the value ${value}`,
    );
  assert.is(decodeHalf(fillTarget(Float32Array.of(65519), new Uint16Array(1), 't')[0] as number), 65504);
  const floats = new Float32Array(2);
  assert.is(sinkOf(floats), floats);
});

test('inverses are finite, and 0 for scale 0', () => {
  assert.is(inverseOf(0), 0);
  assert.is(inverseOf(-0), 0);
  assert.is(inverseOf(4), 0.25);
  assert.is(inverseOf(3), Math.fround(1 / 3));
  assert.is(inverseOf(2 ** -149), 3.4028234663852886e38);
  assert.is(inverseOfMax('int4', 0), 0);
  assert.is(inverseOfMax('int4', 3), Math.fround(7 / 3));
  assert.is(inverseOfMax('int2', 3), 0.5);
  assert.is(inverseOfMax('int4', 2 ** -149), 3.4028234663852886e38);
});

test('a weight that is not finite is named with its index, from where its slice begins', () => {
  const weights = Float32Array.of(0, Number.NaN, Number.POSITIVE_INFINITY);
  throws(
    () => requireFinite(weights, Float32Array.of(1, Number.NaN), 't', 10),
    BitnibbleError,
    'got NaN at index 11 (t)',
  );
  throws(
    () => requireFinite(weights.slice(2), Float64Array.of(Number.NaN), 't'),
    BitnibbleError,
    'got Infinity at index 0 (t)',
  );
  // Sums that overflow are no fault of the weights; finite sums say that all are.
  requireFinite(Float32Array.of(3e38, 3e38), Float32Array.of(Number.POSITIVE_INFINITY), 't');
  requireFinite(weights, Float32Array.of(1), 't');
});

test('scales that half precision makes infinite or 0 are refused; bytes as stored', () => {
  const of = (w: number) => () =>
    quantizeTensor(
      kernels,
      Float32Array.of(w, 0),
      [2, 1],
      { scheme: 'binary', scaleDtype: 'F16', granularity: 'group', groupSize: 1 },
      'tensor t',
    );
  assert.is(quantizedBytes(of(65519)()), 1 + 2 * 2, 'a scale of 0 that was 0 before is no loss');
  throws(of(65520), RangeError, '"scaleDtype" expected F32 for the scale 65520, got "F16" (tensor t)');
  throws(
    of(2 ** -25),
    RangeError,
    '"scaleDtype" expected F32 for the scale 2.9802322387695312e-8, got "F16" (tensor t)',
  );
  assert.is(of(2 ** -24)().scales[0], 2 ** -24);
  assert.is(quantizedBytes(ones(1)), 1 + 4);
});

test('a scalar is one block; shapes are copied', () => {
  const shape: number[] = [];
  const tensor = quantizeTensor(kernels, Float32Array.of(-3), shape, { scheme: 'int4' });
  assert.equal(tensor.layout, { outer: 1, channels: 1, inner: 1, groupRows: 1 });
  assert.equal([...dequantizeTensor(kernels, tensor)], [-3]);
  assert.ok(tensor.shape !== shape);
  const group = { scheme: 'int4', granularity: 'group', groupSize: 2 } as const;
  assert.equal([...dequantizeTensor(kernels, quantizeTensor(kernels, Float32Array.of(7), [], group))], [7]);
});

test('levels: none, and counts that do not belong to the codes', () => {
  for (const scheme of ['binary', 'int2', 'int4'] as const) {
    assert.equal(packLevels(kernels, scheme, new Uint8Array(0)), new Uint8Array(0));
    assert.equal(unpackLevels(kernels, scheme, new Uint8Array(0), 0), new Uint8Array(0));
    assert.throws(
      () => unpackLevels(kernels, scheme, new Uint8Array(0), 1),
      /"codes" expected 1 bytes, got 0/,
    );
    throws(() => unpackLevels(kernels, scheme, [1] as unknown as Uint8Array, 1), TypeError);
  }
});

test('arguments of the wrong kind are refused by name', () => {
  const wrong = [1] as unknown as Uint8Array;
  throws(() => packLevels(kernels, 'int2', wrong), TypeError, '"levels" expected a Uint8Array');
  throws(() => unpackLevels(kernels, 'int2', wrong, 1), TypeError, '"codes" expected a Uint8Array');
  throws(() => packLevels(kernels, 'int2', Uint8Array.of(4)), RangeError, 'got 4 (index 0)');
  const weights = [1] as unknown as Float32Array;
  throws(
    () => quantizeTensor(kernels, weights, [1], { scheme: 'int4' }),
    TypeError,
    '"weights" expected a Float32Array, got "object" (tensor)',
  );
  const tensor = quantizeTensor(kernels, Float32Array.of(1, 2), [2], { scheme: 'int4' });
  assert.throws(
    () => dequantizeTensor(kernels, tensor, new Float32Array(1)),
    /"out" expected at least 2 floats/,
  );
  // Values that only float32 holds are refused for half precision, and not for float32.
  const large = Float32Array.of(1e9);
  assert.equal(fillTarget(large, new Float32Array(1), 't'), large);
});

test('a tensor without weights', () => {
  for (const scheme of ['binary', 'int2', 'int4'] as const)
    for (const scale of ['lsq', 'hqq'] as const) {
      const tensor = quantizeTensor(kernels, new Float32Array(0), [0, 3], { scheme, scale });
      assert.is(tensor.codes.length, 0);
      assert.equal(dequantizeTensor(kernels, tensor), new Float32Array(0));
    }
});

test.run();
