// Activations, each of four floats at a time.

import { clamp } from './direct';
import { erf4, exp4, expm1x4, log4, sigmoid4, softplus4, tanh4 } from './math';
import { KEEP } from './float';
import { storeFour } from './panels';

/**
 * `out[i] = f(x[i])` of n floats; x may be out. The numbers of the functions stand in src/runtime/record.ts (ACTIVATIONS).
 *
 * @param a, b, c the function's own parameters
 */
export function activate(x: usize, n: u32, kind: i32, a: f32, b: f32, c: f32, out: usize): void {
  for (let i: u32 = 0; i < n; i += 4, x += 16, out += 16) storeFour(out, apply(v128.load(x), kind, a, b, c), n - i);
}

function apply(x: v128, kind: i32, a: f32, b: f32, c: f32): v128 {
  const zero = f32x4.splat(0);
  const one = f32x4.splat(1);
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
      return f32x4.mul(f32x4.splat(b), v128.bitselect(x, below, f32x4.gt(x, zero)));
    }
    case 3: return sigmoid4(x);
    case 4: return tanh4(x);
    case 5: return softplus4(x);
    case 6: return f32x4.div(x, f32x4.add(one, f32x4.abs(x)));
    case 7: return f32x4.mul(x, sigmoid4(x));
    // gelu: x / 2 (1 + erf(x / sqrt(2)))
    case 8: return f32x4.mul(f32x4.mul(f32x4.splat(0.5), x), f32x4.add(one, erf4(f32x4.mul(x, f32x4.splat(0.70710678)))));
    // gelu by tanh: x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
    case 9: {
      const cube = f32x4.mul(f32x4.mul(x, x), x);
      const t = f32x4.mul(f32x4.splat(0.79788456), f32x4.add(x, f32x4.mul(f32x4.splat(0.044715), cube)));
      return f32x4.mul(f32x4.mul(f32x4.splat(0.5), x), f32x4.add(one, tanh4(t)));
    }
    // hard sigmoid: clamp(a x + b, 0, 1); a = 0.2 in Keras 2, 1/6 in Keras 3
    case 10: return clamp(f32x4.add(f32x4.mul(f32x4.splat(a), x), f32x4.splat(b)), zero, one);
    // hard swish: x times it
    case 11: return f32x4.mul(x, clamp(f32x4.add(f32x4.mul(f32x4.splat(a), x), f32x4.splat(b)), zero, one));
    case 12: return exp4(x);
    case 13: return f32x4.mul(x, tanh4(softplus4(x)));
    case 14: return f32x4.neg(softplus4(f32x4.neg(x)));
    case 15: return f32x4.abs(x);
    case 16: return f32x4.mul(x, x);
    case 17: return f32x4.sqrt(x);
    case 18: return f32x4.div(one, f32x4.sqrt(x));
    case 19: return log4(x);
    // a x + b
    case 20: return f32x4.add(f32x4.mul(f32x4.splat(a), x), f32x4.splat(b));
    // tanh's rest
    case 21: return f32x4.sub(x, tanh4(x));
    case 22: return f32x4.neg(x);
    case 23: return f32x4.div(one, x);
    // sign: 1, -1, or x itself
    case 24: {
      const v = v128.bitselect(f32x4.splat(-1), x, f32x4.lt(x, zero));
      return v128.bitselect(one, v, f32x4.gt(x, zero));
    }
    case 25: return f32x4.floor(x);
    case 26: return f32x4.ceil(x);
    case 27: return f32x4.nearest(x);
    case 28: return expm1x4(x);
    case 29: return erf4(x);
    // hard shrink: nothing up to a on either side
    case 30: return v128.and(x, f32x4.gt(f32x4.abs(x), f32x4.splat(a)));
    // soft shrink: what is above a, or below -a
    case 31: {
      const t = f32x4.splat(a);
      const above = v128.and(f32x4.sub(x, t), f32x4.gt(x, t));
      return v128.or(above, v128.and(f32x4.add(x, t), f32x4.lt(x, f32x4.neg(t))));
    }
    // squareplus: (x + sqrt(x x + a)) / 2
    case 32: return f32x4.mul(f32x4.splat(0.5), f32x4.add(x, f32x4.sqrt(f32x4.add(f32x4.mul(x, x), f32x4.splat(a)))));
    // threshold: b up to a
    case 33: return v128.bitselect(x, f32x4.splat(b), f32x4.gt(x, f32x4.splat(a)));
    // sparse plus: (x + 1)^2 / 4 between -1 and 1
    case 34: {
      const t = f32x4.add(x, one);
      const v = v128.bitselect(x, f32x4.mul(f32x4.mul(t, t), f32x4.splat(0.25)), f32x4.ge(x, one));
      return v128.andnot(v, f32x4.le(x, f32x4.splat(-1)));
    }
    // truth: 1 for all but 0
    default: return v128.and(one, f32x4.ne(x, zero));
  }
}

/** Four partial sums of a row to one: (0 + 1) + (2 + 3). */
// @ts-ignore: decorator
@inline
function total(v: v128): f32 {
  return f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3));
}

