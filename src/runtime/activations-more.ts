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
