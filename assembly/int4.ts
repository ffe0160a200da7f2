// int4: q = clamp(rne(f32(w * inverse)), -8, 7), value = f32(q * scale). 4 bits per weight.
//
//     byte j   bits 0..3   bits 4..7       two's complement; the last nibble of an odd length is 0
//              q[2j]       q[2j + 1]
//
// A NaN product gives -8.

import { abs4, extendColumns, STEP, wrap } from './lanes';
import { absMaxColumns } from './stats';

/**
 * 1.5 * 2^23 + 8. Adding it to x in [-8, 7] leaves x rounded half to even, plus 8, in the low mantissa bits
 * (the unit of floats in [2^23, 2^24) is 1, and 8 is even): u = q + 8 in [0, 15]. i32x4.trunc_sat_f32x4_s, the other
 * way to an integer, is several instructions on x86.
 */
const ROUND: f32 = 12582920;

/** u = q + 8 in the low 16 bits of each lane, 0x4b40 in the high ones. The clamp comes first: rne(-8) and rne(7) are exact. */
// @ts-ignore: decorator
@inline
function code4(w: v128, inverse: v128): v128 {
  const x = f32x4.pmax(f32x4.splat(-8), f32x4.mul(w, inverse)); // -8 < x ? x : -8
  return f32x4.add(f32x4.pmin(f32x4.splat(7), x), f32x4.splat(ROUND));
}

/** u of one weight. */
// @ts-ignore: decorator
@inline
function code1(weights: usize, i: usize, inverse: f32): u32 {
  let x = load<f32>(weights + (i << 2)) * inverse;
  x = x > -8 ? x : -8;
  x = x < 7 ? x : 7;
  return reinterpret<u32>(x + ROUND) & 15;
}

/**
 * Four bytes in i32 lanes from eight codes: take the low halves of all lanes, then u[2j] * 1 + u[2j + 1] * 16.
 *
 *     a  u0 .. u1 .. u2 .. u3 ..    b  u4 .. u5 .. u6 .. u7 ..
 *        u0 u1  u2 u3  u4 u5  u6 u7     i16x8
 *        u0|u1  u2|u3  u4|u5  u6|u7     i32x4
 */
// @ts-ignore: decorator
@inline
function join8(a: v128, b: v128): v128 {
  return i32x4.dot_i16x8_s(v128.shuffle<i16>(a, b, 0, 2, 4, 6, 8, 10, 12, 14), i32x4.splat(0x00100001));
}

/** 16 bytes from 4 x 4 joined codes; u ^ 8 is q in two's complement. */
// @ts-ignore: decorator
@inline
function bytes16(a: v128, b: v128, c: v128, d: v128): v128 {
  const bytes = i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d));
  return v128.xor(bytes, i8x16.splat(-120));
}

/** Writes the nibble of element `i`; an even one clears the high nibble, so elements must be written in order. */
// @ts-ignore: decorator
@inline
function storeNibble(codes: usize, i: usize, u: u32): void {
  const p = codes + (i >> 1);
  const q = u ^ 8;
  store<u8>(p, i & 1 ? load<u8>(p) | (q << 4) : q);
}

/**
 * Packs elements `from` to `to` of a tile; the inverse of element i is `inverses[(column + i - from) % columns]`.
 * `weights` and `codes` point at element 0 of the tile; `inverses` and `period` come from extendColumns.
 * Where `from` is odd, the low nibble before it must be written already.
 */
export function packInt4Columns(
  weights: usize, codes: usize, from: usize, to: usize, inverses: usize, period: usize, column: usize,
): void {
  let c = column;
  let i = from;
  if (i & 1 && i < to) {
    storeNibble(codes, i, code1(weights, i, load<f32>(inverses + (c << 2))));
    c = wrap(c, 1, period);
    i++;
  }
  for (; i + STEP <= to; i += STEP) {
    const w = weights + (i << 2);
    const v = inverses + (c << 2);
    v128.store(codes + (i >> 1), bytes16(
      join8(code4(v128.load(w), v128.load(v)), code4(v128.load(w, 16), v128.load(v, 16))),
      join8(code4(v128.load(w, 32), v128.load(v, 32)), code4(v128.load(w, 48), v128.load(v, 48))),
      join8(code4(v128.load(w, 64), v128.load(v, 64)), code4(v128.load(w, 80), v128.load(v, 80))),
      join8(code4(v128.load(w, 96), v128.load(v, 96)), code4(v128.load(w, 112), v128.load(v, 112))),
    ));
    c = wrap(c, STEP, period);
  }
  for (; i < to; i++) {
    storeNibble(codes, i, code1(weights, i, load<f32>(inverses + (c << 2))));
    c = wrap(c, 1, period);
  }
}

