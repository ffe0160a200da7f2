import type { JsonObject } from '../model.js';
import { mayOverrun } from './faults.js';
import { PREFIX } from './layers/define.js';
import { bias, native, own, type Rule } from './rule.js';

/** Whether a recurrent layer is one that TensorFlow.js computes as Keras does. */
const isNativeRnn = (className: string, config: JsonObject, roles: readonly string[]) =>
  roles.every((role) => role === 'x') &&
  roles.length <= 1 &&
  !(className === 'GRU' && config.reset_after === true);

export const rnn: Rule = ({ className, config, roles }) => {
  const weights = ['kernel', 'recurrent_kernel', ...bias(config)];
  if (isNativeRnn(className, config, roles)) {
    return native(className, config, weights);
  }
  if (config.stateful === true) return 'stateful: true';
  return own(className, { ...config, masked: roles.includes('mask') }, weights);
};

export const convLstm: Rule = ({ className, config, roles }) => {
  if (roles.some((role) => role !== 'x')) return 'a mask or an initial state';
  const weights = ['kernel', 'recurrent_kernel', ...bias(config)];
  // TensorFlow.js passes the data format on to a convolution that its WebAssembly backend lacks.
  const isNative =
    className === 'ConvLSTM2D' && config.data_format !== 'channels_first' && !mayOverrun(config, 2);
  if (isNative) return native(className, config, weights);
  return config.stateful === true ? 'stateful: true' : own(className, config, weights);
};

export const bidirectional: Rule = ({ config, roles, shape }) => {
  const { cell: named, merge_mode: mode, name = null, ...inner } = config;
  const cell = String(named);
  const one = { className: cell, config: { ...inner, name: 'layer' }, roles, shape };
  const layer = cell.startsWith('ConvLSTM') ? convLstm(one) : rnn(one);
  if (typeof layer === 'string') return layer;
  const isPlain =
    roles.every((role) => role === 'x') &&
    !layer.className.startsWith(PREFIX) &&
    layer.config.return_state !== true;
  const wrapped: JsonObject = {
    name,
    trainable: config.trainable ?? true,
    dtype: 'float32',
    merge_mode: mode ?? null,
    layer: { class_name: cell, config: layer.config },
  };
  const both = (join: string) =>
    ['forward', 'backward'].flatMap((way) => layer.weights.map((weight) => `${way}_${join}${weight}`));
  if (isPlain) return native('Bidirectional', wrapped, both('layer/'));
  const isConvolving = /^ConvLSTM[123]D$/.test(cell);
  const isAlone = roles.every((role) => role === 'x') && layer.config.return_state !== true;
  if (!(isConvolving ? isAlone : /^(LSTM|GRU|SimpleRNN)$/.test(cell))) return `${cell} with a mask or states`;
  if (layer.config.stateful === true) return 'stateful: true';
  if (isConvolving) return own('BidirectionalConvLSTM', wrapped, both(''));
  return own('Bidirectional', { ...wrapped, masked: roles.includes('mask') }, both(''));
};
