// int4: q = clamp(rne(f32(w * inverse)), -8, 7), value = f32(q * scale). 4 bits per weight.
//
//     byte j   bits 0..3   bits 4..7       two's complement; the last nibble of an odd length is 0
//              q[2j]       q[2j + 1]
//
// A NaN product gives -8.

import {
  constant, CONSTANTS, extendColumns, fillStep, FLIP, HIGH, LOW, NIBBLE, PAIR, ROUND_BIASED, STEP, streamDistance, wrap,
  ZERO,
} from './lanes';
import { absMaxColumns } from './stats';

// Rounding: adding 1.5 * 2^23 + 8 to x in [-8, 7] leaves x rounded half to even, plus 8, in the low mantissa bits (the
// unit of floats in [2^23, 2^24) is 1, and 8 is even): u = q + 8 in [0, 15]. i32x4.trunc_sat_f32x4_s, the other way to
// an integer, is seven instructions on x86.

/** u = q + 8 in the low 16 bits of each lane, 0x4b40 in the high ones. Clamping comes first: rne(-8) and rne(7) are exact. */
// @ts-ignore: decorator
@inline
function code4(w: usize, v: usize, clamp: bool, low: v128, high: v128, round: v128): v128 {
  let x = f32x4.mul(v128.load(w), v128.load(v));
  if (clamp) x = f32x4.pmin(high, f32x4.pmax(low, x)); // -8 < x ? x : -8, so that NaN gives -8
  return f32x4.add(x, round);
}

/**
 * Four bytes in i32 lanes from eight codes: take the low halves of all lanes, then u[2j] * 1 + u[2j + 1] * 16.
 *
 *     u0 .. u1 .. u2 .. u3 ..   u4 .. u5 .. u6 .. u7 ..     2 x i32x4
 *     u0 u1  u2 u3  u4 u5  u6 u7                            i16x8
 *     u0|u1  u2|u3  u4|u5  u6|u7                            i32x4
 */
// @ts-ignore: decorator
@inline
function join8(w: usize, v: usize, clamp: bool, low: v128, high: v128, round: v128, pair: v128): v128 {
  const a = code4(w, v, clamp, low, high, round);
  const b = code4(w + 16, v + 16, clamp, low, high, round);
  return i32x4.dot_i16x8_s(v128.shuffle<i16>(a, b, 0, 2, 4, 6, 8, 10, 12, 14), pair);
}

/** 16 bytes. u ^ 8 is q in two's complement. */
// @ts-ignore: decorator
@inline
function pack32(
  w: usize, codes: usize, v: usize, clamp: bool, low: v128, high: v128, round: v128, pair: v128, flip: v128,
): void {
  const a = join8(w, v, clamp, low, high, round, pair);
  const b = join8(w + 32, v + 32, clamp, low, high, round, pair);
  const c = join8(w + 64, v + 64, clamp, low, high, round, pair);
  const d = join8(w + 96, v + 96, clamp, low, high, round, pair);
  const bytes = i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d));
  v128.store(codes, v128.xor(bytes, flip));
}

/** Any range, eight at a time where the codes allow; an even element clears the high nibble of its byte. */
function packRest(
  weights: usize, codes: usize, from: usize, to: usize, inverses: usize, period: usize, column: usize,
): void {
  const low = constant(LOW);
  const high = constant(HIGH);
  const round = constant(ROUND_BIASED);
  const pair = constant(PAIR);
  const flip = constant(FLIP);
  while (from < to) {
    const p = codes + (from >> 1);
    const w = weights + (from << 2);
    const v = inverses + (column << 2);
    if ((from & 1) == 0 && from + 8 <= to) {
      const joined = join8(w, v, true, low, high, round, pair);
      const words = i16x8.narrow_i32x4_s(joined, joined);
      v128.store32_lane(p, v128.xor(i8x16.narrow_i16x8_u(words, words), flip), 0);
      column = wrap(column, 8, period);
      from += 8;
    } else {
      let x = load<f32>(w) * load<f32>(v);
      x = x > -8 ? x : -8;
      x = x < 7 ? x : 7;
      const q = (reinterpret<u32>(x + load<f32>(CONSTANTS + ROUND_BIASED)) & 15) ^ 8;
      store<u8>(p, from & 1 ? load<u8>(p) | (q << 4) : q);
      column = wrap(column, 1, period);
      from++;
    }
  }
}

