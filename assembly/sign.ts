// Signs: b = w > 0 ? 1 : 0, value = scale * (2b - 1). 1 bit per weight.
//
//     byte j   bit 0   bit 1  ...  bit 7
//              w[8j]   w[8j+1]     w[8j+7]        padding bits of the last byte are 0
//
// -0 and NaN are not greater than 0: bit 0.

import { advance, constant, fillStep, SIGN, STEP, streamDistance, wrap, ZERO } from './lanes';

/** All ones where w > 0. */
// @ts-ignore: decorator
@inline
function positive(p: usize, zero: v128): v128 {
  return f32x4.gt(v128.load(p), zero);
}

/**
 * 16 signs as 16 bits. Masks are 0 or -1, which saturating packs keep:
 *
 *     4 x i32x4 -> 2 x i16x8 -> i8x16 -> bitmask
 */
// @ts-ignore: decorator
@inline
function bits16(p: usize, zero: v128): i32 {
  const low = i16x8.narrow_i32x4_s(positive(p, zero), positive(p + 16, zero));
  const high = i16x8.narrow_i32x4_s(positive(p + 32, zero), positive(p + 48, zero));
  return i8x16.bitmask(i8x16.narrow_i16x8_s(low, high));
}

/** Four bytes. */
// @ts-ignore: decorator
@inline
function pack32(weights: usize, codes: usize, zero: v128): void {
  store<u32>(codes, bits16(weights, zero) | (bits16(weights + 64, zero) << 16));
}

/** Writes `ceil(count / 8)` bytes. Four streams: see streamDistance. */
export function packSign(weights: usize, codes: usize, count: usize): void {
  const zero = constant(ZERO);
  let i: usize = 0;
  const far = streamDistance(count, STEP);
  for (const p1 = far >> 3; i < far; i += STEP) {
    const w = weights + (i << 2);
    const p = codes + (i >> 3);
    pack32(w, p, zero);
    pack32(w + (far << 2), p + p1, zero);
    pack32(w + (far << 3), p + 2 * p1, zero);
    pack32(w + 3 * (far << 2), p + 3 * p1, zero);
  }
  i = far << 2;
  for (; i + STEP <= count; i += STEP) pack32(weights + (i << 2), codes + (i >> 3), zero);
  while (i < count) {
    let byte: u32 = 0;
    for (let bit: u32 = 0; bit < 8 && i < count; bit++, i++) {
      byte |= u32(load<f32>(weights + (i << 2)) > 0) << bit;
    }
    store<u8>(codes + ((i - 1) >> 3), byte);
  }
}

/** Multipliers that shift the lanes of a ladder. */
const STEPS = memory.data<u32>([8, 4, 2, 1], 16);

/**
 * Four values. The lanes of `ladder` hold 32 code bits, inverted, shifted left by 3, 2, 1, 0: shifting all of them left
 * by 28 - 4k brings bit 4k + lane to the sign, where a one (a clear code bit) negates the scale.
 */
// @ts-ignore: decorator
@inline
function store4(p: usize, scales: usize, ladder: v128, shift: i32, minus: v128): void {
  v128.store(p, v128.xor(v128.load(scales), v128.and(i32x4.shl(ladder, shift), minus)));
}

// @ts-ignore: decorator
@inline
function ladder(bits: u32, steps: v128): v128 {
  return i32x4.mul(i32x4.splat(~bits), steps);
}

// @ts-ignore: decorator
@inline
function unpack32(codes: usize, out: usize, scales: usize, steps: v128, minus: v128): void {
  const l = ladder(load<u32>(codes), steps);
  store4(out, scales, l, 28, minus);
  store4(out + 16, scales + 16, l, 24, minus);
  store4(out + 32, scales + 32, l, 20, minus);
  store4(out + 48, scales + 48, l, 16, minus);
  store4(out + 64, scales + 64, l, 12, minus);
  store4(out + 80, scales + 80, l, 8, minus);
  store4(out + 96, scales + 96, l, 4, minus);
  store4(out + 112, scales + 112, l, 0, minus);
}

/** Any range, eight at a time where the codes allow. */
function unpackRest(
  codes: usize, out: usize, from: usize, to: usize, scales: usize, period: usize, column: usize,
): void {
  const steps = v128.load(STEPS);
  const minus = constant(SIGN);
  while (from < to) {
    const p = out + (from << 2);
    const s = scales + (column << 2);
    const byte: u32 = load<u8>(codes + (from >> 3));
    if ((from & 7) == 0 && from + 8 <= to) {
      const l = ladder(byte, steps);
      store4(p, s, l, 28, minus);
      store4(p + 16, s + 16, l, 24, minus);
      column = wrap(column, 8, period);
      from += 8;
    } else {
      const scale = load<f32>(s);
      store<f32>(p, (byte >> u32(from & 7)) & 1 ? scale : -scale);
      column = wrap(column, 1, period);
      from++;
    }
  }
}

/**
 * Values of elements `from` to `to` of a tile, whose scale is `scales[(column + i - from) % columns]`.
 * `codes` and `out` point at element 0 of the tile; `scales` and `period` come from extendColumns.
 */
export function unpackSignColumns(
  codes: usize, out: usize, from: usize, to: usize, scales: usize, period: usize, column: usize,
): void {
  const start = min((from + 7) & ~7, to);
  unpackRest(codes, out, from, start, scales, period, column);
  column = wrap(column, start - from, period);
  from = start;
  const far = streamDistance(to - from, period);
  if (far) {
    const steps = v128.load(STEPS);
    const minus = constant(SIGN);
    const p1 = far >> 3;
    const p2 = far >> 2;
    const p3 = p1 + p2;
    const o1 = far << 2;
    const o2 = far << 3;
    const o3 = o1 + o2;
    let c = column;
    let p = codes + (from >> 3);
    let o = out + (from << 2);
    for (let left = far; left > 0; ) {
      const s = scales + (c << 2);
      unpack32(p, o, s, steps, minus);
      unpack32(p + p1, o + o1, s, steps, minus);
      unpack32(p + p2, o + o2, s, steps, minus);
      unpack32(p + p3, o + o3, s, steps, minus);
      const n = advance(left, STEP);
      left -= n;
      c = wrap(c, n, period);
      p += n >> 3;
      o += n << 2;
    }
    from += far << 2;
  }
  unpackRest(codes, out, from, to, scales, period, column);
}

/**
 * Values of consecutive runs from element `from` of a tile on. `table`: `entries` pairs (u32 length, f32 scale);
 * `vector`: scratch of 64 floats.
 */
export function unpackSignRuns(
  codes: usize, out: usize, from: usize, table: usize, entries: usize, vector: usize,
): void {
  for (const end = table + (entries << 3); table < end; table += 8) {
    const to = from + load<u32>(table);
    fillStep(vector, load<f32>(table, 4));
    unpackSignColumns(codes, out, from, to, vector, STEP, 0);
    from = to;
  }
}
