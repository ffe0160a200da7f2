// v128 helpers that more than one kernel uses.

/** Elements that the column kernels take in one step, and so the overhang of a column vector. */
export const STEP: usize = 32;

/**
 * Constants, in memory because every v128.const takes 18 bytes of the module: kernels load them once, ahead of loops.
 * One word for each to be splat:
 */
export const CONSTANTS = memory.data<u32>([
  0xc1000000, // -8
  0x40e00000, // 7
  0x07070707,
  0x4b400000, // 1.5 * 2^23
  0x00100001, // 1, 16 as i16
  0x01100110, 0x0f0f0f0f, 0x7fffffff, 0x80000000, 0,
  0xc0000000, // -2
  0xbf800000, // -1
  0x3f800000, // 1
  0x3f000000, // 0.5
  0xfffcffff, // -1, -4 as i16
  0xaaaaaaaa,
]);

// Offsets in CONSTANTS.
export const LOW: usize = 0;
export const HIGH: usize = 4;
export const SEVENS: usize = 8;
export const ROUND: usize = 12;
export const PAIR: usize = 16;
export const JOIN: usize = 20;
export const NIBBLE: usize = 24;
export const MAGNITUDE: usize = 28;
export const SIGN: usize = 32;
export const ZERO: usize = 36;
export const MINUS_TWO: usize = 40;
export const MINUS_ONE: usize = 44;
export const ONE: usize = 48;
export const HALF: usize = 52;
export const MINUS_PAIR2: usize = 56;
export const FLIP2: usize = 60;

// @ts-ignore: decorator
@inline
export function constant(offset: usize): v128 {
  return v128.load32_splat(CONSTANTS + offset);
}

/** Lane numbers. */
export const IOTA = memory.data<u32>([0, 1, 2, 3], 16);

/** All ones in the lanes below `n`. */
// @ts-ignore: decorator
@inline
export function lanesBelow(n: i32, iota: v128): v128 {
  return i32x4.lt_s(iota, i32x4.splat(n));
}

/** Column `c` plus `by`, wrapped: `by` is at most the period. */
// @ts-ignore: decorator
@inline
export function wrap(c: usize, by: usize, period: usize): usize {
  c += by;
  return select<usize>(c - period, c, c >= period);
}

/**
 * Makes a vector of `n` float32 column values readable with a step of 32 from any column: repeats it to the first
 * multiple of n that is at least 32 (the period), then 32 values more.
 *
 *     n = 3:  a b c | a b c | ... (33 = the period) | a b c a b c ... (32 more)
 *
 * @param values n floats, with room for `max(n, 63) + 32`
 * @returns the period
 */
export function extendColumns(values: usize, n: usize): usize {
  const period = n * ((n + STEP - 1 < 2 * n ? n : n + STEP - 1) / n);
  const end = values + ((period + STEP) << 2);
  for (let p = values + (n << 2); p < end; p += 4) store<f32>(p, load<f32>(p - (n << 2)));
  return period;
}

/**
 * How far apart four streams through `count` elements run: as far as they can, each through its quarter, so that memory
 * sees four long sequences; a multiple of the period, so that all four are in the same column, and of 8, so that their
 * codes start at whole bytes. 0 where there are too few elements.
 *
 *     element   0 .. 15   far .. far + 15   2 far ..   3 far ..      first step, column c
 *              16 .. 31   far + 16 ..       ...                      second step, column c + 16
 *
 * Prefetchers learn a sequence within some pages, and by the address of the instruction that reads it: each stream has
 * instructions of its own (docs/KERNELS.md, "Four streams", has the measurements).
 */
export function streamDistance(count: usize, period: usize): usize {
  let unit = period;
  while (unit & 7) unit += period;
  return (count / (unit << 2)) * unit;
}

/** How far a stream with `left` elements left goes on after a step: its last step may overlap the one before. */
// @ts-ignore: decorator
@inline
export function advance(left: usize, step: usize): usize {
  return left > step && left < 2 * step ? left - step : step;
}

/** Fills the vector of one value that the column kernels take for a run: a period of 32, and 32 floats more. */
// @ts-ignore: decorator
@inline
export function fillStep(vector: usize, value: f32): void {
  const v = f32x4.splat(value);
  for (let p: usize = 0; p < STEP << 3; p += 16) v128.store(vector + p, v);
}

/** Sum of 16 float32 lanes in float64, by halves: l + (l + 8), then + 4, + 2, + 1. */
// @ts-ignore: decorator
@inline
export function sum16(a: v128, b: v128, c: v128, d: v128): f64 {
  const p = f64x2.add(f64x2.promote_low_f32x4(a), f64x2.promote_low_f32x4(c));
  const q = f64x2.add(f64x2.promote_low_f32x4(high(a)), f64x2.promote_low_f32x4(high(c)));
  const r = f64x2.add(f64x2.promote_low_f32x4(b), f64x2.promote_low_f32x4(d));
  const s = f64x2.add(f64x2.promote_low_f32x4(high(b)), f64x2.promote_low_f32x4(high(d)));
  return sum8(p, q, r, s);
}

/** Sum of eight float64 lanes by halves: l + (l + 4), then + 2, + 1. */
// @ts-ignore: decorator
@inline
export function sum8(p: v128, q: v128, r: v128, s: v128): f64 {
  const t = f64x2.add(f64x2.add(p, r), f64x2.add(q, s));
  return f64x2.extract_lane(t, 0) + f64x2.extract_lane(t, 1);
}

/** Lanes 2 and 3 of a float vector, moved to 0 and 1. */
// @ts-ignore: decorator
@inline
export function high(v: v128): v128 {
  return v128.shuffle<u64>(v, v, 1, 1);
}
