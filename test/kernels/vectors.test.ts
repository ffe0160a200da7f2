// Answers written by hand, and one test for each corner value, over every backend.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { layoutSize } from '../../src/shape.js';
import { backends, columns, hex, tensor } from './support.js';

const f32 = (...values: number[]) => Float32Array.of(...values);
const NAN = Number.NaN;
const INF = Number.POSITIVE_INFINITY;
const TINY = 2 ** -149; // the smallest float32
const MAX = (2 - 2 ** -23) * 2 ** 127;

/** NaNs with a sign and a payload. */
const oddNaNs = () => new Float32Array(Uint32Array.of(0xffc00001, 0x7fa00000, 0xff800001).buffer);

/** Bytes, so that -0 is not 0 and NaN is NaN. */
const same = (got: ArrayBufferView, want: ArrayBufferView) => assert.is(hex(got), hex(want));

for (const [name, k] of backends) {
  const check = (what: string, body: () => void) => test(`${what} (${name})`, body);

  check('packSign: least significant bit first, padding bits zero', () => {
    const weights = f32(1, -1, 1, 1, -1, -1, -1, -1, 2, 3);
    assert.is(hex(k.packSign(weights)), '0d03');
    assert.is(hex(k.packSign(f32())), '');
  });

  check('packSign: only what is greater than zero is 1', () => {
    assert.is(hex(k.packSign(f32(0, -0, NAN, INF, -INF, TINY, -TINY, MAX))), 'a8');
    for (const nan of oddNaNs()) assert.is(hex(k.packSign(f32(nan, 1))), '02');
    assert.is(hex(k.packSign(oddNaNs())), '00');
  });

  check('packSign: every bit has its place', () => {
    for (let size = 1; size <= 130; size++) {
      for (let at = 0; at < size; at++) {
        const weights = new Float32Array(size).fill(-1);
        weights[at] = 1;
        const codes = new Uint8Array(Math.ceil(size / 8));
        codes[at >> 3] = 1 << (at & 7);
        assert.is(hex(k.packSign(weights)), hex(codes), `bit ${at} of ${size}`);
      }
    }
  });

  check('packSignInto: bytes behind the codes stay', () => {
    const out = new Uint8Array(4).fill(0xaa);
    assert.is(k.packSignInto(f32(1, 1, 1, 1, 1, 1, 1, 1, 1), out), out);
    assert.is(hex(out), 'ff01aaaa');
  });

  check('unpackSign: scale * (2b - 1), also for a scale of zero', () => {
    const values = k.unpackSign(Uint8Array.of(0b0110), f32(0.5, 3), columns(2, 2));
    same(values, f32(-0.5, 3, 0.5, -3));
    same(k.unpackSign(Uint8Array.of(0b01), f32(0), tensor(2)), f32(0, -0));
    same(k.unpackSign(Uint8Array.of(0b01), f32(-2), tensor(2)), f32(-2, 2));
  });

  check('unpackSign: every bit has its place', () => {
    for (const size of [1, 7, 8, 9, 31, 32, 33, 63, 64, 65, 127, 130]) {
      for (let at = 0; at < size; at++) {
        const codes = new Uint8Array(Math.ceil(size / 8));
        codes[at >> 3] = 1 << (at & 7);
        const values = new Float32Array(size).fill(-1);
        values[at] = 1;
        same(k.unpackSign(codes, f32(1), tensor(size)), values);
      }
    }
  });

  check('packInt4: low nibble first, the last nibble of an odd length zero', () => {
    const weights = f32(1, 2, -1, -8, 7);
    assert.is(hex(k.packInt4(weights, f32(1), tensor(5))), '218f07');
    assert.is(hex(k.packInt4(f32(), f32(), tensor(0))), '');
  });

  check('packInt4: ties go to the even code', () => {
    const ties = f32(0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, -0.5, -1.5, -2.5, -3.5, -4.5, -5.5, -6.5, -7.5, 7.5);
    //               0    2    2    4    4    6    6    0     -2    -2    -4    -4    -6    -6    -8    7
    assert.is(hex(k.packInt4(ties, f32(1), tensor(16))), '20426406eeccaa78');
  });

  check('packInt4: just below and above a tie', () => {
    const below = 0.49999997;
    const above = 0.50000006;
    assert.is(hex(k.packInt4(f32(below, above, -below, -above), f32(1), tensor(4))), '10f0');
  });

  check('packInt4: -8 is a code, 8 is not', () => {
    assert.is(hex(k.packInt4(f32(-8, 8, -7, 7, -8.5, 7.49, -9, 9), f32(1), tensor(8))), '78797878');
  });

  check('packInt4: products beyond the range of any trick clamp', () => {
    const weights = f32(1e9, -1e9, MAX, -MAX, 2 ** 23, -(2 ** 23), -1.3e7, -2.6e7);
    assert.is(hex(k.packInt4(weights, f32(1), tensor(8))), '87878788');
    assert.is(hex(k.packInt4(weights, f32(MAX), tensor(8))), '87878788');
    assert.is(hex(k.packInt4(f32(INF, -INF), f32(1), tensor(2))), '87');
    // enough of them for four streams
    const many = Float32Array.from({ length: 264 }, (_, i) => weights[i % 8]!);
    assert.is(hex(k.packInt4(many, f32(1), tensor(264))), '87878788'.repeat(33));
    const infinite = Float32Array.from({ length: 264 }, (_, i) => (i % 2 === 0 ? INF : -INF));
    assert.is(hex(k.packInt4(infinite, f32(1), tensor(264))), '87'.repeat(132));
  });

  check('packInt4: NaN gives -8, -0 and subnormals 0', () => {
    assert.is(hex(k.packInt4(f32(NAN, -0, TINY, -TINY), f32(1), tensor(4))), '0800');
    assert.is(hex(k.packInt4(f32(INF, 0), f32(0), tensor(2))), '08');
    for (const nan of [...oddNaNs().keys()]) {
      for (const size of [40, 264]) {
        const weights = new Float32Array(size);
        weights.set(oddNaNs().subarray(nan, nan + 1), 33);
        const codes = new Uint8Array(size / 2);
        codes[16] = 0x80;
        assert.is(hex(k.packInt4(weights, f32(1), tensor(size))), hex(codes));
      }
    }
  });

  check('packInt4: the product is rounded to float32 first', () => {
    // 2.5 + 2^-24 in exact arithmetic, which is above the tie; as float32 it is the tie, and goes to 2
    const weight = f32(2.5 * (1 - 2 ** -24))[0]!;
    const inverse = f32(1 + 2 ** -23)[0]!;
    assert.ok(weight * inverse > 2.5 && Math.fround(weight * inverse) === 2.5);
    assert.is(hex(k.packInt4(f32(weight), f32(inverse), tensor(1))), '02');
  });

  check('packInt4: every nibble has its place', () => {
    for (let size = 1; size <= 130; size++) {
      for (let at = 0; at < size; at++) {
        const weights = new Float32Array(size);
        weights[at] = -1;
        const codes = new Uint8Array(Math.ceil(size / 2));
        codes[at >> 1] = at % 2 === 0 ? 0x0f : 0xf0;
        assert.is(hex(k.packInt4(weights, f32(1), tensor(size))), hex(codes), `nibble ${at} of ${size}`);
      }
    }
  });

  check('packInt4: blocks of groups that end within a byte', () => {
    // [3, 3] in groups of one row: inverses 1; 2; 4 for the rows
    const inverses = f32(1, 1, 1, 2, 2, 2, 4, 4, 4);
    const codes = k.packInt4(f32(1, 1, 1, 1, 1, 1, 1, 1, 1), inverses, columns(3, 3, 1));
    assert.is(hex(codes), '1121224404');
  });

  check('packInt4Into: bytes behind the codes stay', () => {
    const out = new Uint8Array(4).fill(0xaa);
    assert.is(k.packInt4Into(f32(1, 2, 3), f32(1), tensor(3), out), out);
    assert.is(hex(out), '2103aaaa');
  });

  check('packInt4WithAbsMax: an all-zero block has absMax 0 and codes 0', () => {
    const { codes, absMax } = k.packInt4WithAbsMax(f32(0, 1, -0, -2, 0, 2), columns(3, 2));
    same(absMax, f32(0, 2));
    assert.is(hex(codes), '409070'); // 1 * 3.5 = 3.5, a tie: 4
  });

  check('packInt4WithAbsMax: the extremes are 7 and -7', () => {
    for (const most of [1, 0.1, 3e-38, 3.4e38, MAX, 1 / 3]) {
      const { codes, absMax } = k.packInt4WithAbsMax(f32(most, -most), tensor(2));
      same(absMax, f32(most));
      assert.is(hex(codes), '97', `${most}`);
    }
  });

  check('packInt4WithAbsMax: the inverse of a subnormal absMax is the largest float32', () => {
    const { codes, absMax } = k.packInt4WithAbsMax(f32(TINY, 1e-40), tensor(2));
    same(absMax, f32(1e-40));
    assert.is(hex(codes), '00'); // 1e-40 * 3.4e38 = 0.034
  });

  check('unpackInt4: every code, and zero codes of a negative scale', () => {
    const codes = Uint8Array.of(0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe);
    const expected = f32(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1);
    same(k.unpackInt4(codes, f32(1), tensor(16)), expected);
    const long = new Uint8Array(40).map((_, i) => codes[i % 8]!);
    same(
      k.unpackInt4(long, f32(0.5), tensor(80)),
      new Float32Array(80).map((_, i) => expected[i % 16]! / 2),
    );
    same(k.unpackInt4(Uint8Array.of(0x00), f32(-1), tensor(2)), f32(-0, -0));
  });

  check('unpackInt4: every nibble has its place', () => {
    for (const size of [1, 2, 7, 8, 9, 31, 32, 33, 63, 64, 65, 127, 130]) {
      for (let at = 0; at < size; at++) {
        const codes = new Uint8Array(Math.ceil(size / 2));
        codes[at >> 1] = at % 2 === 0 ? 0x03 : 0x30;
        const values = new Float32Array(size);
        values[at] = 3;
        same(k.unpackInt4(codes, f32(1), tensor(size)), values);
      }
    }
  });

  check('packInt2: four codes to a byte, the first in the lowest bits, codes behind the last zero', () => {
    const weights = f32(1, 0, -1, -2, 1.5);
    //                  1  0   3   2 | 1
    assert.is(hex(k.packInt2(weights, f32(1), tensor(5))), 'b101');
    assert.is(hex(k.packInt2(f32(), f32(), tensor(0))), '');
  });

  check('packInt2: the boundaries -1, 0 and 1 belong to the code above', () => {
    const below = f32(-1.0000001, -TINY, 0.99999994, -2.0000002);
    //                 -2         -1      0          -2
    assert.is(hex(k.packInt2(below, f32(1), tensor(4))), '8e');
    const above = f32(-0.99999994, TINY, 1.0000001, -2);
    //                 -1           0     1         -2
    assert.is(hex(k.packInt2(above, f32(1), tensor(4))), '93');
    assert.is(hex(k.packInt2(f32(-1, 0, -0, 1), f32(1), tensor(4))), '43');
  });

  check('packInt2: products beyond the range of any trick clamp', () => {
    const weights = f32(1e9, -1e9, MAX, -MAX, 2 ** 23, -(2 ** 23), 2, -3);
    assert.is(hex(k.packInt2(weights, f32(1), tensor(8))), '9999');
    assert.is(hex(k.packInt2(weights, f32(MAX), tensor(8))), '9999');
    assert.is(hex(k.packInt2(f32(INF, -INF), f32(1), tensor(2))), '09');
  });

  check('packInt2: NaN gives -2, -0 and all of inverse 0 give 0', () => {
    assert.is(hex(k.packInt2(f32(NAN, -0, TINY, -TINY), f32(1), tensor(4))), 'c2');
    assert.is(hex(k.packInt2(f32(INF, 0, -3, 3), f32(0), tensor(4))), '02');
    for (const nan of [...oddNaNs().keys()]) {
      const weights = new Float32Array(40);
      weights.set(oddNaNs().subarray(nan, nan + 1), 33);
      const codes = new Uint8Array(10);
      codes[8] = 0x08;
      assert.is(hex(k.packInt2(weights, f32(1), tensor(40))), hex(codes));
    }
  });

  check('packInt2: the product is rounded to float32 first', () => {
    // 1 - 2^-46 in exact arithmetic, below the boundary; as float32 it is 1
    const weight = 1 - 2 ** -23;
    const inverse = 1 + 2 ** -23;
    assert.ok(weight * inverse < 1 && Math.fround(weight * inverse) === 1);
    assert.is(hex(k.packInt2(f32(weight), f32(inverse), tensor(1))), '01');
  });

  check('packInt2: every code has its place', () => {
    for (let size = 1; size <= 130; size++) {
      for (let at = 0; at < size; at++) {
        const weights = new Float32Array(size);
        weights[at] = -1;
        const codes = new Uint8Array(Math.ceil(size / 4));
        codes[at >> 2] = 3 << (2 * (at & 3));
        assert.is(hex(k.packInt2(weights, f32(1), tensor(size))), hex(codes), `code ${at} of ${size}`);
      }
    }
  });

  check('packInt2: blocks of groups that end within a byte', () => {
    // [3, 3] in groups of one row: the inverses of the rows are 1, -1, 0.5
    const inverses = f32(1, 1, 1, -1, -1, -1, 0.5, 0.5, 0.5);
    const codes = k.packInt2(f32(1, 1, 1, 1, 1, 1, 1, 1, 1), inverses, columns(3, 3, 1));
    assert.is(hex(codes), 'd50f00');
  });

  check('packInt2Into: bytes behind the codes stay', () => {
    const out = new Uint8Array(4).fill(0xaa);
    assert.is(k.packInt2Into(f32(1, -1, 1, -1, 1), f32(1), tensor(5), out), out);
    assert.is(hex(out), 'dd01aaaa');
  });

  check('unpackInt2: (q + 1/2) * scale, one rounding; scales of zero and below', () => {
    const expected = f32(0.5, 1.5, -1.5, -0.5);
    same(k.unpackInt2(Uint8Array.of(0xe4), f32(1), tensor(4)), expected);
    const long = new Uint8Array(20).fill(0xe4);
    same(
      k.unpackInt2(long, f32(0.1), tensor(80)),
      new Float32Array(80).map((_, i) => expected[i % 4]! * f32(0.1)[0]!),
    );
    same(k.unpackInt2(Uint8Array.of(0xe4), f32(0), tensor(4)), f32(0, 0, -0, -0));
    same(k.unpackInt2(Uint8Array.of(0xe4), f32(-2), tensor(4)), f32(-1, -3, 3, 1));
    same(k.unpackInt2(Uint8Array.of(0x04), f32(TINY), tensor(2)), f32(0, 2 * TINY)); // ties to even
    same(k.unpackInt2(Uint8Array.of(0b0100), f32(MAX, 1), columns(1, 2)), f32(MAX / 2, 1.5));
  });

  check('unpackInt2: every code has its place', () => {
    for (const size of [1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 130]) {
      for (let at = 0; at < size; at++) {
        const codes = new Uint8Array(Math.ceil(size / 4));
        codes[at >> 2] = 1 << (2 * (at & 3));
        const values = new Float32Array(size).fill(1);
        values[at] = 3;
        same(k.unpackInt2(codes, f32(2), tensor(size)), values);
      }
    }
  });

  check('projectInt2: sums of w l and l^2', () => {
    const { wq, qq } = k.projectInt2(f32(1, 0.5, -2.5, 9), f32(1, 0.5), columns(2, 2));
    // column 0: l = 1.5, -1.5; column 1: l = 0.5 (0.25), 1.5 (4.5)
    same(wq, Float64Array.of(1.5 + 3.75, 0.25 + 13.5));
    same(qq, Float64Array.of(4.5, 2.5));
    // a run ends within a vector: its neighbours, and nothing, have no level
    const runs = { outer: 1, channels: 2, inner: 5, groupRows: 5 };
    same(k.projectInt2(new Float32Array(10), f32(1, 1), runs).qq, Float64Array.of(1.25, 1.25));
  });

  check('absMax: NaN above infinity above all, canonical', () => {
    const layout = columns(2, 4);
    const max = k.absMax(f32(1, -INF, NAN, -0, -3, NAN, INF, 0), layout);
    same(max, f32(3, NAN, NAN, 0));
    assert.is(hex(max), '00004040' + '0000c07f' + '0000c07f' + '00000000');
    for (const weights of [oddNaNs(), new Float32Array([...oddNaNs(), INF, 1])]) {
      assert.is(hex(k.absMax(weights, tensor(weights.length))), '0000c07f');
    }
    same(k.absMax(f32(1, -INF, 2), tensor(3)), f32(INF));
    same(k.absMax(f32(TINY, -TINY), tensor(2)), f32(TINY));
  });

  check('absMax, absSum: channels that are not the last axis', () => {
    // [2, 2, 2], channels in the middle: channel 0 is 1 2 5 6, channel 1 is 3 4 7 8; groups of 3 rows
    const weights = f32(1, -2, 3, -4, 5, -6, 7, -8);
    const layout = { outer: 2, channels: 2, inner: 2, groupRows: 3 };
    same(k.absMax(weights, layout), f32(5, 7, 6, 8));
    same(k.absSum(weights, layout), Float64Array.of(8, 14, 6, 8));
  });

  check('absSum: the order of a column', () => {
    // 2^24 + 1 is no float32: within 64 rows the ones vanish, across them they count
    const rows = 130;
    const weights = new Float32Array(rows * 2);
    weights[0] = 2 ** 24;
    for (const row of [1, 2, 3, 64, 65, 128]) weights[row * 2] = 1;
    same(k.absSum(weights, columns(rows, 2)), Float64Array.of(2 ** 24 + 3, 0));
  });

  check('absSum: the order of a run', () => {
    // 16 lanes of float32: only elements 16 and 32 share the lane of element 0
    const weights = new Float32Array(2000);
    weights[0] = 2 ** 24;
    for (const at of [1, 15, 16, 32, 33, 1023, 1024, 1999]) weights[at] = 1;
    same(k.absSum(weights, tensor(2000)), Float64Array.of(2 ** 24 + 6));
    // pieces are cut where the index in the tensor is a multiple of 1024
    const layout = { outer: 1, channels: 2, inner: 1000, groupRows: 1000 };
    const second = new Float32Array(2000);
    second[1000] = 2 ** 24;
    second[1016] = 1; // lane 0 of the piece from 1000 to 1023
    second[1032] = 1; // lane 8 of the next
    same(k.absSum(second, layout), Float64Array.of(0, 2 ** 24 + 1));
  });

  check('absSum: NaN and infinity show', () => {
    const sums = k.absSum(f32(1, -INF, NAN, 2, INF, 1), columns(2, 3));
    same(sums, Float64Array.of(3, INF, NAN));
    assert.is(hex(k.absSum(oddNaNs(), tensor(3))), '000000000000f87f');
  });

  check('projectInt4: sums of w q and q^2', () => {
    const { wq, qq } = k.projectInt4(f32(1, 0.4, -2.5, 9), f32(1, 0.5), columns(2, 2));
    // column 0: q = 1, -2; column 1: q = 0 (0.2), 4 (4.5)
    same(wq, Float64Array.of(6, 36));
    same(qq, Float64Array.of(5, 16));
  });

  check('difference: float64 sums that overflow no float32', () => {
    const { signal, noise, maxError } = k.difference(f32(3, -4, 1e30), f32(1, -4.5, 0));
    const big = f32(1e30)[0]! ** 2;
    assert.is(signal, 9 + (16 + big));
    assert.is(noise, 4 + (0.25 + big));
    assert.is(maxError, f32(1e30)[0]!);
    assert.equal(k.difference(f32(), f32()), { signal: 0, noise: 0, maxError: 0 });
  });

  check('difference: tiny and non-finite values', () => {
    assert.equal(k.difference(f32(TINY), f32(-TINY)), {
      signal: TINY ** 2,
      noise: 4 * TINY ** 2,
      maxError: 2 * TINY,
    });
    assert.equal(k.difference(f32(1, INF), f32(1, 0)), { signal: INF, noise: INF, maxError: INF });
    assert.equal(k.difference(f32(5, NAN), f32(1, 0)), { signal: NAN, noise: NAN, maxError: NAN });
  });

  check('empty layouts', () => {
    for (const layout of [
      tensor(0),
      columns(0, 4),
      columns(4, 0),
      { outer: 2, channels: 3, inner: 0, groupRows: 5 },
    ]) {
      assert.is(layoutSize(layout), 0);
      assert.is(k.packInt4WithAbsMax(f32(), layout).codes.length, 0);
      assert.is(k.packSignWithAbsSum(f32(), layout).codes.length, 0);
      assert.is(k.absMax(f32(), layout).length, 0);
    }
  });
}

test.run();
