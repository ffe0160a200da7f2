// Functions that LiteRT has no operation for, by those that it has.
import type { Builder, Unary } from '../export/builder.js';
import type { Val } from '../export/values.js';

/** What a graph has beside the common operations. */
export interface Angles {
  /** `atan(y / x)` in the right quarter. */
  atan2(y: Val, x: Val): Val;
}

type Work = (g: Builder & Angles, x: Val, numbers: Readonly<Record<string, number>>) => Val;

const add = (g: Builder, x: Val, y: Val | number) => g.binary('Add', x, y);
const sub = (g: Builder, x: Val, y: Val | number) => g.binary('Sub', x, y);
const mul = (g: Builder, x: Val, y: Val | number) => g.binary('Mul', x, y);
const div = (g: Builder, x: Val, y: Val) => g.binary('Div', x, y);
const one = (g: Builder) => g.scalar(1);

/** `max(x, 0) + scale (exp(min(x, 0) / alpha) - 1)` */
const elu = (g: Builder, x: Val, alpha: number, scale: number): Val => {
  const below = g.binary('Min', x, 0);
  const bent = g.unary('Elu', alpha === 1 ? below : mul(g, below, 1 / alpha));
  return add(g, g.unary('Relu', x), mul(g, bent, scale));
};

/** `log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))`, which does not overflow. */
const softplus: Work = (g, x) => {
  const small = g.unary('Exp', g.unary('Neg', g.unary('Abs', x)));
  return add(g, g.unary('Relu', x), g.unary('Log', add(g, small, 1)));
};

/** The cathetus beside one of this length in a circle of radius 1. */
const beside = (g: Builder, x: Val): Val =>
  g.unary('Sqrt', mul(g, add(g, g.unary('Neg', x), 1), add(g, x, 1)));

const half = (g: Builder, x: Val, sign: 'Add' | 'Sub'): Val =>
  mul(g, g.binary(sign, g.unary('Exp', x), g.unary('Exp', g.unary('Neg', x))), 0.5);

/** Functions without an operation of their own. */
export const FUNCTIONS: Readonly<Partial<Record<Unary, Work>>> = {
  Acos: (g, x) => g.atan2(beside(g, x), x),
  Asin: (g, x) => g.atan2(x, beside(g, x)),
  Atan: (g, x) => g.atan2(x, one(g)),
  // log(x + sqrt(x^2 + 1)) of |x|, so that nothing cancels, with the sign of x.
  Asinh: (g, x) => {
    const size = g.unary('Abs', x);
    const root = g.unary('Sqrt', add(g, mul(g, x, x), 1));
    return mul(g, g.unary('Log', add(g, size, root)), g.unary('Sign', x));
  },
  Acosh: (g, x) => {
    const root = g.unary('Sqrt', mul(g, sub(g, x, 1), add(g, x, 1)));
    return g.unary('Log', add(g, x, root));
  },
  Atanh: (g, x) => mul(g, g.unary('Log', div(g, add(g, x, 1), add(g, g.unary('Neg', x), 1))), 0.5),
  Celu: (g, x, { alpha = 1 }) => elu(g, x, alpha, alpha),
  Cosh: (g, x) => half(g, x, 'Add'),
  Sinh: (g, x) => half(g, x, 'Sub'),
  Tan: (g, x) => div(g, g.unary('Sin', x), g.unary('Cos', x)),
  // gelu(x) = x / 2 (1 + erf(x / sqrt 2)), of which it is what is left.
  Erf: (g, x) => {
    const y = mul(g, x, Math.SQRT2);
    const isZero = g.binary('Equal', x, 0, 'bool');
    const safe = g.where(isZero, one(g), y);
    return g.where(isZero, g.scalar(0), sub(g, mul(g, div(g, g.gelu(safe, false), safe), 2), 1));
  },
  HardSigmoid: (g, x, { alpha = 0.2, beta = 0.5 }) => g.clip(add(g, mul(g, x, alpha), beta), 0, 1),
  Mish: (g, x) => mul(g, x, g.unary('Tanh', softplus(g, x, {}))),
  Reciprocal: (g, x) => div(g, one(g), x),
  Selu: (g, x, { alpha = 1, gamma = 1 }) => mul(g, elu(g, x, 1, alpha), gamma),
  // x - bias above lambd, x + bias below -lambd, else 0.
  Shrink: (g, x, { lambd = 0.5, bias = 0 }) => {
    const less = bias === 0 ? x : sub(g, x, bias);
    const more = bias === 0 ? x : add(g, x, bias);
    const low = g.where(g.binary('Less', x, -lambd, 'bool'), more, g.scalar(0));
    return g.where(g.binary('Greater', x, lambd, 'bool'), less, low);
  },
  Softplus: softplus,
  Softsign: (g, x) => div(g, x, add(g, g.unary('Abs', x), 1)),
};
