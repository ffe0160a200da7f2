import type { JsonObject } from '../model.js';
import {
  type ActivationSpec,
  bounds,
  element,
  PLAIN_NAMED,
  activationOf as plainActivationOf,
  reluOf,
  softmaxOf,
} from './activations.js';
import { functionOf } from './functions.js';

/** All activations by Keras 3's names. */
const NAMED: Readonly<Record<string, ActivationSpec>> = {
  ...PLAIN_NAMED,
  hard_tanh: bounds(-1, 1),
  celu: element('elu', 1, 1, 1),
  hard_sigmoid: functionOf('hard_sigmoid', 1 / 6, 0.5),
  hard_sigmoid_2: functionOf('hard_sigmoid', 0.2, 0.5),
  hard_silu: functionOf('hard_silu', 1 / 6, 0.5),
  log_sigmoid: functionOf('log_sigmoid'),
  softplus: functionOf('softplus'),
  softsign: functionOf('softsign'),
  tanh_shrink: functionOf('tanh_shrink'),
  gelu: functionOf('gelu'),
  mish: functionOf('mish'),
  exponential: functionOf('exponential'),
  hard_shrink: functionOf('hard_shrink', 0.5),
  soft_shrink: functionOf('soft_shrink', 0.5),
  squareplus: functionOf('squareplus', 4),
  sparse_plus: functionOf('sparse_plus'),
  sparse_sigmoid: functionOf('hard_sigmoid', 0.5, 0.5),
  log_softmax: { type: 'rows', isLog: true },
};

/** An activation by its name; undefined where it is not known here. */
export const activationNamed = (name: string): ActivationSpec | undefined =>
  Object.hasOwn(NAMED, name) ? NAMED[name] : undefined;

/** As the plain one, of all layers and operations on tensors. */
export function activationOf(operation: string, a: JsonObject): ActivationSpec | undefined {
  switch (operation) {
    case 'ops.ReLU':
      return reluOf(Number(a.negative_slope), Number(a.threshold), a.max_value as number | null);
    case 'LeakyReLU':
      return reluOf(Number(a.negative_slope ?? a.alpha ?? 0.3), 0, null);
    case 'ops.LeakyRelu':
      return reluOf(Number(a.negative_slope), 0, null);
    case 'ThresholdedReLU':
      return functionOf('threshold', Number(a.theta), 0);
    case 'ELU':
    case 'ops.Elu':
      return element('elu', Number(a.alpha), 1, 1);
    case 'ops.Celu':
      return element('elu', Number(a.alpha), 1, 1 / Number(a.alpha));
    case 'ops.HardShrink':
      return functionOf('hard_shrink', Number(a.threshold));
    case 'ops.SoftShrink':
      return functionOf('soft_shrink', Number(a.threshold));
    case 'ops.Squareplus':
      return functionOf('squareplus', Number(a.b));
    case 'ops.Threshold':
      return functionOf('threshold', Number(a.threshold), Number(a.default_value));
    case 'ops.Softmax':
    case 'ops.LogSoftmax':
      return softmaxOf(a.axis, operation === 'ops.LogSoftmax');
    case 'ops.Gelu':
      return functionOf(a.approximate === true ? 'gelu_tanh' : 'gelu');
    case 'ops.Clip':
      return bounds(Number(a.x_min ?? -Infinity), Number(a.x_max ?? Infinity));
    case 'ops.Silu':
      return Number(a.beta) === 1 ? NAMED.silu : undefined;
    default:
      return Object.hasOwn(OPS, operation) ? OPS[operation] : plainActivationOf(operation, a, NAMED);
  }
}

/** Functions of elements by Keras's names: `ops.TanhShrink` is `tanh_shrink`. */
const OPS: Readonly<Record<string, ActivationSpec | undefined>> = Object.fromEntries([
  ...[
    ...['relu', 'relu6', 'hard_tanh', 'sigmoid', 'softplus', 'softsign', 'log_sigmoid', 'hard_sigmoid'],
    ...['hard_silu', 'selu', 'mish', 'tanh_shrink', 'tanh', 'exponential', 'sparse_plus', 'sparse_sigmoid'],
  ].map((name) => [operationNamed(name), NAMED[name]]),
  ...[
    ...(['sqrt', 'rsqrt', 'log', 'square', 'negative', 'abs', 'reciprocal', 'sign', 'floor'] as const),
    ...(['ceil', 'round', 'expm1', 'erf'] as const),
  ].map((kind) => [operationNamed(kind), functionOf(kind)]),
  ['ops.Exp', NAMED.exponential],
  ['ops.Absolute', functionOf('abs')],
]);

function operationNamed(name: string): string {
  return `ops.${name.replace(/(?:^|_)(.)/g, (_, letter: string) => letter.toUpperCase())}`;
}