/** `rows` of n floats each: exp(x - max) / sum, or x - max - log(sum). Lane l sums the elements l, l + 4, ... */
export function softmax(x: usize, rows: u32, n: u32, isLog: bool, out: usize): void {
  const bytes = <usize>n << 2;
  const fours = <usize>(n & ~3) << 2;
  for (let row: u32 = 0; row < rows; row++, x += bytes, out += bytes) {
    let most = -Infinity as f32;
    for (let p = x; p < x + bytes; p += 4) most = max(most, load<f32>(p));
    const m = f32x4.splat(most);
    let sum = f32x4.splat(0);
    for (let i: usize = 0; i < bytes; i += 16) {
      const d = f32x4.sub(v128.load(x + i), m);
      let e = exp4(d);
      const left = <u32>((bytes - i) >> 2);
      storeFour(out + i, isLog ? d : e, left);
      if (i >= fours) e = v128.and(e, v128.load(KEEP + (<usize>left << 4)));
      sum = f32x4.add(sum, e);
    }
    const s = f32x4.splat(total(sum));
    const l = isLog ? log4(s) : s;
    for (let i: usize = 0; i < bytes; i += 16) {
      const v = v128.load(out + i);
      storeFour(out + i, isLog ? f32x4.sub(v, l) : f32x4.div(v, s), <u32>((bytes - i) >> 2));
    }
  }
}

/**
 * `rows` of n floats each: (x - mean) / sqrt(mean((x - mean)^2) + epsilon) * gamma + beta; sums in four lanes as in `softmax`.
 *
 * @param isCentered false: the mean is taken to be 0 (root mean square normalization)
 */
export function normalize(x: usize, rows: u32, n: u32, gamma: usize, beta: usize, epsilon: f32, isCentered: bool, out: usize): void {
  const bytes = <usize>n << 2;
  const fours = <usize>(n & ~3) << 2;
  const count = <f32>n;
  for (let row: u32 = 0; row < rows; row++, x += bytes, out += bytes) {
    let sum = f32x4.splat(0);
    if (isCentered) {
      for (let i: usize = 0; i < bytes; i += 16) sum = f32x4.add(sum, part(v128.load(x + i), i, fours, bytes));
    }
    const mean = f32x4.splat(total(sum) / count);
    sum = f32x4.splat(0);
    for (let i: usize = 0; i < bytes; i += 16) {
      const d = f32x4.sub(v128.load(x + i), mean);
      sum = f32x4.add(sum, part(f32x4.mul(d, d), i, fours, bytes));
    }
    const scale = f32x4.splat(<f32>1 / sqrt<f32>(total(sum) / count + epsilon));
    for (let i: usize = 0; i < bytes; i += 16) {
      const d = f32x4.mul(f32x4.sub(v128.load(x + i), mean), scale);
      storeFour(out + i, f32x4.add(f32x4.mul(d, v128.load(gamma + i)), v128.load(beta + i)), <u32>((bytes - i) >> 2));
    }
  }
}

/** Zeros in the lanes behind the row's end. */
// @ts-ignore: decorator
@inline
function part(v: v128, at: usize, fours: usize, bytes: usize): v128 {
  return at < fours ? v : v128.and(v, v128.load(KEEP + (bytes - at << 2)));
}

/**
 * `out[i] = f(x[i], y[i mod period])` of n floats: 0 sum, 1 difference, 2 product, 3 quotient, 4 larger, 5 smaller, 6 PReLU (x, or
 * y x below 0), then 1 or 0: 7 larger, 8 at least, 9 equal, 10 not equal; 11 x where y is not 0. Out may be x. y has room for `period` floats, read again from its start.
 */
export function combine(x: usize, y: usize, n: u32, period: u32, kind: i32, out: usize): void {
  for (let at: u32 = 0; at < n; at += period) {
    const count = min(period, n - at);
    if (period == 1) {
      // A single number for all: one pass.
      const v = v128.load32_splat(y);
      for (let i: u32 = 0; i < n; i += 4, x += 16, out += 16) storeFour(out, join(v128.load(x), v, kind), n - i);
      return;
    }
    let p = x + (<usize>at << 2);
    let q = y;
    let o = out + (<usize>at << 2);
    for (let i: u32 = 0; i < count; i += 4, p += 16, q += 16, o += 16)
      storeFour(o, join(v128.load(p), v128.load(q), kind), count - i);
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
    case 5: return f32x4.min(x, y);
    case 6: return v128.bitselect(f32x4.mul(x, y), x, f32x4.lt(x, f32x4.splat(0)));
    case 7: return v128.and(f32x4.splat(1), f32x4.gt(x, y));
    case 8: return v128.and(f32x4.splat(1), f32x4.ge(x, y));
    case 9: return v128.and(f32x4.splat(1), f32x4.eq(x, y));
    case 10: return v128.and(f32x4.splat(1), f32x4.ne(x, y));
    default: return v128.and(x, f32x4.ne(y, f32x4.splat(0)));
  }
}