// @ts-ignore: decorator
@inline
function packColumns(
  weights: usize, codes: usize, from: usize, to: usize, inverses: usize, period: usize, column: usize, clamp: bool,
): void {
  const far = streamDistance(period);
  const start = (from + 1) & ~1;
  if (start + 4 * far <= to) {
    packRest(weights, codes, from, start, inverses, period, column);
    column = wrap(column, start - from, period);
    const low = constant(LOW);
    const high = constant(HIGH);
    const round = constant(ROUND_BIASED);
    const pair = constant(PAIR);
    const flip = constant(FLIP);
    const weightsFar = far << 2;
    const codesFar = far >> 1;
    for (from = start; from + 4 * far <= to; from += 4 * far) {
      let c = column;
      let w = weights + (from << 2);
      let p = codes + (from >> 1);
      for (let k: usize = 0; k < far; k += STEP) {
        const back = k + STEP > far ? k + STEP - far : 0; // the last step overlaps the one before
        w -= back << 2;
        p -= back >> 1;
        c = c >= back ? c - back : c + period - back;
        const v = inverses + (c << 2);
        for (let a = w, b = p, end = w + 4 * weightsFar; a < end; a += 2 * weightsFar, b += 2 * codesFar) {
          pack32(a, b, v, clamp, low, high, round, pair, flip);
          pack32(a + weightsFar, b + codesFar, v, clamp, low, high, round, pair, flip);
        }
        c = wrap(c, STEP, period);
        w += STEP << 2;
        p += STEP >> 1;
      }
    }
  }
  packRest(weights, codes, from, to, inverses, period, column);
}

/**
 * Packs elements `from` to `to` of a tile; the inverse of element i is `inverses[(column + i - from) % columns]`.
 * `weights` and `codes` point at element 0 of the tile; `inverses` and `period` come from extendColumns.
 * Where `from` is odd, the low nibble before it must be written already.
 */
export function packInt4Columns(
  weights: usize, codes: usize, from: usize, to: usize, inverses: usize, period: usize, column: usize,
): void {
  packColumns(weights, codes, from, to, inverses, period, column, true);
}

/**
 * As packInt4Columns, for inverses with |w * inverse| < 7.5: nothing to clamp, 40% faster. NaN or more spoil
 * the byte that they are in.
 */
export function packInt4ColumnsUnclamped(
  weights: usize, codes: usize, from: usize, to: usize, inverses: usize, period: usize, column: usize,
): void {
  packColumns(weights, codes, from, to, inverses, period, column, false);
}

/**
 * Packs consecutive runs from element `from` of a tile on. `table`: `entries` pairs (u32 length, f32 inverse);
 * `vector`: scratch of 64 floats.
 */
export function packInt4Runs(
  weights: usize, codes: usize, from: usize, table: usize, entries: usize, vector: usize,
): void {
  packRuns(weights, codes, from, table, entries, vector, true);
}

/** As packInt4Runs, with the condition of packInt4ColumnsUnclamped. */
export function packInt4RunsUnclamped(
  weights: usize, codes: usize, from: usize, table: usize, entries: usize, vector: usize,
): void {
  packRuns(weights, codes, from, table, entries, vector, false);
}

// @ts-ignore: decorator
@inline
function packRuns(
  weights: usize, codes: usize, from: usize, table: usize, entries: usize, vector: usize, clamp: bool,
): void {
  for (const end = table + (entries << 3); table < end; table += 8) {
    const to = from + load<u32>(table);
    fillStep(vector, load<f32>(table, 4));
    if (clamp) packInt4Columns(weights, codes, from, to, vector, STEP, 0);
    else packInt4ColumnsUnclamped(weights, codes, from, to, vector, STEP, 0);
    from = to;
  }
}

/**
 * `inverses[c] = min(f32(7 / absMax[c]), FLT_MAX)`, 0 where absMax is 0; then extended: returns the period.
 * Up to 3 floats behind absMax are read.
 */
export function invertColumns(absMax: usize, inverses: usize, columns: usize): usize {
  const seven = constant(HIGH);
  const most = f32x4.splat(f32.MAX_VALUE);
  const zero = constant(ZERO);
  for (let c: usize = 0; c < columns << 2; c += 16) {
    const max = v128.load(absMax + c);
    const inverse = f32x4.min(f32x4.div(seven, max), most); // min, not pmin: NaN stays
    v128.store(inverses + c, v128.andnot(inverse, f32x4.eq(max, zero)));
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
    // |w * inverse| <= 7 (1 + 2^-24)^2 < 7.5
    packInt4ColumnsUnclamped(weights, codes, row * columns, end * columns, inverses, period, 0);
    absMax += columns << 2;
  }
}

/** Bytes 2, then bytes 3 (sign and exponent) of the float32 values of the nibbles; their bytes 0 and 1 are zero. */
const BYTES = memory.data<u8>([
  0x00, 0x80, 0x00, 0x40, 0x80, 0xa0, 0xc0, 0xe0, 0x00, 0xe0, 0xc0, 0xa0, 0x80, 0x40, 0x00, 0x80,
  0x00, 0x3f, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0xc1, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xbf,
], 16);

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

