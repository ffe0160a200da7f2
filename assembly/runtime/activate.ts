// What plain networks compute of elements and rows, four floats at a time: a few activations, softmax, sums of tensors. The rest
// is in activate-more.ts.

import { clamp } from './direct';
import { exp4, expm1x4, sigmoid4, tanh4 } from './math';
import { keepLanes, storeFour } from './panels';

/**
 * `out[i] = f(x[i])` of n floats; x may be out. The numbers of the functions stand in src/runtime/functions.ts (PLAIN_FUNCTIONS).
 *
 * @param a, b, c the function's own parameters
 */
export function activate(x: usize, n: u32, kind: i32, a: f32, b: f32, c: f32, out: usize): void {
  for (let i: u32 = 0; i < n; i += 4, x += 16, out += 16) storeFour(out, apply(v128.load(x), kind, a, b, c), n - i);
}

export function apply(x: v128, kind: i32, a: f32, b: f32, c: f32): v128 {
  switch (kind) {
    // clamp: from a to b
    case 0: return clamp(x, f32x4.splat(a), f32x4.splat(b));
    // relu: a (x - b) below the threshold b, x from it on, at most c
    case 1: {
      const t = f32x4.splat(b);
      const v = v128.bitselect(x, f32x4.mul(f32x4.splat(a), f32x4.sub(x, t)), f32x4.ge(x, t));
      return f32x4.pmin(v, f32x4.splat(c));
    }
    // elu: a (exp(c x) - 1) below 0, times b: selu, celu
    case 2: {
      const below = f32x4.mul(f32x4.splat(a), expm1x4(f32x4.mul(f32x4.splat(c), x)));
      return f32x4.mul(f32x4.splat(b), v128.bitselect(x, below, f32x4.gt(x, f32x4.splat(0))));
    }
    case 3: return sigmoid4(x);
    case 4: return tanh4(x);
    case 5: return f32x4.mul(x, sigmoid4(x));
    // a x + b
    default: return f32x4.add(f32x4.mul(f32x4.splat(a), x), f32x4.splat(b));
  }
}

/** Four partial sums of a row to one: (0 + 1) + (2 + 3). */
// @ts-ignore: decorator
@inline
export function total(v: v128): f32 {
  return f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3));
}

/** `rows` of n floats each: exp(x - max) / sum. Lane l sums the elements l, l + 4, ... */
export function softmax(x: usize, rows: u32, n: u32, isLog: bool, out: usize): void {
  const bytes = <usize>n << 2;
  for (let row: u32 = 0; row < rows; row++, x += bytes, out += bytes) {
    const s = f32x4.splat(exponentials(x, bytes, false, out));
    for (let i: usize = 0; i < bytes; i += 16)
      storeFour(out + i, f32x4.div(v128.load(out + i), s), <u32>((bytes - i) >> 2));
  }
}

/** exp(x - max) of a row, or x - max, to `out`. @returns the sum of exp(x - max) */
// @ts-ignore: decorator
@inline
export function exponentials(x: usize, bytes: usize, isLog: bool, out: usize): f32 {
  let most = -Infinity as f32;
  for (let p = x; p < x + bytes; p += 4) most = max(most, load<f32>(p));
  const m = f32x4.splat(most);
  let sum = f32x4.splat(0);
  for (let i: usize = 0; i < bytes; i += 16) {
    const d = f32x4.sub(v128.load(x + i), m);
    const e = exp4(d);
    const left = <u32>((bytes - i) >> 2);
    storeFour(out + i, isLog ? d : e, left);
    sum = f32x4.add(sum, keepLanes(e, left));
  }
  return total(sum);
}

/**
 * `out[i] = f(x[i], y[i mod period])` of n floats: 0 sum, 1 difference, 2 product, 3 quotient, 4 larger, 5 smaller. Out may be x. y has
 * room for `period` floats, read again from its start.
 */
export function combine(x: usize, y: usize, n: u32, period: u32, kind: i32, out: usize): void {
  const one = v128.load32_splat(y);
  const block = period == 1 ? n : period;
  for (let at: u32 = 0; at < n; at += block) {
    const count = min(block, n - at);
    const from = <usize>at << 2;
    for (let i: usize = 0; i < <usize>count << 2; i += 16) {
      const v = join(v128.load(x + from + i), period == 1 ? one : v128.load(y + i), kind);
      storeFour(out + from + i, v, count - <u32>(i >> 2));
    }
  }
}

// @ts-ignore: decorator
@inline
function join(x: v128, y: v128, kind: i32): v128 {
  switch (kind) {
    case 0: return f32x4.add(x, y);
    case 1: return f32x4.sub(x, y);
    case 2: return f32x4.mul(x, y);
    case 3: return f32x4.div(x, y);
    case 4: return f32x4.max(x, y);
    default: return f32x4.min(x, y);
  }
}
