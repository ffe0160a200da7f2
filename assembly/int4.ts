// int4: q = clamp(rne(f32(w * inverse)), -8, 7), value = f32(q * scale). 4 bits per weight.
//
//     byte j   bits 0..3   bits 4..7       two's complement; the last nibble of an odd length is 0
//              q[2j]       q[2j + 1]
//
// A NaN product gives -8.

import {
  advance, constant, CONSTANTS, extendColumns, fillStep, HIGH, JOIN, LOW, NIBBLE, ROUND, SEVENS, STEP, streamDistance,
  wrap, ZERO,
} from './lanes';
import { absMaxColumns } from './stats';

// Rounding: adding 1.5 * 2^23 to x leaves x rounded half to even in the low mantissa bits, because the unit of floats in
// [2^23, 2^24) is 1; less the integer 0x4b400000 (the same vector) it is q. i32x4.trunc_sat_f32x4_s, the other way to an
// integer, is seven instructions on x86.
//
// Clamping: from below in floats, where NaN must give -8 and the sum must stay positive. From above x may be anything:
// the larger the float, the larger its bits as an integer (Infinity gives 0x34c00000), and the narrowing instructions
// saturate.

/** q, or more than 7 where x is more. */
// @ts-ignore: decorator
@inline
function code4(w: v128, v: v128, clamp: bool, low: v128, round: v128): v128 {
  let x = f32x4.mul(w, v);
  if (clamp) x = f32x4.pmax(low, x); // -8 < x ? x : -8, so that NaN gives -8
  return i32x4.sub(f32x4.add(x, round), round);
}

/**
 * Bytes in i16 lanes from nibbles in i8 lanes, which are 2 i16x8 narrowed: a product with 0x110 adds them up in the high
 * byte.
 *
 *     q0 q1  q2 q3  ...                     i8x16: saturated
 *     (q0 | q1 << 8) * 0x110 >> 8  ...      i16x8: q0 | q1 << 4
 */
// @ts-ignore: decorator
@inline
function join(a: v128, b: v128, clamp: bool, sevens: v128, nibble: v128, factor: v128): v128 {
  let q = i8x16.narrow_i16x8_s(a, b);
  if (clamp) q = i8x16.min_s(q, sevens);
  return i16x8.shr_u(i16x8.mul(v128.and(q, nibble), factor), 8);
}

/**
 * Eight bytes. Steps of 32 weights would spare two instructions in 40, but V8 loads all weights and inverses of a step
 * ahead of the arithmetic, and what the 16 registers cannot hold goes through the stack: 4 to 12% slower.
 */
// @ts-ignore: decorator
@inline
function pack16(
  w: usize, codes: usize, v0: v128, v1: v128, v2: v128, v3: v128, clamp: bool,
  low: v128, round: v128, sevens: v128, nibble: v128, factor: v128,
): void {
  const a = i16x8.narrow_i32x4_s(
    code4(v128.load(w), v0, clamp, low, round),
    code4(v128.load(w, 16), v1, clamp, low, round),
  );
  const b = i16x8.narrow_i32x4_s(
    code4(v128.load(w, 32), v2, clamp, low, round),
    code4(v128.load(w, 48), v3, clamp, low, round),
  );
  const bytes = join(a, b, clamp, sevens, nibble, factor);
  v128.store64_lane(codes, i8x16.narrow_i16x8_u(bytes, bytes), 0);
}

