// What other networks than plain ones compute of elements and rows: all activations, logarithms of shares, normalizations,
// comparisons.

import { apply, combine, exponentials, softmax, total } from './activate';
import { clamp } from './direct';
import { erf4, exp4, expm1x4, log4, sigmoid4, softplus4, tanh4 } from './math';
import { keepLanes, storeFour } from './panels';

/** As the plain `activate`, of all functions (src/runtime/functions.ts, FUNCTIONS). */
export function activateAny(x: usize, n: u32, kind: i32, a: f32, b: f32, c: f32, out: usize): void {
  for (let i: u32 = 0; i < n; i += 4, x += 16, out += 16) storeFour(out, applyAny(v128.load(x), kind, a, b, c), n - i);
}

function applyAny(x: v128, kind: i32, a: f32, b: f32, c: f32): v128 {
  if (kind < 7) return apply(x, kind, a, b, c);
  const zero = f32x4.splat(0);
  const one = f32x4.splat(1);
  switch (kind) {
    case 7: return softplus4(x);
    case 8: return f32x4.div(x, f32x4.add(one, f32x4.abs(x)));
    // gelu: x / 2 (1 + erf(x / sqrt(2)))
    case 9: return f32x4.mul(f32x4.mul(f32x4.splat(0.5), x), f32x4.add(one, erf4(f32x4.mul(x, f32x4.splat(0.70710678)))));
    // gelu by tanh: x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
    case 10: {
      const cube = f32x4.mul(f32x4.mul(x, x), x);
      const t = f32x4.mul(f32x4.splat(0.79788456), f32x4.add(x, f32x4.mul(f32x4.splat(0.044715), cube)));
      return f32x4.mul(f32x4.mul(f32x4.splat(0.5), x), f32x4.add(one, tanh4(t)));
    }
    // hard sigmoid: clamp(a x + b, 0, 1); a = 0.2 in Keras 2, 1/6 in Keras 3
    case 11: return clamp(f32x4.add(f32x4.mul(f32x4.splat(a), x), f32x4.splat(b)), zero, one);
    // hard swish: x times it
    case 12: return f32x4.mul(x, clamp(f32x4.add(f32x4.mul(f32x4.splat(a), x), f32x4.splat(b)), zero, one));
    case 13: return exp4(x);
    case 14: return f32x4.mul(x, tanh4(softplus4(x)));
    case 15: return f32x4.neg(softplus4(f32x4.neg(x)));
    case 16: return f32x4.abs(x);
    case 17: return f32x4.mul(x, x);
    case 18: return f32x4.sqrt(x);
    case 19: return f32x4.div(one, f32x4.sqrt(x));
    case 20: return log4(x);
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

/** As the plain `softmax`, or its logarithm: x - max - log(sum). */
export function softmaxAny(x: usize, rows: u32, n: u32, isLog: bool, out: usize): void {
  if (!isLog) {
    softmax(x, rows, n, false, out);
    return;
  }
  const bytes = <usize>n << 2;
  for (let row: u32 = 0; row < rows; row++, x += bytes, out += bytes) {
    const l = log4(f32x4.splat(exponentials(x, bytes, true, out)));
    for (let i: usize = 0; i < bytes; i += 16)
      storeFour(out + i, f32x4.sub(v128.load(out + i), l), <u32>((bytes - i) >> 2));
  }
}

/**
 * `rows` of n floats each: (x - mean) / sqrt(mean((x - mean)^2) + epsilon) * gamma + beta; sums in four lanes as in `softmax`.
 *
 * @param isCentered false: the mean is taken to be 0 (root mean square normalization)
 */
export function normalize(x: usize, rows: u32, n: u32, gamma: usize, beta: usize, epsilon: f32, isCentered: bool, out: usize): void {
  const bytes = <usize>n << 2;
  const count = <f32>n;
  for (let row: u32 = 0; row < rows; row++, x += bytes, out += bytes) {
    let sum = f32x4.splat(0);
    if (isCentered) {
      for (let i: usize = 0; i < bytes; i += 16) sum = f32x4.add(sum, keepLanes(v128.load(x + i), <u32>((bytes - i) >> 2)));
    }
    const mean = f32x4.splat(total(sum) / count);
    sum = f32x4.splat(0);
    for (let i: usize = 0; i < bytes; i += 16) {
      const d = f32x4.sub(v128.load(x + i), mean);
      sum = f32x4.add(sum, keepLanes(f32x4.mul(d, d), <u32>((bytes - i) >> 2)));
    }
    const scale = f32x4.splat(<f32>1 / sqrt<f32>(total(sum) / count + epsilon));
    for (let i: usize = 0; i < bytes; i += 16) {
      const d = f32x4.mul(f32x4.sub(v128.load(x + i), mean), scale);
      storeFour(out + i, f32x4.add(f32x4.mul(d, v128.load(gamma + i)), v128.load(beta + i)), <u32>((bytes - i) >> 2));
    }
  }
}

/**
 * As the plain `combine`, of all combinations: 6 PReLU (x, or y x below 0), then 1 or 0: 7 larger, 8 at least, 9 equal, 10 not equal; 11 x
 * where y is not 0.
 */
export function combineAny(x: usize, y: usize, n: u32, period: u32, kind: i32, out: usize): void {
  if (kind < 6) {
    combine(x, y, n, period, kind, out);
    return;
  }
  const one = v128.load32_splat(y);
  const block = period == 1 ? n : period;
  for (let at: u32 = 0; at < n; at += block) {
    const count = min(block, n - at);
    const from = <usize>at << 2;
    for (let i: usize = 0; i < <usize>count << 2; i += 16) {
      const v = joinAny(v128.load(x + from + i), period == 1 ? one : v128.load(y + i), kind);
      storeFour(out + from + i, v, count - <u32>(i >> 2));
    }
  }
}

// @ts-ignore: decorator
@inline
function joinAny(x: v128, y: v128, kind: i32): v128 {
  switch (kind) {
    case 6: return v128.bitselect(f32x4.mul(x, y), x, f32x4.lt(x, f32x4.splat(0)));
    case 7: return v128.and(f32x4.splat(1), f32x4.gt(x, y));
    case 8: return v128.and(f32x4.splat(1), f32x4.ge(x, y));
    case 9: return v128.and(f32x4.splat(1), f32x4.eq(x, y));
    case 10: return v128.and(f32x4.splat(1), f32x4.ne(x, y));
    default: return v128.and(x, f32x4.ne(y, f32x4.splat(0)));
  }
}
