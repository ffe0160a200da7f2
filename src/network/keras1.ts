// Keras 1 configurations in the names of Keras 2. Sources: keras/layers of Keras 1.2.2, keras/legacy of Keras 2.0.

import type { Json, JsonObject } from '../model.js';
import { isObject } from '../model.js';

export { isKeras1 } from './version.js';

/** Classes that Keras 2 calls otherwise. */
export const KERAS_1_CLASSES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    AtrousConvolution1D: 'Conv1D',
    AtrousConvolution2D: 'Conv2D',
    Convolution1D: 'Conv1D',
    Convolution2D: 'Conv2D',
    Convolution3D: 'Conv3D',
    Deconvolution2D: 'Conv2DTranspose',
    SeparableConvolution2D: 'SeparableConv2D',
  }),
);

/** Layers that Keras 2 has in place of a Merge with a mode. */
const MERGES: ReadonlyMap<Json, string> = new Map(
  Object.entries({
    sum: 'Add',
    mul: 'Multiply',
    ave: 'Average',
    max: 'Maximum',
    concat: 'Concatenate',
  }),
);

const KEYS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    nb_filter: 'filters',
    filter_length: 'kernel_size',
    border_mode: 'padding',
    subsample: 'strides',
    subsample_length: 'strides',
    stride: 'strides',
    atrous_rate: 'dilation_rate',
    dim_ordering: 'data_format',
    pool_length: 'pool_size',
    length: 'size',
    concat_axis: 'axis',
    bias: 'use_bias',
    input_dtype: 'dtype',
    inner_activation: 'recurrent_activation',
    dropout_W: 'dropout',
    dropout_U: 'recurrent_dropout',
    sigma: 'stddev',
    p: 'rate',
    init: 'kernel_initializer',
    inner_init: 'recurrent_initializer',
    beta_init: 'beta_initializer',
    gamma_init: 'gamma_initializer',
    depthwise_init: 'depthwise_initializer',
    pointwise_init: 'pointwise_initializer',
    W_regularizer: 'kernel_regularizer',
    U_regularizer: 'recurrent_regularizer',
    b_regularizer: 'bias_regularizer',
    W_constraint: 'kernel_constraint',
    U_constraint: 'recurrent_constraint',
    b_constraint: 'bias_constraint',
  }),
);
/** What Keras 2 does without: sizes of inputs, which its shapes tell, and ways of computing the same. */
const DROPPED = new Set([
  'input_dim',
  'input_length',
  'consume_less',
  'forget_bias_init',
  'weights',
  'dot_axes',
  'nb_row',
  'nb_col',
  'kernel_dim1',
  'kernel_dim2',
  'kernel_dim3',
]);
/** What a Merge says of the functions that its mode, its shape and its mask may be. */
const OF_FUNCTIONS = /^(mode|output_shape|output_mask)(_type)?$|^arguments$/;
/** Left in the words of Keras 1, and refused for them. */
const LEFT = /^(ConvLSTM2D|LocallyConnected[12]D|Highway|MaxoutDense)$/;

const INITIALIZERS: ReadonlyMap<Json, string> = new Map(
  Object.entries({ uniform: 'random_uniform', normal: 'random_normal', zero: 'zeros', one: 'ones' }),
);

/** `{ name: 'L1L2Regularizer', l1, l2 }`, before 1.2 `WeightRegularizer`. */
function regularizer(value: Json): Json {
  return isObject(value) ? { class_name: 'L1L2', config: { l1: value.l1 ?? 0, l2: value.l2 ?? 0 } } : null;
}

/** Rows or columns before and behind: a number for both, a pair, or names such as `left_pad`. */
function padding(className: string, value: Json): Json {
  if (isObject(value)) {
    const pair = (from: string, to: string): Json => [value[`${from}_pad`] ?? 0, value[`${to}_pad`] ?? 0];
    return className === 'ZeroPadding1D'
      ? pair('left', 'right')
      : [pair('top', 'bottom'), pair('left', 'right')];
  }
  if (!Array.isArray(value) || className !== 'ZeroPadding2D') return value;
  const [top = 0, second = 0, left = second, right = second] = value;
  return value.length === 4
    ? [
        [top, second],
        [left, right],
      ]
    : [
        [top, top],
        [second, second],
      ];
}

