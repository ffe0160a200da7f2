import type { JsonObject } from '../model.js';
import type { Program, Tensor } from './program.js';
import { ACTIVATIONS, type ActivationKind } from './record.js';

/** An activation: bounds that a product has itself, a function of elements, or one of rows. */
export type ActivationSpec =
  | { readonly type: 'bounds'; readonly low: number; readonly high: number }
  | { readonly type: 'element'; readonly kind: ActivationKind; readonly parameters: readonly number[] }
  | { readonly type: 'rows'; readonly isLog: boolean };

export const LINEAR: ActivationSpec = { type: 'bounds', low: -Infinity, high: Infinity };

export const isLinear = (spec: ActivationSpec): boolean =>
  spec.type === 'bounds' && spec.low === -Infinity && spec.high === Infinity;

const bounds = (low: number, high: number): ActivationSpec => ({ type: 'bounds', low, high });
const element = (kind: ActivationKind, ...parameters: number[]): ActivationSpec => ({
  ...{ type: 'element', kind, parameters },
});

const SELU_ALPHA = 1.6732632423543772;
const SELU_SCALE = 1.0507009873554805;

/** `relu` with all that it can have. */
export function reluOf(slope: number, threshold: number, most: number | null | undefined): ActivationSpec {
  if (slope === 0 && threshold === 0) return bounds(0, most ?? Infinity);
  return element('relu', slope, threshold, most ?? Infinity);
}

/** Activations by Keras 3's names. Slope of `leaky_relu`: Keras 3's default. */
const NAMED: Readonly<Record<string, ActivationSpec>> = {
  linear: LINEAR,
  relu: bounds(0, Infinity),
  relu6: bounds(0, 6),
  hard_tanh: bounds(-1, 1),
  leaky_relu: reluOf(0.2, 0, null),
  elu: element('elu', 1, 1, 1),
  celu: element('elu', 1, 1, 1),
  selu: element('elu', SELU_ALPHA, SELU_SCALE, 1),
  sigmoid: element('sigmoid'),
  hard_sigmoid: element('hard_sigmoid', 1 / 6, 0.5),
  hard_sigmoid_2: element('hard_sigmoid', 0.2, 0.5),
  hard_silu: element('hard_silu', 1 / 6, 0.5),
  log_sigmoid: element('log_sigmoid'),
  softplus: element('softplus'),
  softsign: element('softsign'),
  tanh: element('tanh'),
  tanh_shrink: element('tanh_shrink'),
  silu: element('silu'),
  gelu: element('gelu'),
  mish: element('mish'),
  exponential: element('exponential'),
  hard_shrink: element('hard_shrink', 0.5),
  soft_shrink: element('soft_shrink', 0.5),
  squareplus: element('squareplus', 4),
  sparse_plus: element('sparse_plus'),
  sparse_sigmoid: element('hard_sigmoid', 0.5, 0.5),
  softmax: { type: 'rows', isLog: false },
  log_softmax: { type: 'rows', isLog: true },
};

/** An activation by its name; undefined where it is not known here. */
export const activationNamed = (name: string): ActivationSpec | undefined =>
  Object.hasOwn(NAMED, name) ? NAMED[name] : undefined;

const isLastAxis = (axis: unknown): boolean =>
  axis === -1 || (Array.isArray(axis) && axis.length === 1 && axis[0] === -1);

