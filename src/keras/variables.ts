import type { JsonObject } from '../model.js';
import { quantizedNames, type Variable } from './quantized/names.js';

/** A flag of the config without which the variable is not there. */
const FLAGS: Readonly<Record<string, string>> = {
  bias: 'use_bias',
  gamma: 'scale',
  beta: 'center',
  moving_stddev: 'renorm',
  renorm_mean: 'renorm',
  renorm_stddev: 'renorm',
};

const KERNEL = ['kernel', 'bias'];
const RECURRENT = ['kernel', 'recurrent_kernel', 'bias'];
const SEPARABLE = ['depthwise_kernel', 'pointwise_kernel', 'bias'];

/**
 * Variables of each layer class in the order of its `save_own_variables`: trainable ones as they were added, then the
 * others. Source: `keras/src/layers`, Keras 3.0 to 3.15, and `tf_keras` 2.12 to 2.20 for classes that Keras 3 dropped.
 */
const ORDER: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries({
    Dense: KERNEL,
    EinsumDense: KERNEL,
    Conv1D: KERNEL,
    Conv2D: KERNEL,
    Conv3D: KERNEL,
    Conv1DTranspose: KERNEL,
    Conv2DTranspose: KERNEL,
    Conv3DTranspose: KERNEL,
    DepthwiseConv1D: KERNEL,
    DepthwiseConv2D: KERNEL,
    LocallyConnected1D: KERNEL,
    LocallyConnected2D: KERNEL,
    SeparableConv1D: SEPARABLE,
    SeparableConv2D: SEPARABLE,
    Embedding: ['embeddings'],
    ReversibleEmbedding: ['embeddings', 'reverse_embeddings'],
    LSTMCell: RECURRENT,
    GRUCell: RECURRENT,
    SimpleRNNCell: RECURRENT,
    ConvLSTMCell: RECURRENT,
    CuDNNLSTM: RECURRENT,
    CuDNNGRU: RECURRENT,
    BatchNormalization: [
      'gamma',
      'beta',
      'moving_mean',
      'moving_variance',
      'moving_stddev',
      'renorm_mean',
      'renorm_stddev',
    ],
    SyncBatchNormalization: ['gamma', 'beta', 'moving_mean', 'moving_variance'],
    LayerNormalization: ['gamma', 'beta'],
    GroupNormalization: ['gamma', 'beta'],
    RMSNormalization: ['scale'],
    SpectralNormalization: ['kernel', 'vector_u'],
    Normalization: ['mean', 'variance', 'count'],
    PReLU: ['alpha'],
    Attention: ['scale', 'concat_score_weight'],
    AdditiveAttention: ['scale'],
    STFTSpectrogram: ['real_kernel', 'imag_kernel'],
  }),
);

/** Layers with sub-layers and no variables of their own, that auto-generated names can tell. */
const OTHERS = [
  'LSTM',
  'GRU',
  'SimpleRNN',
  'RNN',
  'ConvLSTM1D',
  'ConvLSTM2D',
  'ConvLSTM3D',
  'Bidirectional',
  'TimeDistributed',
  'MultiHeadAttention',
  'GroupedQueryAttention',
  'StackedRNNCells',
  'Sequential',
  'Functional',
  'Model',
];

/** Class names without package and version: `qkeras>QDense` is `QDense`, `BatchNormalizationV1` its first form. */
export function plainClass(className: string): string {
  return className.slice(className.lastIndexOf('>') + 1).replace(/(?<=[a-z])V\d$/, '');
}

/** Keras 3's `to_snake_case`: `Conv2DTranspose` is `conv2d_transpose`. */
export function snakeCase(className: string): string {
  return plainClass(className)
    .replace(/\W+/g, '')
    .replace(/(.)([A-Z][a-z]+)/g, '$1_$2')
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase();
}

/** `tf.keras`'s, which takes digits for small letters: `ConvLSTM2D` is `conv_lst_m2d`. */
function snakeCase2(className: string): string {
  return className
    .replace(/(.)([A-Z][a-z0-9]+)/g, '$1_$2')
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase();
}

const KERAS1: readonly string[] = [
  'Convolution1D',
  'Convolution2D',
  'Convolution3D',
  'Deconvolution2D',
  'AtrousConvolution1D',
  'AtrousConvolution2D',
  'SeparableConvolution2D',
];

/** Auto-generated names of all versions to classes; Keras 1 wrote them in small letters. */
const AUTO_NAMES: ReadonlyMap<string, string> = new Map(
  [...ORDER.keys(), ...OTHERS, ...KERAS1].flatMap((name) =>
    [snakeCase(name), snakeCase2(name), name.toLowerCase()].map((auto) => [auto, name] as const),
  ),
);

/** The class that an auto-generated name tells: `conv2d_3` is of a Conv2D; undefined for names of other making. */
export function classOfName(name: string): string | undefined {
  return AUTO_NAMES.get(name) ?? AUTO_NAMES.get(name.replace(/_\d+$/, ''));
}

/** Those of the names that a layer of this configuration has. */
function given(names: readonly string[], config: JsonObject): readonly string[] {
  return names.filter((name) => {
    const flag = FLAGS[name];
    return flag === undefined || (flag === 'renorm' ? config[flag] === true : config[flag] !== false);
  });
}

/** Names of the variables of one of Keras's own classes, in the order in which it stores them; undefined for others. */
export function namesOf(className: string, config: JsonObject): readonly string[] | undefined {
  const order = ORDER.get(plainClass(className));
  return order && given(order, config);
}

/**
 * Names of the variables that a layer stores as `vars/0`, `vars/1`, ...
 *
 * @param className without wrappers
 * @param config of the layer; empty where it is not known, and then optional variables are the ones left out at the end
 * @param variables in order
 * @param isKeras2 of the writer: Keras 2 calls the kernel of a depthwise convolution otherwise
 */
export function variableNames(
  className: string,
  config: JsonObject,
  variables: readonly Variable[],
  isKeras2 = false,
): string[] {
  const shapes = variables.map(({ shape }) => shape);
  const plain = plainClass(className);
  const order = ORDER.get(plain);
  const isQuantizable = !order || order === KERNEL || order[0] === 'embeddings';
  const quantized = isQuantizable
    ? quantizedNames(order?.[0] === 'embeddings' ? 'embeddings' : 'kernel', variables)
    : undefined;
  if (quantized) return quantized;
  let names: readonly string[] = order ? given(order, config) : [];
  // Without flags the moving statistics are the sure part.
  if (names.includes('moving_mean') && shapes.length < names.length) names = names.slice(-shapes.length);
  if (!order && looksDense(shapes)) names = KERNEL;
  if (isKeras2 && plain.startsWith('Depthwise')) {
    names = names.map((name) => (name === 'kernel' ? 'depthwise_kernel' : name));
  }
  return shapes.map((_, i) => names[i] ?? `variable_${i}`);
}

/** Layers of other makers that hold a kernel, and perhaps a bias, as Keras's do: one number for each of the last axis. */
function looksDense(shapes: readonly (readonly number[])[]): boolean {
  const [kernel, bias, ...more] = shapes;
  if (!kernel || kernel.length < 2 || more.length > 0) return false;
  return bias === undefined || (bias.length === 1 && bias[0] === kernel.at(-1));
}

/** Whether a class is one of Keras's own with weights. */
export function knowsClass(className: string): boolean {
  const plain = plainClass(className);
  return ORDER.has(plain) || OTHERS.includes(plain) || KERAS1.includes(plain);
}
