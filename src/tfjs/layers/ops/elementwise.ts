import type { Tensor, TensorFlow } from '../../types.js';
import {
  binary,
  float,
  floating,
  moved,
  numberOf,
  ofOneType,
  spread,
  type TensorOperation,
  truth,
  unary,
} from './spec.js';

/** Between two numbers. Not `clipByValue`, whose WebAssembly kernel makes 0 of what is not a number and compares bits of integers. */
export const between = (tf: TensorFlow, x: Tensor, low: number, high: number): Tensor =>
  tf.minimum(tf.maximum(x, scalar(tf, low, x)), scalar(tf, high, x));

const scalar = (tf: TensorFlow, value: number, beside: Tensor) =>
  tf.scalar(value, beside.dtype === 'int32' && Number.isInteger(value) ? 'int32' : 'float32');

const quotient = (tf: TensorFlow, x: Tensor, y: Tensor) => tf.div(float(tf, x), float(tf, y));
const isWhole = (x: Tensor, y: Tensor) => x.dtype === 'int32' && y.dtype === 'int32';
const floorOf = (tf: TensorFlow, x: Tensor, y: Tensor) => {
  const floor = tf.floor(quotient(tf, x, y));
  return isWhole(x, y) ? tf.cast(floor, 'int32') : floor;
};
const logical = (tf: TensorFlow, x: Tensor) => truth(tf, x);
/** `log(exp(x) + exp(y))` */
const logAdd = (tf: TensorFlow, x: Tensor, y: Tensor) =>
  tf.add(tf.maximum(x, y), tf.log1p(tf.exp(tf.neg(tf.abs(tf.sub(x, y))))));

/** `max_value` above it, `x` above the threshold, `negative_slope (x - threshold)` below. */
const relu = floating(
  (tf, x, { negativeSlope, maxValue, threshold }) => {
    const from = numberOf(threshold);
    const slope = numberOf(negativeSlope);
    const above = from === 0 ? tf.relu(x) : tf.where(tf.greater(x, from), x, tf.zerosLike(x));
    const kept = typeof maxValue === 'number' ? between(tf, above, 0, maxValue) : above;
    return slope === 0 ? kept : tf.sub(kept, tf.mul(tf.relu(tf.sub(from, x)), slope));
  },
  { negativeSlope: 0, maxValue: null, threshold: 0 },
);

const hardSigmoid = (tf: TensorFlow, x: Tensor) => tf.div(between(tf, tf.add(x, 3), 0, 6), 6);
/** `x` where a condition holds, else 0. */
const keep = (tf: TensorFlow, condition: Tensor, x: Tensor) => tf.where(condition, x, tf.zerosLike(x));

/** keras.activations, with the arguments that they have as functions. */
const ACTIVATIONS: Readonly<Record<string, TensorOperation>> = {
  relu,
  reLU: relu,
  relu6: floating((tf, x) => between(tf, x, 0, 6)),
  sigmoid: floating((tf, x) => tf.sigmoid(x)),
  softplus: floating((tf, x) => tf.softplus(x)),
  softsign: floating((tf, x) => tf.div(x, tf.add(1, tf.abs(x)))),
  silu: floating((tf, x) => tf.mul(x, tf.sigmoid(x))),
  mish: floating((tf, x) => tf.mul(x, tf.tanh(tf.softplus(x)))),
  gelu: floating(
    (tf, x, { approximate }) => {
      const inner = approximate
        ? tf.tanh(tf.mul(Math.sqrt(2 / Math.PI), tf.add(x, tf.mul(0.044715, tf.mul(x, tf.square(x))))))
        : tf.erf(tf.mul(x, Math.SQRT1_2));
      return tf.mul(tf.mul(0.5, x), tf.add(1, inner));
    },
    { approximate: true },
  ),
  elu: floating(
    (tf, x, { alpha }) => tf.add(tf.relu(x), tf.mul(numberOf(alpha, 1), tf.expm1(tf.minimum(x, 0)))),
    { alpha: 1 },
  ),
  selu: floating((tf, x) => tf.selu(x)),
  celu: floating(
    (tf, x, { alpha }) => {
      const a = numberOf(alpha, 1);
      return tf.add(tf.relu(x), tf.mul(a, tf.expm1(tf.div(tf.minimum(x, 0), a))));
    },
    { alpha: 1 },
  ),
  leakyRelu: floating(
    (tf, x, { negativeSlope }) => tf.add(tf.relu(x), tf.mul(numberOf(negativeSlope, 0.2), tf.minimum(x, 0))),
    { negativeSlope: 0.2 },
  ),
  hardSigmoid: floating(hardSigmoid),
  hardSilu: floating((tf, x) => tf.mul(x, hardSigmoid(tf, x))),
  hardTanh: floating((tf, x) => between(tf, x, -1, 1)),
  hardShrink: floating(
    (tf, x, { threshold }) => keep(tf, tf.greater(tf.abs(x), numberOf(threshold, 0.5)), x),
    {
      threshold: 0.5,
    },
  ),
  softShrink: floating(
    (tf, x, { threshold }) => tf.mul(tf.sign(x), tf.relu(tf.sub(tf.abs(x), numberOf(threshold, 0.5)))),
    { threshold: 0.5 },
  ),
  tanhShrink: floating((tf, x) => tf.sub(x, tf.tanh(x))),
  threshold: floating(
    (tf, x, { threshold, defaultValue }) =>
      tf.where(tf.greater(x, numberOf(threshold)), x, tf.fill(x.shape, numberOf(defaultValue))),
    { threshold: 0, defaultValue: 0 },
  ),
  squareplus: floating(
    (tf, x, { b }) => tf.mul(0.5, tf.add(x, tf.sqrt(tf.add(tf.square(x), numberOf(b, 4))))),
    {
      b: 4,
    },
  ),
  logSigmoid: floating((tf, x) => tf.neg(tf.softplus(tf.neg(x)))),
  sparseSigmoid: floating((tf, x) => between(tf, tf.mul(0.5, tf.add(x, 1)), 0, 1)),
  sparsePlus: floating((tf, x) => {
    const middle = tf.div(tf.square(tf.add(between(tf, x, -1, 1), 1)), 4);
    return tf.where(tf.greater(x, 1), x, middle);
  }),
};

