// Functions of four floats, made of additions, multiplications and divisions alone, so that they have the same bits on every host.
// src/runtime/reference-math.ts has the same steps for one float. Coefficients: Moshier, Cephes (expf, tanhf, logf); erf: the
// rational approximation of Eigen.

const ROUND: f32 = 12582912;

// @ts-ignore: decorator
@inline
function splat(x: f32): v128 {
  return f32x4.splat(x);
}

// @ts-ignore: decorator
@inline
function step(p: v128, x: v128, c: f32): v128 {
  return f32x4.add(f32x4.mul(p, x), splat(c));
}

/** The number of halvings, 2^n, is taken in two steps: results may be subnormal or reach up to infinity. */
// @ts-ignore: decorator
@inline
function scaleBy(v: v128, n: v128): v128 {
  const a = i32x4.shr_s(n, 1);
  const b = i32x4.sub(n, a);
  const bias = i32x4.splat(127);
  return f32x4.mul(f32x4.mul(v, i32x4.shl(i32x4.add(a, bias), 23)), i32x4.shl(i32x4.add(b, bias), 23));
}

/** `exp(x) - isMinusOne`, where `exp(x) - 1` keeps its digits near 0. */
function exponential(x: v128, isMinusOne: bool): v128 {
  x = f32x4.pmin(f32x4.pmax(x, splat(-104)), splat(89));
  const shifted = f32x4.add(f32x4.mul(x, splat(1.44269504)), splat(ROUND));
  const n = i32x4.sub(shifted, i32x4.splat(0x4b400000));
  const whole = f32x4.sub(shifted, splat(ROUND));
  let r = f32x4.sub(x, f32x4.mul(whole, splat(0.693359375)));
  r = f32x4.sub(r, f32x4.mul(whole, splat(-2.12194440e-4)));
  let p = splat(1.9875691500e-4);
  p = step(p, r, 1.3981999507e-3);
  p = step(p, r, 8.3334519073e-3);
  p = step(p, r, 4.1665795894e-2);
  p = step(p, r, 1.6666665459e-1);
  p = step(p, r, 5.0000001201e-1);
  const near = f32x4.add(f32x4.mul(p, f32x4.mul(r, r)), r);
  const v = scaleBy(f32x4.add(near, splat(1)), n);
  if (!isMinusOne) return v;
  return v128.bitselect(near, f32x4.sub(v, splat(1)), i32x4.eq(n, i32x4.splat(0)));
}

export function exp4(x: v128): v128 {
  return exponential(x, false);
}

export function expm1x4(x: v128): v128 {
  return exponential(x, true);
}

export function sigmoid4(x: v128): v128 {
  return f32x4.div(splat(1), f32x4.add(splat(1), exp4(f32x4.neg(x))));
}

/** Below 0.625 a polynomial, else 1 - 2 / (exp(2 |x|) + 1). */
export function tanh4(x: v128): v128 {
  const size = f32x4.abs(x);
  const z = f32x4.mul(x, x);
  let p = splat(-5.70498872745e-3);
  p = step(p, z, 2.06390887954e-2);
  p = step(p, z, -5.37397155531e-2);
  p = step(p, z, 1.33314422036e-1);
  p = step(p, z, -3.33332819422e-1);
  const small = f32x4.add(f32x4.mul(f32x4.mul(p, z), x), x);
  const e = exp4(f32x4.add(size, size));
  const large = f32x4.sub(splat(1), f32x4.div(splat(2), f32x4.add(e, splat(1))));
  const signed = v128.or(large, v128.and(x, i32x4.splat(0x80000000)));
  return v128.bitselect(small, signed, f32x4.lt(size, splat(0.625)));
}

/** Natural logarithm of normal numbers from the smallest to the largest; of 0: -infinity; of less: NaN. */
export function log4(x: v128): v128 {
  const half = i32x4.splat(0x3f000000);
  // x = m 2^e, sqrt(1/2) <= m < sqrt(2)
  let e = f32x4.convert_i32x4_s(i32x4.sub(i32x4.shr_u(x, 23), i32x4.splat(126)));
  let m = v128.or(v128.and(x, i32x4.splat(0x007fffff)), half);
  const isLow = f32x4.lt(m, splat(0.707106781));
  e = f32x4.sub(e, v128.and(isLow, splat(1)));
  m = f32x4.sub(f32x4.add(m, v128.and(isLow, m)), splat(1));
  const z = f32x4.mul(m, m);
  let p = splat(7.0376836292e-2);
  p = step(p, m, -1.1514610310e-1);
  p = step(p, m, 1.1676998740e-1);
  p = step(p, m, -1.2420140846e-1);
  p = step(p, m, 1.4249322787e-1);
  p = step(p, m, -1.6668057665e-1);
  p = step(p, m, 2.0000714765e-1);
  p = step(p, m, -2.4999993993e-1);
  p = step(p, m, 3.3333331174e-1);
  p = f32x4.mul(f32x4.mul(p, m), z);
  p = f32x4.add(p, f32x4.mul(e, splat(-2.12194440e-4)));
  p = f32x4.sub(p, f32x4.mul(z, splat(0.5)));
  let v = f32x4.add(f32x4.add(m, p), f32x4.mul(e, splat(0.693359375)));
  v = v128.bitselect(splat(-Infinity), v, f32x4.eq(x, splat(0)));
  v = v128.bitselect(x, v, f32x4.eq(x, splat(Infinity)));
  return v128.bitselect(v, splat(NaN), f32x4.ge(x, splat(0)));
}

/** `log(1 + t)` for t from 0 to 1: log(u) t / (u - 1), u = 1 + t rounded, which takes the rounding back (Kahan). */
function log1p4(t: v128): v128 {
  const u = f32x4.add(splat(1), t);
  const d = f32x4.sub(u, splat(1));
  const v = f32x4.div(f32x4.mul(log4(u), t), d);
  return v128.bitselect(t, v, f32x4.eq(d, splat(0)));
}

/** `max(x, 0) + log(1 + exp(-|x|))` */
export function softplus4(x: v128): v128 {
  const rest = log1p4(exp4(f32x4.neg(f32x4.abs(x))));
  return f32x4.add(f32x4.pmax(x, splat(0)), rest);
}

/** x P(x x) / Q(x x), |x| up to 4; behind that 1 to the last bit. */
export function erf4(x: v128): v128 {
  x = f32x4.pmin(f32x4.pmax(x, splat(-4)), splat(4));
  const z = f32x4.mul(x, x);
  let p = splat(-2.72614225801306e-10);
  p = step(p, z, 2.77068142495902e-8);
  p = step(p, z, -2.10102402082508e-6);
  p = step(p, z, -5.69250639462346e-5);
  p = step(p, z, -7.34990630326855e-4);
  p = step(p, z, -2.95459980854025e-3);
  p = step(p, z, -1.60960333262415e-2);
  let q = splat(-1.45660718464996e-5);
  q = step(q, z, -2.13374055278905e-4);
  q = step(q, z, -1.68282697438203e-3);
  q = step(q, z, -7.37332916720468e-3);
  q = step(q, z, -1.42647390514189e-2);
  return f32x4.div(f32x4.mul(x, p), q);
}
