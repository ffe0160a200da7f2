// int2: q = clamp(floor(f32(w * inverse)), -2, 1), value = f32((q + 1/2) * scale). 2 bits per weight.
//
//     byte j   bits 0..1   bits 2..3   bits 4..5   bits 6..7       two's complement; codes behind the last are 0
//              q[4j]       q[4j + 1]   q[4j + 2]   q[4j + 3]
//
// A NaN product gives -2. One stream, unlike int4: the wrapper's tiles lie in L2, where four gain nothing.

import {
  constant, fillStep, FLIP2, HALF, MINUS_ONE, MINUS_PAIR2, ONE, PAIR, STEP, wrap, ZERO,
} from './lanes';

/** Elements of a step: four bytes. */
const QUAD: usize = 16;

/** -u = -(q + 2) in i32 lanes: one for each of the thresholds -1, 0, 1 that x reaches. NaN reaches none, -0 reaches 0. */
// @ts-ignore: decorator
@inline
function minusCode4(w: usize, v: usize, minusOne: v128, zero: v128, one: v128): v128 {
  const x = f32x4.mul(v128.load(w), v128.load(v));
  return i32x4.add(i32x4.add(f32x4.ge(x, minusOne), f32x4.ge(x, zero)), f32x4.ge(x, one));
}

/**
 * Packs elements `from` to `to` of a tile; the inverse of element i is `inverses[(column + i - from) % columns]`.
 * Arguments as for packInt4Columns: where `from` is no multiple of 4, the codes before it in its byte must be there.
 *
 *     -u0 .. -u15                     2 x i16x8, by narrowing
 *     u0|u1  u2|u3  ..  u14|u15       2 x i32x4, u[2j] + 4 u[2j + 1]; narrowed to i16x8
 *     u0|u1|u2|u3  ..                 i32x4, low + 16 high
 */
export function packInt2Columns(
  weights: usize, codes: usize, from: usize, to: usize, inverses: usize, period: usize, column: usize,
): void {
  const minusOne = constant(MINUS_ONE);
  const zero = constant(ZERO);
  const one = constant(ONE);
  const twos = constant(MINUS_PAIR2);
  const fours = constant(PAIR);
  const flip = constant(FLIP2);
  while (from < to) {
    const p = codes + (from >> 2);
    const w = weights + (from << 2);
    const v = inverses + (column << 2);
    if ((from & 3) == 0 && from + QUAD <= to) {
      const a = minusCode4(w, v, minusOne, zero, one);
      const b = minusCode4(w + 16, v + 16, minusOne, zero, one);
      const c = minusCode4(w + 32, v + 32, minusOne, zero, one);
      const d = minusCode4(w + 48, v + 48, minusOne, zero, one);
      const low = i32x4.dot_i16x8_s(i16x8.narrow_i32x4_s(a, b), twos);
      const high = i32x4.dot_i16x8_s(i16x8.narrow_i32x4_s(c, d), twos);
      const bytes = i32x4.dot_i16x8_s(i16x8.narrow_i32x4_s(low, high), fours);
      const words = i16x8.narrow_i32x4_s(bytes, bytes);
      v128.store32_lane(p, v128.xor(i8x16.narrow_i16x8_u(words, words), flip), 0);
      column = wrap(column, QUAD, period);
      from += QUAD;
    } else {
      const x = load<f32>(w) * load<f32>(v);
      const q = (u32(x >= -1) + u32(x >= 0) + u32(x >= 1)) ^ 2;
      const shift = u32(from & 3) << 1;
      store<u8>(p, shift ? load<u8>(p) | (q << shift) : q);
      column = wrap(column, 1, period);
      from++;
    }
  }
}

/** Packs consecutive runs from element `from` of a tile on; arguments as for packInt4Runs. */
export function packInt2Runs(
  weights: usize, codes: usize, from: usize, table: usize, entries: usize, vector: usize,
): void {
  for (const end = table + (entries << 3); table < end; table += 8) {
    const to = from + load<u32>(table);
    fillStep(vector, load<f32>(table, 4));
    packInt2Columns(weights, codes, from, to, vector, STEP, 0);
    from = to;
  }
}

/** Multipliers that shift the lanes of 32 code bits left by 6, 4, 2, 0. */
const STEPS = memory.data<u32>([64, 16, 4, 1], 16);

/** Four values: shifting left by 24 - 8j brings the codes of byte j to the top, where an arithmetic shift takes them. */
// @ts-ignore: decorator
@inline
function store4(p: usize, scales: usize, ladder: v128, shift: i32, half: v128): void {
  const q = f32x4.convert_i32x4_s(i32x4.shr_s(i32x4.shl(ladder, shift), 30));
  v128.store(p, f32x4.mul(f32x4.add(q, half), v128.load(scales)));
}

/** Values of elements `from` to `to` of a tile; arguments as for {@link packInt2Columns}, scales for inverses. */
export function unpackInt2Columns(
  codes: usize, out: usize, from: usize, to: usize, scales: usize, period: usize, column: usize,
): void {
  const steps = v128.load(STEPS);
  const half = constant(HALF);
  while (from < to) {
    const p = codes + (from >> 2);
    const o = out + (from << 2);
    const s = scales + (column << 2);
    if ((from & 3) == 0 && from + QUAD <= to) {
      const ladder = i32x4.mul(v128.load32_splat(p), steps);
      store4(o, s, ladder, 24, half);
      store4(o + 16, s + 16, ladder, 16, half);
      store4(o + 32, s + 32, ladder, 8, half);
      store4(o + 48, s + 48, ladder, 0, half);
      column = wrap(column, QUAD, period);
      from += QUAD;
    } else {
      const q = (i32(load<u8>(p)) << (30 - (i32(from & 3) << 1))) >> 30;
      store<f32>(o, (f32(q) + 0.5) * load<f32>(s));
      column = wrap(column, 1, period);
      from++;
    }
  }
}

/** Values of consecutive runs from element `from` of a tile on; arguments as for packInt4Runs. */
export function unpackInt2Runs(
  codes: usize, out: usize, from: usize, table: usize, entries: usize, vector: usize,
): void {
  for (const end = table + (entries << 3); table < end; table += 8) {
    const to = from + load<u32>(table);
    fillStep(vector, load<f32>(table, 4));
    unpackInt2Columns(codes, out, from, to, vector, STEP, 0);
    from = to;
  }
}
