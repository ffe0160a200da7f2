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

export const bounds = (low: number, high: number): ActivationSpec => ({ type: 'bounds', low, high });
export const element = (kind: ActivationKind, ...parameters: number[]): ActivationSpec => ({
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
export const NAMED: Readonly<Record<string, ActivationSpec>> = {
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

/** What a plain layer computes of each element or row alone; undefined for other operations. */
export function activationOf(operation: string, a: JsonObject): ActivationSpec | undefined {
  switch (operation) {
    case 'Activation':
      return activationNamed(String(a.activation));
    case 'ReLU':
      return reluOf(Number(a.negative_slope), Number(a.threshold), a.max_value as number | null);
    case 'Softmax':
      return softmaxOf(a.axis, false);
    case 'Rescaling':
      return typeof a.scale === 'number' && (typeof a.offset === 'number' || a.offset === null)
        ? element('linear', a.scale, a.offset ?? 0)
        : undefined;
    default:
      return undefined;
  }
}

/** Of rows of the last axis; undefined along another one. */
export function softmaxOf(axis: unknown, isLog: boolean): ActivationSpec | undefined {
  const isLast = axis === -1 || (Array.isArray(axis) && axis.length === 1 && axis[0] === -1);
  return isLast ? { type: 'rows', isLog } : undefined;
}

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
