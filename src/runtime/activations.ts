import type { JsonObject } from '../model.js';
import type { Program, Tensor } from './program.js';
import { PLAIN_ACTIVATIONS } from './record.js';

/** An activation: bounds that a product has itself, a function of elements by its number, or one of rows. */
export type ActivationSpec =
  | { readonly type: 'bounds'; readonly low: number; readonly high: number }
  | { readonly type: 'element'; readonly number: number; readonly parameters: readonly number[] }
  | { readonly type: 'rows'; readonly isLog: boolean };

export const LINEAR: ActivationSpec = { type: 'bounds', low: -Infinity, high: Infinity };

export const isLinear = (spec: ActivationSpec): boolean =>
  spec.type === 'bounds' && spec.low === -Infinity && spec.high === Infinity;

export const bounds = (low: number, high: number): ActivationSpec => ({ type: 'bounds', low, high });
export const element = (
  kind: (typeof PLAIN_ACTIVATIONS)[number],
  ...parameters: number[]
): ActivationSpec => ({
  ...{ type: 'element', number: PLAIN_ACTIVATIONS.indexOf(kind), parameters },
});

const SELU_ALPHA = 1.6732632423543772;
const SELU_SCALE = 1.0507009873554805;

/** `relu` with all that it can have. */
export function reluOf(slope: number, threshold: number, most: number | null | undefined): ActivationSpec {
  if (slope === 0 && threshold === 0) return bounds(0, most ?? Infinity);
  return element('relu', slope, threshold, most ?? Infinity);
}

/** Activations of plain networks by Keras 3's names. Slope of `leaky_relu`: Keras 3's default. */
export const PLAIN_NAMED: Readonly<Record<string, ActivationSpec>> = {
  linear: LINEAR,
  relu: bounds(0, Infinity),
  relu6: bounds(0, 6),
  leaky_relu: reluOf(0.2, 0, null),
  elu: element('elu', 1, 1, 1),
  selu: element('elu', SELU_ALPHA, SELU_SCALE, 1),
  sigmoid: element('sigmoid'),
  tanh: element('tanh'),
  silu: element('silu'),
  softmax: { type: 'rows', isLog: false },
};

/**
 * What a plain layer computes of each element or row alone; undefined for other operations.
 *
 * @param named activations by their names
 */
export function activationOf(
  operation: string,
  a: JsonObject,
  named = PLAIN_NAMED,
): ActivationSpec | undefined {
  switch (operation) {
    case 'Activation':
      return Object.hasOwn(named, String(a.activation)) ? named[String(a.activation)] : undefined;
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

const CLAMP = PLAIN_ACTIVATIONS.indexOf('clamp');

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
    kernels.activate(from, n, CLAMP, spec.low, spec.high, 0, to);
  } else {
    const [a = 0, b = 0, c = 0] = spec.parameters;
    kernels.activate(from, n, spec.number, a, b, c, to);
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