/** Eight values from the upper halves (bytes 2 and 3) of eight floats, and eight scales. */
// @ts-ignore: decorator
@inline
function store8(p: usize, top: v128, scales: usize, zero: v128): void {
  v128.store(p, f32x4.mul(zipLow16(zero, top), v128.load(scales)));
  v128.store(p, f32x4.mul(zipHigh16(zero, top), v128.load(scales, 16)), 16);
}

/** 16 values: byte 2 and byte 3 of each float by table, put together in two steps. */
// @ts-ignore: decorator
@inline
function store16(p: usize, nibbles: v128, scales: usize, bytes2: v128, bytes3: v128, zero: v128): void {
  const low = i8x16.swizzle(bytes2, nibbles);
  const high = i8x16.swizzle(bytes3, nibbles);
  store8(p, zipLow8(low, high), scales, zero);
  store8(p + 32, zipHigh8(low, high), scales + 32, zero);
}

// @ts-ignore: decorator
@inline
function unpack32(
  codes: usize, out: usize, scales: usize, mask: v128, bytes2: v128, bytes3: v128, zero: v128,
): void {
  const bytes = v128.load(codes);
  const even = v128.and(bytes, mask);
  const odd = v128.and(i16x8.shr_u(bytes, 4), mask);
  store16(out, zipLow8(even, odd), scales, bytes2, bytes3, zero);
  store16(out + 64, zipHigh8(even, odd), scales + 64, bytes2, bytes3, zero);
}

/** Any range, eight at a time where the codes allow. */
function unpackRest(
  codes: usize, out: usize, from: usize, to: usize, scales: usize, period: usize, column: usize,
): void {
  const mask = constant(NIBBLE);
  const bytes2 = v128.load(BYTES);
  const bytes3 = v128.load(BYTES, 16);
  const zero = constant(ZERO);
  while (from < to) {
    const p = out + (from << 2);
    const s = scales + (column << 2);
    if ((from & 1) == 0 && from + 8 <= to) {
      const bytes = v128.load32_zero(codes + (from >> 1));
      const nibbles = zipLow8(v128.and(bytes, mask), v128.and(i16x8.shr_u(bytes, 4), mask));
      store8(p, zipLow8(i8x16.swizzle(bytes2, nibbles), i8x16.swizzle(bytes3, nibbles)), s, zero);
      column = wrap(column, 8, period);
      from += 8;
    } else {
      const byte: i32 = load<u8>(codes + (from >> 1));
      store<f32>(p, f32((from & 1 ? byte << 24 : byte << 28) >> 28) * load<f32>(s));
      column = wrap(column, 1, period);
      from++;
    }
  }
}

/** Values of elements `from` to `to` of a tile; arguments as for {@link packInt4Columns}, scales for inverses. */
export function unpackInt4Columns(
  codes: usize, out: usize, from: usize, to: usize, scales: usize, period: usize, column: usize,
): void {
  const far = streamDistance(period);
  const start = (from + 1) & ~1;
  if (start + 4 * far <= to) {
    unpackRest(codes, out, from, start, scales, period, column);
    column = wrap(column, start - from, period);
    const mask = constant(NIBBLE);
    const bytes2 = v128.load(BYTES);
    const bytes3 = v128.load(BYTES, 16);
    const zero = constant(ZERO);
    const codesFar = far >> 1;
    const outFar = far << 2;
    from = start;
    while (from + 4 * far <= to) {
      const all = from + 8 * far <= to ? 8 * far : 4 * far; // eight streams write 3% faster
      let c = column;
      let p = codes + (from >> 1);
      let o = out + (from << 2);
      for (let k: usize = 0; k < far; k += STEP) {
        const back = k + STEP > far ? k + STEP - far : 0; // the last step overlaps the one before
        p -= back >> 1;
        o -= back << 2;
        c = c >= back ? c - back : c + period - back;
        const s = scales + (c << 2);
        for (let a = p, b = o, end = o + (all << 2); b < end; a += 2 * codesFar, b += 2 * outFar) {
          unpack32(a, b, s, mask, bytes2, bytes3, zero);
          unpack32(a + codesFar, b + outFar, s, mask, bytes2, bytes3, zero);
        }
        c = wrap(c, STEP, period);
        p += STEP >> 1;
        o += STEP << 2;
      }
      from += all;
    }
  }
  unpackRest(codes, out, from, to, scales, period, column);
}

/** Values of consecutive runs from element `from` of a tile on; arguments as for {@link packInt4Runs}. */
export function unpackInt4Runs(
  codes: usize, out: usize, from: usize, table: usize, entries: usize, vector: usize,
): void {
  for (const end = table + (entries << 3); table < end; table += 8) {
    const to = from + load<u32>(table);
    fillStep(vector, load<f32>(table, 4));
    unpackInt4Columns(codes, out, from, to, vector, STEP, 0);
    from = to;
  }
}