function layerConfig(className: string, config: JsonObject): JsonObject {
  const out: JsonObject = {};
  for (const [key, value] of Object.entries(config)) {
    const name = KEYS.get(key) ?? key;
    if (key === 'output_dim' && className !== 'Embedding') out.units = value;
    else if (key === 'input_dim' && className === 'Embedding') out.input_dim = value;
    else if (DROPPED.has(key)) continue;
    else if (name.endsWith('_regularizer')) out[name] = regularizer(value);
    else if (name.endsWith('_initializer')) out[name] = INITIALIZERS.get(value) ?? value;
    else if (name === 'data_format') out[name] = value === 'th' ? 'channels_first' : 'channels_last';
    else if (key === 'padding') out[name] = padding(className, value);
    else if (key === 'layer' && isObject(value)) out[name] = layer(value);
    else out[name] = value;
  }
  const { nb_row: rows, nb_col: columns, kernel_dim1: deep, kernel_dim2: high, kernel_dim3: wide } = config;
  if (rows !== undefined && columns !== undefined) out.kernel_size = [rows, columns];
  if (deep !== undefined && high !== undefined && wide !== undefined) out.kernel_size = [deep, high, wide];
  if (className === 'GRU') out.reset_after = false;
  if (className === 'LSTM') out.unit_forget_bias = config.forget_bias_init === 'one';
  if (/^(Max|Average)Pooling1D$/.test(className) && out.strides === null) out.strides = out.pool_size ?? null;
  return out;
}

function layer(entry: JsonObject): JsonObject {
  const given = String(entry.class_name);
  if (given === 'Merge' && isObject(entry.config) && Array.isArray(entry.config.layers)) {
    // A Sequential model that begins with several: refused as a Merge, its branches are no layers of a model.
    return { ...entry, config: { name: entry.config.name ?? null } };
  }
  if (Array.isArray(entry.config) || (isObject(entry.config) && Array.isArray(entry.config.layers))) {
    return model(entry);
  }
  if (!isObject(entry.config) || LEFT.test(given)) return entry;
  const config = layerConfig(given, entry.config);
  if (given === 'TimeDistributedDense') {
    const { batch_input_shape: shape, ...inner } = config;
    const wrapped = { class_name: 'Dense', config: inner };
    const wrapper: JsonObject = { name: config.name ?? null, layer: wrapped };
    return {
      ...entry,
      class_name: 'TimeDistributed',
      config: shape === undefined ? wrapper : { ...wrapper, batch_input_shape: shape },
    };
  }
  // Of another type the mode is a function, and so is the name that it has.
  const { mode_type: type = 'raw' } = entry.config;
  const merge = given === 'Merge' && type === 'raw' ? MERGES.get(entry.config.mode ?? null) : undefined;
  if (!merge) return { ...entry, class_name: KERAS_1_CLASSES.get(given) ?? given, config };
  const { axis = -1, ...rest } = config;
  const merged = Object.fromEntries(Object.entries(rest).filter(([key]) => !OF_FUNCTIONS.test(key)));
  return { ...entry, class_name: merge, config: merge === 'Concatenate' ? { ...merged, axis } : merged };
}

function model(entry: JsonObject): JsonObject {
  const { config } = entry;
  const convert = (layers: readonly Json[]) => layers.map((item) => (isObject(item) ? layer(item) : item));
  if (Array.isArray(config)) return { ...entry, config: convert(config) };
  if (!isObject(config) || !Array.isArray(config.layers)) return entry;
  return { ...entry, config: { ...config, layers: convert(config.layers) } };
}

/**
 * An architecture of Keras 1 in the classes and words of Keras 2. What has no counterpart there (`Highway`,
 * `MaxoutDense`, other modes of `Merge`) stays, and is refused by name.
 */
export function fromKeras1(architecture: JsonObject): JsonObject {
  return model(architecture);
}
