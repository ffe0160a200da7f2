import type { JsonObject } from '../model.js';
import { slopeOf } from '../network/operations/layers.js';
import type { Builder, Unary } from './builder.js';
import { refuse } from './refusal.js';
import type { Order } from './tensor.js';
import type { Val } from './values.js';

/** Computes a function of each element, or of the rows along axes that an order of axes puts somewhere. */
export type Activation = (g: Builder, x: Val, order: Order) => Val;

const one =
  (op: Unary, numbers?: Readonly<Record<string, number>>): Activation =>
  (g, x) =>
    g.unary(op, x, numbers);

const clipped =
  (low: number, high: number): Activation =>
  (g, x) =>
    g.clip(x, low, high);

/** `max_value` above it, `x` from the threshold on, `negative_slope (x - threshold)` below. */
export const reluOf =
  (slope: number, threshold: number, most: number | null | undefined, isOwnAbove = true): Activation =>
  (g, x) => {
    const high = most ?? undefined;
    if (threshold === 0 && slope === 0) return high === undefined ? g.unary('Relu', x) : g.clip(x, 0, high);
    if (threshold === 0) {
      const leaky = g.unary('LeakyRelu', x, { alpha: slope });
      return high === undefined ? leaky : g.clip(leaky, undefined, high);
    }
    const isAbove = g.binary(isOwnAbove ? 'GreaterOrEqual' : 'Greater', x, threshold, 'bool');
    const above = high === undefined ? x : g.clip(x, undefined, high);
    const below = slope === 0 ? g.scalar(0) : g.binary('Mul', g.binary('Sub', x, threshold), slope);
    return g.where(isAbove, above, below);
  };

const eluOf = (alpha: number): Activation => one('Elu', { alpha });

/** Softmax along one axis, or along several that become one. */
export const softmaxOf =
  (given: unknown, isLog = false): Activation =>
  (g, x, order) => {
    const rank = x.shape.length;
    const list = (Array.isArray(given) ? given : [given]).map((axis) =>
      order.indexOf(axis < 0 ? axis + rank : axis),
    );
    if (list.length === 1) return g.softmax(x, list[0] as number, isLog);
    const axes = [...list].sort((a, b) => a - b);
    const top = g.reduce('ReduceMax', x, axes, true);
    const less = g.binary('Sub', x, top);
    const exps = g.unary('Exp', less);
    const sum = g.reduce('ReduceSum', exps, axes, true);
    return isLog ? g.binary('Sub', less, g.unary('Log', sum)) : g.binary('Div', exps, sum);
  };

const SELU = { alpha: 1.6732632423543772, gamma: 1.0507009873554805 };

const siluOf =
  (beta = 1): Activation =>
  (g, x) =>
    g.binary('Mul', x, g.unary('Sigmoid', beta === 1 ? x : g.binary('Mul', x, beta)));

const softShrinkOf =
  (threshold: number): Activation =>
  (g, x) =>
    g.unary('Shrink', x, { lambd: threshold, bias: threshold });

const hardShrinkOf =
  (threshold: number): Activation =>
  (g, x) =>
    g.unary('Shrink', x, { lambd: threshold, bias: 0 });

const squareplusOf =
  (b: number): Activation =>
  (g, x) =>
    g.binary('Mul', g.binary('Add', x, g.unary('Sqrt', g.binary('Add', g.binary('Mul', x, x), b))), 0.5);

const thresholdOf =
  (threshold: number, value: number): Activation =>
  (g, x) =>
    g.where(g.binary('Greater', x, threshold, 'bool'), x, g.scalar(value));

/** `log(1 + exp(x))` without overflow. */
const softplus = one('Softplus');

