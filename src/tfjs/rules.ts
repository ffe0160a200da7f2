import type { Json, JsonObject } from '../model.js';
import { mayGrow } from '../network/operations/integers.js';
import { slopeOf } from '../network/operations/layers.js';
import { givesZeros, headsOf } from '../network/operations/sequences.js';
import { integerType } from '../network/operations/tensor-operation.js';
import type { Shape } from '../network/types.js';
import { addsMany, mayOverrun, normalizesMany } from './faults.js';
import { attributesOf, operationName, refusedOperation, TENSOR_OPERATIONS } from './layers/operations.js';
import { bias, type Converted, type Given, native, own, type Rule } from './rule.js';
import { bidirectional, convLstm, rnn } from './rules-recurrent.js';

/** The class of TensorFlow.js of the same name, whatever its config. */
const same: Rule = ({ className, config }) => native(className, config);
/** bitnibble's class of the same name. */
const mine: Rule = ({ className, config }) => own(className, config);
/** An image-augmenting or regularizing layer does nothing outside of training. */
const identity: Rule = ({ config: { name = null, trainable = true } }) =>
  native('Activation', { name, trainable, dtype: 'float32', activation: 'linear' });

const first = (value: Json | undefined): Json | undefined => (Array.isArray(value) ? value[0] : value);
const isMany = (value: Json | undefined) =>
  (Array.isArray(value) ? value : [value]).some((n) => typeof n === 'number' && n > 1);
const isChannelsFirst = (config: JsonObject) => config.data_format === 'channels_first';

const conv: Rule = ({ className, config }) => {
  const weights = ['kernel', ...bias(config)];
  const rank = Number(className[4]);
  const needs =
    Number(config.groups ?? 1) > 1 ||
    config.padding === 'causal' ||
    (rank === 1 && isChannelsFirst(config)) ||
    (rank === 3 && isMany(config.dilation_rate)) ||
    mayOverrun(config, rank);
  return needs ? own(className, config, weights) : native(className, config, weights);
};

const convTranspose: Rule = ({ className, config: { output_shape: _, ...config } }) => {
  const weights = ['kernel', ...bias(config)];
  // TensorFlow.js's WebAssembly backend computes Conv3DTranspose wrongly.
  const needs =
    className !== 'Conv2DTranspose' ||
    isMany(config.dilation_rate) ||
    (config.output_padding ?? null) !== null;
  return needs ? own(className, config, weights) : native(className, config, weights);
};

const depthwise: Rule = ({ className, config }) => {
  const weights = ['depthwise_kernel', ...bias(config)];
  const needs = className === 'DepthwiseConv1D' || isMany(config.dilation_rate) || mayOverrun(config, 2);
  return needs ? own(className, config, weights) : native(className, config, weights);
};

const separable: Rule = ({ className, config }) => {
  const { kernel_initializer: _, kernel_regularizer: __, groups: ___, ...rest } = config;
  const weights = ['depthwise_kernel', 'pointwise_kernel', ...bias(config)];
  const needs =
    className === 'SeparableConv1D' ||
    isChannelsFirst(config) ||
    isMany(config.dilation_rate) ||
    mayOverrun(config, 2);
  return needs ? own(className, rest, weights) : native(className, rest, weights);
};

/** Rank of input and output, where both are the same and the shape is known. */
const rankOf = ({ shape }: Given) => shape?.length;

const batchNorm: Rule = (given) => {
  const { mode: _, renorm: __, ...config } = given.config;
  const weights = [
    ...(config.scale === false ? [] : ['gamma']),
    ...(config.center === false ? [] : ['beta']),
    'moving_mean',
    'moving_variance',
  ];
  const rank = rankOf(given);
  const axis = Number(config.axis);
  const isLast = axis === -1 || (rank !== undefined && axis === rank - 1);
  // Without a known rank only -1 is surely the last axis, and ranks above 4 go to bitnibble's class.
  return isLast && (rank ?? 9) <= 4
    ? native('BatchNormalization', config, weights)
    : own('BatchNormalization', config, weights);
};

