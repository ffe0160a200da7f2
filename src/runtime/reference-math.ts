/** Functions of one float32: the steps of `assembly/runtime/math.ts`, each rounded to float32. They define the bits. */

const { fround, abs } = Math;

const words = (): DataView => new DataView(new ArrayBuffer(4));

/** float32 as its bits. */
export function bitsOf(x: number, view = words()): number {
  view.setFloat32(0, x);
  return view.getInt32(0);
}

/** float32 from its bits. */
export function fromBits(bits: number, view = words()): number {
  view.setInt32(0, bits);
  return view.getFloat32(0);
}

/** Rounded to an integer, half to even: float32 values below 2^22. */
export const roundEven = (x: number): number => fround(fround(x + 12582912) - 12582912);

/** Any float32 rounded to an integer, half to even; a zero keeps the sign. */
export function nearest(x: number): number {
  const size = abs(x);
  if (!(size < 2 ** 23)) return x;
  const whole = Math.floor(size);
  const rest = size - whole;
  const up = rest > 0.5 || (rest === 0.5 && whole % 2 === 1);
  const value = up ? whole + 1 : whole;
  return x < 0 || Object.is(x, -0) ? -value : value;
}

/** The larger: a where they are equal (zeros of two signs are) or not to be compared. */
export function larger(a: number, b: number): number {
  if (a < b) return b;
  return a;
}

/** The smaller, likewise. */
export function smaller(a: number, b: number): number {
  if (b < a) return b;
  return a;
}

/** From `low` to `high`; NaN stays. */
export const clamp = (v: number, low: number, high: number): number => smaller(larger(v, low), high);

/** `((c0 x + c1) x + c2) ...` */
function polynomial(x: number, coefficients: readonly number[]): number {
  let p = fround(coefficients[0] as number);
  for (const c of coefficients.slice(1)) p = fround(fround(p * x) + fround(c));
  return p;
}

const EXP = [
  1.987569115e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
];
const LN2_HIGH = fround(0.693359375);
const LN2_LOW = fround(-2.1219444e-4);

function exponential(value: number, isMinusOne: boolean): number {
  const x = clamp(value, -104, 89);
  if (Number.isNaN(x)) return x;
  const n = roundEven(fround(x * fround(Math.LOG2E)));
  let r = fround(x - fround(n * LN2_HIGH));
  r = fround(r - fround(n * LN2_LOW));
  const near = fround(fround(polynomial(r, EXP) * fround(r * r)) + r);
  if (isMinusOne && n === 0) return near;
  const first = n >> 1;
  const v = fround(fround(fround(near + 1) * 2 ** first) * 2 ** (n - first));
  return isMinusOne ? fround(v - 1) : v;
}

export const exp = (x: number): number => exponential(x, false);
export const expm1 = (x: number): number => exponential(x, true);
export const sigmoid = (x: number): number => fround(1 / fround(1 + exp(-x)));

const TANH = [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1];

export function tanh(x: number): number {
  const size = abs(x);
  const z = fround(x * x);
  if (size < 0.625) return fround(fround(fround(polynomial(z, TANH) * z) * x) + x);
  const large = fround(1 - fround(2 / fround(exp(fround(size + size)) + 1)));
  return x < 0 ? -large : large;
}

const LOG = [
  ...[7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1],
  ...[-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1],
];

export function log(x: number): number {
  if (!(x >= 0)) return Number.NaN;
  if (x === 0) return Number.NEGATIVE_INFINITY;
  if (x === Number.POSITIVE_INFINITY) return x;
  const bits = bitsOf(x);
  let e = (bits >>> 23) - 126;
  let m = fromBits((bits & 0x007fffff) | 0x3f000000);
  if (m < fround(Math.SQRT1_2)) {
    e -= 1;
    m = fround(fround(m + m) - 1);
  } else m = fround(m - 1);
  const z = fround(m * m);
  let p = fround(fround(polynomial(m, LOG) * m) * z);
  p = fround(p + fround(e * LN2_LOW));
  p = fround(p - fround(z * 0.5));
  return fround(fround(m + p) + fround(e * LN2_HIGH));
}

function log1p(t: number): number {
  const u = fround(1 + t);
  const d = fround(u - 1);
  return d === 0 ? t : fround(fround(log(u) * t) / d);
}

export const softplus = (x: number): number => fround(larger(x, 0) + log1p(exp(-abs(x))));

const ERF_P = [
  ...[-2.72614225801306e-10, 2.77068142495902e-8, -2.10102402082508e-6, -5.69250639462346e-5],
  ...[-7.34990630326855e-4, -2.95459980854025e-3, -1.60960333262415e-2],
];
const ERF_Q = [
  ...[-1.45660718464996e-5, -2.13374055278905e-4, -1.68282697438203e-3, -7.37332916720468e-3],
  -1.42647390514189e-2,
];

export function erf(value: number): number {
  const x = clamp(value, -4, 4);
  const z = fround(x * x);
  return fround(fround(x * polynomial(z, ERF_P)) / polynomial(z, ERF_Q));
}
