// float32 images to 16-bit integers with a border, and what range a tensor has.

import { keepLanes } from './panels';

/**
 * Range of a tensor, 8 bytes: the largest magnitude as float32 bits, and a word whose highest bit says that a sign was negative.
 *
 * While a kernel runs, it holds two vectors of what it has written, compared as integers: `most = max_s(most, v)` is the largest
 * positive float, `least = max_u(least, v)` the negative one of the largest magnitude, where there is any. NaN and infinities are
 * larger than any number, so the magnitude shows them.
 */
export function keepRange(slot: usize, most: v128, least: v128): void {
  const v = i32x4.max_s(most, v128.and(least, i32x4.splat(0x7fffffff)));
  const m = max(
    max(i32x4.extract_lane(v, 0), i32x4.extract_lane(v, 1)),
    max(i32x4.extract_lane(v, 2), i32x4.extract_lane(v, 3)),
  );
  store<i32>(slot, max(load<i32>(slot), m));
  store<i32>(slot, load<i32>(slot, 4) | (i32x4.bitmask(least) ? <i32>0x80000000 : 0), 4);
}

/** Widens the range at `slot` by n values. */
export function range(x: usize, n: u32, slot: usize): void {
  let most = i32x4.splat(0);
  let least = most;
  for (const end = x + (<usize>n << 2); x < end; x += 16) {
    const v = keepLanes(v128.load(x), <u32>((end - x) >> 2));
    most = i32x4.max_s(most, v);
    least = i32x4.max_u(least, v);
  }
  keepRange(slot, most, least);
}

const ROUND: f32 = 12582912; // 1.5 * 2^23: a sum with it is rounded to an integer, half to even, that stands in its low bits

// @ts-ignore: decorator
@inline
function round4(x: usize, inverse: v128, low: v128, high: v128, magic: v128): v128 {
  const v = f32x4.pmax(low, f32x4.pmin(high, f32x4.mul(v128.load(x), inverse)));
  return i32x4.sub(f32x4.add(v, magic), magic);
}

/** `rne(clamp(x * inverse, -limit, limit))`, NaN as `limit`: bounds first, since the sum rounds no more than 22 bits. */
function quantizeRun(x: usize, out: usize, n: u32, inverse: f32, limit: i32): void {
  const s = f32x4.splat(inverse);
  const magic = f32x4.splat(ROUND);
  const high = f32x4.splat(<f32>limit);
  const low = f32x4.splat(<f32>-limit);
  for (const end = out + (<usize>(n >> 3) << 4); out < end; out += 16, x += 32)
    v128.store(out, i16x8.narrow_i32x4_s(round4(x, s, low, high, magic), round4(x + 16, s, low, high, magic)));
  for (const end = out + (<usize>(n & 7) << 1); out < end; out += 2, x += 4) {
    const v = round4(x, s, low, high, magic);
    v128.store16_lane(out, v, 0);
  }
}

/**
 * An image [height][width][channels] of float32 into the middle of i16 [rows][across][depth], zeros around it and behind its channels.
 * What does not fit below or to the right is left out.
 *
 * @param pitch bytes from one pixel of x to the next
 */
export function quantize(
  x: usize,
  height: u32,
  width: u32,
  channels: u32,
  pitch: usize,
  out: usize,
  rows: u32,
  across: u32,
  depth: u32,
  top: u32,
  left: u32,
  inverse: f32,
  limit: i32,
): void {
  const pixel = <usize>depth << 1;
  const row = <usize>across * pixel;
  const high = min(height, rows - top);
  const wide = min(width, across - left);
  const whole = channels == depth && pitch == <usize>channels << 2;
  memory.fill(out, 0, <usize>top * row);
  let o = out + <usize>top * row;
  for (let y: u32 = 0; y < high; y++, x += <usize>width * pitch) {
    memory.fill(o, 0, <usize>left * pixel);
    o += <usize>left * pixel;
    if (whole) {
      quantizeRun(x, o, wide * channels, inverse, limit);
      o += <usize>wide * pixel;
    } else {
      for (let i: u32 = 0, p = x; i < wide; i++, p += pitch, o += pixel) {
        quantizeRun(p, o, channels, inverse, limit);
        memory.fill(o + (<usize>channels << 1), 0, <usize>(depth - channels) << 1);
      }
    }
    memory.fill(o, 0, <usize>(across - left - wide) * pixel);
    o += <usize>(across - left - wide) * pixel;
  }
  memory.fill(o, 0, <usize>(rows - top - high) * row);
}