const FUNCTIONS: Readonly<Record<string, TensorOperation>> = {
  negative: unary((tf, x) => tf.neg(x)),
  absolute: unary((tf, x) => tf.abs(x)),
  abs: unary((tf, x) => tf.abs(x)),
  fabs: floating((tf, x) => tf.abs(x)),
  square: unary((tf, x) => tf.mul(x, x)),
  sign: unary((tf, x) => (x.dtype === 'int32' ? tf.cast(tf.sign(float(tf, x)), 'int32') : tf.sign(x))),
  sqrt: floating((tf, x) => tf.sqrt(x)),
  rsqrt: floating((tf, x) => tf.rsqrt(x)),
  cbrt: floating((tf, x) => tf.mul(tf.sign(x), tf.pow(tf.abs(x), 1 / 3))),
  reciprocal: floating((tf, x) => tf.div(1, x)),
  exp: floating((tf, x) => tf.exp(x)),
  exp2: floating((tf, x) => tf.exp(tf.mul(x, Math.LN2))),
  expm1: floating((tf, x) => tf.expm1(x)),
  log: floating((tf, x) => tf.log(x)),
  log1p: floating((tf, x) => tf.log1p(x)),
  log2: floating((tf, x) => tf.div(tf.log(x), Math.LN2)),
  log10: floating((tf, x) => tf.div(tf.log(x), Math.LN10)),
  sin: floating((tf, x) => tf.sin(x)),
  cos: floating((tf, x) => tf.cos(x)),
  tan: floating((tf, x) => tf.tan(x)),
  arcsin: floating((tf, x) => tf.asin(x)),
  arccos: floating((tf, x) => tf.acos(x)),
  arctan: floating((tf, x) => tf.atan(x)),
  sinh: floating((tf, x) => tf.sinh(x)),
  cosh: floating((tf, x) => tf.cosh(x)),
  tanh: floating((tf, x) => tf.tanh(x)),
  arcsinh: floating((tf, x) => tf.asinh(x)),
  arccosh: floating((tf, x) => tf.acosh(x)),
  arctanh: floating((tf, x) => tf.atanh(x)),
  sinc: floating((tf, x) => {
    const angle = tf.mul(x, Math.PI);
    const isZero = tf.equal(x, 0);
    return tf.where(isZero, tf.onesLike(x), tf.div(tf.sin(angle), tf.where(isZero, tf.onesLike(x), angle)));
  }),
  erf: floating((tf, x) => tf.erf(x)),
  erfc: floating((tf, x) => tf.sub(1, tf.erf(x))),
  deg2rad: floating((tf, x) => tf.mul(x, Math.PI / 180)),
  rad2deg: floating((tf, x) => tf.mul(x, 180 / Math.PI)),
  floor: floating((tf, x) => tf.floor(x)),
  ceil: floating((tf, x) => tf.ceil(x)),
  trunc: unary((tf, x) => (x.dtype === 'int32' ? x : tf.mul(tf.sign(x), tf.floor(tf.abs(x))))),
  round: {
    ...unary(
      (tf, x, { decimals }) => {
        const digits = numberOf(decimals);
        if (digits === 0) return x.dtype === 'int32' ? x : tf.round(x);
        const scale = 10 ** digits;
        return tf.div(tf.round(tf.mul(float(tf, x), scale)), scale);
      },
      { decimals: 0 },
    ),
  },
  clip: unary((tf, x, { xMin, xMax }) => between(tf, x, numberOf(xMin), numberOf(xMax)), {
    xMin: 0,
    xMax: 0,
  }),
  copy: unary((_, x) => x.clone()),
  stopGradient: unary((_, x) => x.clone()),
  conj: unary((_, x) => x.clone()),
  conjugate: unary((_, x) => x.clone()),
  real: unary((_, x) => x.clone()),
  onesLike: unary((tf, x) => tf.onesLike(x)),
  zerosLike: unary((tf, x) => tf.zerosLike(x)),
  logicalNot: unary((tf, x) => tf.logicalNot(logical(tf, x))),
  isnan: floating((tf, x) => tf.isNaN(x)),
  isinf: floating((tf, x) => tf.isInf(x)),
  isfinite: floating((tf, x) => tf.isFinite(x)),
};