/** Activations by Keras 3's names, with Keras's arguments where nothing is said. */
export const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  linear: (_, x) => x,
  relu: one('Relu'),
  relu6: clipped(0, 6),
  elu: eluOf(1),
  selu: one('Selu', SELU),
  celu: one('Celu', { alpha: 1 }),
  sigmoid: one('Sigmoid'),
  hard_sigmoid: one('HardSigmoid', { alpha: 1 / 6, beta: 0.5 }),
  hard_sigmoid_2: one('HardSigmoid', { alpha: 0.2, beta: 0.5 }),
  log_sigmoid: (g, x) => g.unary('Neg', g.unary('Softplus', g.unary('Neg', x))),
  softplus,
  softsign: one('Softsign'),
  tanh: one('Tanh'),
  hard_tanh: clipped(-1, 1),
  tanh_shrink: (g, x) => g.binary('Sub', x, g.unary('Tanh', x)),
  hard_shrink: hardShrinkOf(0.5),
  soft_shrink: softShrinkOf(0.5),
  squareplus: squareplusOf(4),
  softmax: softmaxOf(-1),
  log_softmax: softmaxOf(-1, true),
  gelu: (g, x) => g.gelu(x, false),
  mish: one('Mish'),
  silu: siluOf(),
  hard_silu: one('HardSwish'),
  leaky_relu: reluOf(0.2, 0, null),
  exponential: one('Exp'),
  sparse_sigmoid: (g, x) => g.clip(g.binary('Mul', g.binary('Add', x, 1), 0.5), 0, 1),
  sparse_plus: (g, x) => {
    const middle = g.binary('Add', g.clip(x, -1, 1), 1);
    const square = g.binary('Mul', g.binary('Mul', middle, middle), 0.25);
    return g.where(g.binary('Greater', x, 1, 'bool'), x, square);
  },
  threshold: thresholdOf(0, 0),
};

/** An activation by its name. */
export function activationNamed(name: unknown): Activation {
  const own = ACTIVATIONS[String(name ?? 'linear')];
  return own ?? refuse(`activation ${String(name)}`);
}

/** Operations of `keras.ops` that are activations with Keras's arguments. */
const OPS: Readonly<Record<string, string>> = {
  Relu: 'relu',
  Relu6: 'relu6',
  Sigmoid: 'sigmoid',
  Softplus: 'softplus',
  Softsign: 'softsign',
  LogSigmoid: 'log_sigmoid',
  HardSigmoid: 'hard_sigmoid',
  HardSilu: 'hard_silu',
  Selu: 'selu',
  Mish: 'mish',
  TanhShrink: 'tanh_shrink',
  HardTanh: 'hard_tanh',
  SparsePlus: 'sparse_plus',
  SparseSigmoid: 'sparse_sigmoid',
  Exponential: 'exponential',
  Tanh: 'tanh',
  Exp: 'exponential',
};

/** What a node computes of each element or row alone; undefined for other operations. */
export function activationOf(operation: string, a: JsonObject): Activation | undefined {
  const op = operation.replace(/^ops\./, '');
  if (operation.startsWith('ops.') && Object.hasOwn(OPS, op)) return activationNamed(OPS[op]);
  switch (operation) {
    case 'Activation':
      return activationNamed(a.activation);
    case 'ReLU':
      return reluOf(Number(a.negative_slope), Number(a.threshold), a.max_value as number | null);
    case 'ops.ReLU':
      // As a function it is 0 at the threshold itself, too.
      return reluOf(Number(a.negative_slope), Number(a.threshold), a.max_value as number | null, false);
    case 'LeakyReLU':
      return reluOf(slopeOf(a), 0, null);
    case 'ops.LeakyRelu':
      return reluOf(Number(a.negative_slope), 0, null);
    case 'ThresholdedReLU':
      return thresholdOf(Number(a.theta), 0);
    case 'ops.Threshold':
      return thresholdOf(Number(a.threshold), Number(a.default_value));
    case 'ELU':
    case 'ops.Elu':
      return eluOf(Number(a.alpha));
    case 'ops.Celu':
      return one('Celu', { alpha: Number(a.alpha) });
    case 'Softmax':
    case 'ops.Softmax':
      return softmaxOf(a.axis);
    case 'ops.LogSoftmax':
      return softmaxOf(a.axis, true);
    case 'ops.Gelu':
      return (g, x) => g.gelu(x, a.approximate === true);
    case 'ops.Silu':
      return siluOf(Number(a.beta));
    case 'ops.SoftShrink':
      return softShrinkOf(Number(a.threshold));
    case 'ops.HardShrink':
      return hardShrinkOf(Number(a.threshold));
    case 'ops.Squareplus':
      return squareplusOf(Number(a.b));
    default:
      return undefined;
  }
}
