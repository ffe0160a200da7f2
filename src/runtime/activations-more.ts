import type { JsonObject } from '../model.js';
import {
  type ActivationSpec,
  bounds,
  element,
  NAMED,
  activationOf as plainActivationOf,
  reluOf,
  softmaxOf,
} from './activations.js';

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
    case 'ops.Softmax':
    case 'ops.LogSoftmax':
      return softmaxOf(a.axis, operation === 'ops.LogSoftmax');
    case 'ops.Gelu':
      return element(a.approximate === true ? 'gelu_tanh' : 'gelu');
    case 'ops.Clip':
      return bounds(Number(a.x_min ?? -Infinity), Number(a.x_max ?? Infinity));
    case 'ops.Silu':
      return Number(a.beta) === 1 ? NAMED.silu : undefined;
    default:
      return Object.hasOwn(OPS, operation) ? OPS[operation] : plainActivationOf(operation, a);
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
  ].map((kind) => [operationNamed(kind), element(kind)]),
  ['ops.Exp', NAMED.exponential],
  ['ops.Absolute', element('abs')],
]);

function operationNamed(name: string): string {
  return `ops.${name.replace(/(?:^|_)(.)/g, (_, letter: string) => letter.toUpperCase())}`;
}