/** Any range, sixteen or eight at a time where the codes allow; an even element clears the high nibble of its byte. */
function packRest(
  weights: usize, codes: usize, from: usize, to: usize, inverses: usize, period: usize, column: usize,
): void {
  const low = constant(LOW);
  const round = constant(ROUND);
  const sevens = constant(SEVENS);
  const nibble = constant(NIBBLE);
  const factor = constant(JOIN);
  while (from < to) {
    const p = codes + (from >> 1);
    const w = weights + (from << 2);
    const v = inverses + (column << 2);
    let n: usize = 1;
    if ((from & 1) == 0 && from + 8 <= to) {
      const v0 = v128.load(v);
      const v1 = v128.load(v, 16);
      if (from + 16 <= to) {
        const v2 = v128.load(v, 32);
        const v3 = v128.load(v, 48);
        pack16(w, p, v0, v1, v2, v3, true, low, round, sevens, nibble, factor);
        n = 16;
      } else {
        const a = i16x8.narrow_i32x4_s(
          code4(v128.load(w), v0, true, low, round),
          code4(v128.load(w, 16), v1, true, low, round),
        );
        const bytes = join(a, a, true, sevens, nibble, factor);
        v128.store32_lane(p, i8x16.narrow_i16x8_u(bytes, bytes), 0);
        n = 8;
      }
    } else {
      let x = load<f32>(w) * load<f32>(v);
      x = x > -8 ? x : -8;
      x = x < 7 ? x : 7;
      const q = reinterpret<u32>(x + load<f32>(CONSTANTS + ROUND)) & 15;
      store<u8>(p, from & 1 ? load<u8>(p) | (q << 4) : q);
    }
    column = wrap(column, n, period);
    from += n;
  }
}

// @ts-ignore: decorator
@inline
function packColumns(
  weights: usize, codes: usize, from: usize, to: usize, inverses: usize, period: usize, column: usize, clamp: bool,
): void {
  const start = min((from + 1) & ~1, to);
  packRest(weights, codes, from, start, inverses, period, column);
  column = wrap(column, start - from, period);
  from = start;
  const far = streamDistance(to - from, period);
  if (far) {
    const low = constant(LOW);
    const round = constant(ROUND);
    const sevens = constant(SEVENS);
    const nibble = constant(NIBBLE);
    const factor = constant(JOIN);
    const w1 = far << 2;
    const w2 = far << 3;
    const w3 = w1 + w2;
    const p1 = far >> 1;
    const p2 = far;
    const p3 = p1 + p2;
    let c = column;
    let w = weights + (from << 2);
    let p = codes + (from >> 1);
    for (let left = far; left > 0; ) {
      // One load of inverses for four streams.
      const v = inverses + (c << 2);
      const v0 = v128.load(v);
      const v1 = v128.load(v, 16);
      const v2 = v128.load(v, 32);
      const v3 = v128.load(v, 48);
      pack16(w, p, v0, v1, v2, v3, clamp, low, round, sevens, nibble, factor);
      pack16(w + w1, p + p1, v0, v1, v2, v3, clamp, low, round, sevens, nibble, factor);
      pack16(w + w2, p + p2, v0, v1, v2, v3, clamp, low, round, sevens, nibble, factor);
      pack16(w + w3, p + p3, v0, v1, v2, v3, clamp, low, round, sevens, nibble, factor);
      const n = advance(left, 16);
      left -= n;
      c = wrap(c, n, period);
      w += n << 2;
      p += n >> 1;
    }
    from += far << 2;
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
 * As packInt4Columns, for inverses with |w * inverse| < 7.5: nothing to clamp, a quarter faster from L2. The code of a
 * NaN or of a larger product is any.
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
  const start = min((from + 1) & ~1, to);
  unpackRest(codes, out, from, start, scales, period, column);
  column = wrap(column, start - from, period);
  from = start;
  const far = streamDistance(to - from, period);
  if (far) {
    const mask = constant(NIBBLE);
    const bytes2 = v128.load(BYTES);
    const bytes3 = v128.load(BYTES, 16);
    const zero = constant(ZERO);
    const p1 = far >> 1;
    const p2 = far;
    const p3 = p1 + p2;
    const o1 = far << 2;
    const o2 = far << 3;
    const o3 = o1 + o2;
    let c = column;
    let p = codes + (from >> 1);
    let o = out + (from << 2);
    for (let left = far; left > 0; ) {
      const s = scales + (c << 2);
      unpack32(p, o, s, mask, bytes2, bytes3, zero);
      unpack32(p + p1, o + o1, s, mask, bytes2, bytes3, zero);
      unpack32(p + p2, o + o2, s, mask, bytes2, bytes3, zero);
      unpack32(p + p3, o + o3, s, mask, bytes2, bytes3, zero);
      const n = advance(left, STEP);
      left -= n;
      c = wrap(c, n, period);
      p += n >> 1;
      o += n << 2;
    }
    from += far << 2;
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