/** What a node computes of each element or row alone; undefined for other operations. */
export function activationOf(operation: string, a: JsonObject): ActivationSpec | undefined {
  switch (operation) {
    case 'Activation':
      return activationNamed(String(a.activation));
    case 'ReLU':
    case 'ops.ReLU':
      return reluOf(Number(a.negative_slope), Number(a.threshold), a.max_value as number | null);
    case 'LeakyReLU':
      return reluOf(Number(a.negative_slope ?? a.alpha ?? 0.3), 0, null);
    case 'ops.LeakyRelu':
      return reluOf(Number(a.negative_slope), 0, null);
    case 'ThresholdedReLU':
      return element('threshold', Number(a.theta), 0);
    case 'ELU':
    case 'ops.Elu':
      return element('elu', Number(a.alpha), 1, 1);
    case 'ops.Celu':
      return element('elu', Number(a.alpha), 1, 1 / Number(a.alpha));
    case 'ops.HardShrink':
      return element('hard_shrink', Number(a.threshold));
    case 'ops.SoftShrink':
      return element('soft_shrink', Number(a.threshold));
    case 'ops.Squareplus':
      return element('squareplus', Number(a.b));
    case 'ops.Threshold':
      return element('threshold', Number(a.threshold), Number(a.default_value));
    case 'Softmax':
    case 'ops.Softmax':
    case 'ops.LogSoftmax':
      return isLastAxis(a.axis) ? { type: 'rows', isLog: operation === 'ops.LogSoftmax' } : undefined;
    case 'ops.Gelu':
      return element(a.approximate === true ? 'gelu_tanh' : 'gelu');
    case 'ops.Clip':
      return bounds(Number(a.x_min ?? -Infinity), Number(a.x_max ?? Infinity));
    case 'ops.Silu':
      return Number(a.beta) === 1 ? NAMED.silu : undefined;
    case 'Rescaling':
      return typeof a.scale === 'number' && (typeof a.offset === 'number' || a.offset === null)
        ? element('linear', a.scale, a.offset ?? 0)
        : undefined;
    default:
      return Object.hasOwn(OPS, operation) ? OPS[operation] : undefined;
  }
}

const OPS: Readonly<Record<string, ActivationSpec | undefined>> = {
  'ops.Relu': NAMED.relu,
  'ops.Relu6': NAMED.relu6,
  'ops.HardTanh': NAMED.hard_tanh,
  'ops.Sigmoid': NAMED.sigmoid,
  'ops.Softplus': NAMED.softplus,
  'ops.Softsign': NAMED.softsign,
  'ops.LogSigmoid': NAMED.log_sigmoid,
  'ops.HardSigmoid': NAMED.hard_sigmoid,
  'ops.HardSilu': NAMED.hard_silu,
  'ops.Selu': NAMED.selu,
  'ops.Mish': NAMED.mish,
  'ops.TanhShrink': NAMED.tanh_shrink,
  'ops.Tanh': NAMED.tanh,
  'ops.Exp': NAMED.exponential,
  'ops.Exponential': NAMED.exponential,
  'ops.Sqrt': element('sqrt'),
  'ops.Rsqrt': element('rsqrt'),
  'ops.Log': element('log'),
  'ops.Square': element('square'),
  'ops.Negative': element('negative'),
  'ops.Absolute': element('abs'),
  'ops.Abs': element('abs'),
  'ops.Reciprocal': element('reciprocal'),
  'ops.Sign': element('sign'),
  'ops.Floor': element('floor'),
  'ops.Ceil': element('ceil'),
  'ops.Round': element('round'),
  'ops.Expm1': element('expm1'),
  'ops.Erf': element('erf'),
  'ops.SparsePlus': element('sparse_plus'),
  'ops.SparseSigmoid': element('hard_sigmoid', 0.5, 0.5),
};

/** Applies an activation to n floats: for steps. @param rowLength of the last axis */
export function applyActivation(
  program: Program,
  spec: ActivationSpec,
  from: number,
  n: number,
  rowLength: number,
  to: number,
): void {
  const { kernels } = program;
  if (spec.type === 'rows') {
    kernels.softmax(from, rowLength === 0 ? 0 : n / rowLength, rowLength, spec.isLog ? 1 : 0, to);
  } else if (spec.type === 'bounds') {
    kernels.activate(from, n, ACTIVATIONS.indexOf('clamp'), spec.low, spec.high, 0, to);
  } else {
    const [a = 0, b = 0, c = 0] = spec.parameters;
    kernels.activate(from, n, ACTIVATIONS.indexOf(spec.kind), a, b, c, to);
  }
}

/** A step that applies an activation, in place where nobody else needs its input. */
export function addActivation(program: Program, x: Tensor, spec: ActivationSpec): Tensor {
  if (isLinear(spec)) return x;
  const out = program.tensor(x.shape);
  const last = x.shape.at(-1) ?? 1;
  program.step(
    [x],
    [out],
    () => applyActivation(program, spec, x.storage.at, x.size, last, out.storage.at),
    true,
  );
  return out;
}