const layerNorm: Rule = (given) => {
  const { config } = given;
  const weights = config.rms_scaling
    ? ['gamma']
    : [...(config.scale === false ? [] : ['gamma']), ...(config.center === false ? [] : ['beta'])];
  const rank = rankOf(given);
  const needs =
    config.rms_scaling === true ||
    rank === undefined ||
    rank > 4 ||
    normalizesMany(config.axis, given.shape ?? []);
  return needs ? own('LayerNormalization', config, weights) : native('LayerNormalization', config, weights);
};

const groupNorm: Rule = ({ config }) =>
  own('GroupNormalization', config, [
    ...(config.scale === false ? [] : ['gamma']),
    ...(config.center === false ? [] : ['beta']),
  ]);

const normalization: Rule = ({ config }) => {
  const isGiven = (config.mean ?? null) !== null;
  const axis = config.axis === null ? [] : (config.axis ?? -1);
  return own('Normalization', { ...config, axis }, isGiven ? [] : ['mean', 'variance']);
};

/** TensorFlow.js's WebAssembly backend takes slopes for those of the last axes, whichever axes share them. */
const prelu: Rule = ({ config }) => {
  const shared = (config.shared_axes ?? []) as number[];
  const isLeading = [...shared].sort((a, b) => a - b).every((axis, i) => axis === i + 1);
  return (isLeading ? native : own)('PReLU', config, ['alpha']);
};

/** TensorFlow.js joins along the last axis whatever axis is counted from the end. */
const concatenate: Rule = (given) => {
  const axis = Number(given.config.axis ?? -1);
  if (axis >= -1) return same(given);
  const rank = rankOf(given);
  return rank === undefined
    ? `axis: ${axis} of an input whose axes are not known`
    : native('Concatenate', { ...given.config, axis: axis + rank });
};

const relu: Rule = ({ config }) =>
  config.threshold || config.negative_slope ? own('ReLU', config) : native('ReLU', config);

const softmax: Rule = ({ config, shape }) => {
  const axis = first(config.axis) ?? -1;
  const isLast = axis === -1 || (shape !== undefined && axis === shape.length - 1);
  const isOne = !Array.isArray(config.axis) || config.axis.length === 1;
  return isLast && isOne ? native('Softmax', { ...config, axis: -1 }) : own('Softmax', config);
};

const globalPooling: Rule = ({ className, config, roles, inputShape }) => {
  const masked = roles.includes('mask');
  const isThree = className.endsWith('3D');
  const needs =
    masked ||
    isThree ||
    config.keepdims === true ||
    (className.endsWith('1D') && isChannelsFirst(config)) ||
    addsMany(className, config, inputShape);
  return needs ? own(className, { ...config, masked }) : native(className, config);
};

const attention: Rule = ({ className, config, roles, inputShape }) => {
  const camel = (name: string) => name.replace(/_(\w)/g, (_, c: string) => c.toUpperCase());
  const full: JsonObject = { ...config, roles: roles.map(camel) };
  if (!/^(MultiHead|GroupQuery)Attention$/.test(className))
    return own(className, full, config.use_scale === true ? ['scale'] : []);
  const { heads, keyHeads, keyDim, parts } = headsOf(config);
  Object.assign(full, {
    ...{ num_heads: heads, key_heads: keyHeads, key_dim: keyDim },
    zero_masked: givesZeros(config, (inputShape?.length ?? 3) - 2),
  });
  const weights = parts.flatMap((part) => [`${part}/kernel`, ...bias(config).map((b) => `${part}/${b}`)]);
  return own('MultiHeadAttention', full, weights);
};

/** One pair, without the list around it. */
const edges1d: Rule = ({ className, config }) => {
  const key = className === 'Cropping1D' ? 'cropping' : 'padding';
  const [pair = null] = config[key] as Json[];
  return own(className, { ...config, [key]: pair });
};

const dot: Rule = ({ config }) => {
  const { axes } = config;
  const isOne = Array.isArray(axes) && axes.length === 1;
  return native('Dot', isOne ? { ...config, axes: axes[0] ?? -1 } : config);
};