/** Packs consecutive runs from element `from` of a tile on. `table`: `entries` pairs (u32 length, f32 inverse). */
export function packInt4Runs(weights: usize, codes: usize, from: usize, table: usize, entries: usize): void {
  let i = from;
  for (const end = table + (entries << 3); table < end; table += 8) {
    const to = i + load<u32>(table);
    const inverse = load<f32>(table, 4);
    const v = f32x4.splat(inverse);
    if (i & 1 && i < to) {
      storeNibble(codes, i, code1(weights, i, inverse));
      i++;
    }
    for (; i + STEP <= to; i += STEP) {
      const w = weights + (i << 2);
      v128.store(codes + (i >> 1), bytes16(
        join8(code4(v128.load(w), v), code4(v128.load(w, 16), v)),
        join8(code4(v128.load(w, 32), v), code4(v128.load(w, 48), v)),
        join8(code4(v128.load(w, 64), v), code4(v128.load(w, 80), v)),
        join8(code4(v128.load(w, 96), v), code4(v128.load(w, 112), v)),
      ));
    }
    for (; i < to; i++) storeNibble(codes, i, code1(weights, i, inverse));
  }
}

/** `inverses[c] = min(f32(7 / absMax[c]), FLT_MAX)`, 0 where absMax is 0; then extended: returns the period. */
export function invertColumns(absMax: usize, inverses: usize, columns: usize): usize {
  for (let c: usize = 0; c < columns; c++) {
    const max = load<f32>(absMax + (c << 2));
    store<f32>(inverses + (c << 2), max == 0 ? 0 : min<f32>(7 / max, f32.MAX_VALUE));
  }
  return extendColumns(inverses, columns);
}

/**
 * absMax and codes of a tile of whole groups (the last may be short) of `groupRows` rows.
 *
 * @param absMax out: `[ceil(rows / groupRows), columns]` float32, with room for 3 floats more
 * @param inverses scratch: `max(columns, 63) + 32` floats
 */
export function packInt4Groups(
  weights: usize, rows: usize, columns: usize, groupRows: usize, codes: usize, absMax: usize, inverses: usize,
): void {
  for (let row: usize = 0; row < rows; row += groupRows) {
    const end = min(rows, row + groupRows);
    for (let c: usize = 0; c < columns; c += 4) v128.store(absMax + (c << 2), f32x4.splat(0));
    absMaxColumns(weights + ((row * columns) << 2), end - row, columns, absMax);
    const period = invertColumns(absMax, inverses, columns);
    packInt4Columns(weights, codes, row * columns, end * columns, inverses, period, 0);
    absMax += columns << 2;
  }
}

/** Byte 3 (sign and exponent) and byte 2 of the float32 value of each nibble; bytes 1 and 0 are zero. */
// @ts-ignore: decorator
@inline
function byte3(n: v128): v128 {
  return i8x16.swizzle(i8x16(0x00, 0x3f, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40,
    -63, -64, -64, -64, -64, -64, -64, -65), n);
}

// @ts-ignore: decorator
@inline
function byte2(n: v128): v128 {
  return i8x16.swizzle(i8x16(0x00, -128, 0x00, 0x40, -128, -96, -64, -32,
    0x00, -32, -64, -96, -128, 0x40, 0x00, -128), n);
}

/** Low halves of two vectors, 16-bit lanes alternating; then the high halves. */
// @ts-ignore: decorator
@inline
function zipLow16(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}

