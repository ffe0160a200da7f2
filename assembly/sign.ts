// Signs: b = w > 0 ? 1 : 0, value = scale * (2b - 1). 1 bit per weight.
//
//     byte j   bit 0   bit 1  ...  bit 7
//              w[8j]   w[8j+1]     w[8j+7]        padding bits of the last byte are 0
//
// -0 and NaN are not greater than 0: bit 0.

import { STEP, wrap } from './lanes';

/** All ones where w > 0. */
// @ts-ignore: decorator
@inline
function positive(p: usize, offset: usize): v128 {
  return f32x4.gt(v128.load(p + offset), f32x4.splat(0));
}

/**
 * 16 signs as 16 bits. Masks are 0 or -1, which saturating packs keep:
 *
 *     4 x i32x4 -> 2 x i16x8 -> i8x16 -> bitmask
 */
// @ts-ignore: decorator
@inline
function bits16(p: usize): i32 {
  const low = i16x8.narrow_i32x4_s(positive(p, 0), positive(p, 16));
  const high = i16x8.narrow_i32x4_s(positive(p, 32), positive(p, 48));
  return i8x16.bitmask(i8x16.narrow_i16x8_s(low, high));
}

/** Writes `ceil(count / 8)` bytes. */
export function packSign(weights: usize, codes: usize, count: usize): void {
  const end = weights + (count << 2);
  const body = weights + ((count & ~31) << 2);
  while (weights < body) {
    store<u32>(codes, bits16(weights) | (bits16(weights + 64) << 16));
    weights += 128;
    codes += 4;
  }
  while (weights < end) {
    let byte: u32 = 0;
    for (let bit: u32 = 0; bit < 8 && weights < end; bit++, weights += 4) {
      byte |= u32(load<f32>(weights) > 0) << bit;
    }
    store<u8>(codes++, byte);
  }
}

/** The value of element `i`. */
// @ts-ignore: decorator
@inline
function value(codes: usize, i: usize, scale: f32): f32 {
  return (load<u8>(codes + (i >> 3)) >> u8(i & 7)) & 1 ? scale : -scale;
}

/**
 * Four values from four bits. `ladder` holds the 32 code bits shifted left by 3, 2, 1, 0 in its lanes, so that
 * shifting all lanes left by 28 - 4k brings bit 4k + lane to the sign bit: set bits must clear the sign, hence -scale.
 */
// @ts-ignore: decorator
@inline
function value4(ladder: v128, shift: i32, minus: v128): v128 {
  return v128.xor(minus, v128.and(i32x4.shl(ladder, shift), i32x4.splat(0x80000000)));
}

// @ts-ignore: decorator
@inline
function ladder(bits: u32): v128 {
  return i32x4.mul(i32x4.splat(bits), i32x4(8, 4, 2, 1));
}

/**
 * Values of elements `from` to `to` of a tile, whose scale is `scales[(column + i - from) % columns]`.
 * `codes` and `out` point at element 0 of the tile; `scales` and `period` come from extendColumns.
 */
export function unpackSignColumns(
  codes: usize, out: usize, from: usize, to: usize, scales: usize, period: usize, column: usize,
): void {
  let c = column;
  let i = from;
  for (; i < to && (i & 7) != 0; i++) {
    store<f32>(out + (i << 2), value(codes, i, load<f32>(scales + (c << 2))));
    c = wrap(c, 1, period);
  }
  for (; i + STEP <= to; i += STEP) {
    const l = ladder(load<u32>(codes + (i >> 3)));
    const s = scales + (c << 2);
    const p = out + (i << 2);
    v128.store(p, value4(l, 28, f32x4.neg(v128.load(s))), 0);
    v128.store(p, value4(l, 24, f32x4.neg(v128.load(s, 16))), 16);
    v128.store(p, value4(l, 20, f32x4.neg(v128.load(s, 32))), 32);
    v128.store(p, value4(l, 16, f32x4.neg(v128.load(s, 48))), 48);
    v128.store(p, value4(l, 12, f32x4.neg(v128.load(s, 64))), 64);
    v128.store(p, value4(l, 8, f32x4.neg(v128.load(s, 80))), 80);
    v128.store(p, value4(l, 4, f32x4.neg(v128.load(s, 96))), 96);
    v128.store(p, value4(l, 0, f32x4.neg(v128.load(s, 112))), 112);
    c = wrap(c, STEP, period);
  }
  for (; i < to; i++) {
    store<f32>(out + (i << 2), value(codes, i, load<f32>(scales + (c << 2))));
    c = wrap(c, 1, period);
  }
}

/** Values of consecutive runs from element `from` of a tile on. `table`: `entries` pairs (u32 length, f32 scale). */
export function unpackSignRuns(codes: usize, out: usize, from: usize, table: usize, entries: usize): void {
  let i = from;
  for (const end = table + (entries << 3); table < end; table += 8) {
    const to = i + load<u32>(table);
    const scale = load<f32>(table, 4);
    const minus = f32x4.splat(-scale);
    for (; i < to && (i & 7) != 0; i++) store<f32>(out + (i << 2), value(codes, i, scale));
    for (; i + STEP <= to; i += STEP) {
      const l = ladder(load<u32>(codes + (i >> 3)));
      const p = out + (i << 2);
      v128.store(p, value4(l, 28, minus), 0);
      v128.store(p, value4(l, 24, minus), 16);
      v128.store(p, value4(l, 20, minus), 32);
      v128.store(p, value4(l, 16, minus), 48);
      v128.store(p, value4(l, 12, minus), 64);
      v128.store(p, value4(l, 8, minus), 80);
      v128.store(p, value4(l, 4, minus), 96);
      v128.store(p, value4(l, 0, minus), 112);
    }
    for (; i < to; i++) store<f32>(out + (i << 2), value(codes, i, scale));
  }
}