const reshaped = (config: JsonObject, target: Json): JsonObject => {
  const { data_format: _, ...rest } = config;
  return { ...rest, target_shape: target };
};

const isKnown = (shape: Shape | undefined): shape is Shape =>
  shape?.slice(1).every((n) => n !== null) ?? false;

const flatten: Rule = ({ config, shape }) =>
  // TensorFlow.js's Flatten refuses inputs of two axes and of unknown length.
  isChannelsFirst(config) || !isKnown(shape)
    ? native('Flatten', config)
    : native('Reshape', reshaped(config, shape.slice(1)));

/** TensorFlow.js leaves an axis of -1 unknown, which layers behind cannot use. */
const reshape: Rule = ({ config, shape }) =>
  native('Reshape', isKnown(shape) ? { ...config, target_shape: shape.slice(1) } : config);

const resizing: Rule = ({ className, config }) => {
  if (className === 'Resizing' && !/^(bilinear|nearest)$/.test(String(config.interpolation ?? 'bilinear'))) {
    return `interpolation: ${String(config.interpolation)}`;
  }
  return own(className, config);
};

const upSampling: Rule = ({ className, config }) => {
  const how = config.interpolation ?? 'nearest';
  if (how === 'nearest' && className === 'UpSampling2D') {
    const size = config.size ?? 2;
    return native(className, { ...config, size: typeof size === 'number' ? [size, size] : size });
  }
  return how === 'nearest' || how === 'bilinear' ? own(className, config) : `interpolation: ${String(how)}`;
};

/** What TensorFlow's functions have otherwise than Keras's, in the words of the latter. */
function kerasWords(className: string, { operands: _, ...config }: JsonObject): JsonObject {
  if (className === 'ops.GetItem') {
    const items = (config.key as Json[]).map((item) =>
      item === null ? 'newaxis' : item === '...' ? 'ellipsis' : item,
    );
    return { index: items };
  }
  if (className === 'ops.Split') {
    const { sizes, indices_or_sections: cuts, axis = 0 } = config;
    if (!Array.isArray(sizes)) return { indices_or_sections: sizes ?? cuts ?? 1, axis };
    let at = 0;
    const ends = sizes.slice(0, -1).map((size) => {
      at += Number(size);
      return at;
    });
    return { indices_or_sections: ends, axis };
  }
  // x / sqrt(max(sum x^2, e)) of TensorFlow is x / max(|x|, sqrt(e)).
  if (className === 'ops.L2Normalize') {
    const [axis = -1, ...more] = (config.axis ?? []) as Json[];
    return {
      axis: more.length > 0 ? (config.axis ?? null) : axis,
      order: 2,
      epsilon: Math.sqrt(Number(config.epsilon)),
    };
  }
  // All that is cast to a narrower type fits it.
  if ('dtype' in config && integerType(config.dtype)) return { ...config, dtype: 'int32' };
  if (className === 'ops.Norm' && config.ord === 'euclidean') return { ...config, ord: null };
  if (className === 'ops.Silu' && config.beta === 1) return {};
  return config;
}

/** Keys that are of the layer, and not of the operation. */
const LAYER_KEYS = ['name', 'trainable', 'dtype'];

const calledName = (className: string): string =>
  className === 'ops.L2Normalize' ? 'normalize' : operationName(className);

/** `x + y`, `1 - x`, `keras.ops.mean(x, axis=1)`. */
const operation: Rule = ({ className, config, isWhole }) => {
  const { operands = [], ...words } = config;
  const ownConfig = Object.fromEntries(
    Object.entries(words).filter(
      ([key]) =>
        !LAYER_KEYS.includes(key) || (key === 'dtype' && /^ops\.(Cast|ZerosLike|OnesLike)$/.test(className)),
    ),
  );
  const called = calledName(className);
  const attributes = attributesOf(called, kerasWords(className, ownConfig));
  const given = Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== null));
  const count = Array.isArray(operands) ? operands.length : 0;
  return (
    refusedOperation(called, given, count) ??
    own('Operation', {
      ...{ operation: called, operands, attributes: given, dtype: 'float32' },
      ...(isWhole ? { whole: mayGrow(className) ? 'grown' : 'compared' } : {}),
    })
  );
};