// @ts-ignore: decorator
@inline
function zipHigh16(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

// @ts-ignore: decorator
@inline
function zipLow8(a: v128, b: v128): v128 {
  return v128.shuffle<i8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

// @ts-ignore: decorator
@inline
function zipHigh8(a: v128, b: v128): v128 {
  return v128.shuffle<i8>(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

/** f32(q) of one element. */
// @ts-ignore: decorator
@inline
function float1(codes: usize, i: usize): f32 {
  const byte: i32 = load<u8>(codes + (i >> 1));
  return f32((i & 1 ? byte << 24 : byte << 28) >> 28);
}

/** Eight values from half upper bytes of floats (`top`: bytes 2 and 3 of eight floats) and eight scales. */
// @ts-ignore: decorator
@inline
function storeScaled8(p: usize, top: v128, scale0: v128, scale1: v128): void {
  const zero = i32x4.splat(0);
  v128.store(p, f32x4.mul(zipLow16(zero, top), scale0));
  v128.store(p, f32x4.mul(zipHigh16(zero, top), scale1), 16);
}

/** Values of elements `from` to `to` of a tile; arguments as for {@link packInt4Columns}, scales for inverses. */
export function unpackInt4Columns(
  codes: usize, out: usize, from: usize, to: usize, scales: usize, period: usize, column: usize,
): void {
  let c = column;
  let i = from;
  if (i & 1 && i < to) {
    store<f32>(out + (i << 2), float1(codes, i) * load<f32>(scales + (c << 2)));
    c = wrap(c, 1, period);
    i++;
  }
  for (; i + STEP <= to; i += STEP) {
    const bytes = v128.load(codes + (i >> 1));
    const low = v128.and(bytes, i8x16.splat(15));
    const high = v128.and(i16x8.shr_u(bytes, 4), i8x16.splat(15));
    const p = out + (i << 2);
    const s = scales + (c << 2);
    const n0 = zipLow8(low, high);
    const n1 = zipHigh8(low, high);
    const h0 = byte3(n0);
    const l0 = byte2(n0);
    const h1 = byte3(n1);
    const l1 = byte2(n1);
    storeScaled8(p, zipLow8(l0, h0), v128.load(s), v128.load(s, 16));
    storeScaled8(p + 32, zipHigh8(l0, h0), v128.load(s, 32), v128.load(s, 48));
    storeScaled8(p + 64, zipLow8(l1, h1), v128.load(s, 64), v128.load(s, 80));
    storeScaled8(p + 96, zipHigh8(l1, h1), v128.load(s, 96), v128.load(s, 112));
    c = wrap(c, STEP, period);
  }
  for (; i < to; i++) {
    store<f32>(out + (i << 2), float1(codes, i) * load<f32>(scales + (c << 2)));
    c = wrap(c, 1, period);
  }
}

/** Values of consecutive runs from element `from` of a tile on. `table`: `entries` pairs (u32 length, f32 scale). */
export function unpackInt4Runs(codes: usize, out: usize, from: usize, table: usize, entries: usize): void {
  let i = from;
  for (const end = table + (entries << 3); table < end; table += 8) {
    const to = i + load<u32>(table);
    const scale = load<f32>(table, 4);
    const s = f32x4.splat(scale);
    if (i & 1 && i < to) {
      store<f32>(out + (i << 2), float1(codes, i) * scale);
      i++;
    }
    for (; i + STEP <= to; i += STEP) {
      const bytes = v128.load(codes + (i >> 1));
      const low = v128.and(bytes, i8x16.splat(15));
      const high = v128.and(i16x8.shr_u(bytes, 4), i8x16.splat(15));
      const p = out + (i << 2);
      const n0 = zipLow8(low, high);
      const n1 = zipHigh8(low, high);
      const h0 = byte3(n0);
      const l0 = byte2(n0);
      const h1 = byte3(n1);
      const l1 = byte2(n1);
      storeScaled8(p, zipLow8(l0, h0), s, s);
      storeScaled8(p + 32, zipHigh8(l0, h0), s, s);
      storeScaled8(p + 64, zipLow8(l1, h1), s, s);
      storeScaled8(p + 96, zipHigh8(l1, h1), s, s);
    }
    for (; i < to; i++) store<f32>(out + (i << 2), float1(codes, i) * scale);
  }
}
