import type { Json, JsonObject } from '../model.js';
import { PREFIX } from './layers/define.js';
import { bias, INSIDE, native, own, type Rule } from './rule.js';

const RNN_CELLS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    LSTMCell: 'LSTM',
    GRUCell: 'GRU',
    SimpleRNNCell: 'SimpleRNN',
  }),
);

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

/** `RNN(LSTMCell)` is an LSTM; cells of code or in stacks are not converted. */
export const rnnOfCell: Rule = (given) => {
  const cell = given.inner(given.config.cell);
  if (!cell) return INSIDE;
  const className = RNN_CELLS.get(cell.className.replace(PREFIX, ''));
  if (!className) return `the cell ${cell.className.replace(PREFIX, '')}`;
  const { cell: _, ...config } = given.config;
  return rnn({ ...given, className, config: { ...cell.config, ...config } });
};

export const convLstm: Rule = ({ className, config, roles }) => {
  if (roles.some((role) => role !== 'x')) return 'a mask or an initial state';
  const weights = ['kernel', 'recurrent_kernel', ...bias(config)];
  if (className === 'ConvLSTM2D') return native(className, config, weights);
  if (config.stateful === true) return 'stateful: true';
  return config.return_state === true ? 'return_state: true' : own(className, config, weights);
};

/** What is no part of the computation, and may differ between the two directions: names, identities, training. */
const ASIDE =
  /^(name|go_backwards|module|registered_name|build_config|shared_object_id|seed)$|_(initializer|regularizer|constraint)$/;

/** What a layer computes, as text. */
const direction = (value: Json): string =>
  JSON.stringify(value, (key, item) => (ASIDE.test(key) ? undefined : item));

export const bidirectional: Rule = ({ config, roles, inner }) => {
  const { layer: entry, backward_layer: back, ...rest } = config;
  if (back && direction(back) !== direction(entry ?? null))
    return 'a backward layer unlike the forward layer';
  const layer = inner(entry);
  if (!layer) return INSIDE;
  if (layer.weights === 'any') return `${layer.className} inside`;
  const className = layer.className.replace(PREFIX, '');
  const name = String(layer.config.name);
  const isPlain =
    roles.every((role) => role === 'x') &&
    !layer.className.startsWith(PREFIX) &&
    layer.config.return_state !== true;
  const wrapped = (config: JsonObject, className: string): JsonObject => ({
    ...rest,
    layer: { class_name: className, config },
  });
  if (isPlain) {
    const weights = ['forward', 'backward'].flatMap((way) =>
      (layer.weights as string[]).map((w) => `${way}_${name}/${w}`),
    );
    return native('Bidirectional', wrapped(layer.config, className), weights);
  }
  if (!/^(LSTM|GRU|SimpleRNN)$/.test(className)) return `${className} with a mask or states`;
  if (layer.config.stateful === true) return 'stateful: true';
  const weights = ['forward', 'backward'].flatMap((way) =>
    (layer.weights as string[]).map((w) => `${way}_${w}`),
  );
  return own(
    'Bidirectional',
    { ...wrapped(layer.config, className), masked: roles.includes('mask') },
    weights,
  );
};