/** Rules by class. What stands in no row is not supported. */
const RULES: readonly (readonly [RegExp, Rule])[] = [
  [/^ops\./, operation],
  [/^Conv[123]D$/, conv],
  [/^Conv[123]DTranspose$/, convTranspose],
  [/^DepthwiseConv[12]D$/, depthwise],
  [/^SeparableConv[12]D$/, separable],
  [/^Dense$/, ({ config }) => native('Dense', config, ['kernel', ...bias(config)])],
  [
    /^EinsumDense$/,
    ({ config }) => own('EinsumDense', config, ['kernel', ...(config.bias_axes ? ['bias'] : [])]),
  ],
  // Masks travel as inputs: see masks.ts.
  [/^Embedding$/, ({ config }) => native('Embedding', { ...config, mask_zero: false }, ['embeddings'])],
  [/^(LSTM|GRU|SimpleRNN)$/, rnn],
  [/^ConvLSTM[123]D$/, convLstm],
  [/^Bidirectional$/, bidirectional],
  [/^(MultiHead|GroupQuery|Additive)?Attention$/, attention],
  [/^BatchNormalization$/, batchNorm],
  [/^LayerNormalization$/, layerNorm],
  [/^GroupNormalization$/, groupNorm],
  [/^RMSNormalization$/, ({ config }) => own('RMSNormalization', config, ['scale'])],
  [
    /^(UnitNormalization|Masking|Subtract|ComputeMask|CombineMasks|ConcatenateMasks|ZeroPadding3D|Cropping3D)$/,
    mine,
  ],
  [/^(ZeroPadding|Cropping)1D$/, edges1d],
  [/^Normalization$/, normalization],
  [/^ReLU$/, relu],
  [/^LeakyReLU$/, ({ config }) => native('LeakyReLU', { ...config, alpha: slopeOf(config) })],
  [/^ELU$/, ({ config }) => ((config.alpha ?? 1) === 1 ? native('ELU', config) : own('ELU', config))],
  [/^PReLU$/, prelu],
  [/^Softmax$/, softmax],
  [/^Global(Average|Max)Pooling[123]D$/, globalPooling],
  [/^UpSampling[123]D$/, upSampling],
  [/^(Resizing|CenterCrop)$/, resizing],
  [/^Flatten$/, flatten],
  [/^Reshape$/, reshape],
  [/^MaxPooling3D$/, mine],
  [/^(Max|Average)Pooling1D$/, (given) => (isChannelsFirst(given.config) ? mine(given) : same(given))],
  [/^AveragePooling3D$/, (given) => (mayOverrun(given.config, 3, 'pool_size') ? mine(given) : same(given))],
  [/^(Max|Average)Pooling2D$/, same],
  [/^(Add|Multiply|Average|Maximum|Minimum)$/, same],
  [/^Concatenate$/, concatenate],
  [/^Dot$/, dot],
  [/^(Activation|ThresholdedReLU|Permute|RepeatVector|Rescaling|ZeroPadding2D|Cropping2D)$/, same],
  [
    /^(Dropout|SpatialDropout1D|GaussianNoise|GaussianDropout|AlphaDropout)$/,
    ({ className, config }) => native(className, config),
  ],
  [/^AutoContrast$/, mine],
  [
    /^(SpatialDropout[23]D|ActivityRegularization|Identity|AugMix|CutMix|MaxNumBoundingBoxes|MixUp|RandAugment|Solarization|Random[A-Z]\w*)$/,
    identity,
  ],
];

/** Whether an operation can be converted with some attributes. */
export const isConverted = (operation: string): boolean =>
  RULES.some(([classes]) => classes.test(operation)) &&
  (!operation.startsWith('ops.') || Object.hasOwn(TENSOR_OPERATIONS, calledName(operation)));

/** Converts a layer by the rule of its class. */
export function convertLayer(given: Given): Converted | string {
  const rule = RULES.find(([classes]) => classes.test(given.className));
  return rule ? rule[1](given) : 'TensorFlow.js has no such layer';
}