const PAIRS: Readonly<Record<string, TensorOperation>> = {
  add: binary((tf, x, y) => tf.add(x, y)),
  subtract: binary((tf, x, y) => tf.sub(x, y)),
  multiply: binary((tf, x, y) => tf.mul(x, y)),
  divide: binary(quotient),
  trueDivide: binary(quotient),
  divideNoNan: binary((tf, x, y) => tf.divNoNan(float(tf, x), float(tf, y))),
  floorDivide: binary(floorOf),
  mod: binary((tf, x, y) => tf.sub(x, tf.mul(floorOf(tf, x, y), y))),
  power: binary((tf, x, y) => tf.pow(x, y)),
  maximum: binary((tf, x, y) => tf.maximum(x, y)),
  minimum: binary((tf, x, y) => tf.minimum(x, y)),
  fmax: binary((tf, x, y) => tf.maximum(x, y)),
  fmin: binary((tf, x, y) => tf.minimum(x, y)),
  arctan2: binary((tf, x, y) => tf.atan2(float(tf, x), float(tf, y))),
  hypot: binary((tf, x, y) => tf.sqrt(tf.add(tf.square(float(tf, x)), tf.square(float(tf, y))))),
  logaddexp: binary((tf, x, y) => logAdd(tf, float(tf, x), float(tf, y))),
  heaviside: binary((tf, x, y) => {
    const above = tf.cast(tf.greater(x, 0), 'float32');
    return tf.where(
      tf.equal(tf.add(x, tf.zerosLike(y)), 0),
      tf.add(tf.zerosLike(x), y),
      tf.add(above, tf.zerosLike(y)),
    );
  }),
  equal: binary((tf, x, y) => tf.equal(x, y)),
  notEqual: binary((tf, x, y) => tf.notEqual(x, y)),
  greater: binary((tf, x, y) => tf.greater(x, y)),
  greaterEqual: binary((tf, x, y) => tf.greaterEqual(x, y)),
  less: binary((tf, x, y) => tf.less(x, y)),
  lessEqual: binary((tf, x, y) => tf.lessEqual(x, y)),
  logicalAnd: binary((tf, x, y) => tf.logicalAnd(logical(tf, x), logical(tf, y))),
  logicalOr: binary((tf, x, y) => tf.logicalOr(logical(tf, x), logical(tf, y))),
  logicalXor: binary((tf, x, y) => tf.notEqual(float(tf, logical(tf, x)), float(tf, logical(tf, y)))),
  where: {
    operands: 3,
    attributes: {},
    shape: spread,
    compute: (tf, [condition, ...given]) => {
      const chosen = truth(tf, condition as Tensor);
      return moved(tf, ofOneType(tf, given), (x, y) => tf.where(chosen, x as Tensor, y as Tensor));
    },
  },
};

/** Operations that work element by element. */
export const elementwise: Readonly<Record<string, TensorOperation>> = {
  ...ACTIVATIONS,
  ...FUNCTIONS,
  ...PAIRS,
};
