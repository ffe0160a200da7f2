import type { TensorShape } from '../keras/shapes.js';
import type { Json, JsonObject } from '../model.js';
import { OPERATION } from './graph.js';
import { OPERATIONS } from './layers/operations.js';
import { bias, type Converted, type Given, INSIDE, native, own, type Rule } from './rule.js';
import { bidirectional, convLstm, rnn, rnnOfCell } from './rules-recurrent.js';

/** The class of TensorFlow.js of the same name, whatever its config. */
const same: Rule = ({ className, config }) => native(className, config);
/** bitnibble's class of the same name. */
const mine: Rule = ({ className, config }) => own(className, config);
/** An image-augmenting or regularizing layer does nothing outside of training. */
const identity: Rule = ({ config: { name = null, trainable = true, batch_input_shape } }) => {
  const config: JsonObject = { name, trainable, dtype: 'float32', activation: 'linear' };
  return native('Activation', batch_input_shape ? { ...config, batch_input_shape } : config, 'any');
};

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
    (rank === 3 && isMany(config.dilation_rate));
  return needs ? own(className, config, weights) : native(className, config, weights);
};

const convTranspose: Rule = ({ className, config: { output_shape: output, ...config }, shape }) => {
  // Keras 1 was told what Keras 2 computes.
  const differs = (n: Json, axis: number) =>
    axis > 0 && n !== null && shape?.[axis] != null && shape[axis] !== n;
  if (Array.isArray(output) && output.some(differs)) return `output_shape: ${JSON.stringify(output)}`;
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
  const needs = className === 'DepthwiseConv1D' || isMany(config.dilation_rate);
  return needs ? own(className, config, weights) : native(className, config, weights);
};

const separable: Rule = ({ className, config }) => {
  const { kernel_initializer: _, kernel_regularizer: __, groups: ___, ...rest } = config;
  const weights = ['depthwise_kernel', 'pointwise_kernel', ...bias(config)];
  const needs = className === 'SeparableConv1D' || isChannelsFirst(config) || isMany(config.dilation_rate);
  return needs ? own(className, rest, weights) : native(className, rest, weights);
};

/** Kernels are stored normalized; outside of training the layer inside is all there is. */
const spectralNorm: Rule = ({ config, inner }) => {
  const layer = inner(config.layer);
  if (!layer) return INSIDE;
  if (layer.weights === 'any') return `${layer.className} inside`;
  if (layer.className === 'Embedding') return 'an Embedding inside, whose outputs Keras makes whole numbers';
  return { ...layer, weights: [...layer.weights, null] };
};

const timeDistributed: Rule = ({ config, inner }) => {
  const layer = inner(config.layer);
  if (!layer) return INSIDE;
  return native(
    'TimeDistributed',
    { ...config, layer: { class_name: layer.className, config: layer.config } },
    layer.weights,
  );
};

/** Rank of input and output, where both are the same and the shape is known. */
const rankOf = ({ shape }: Given) => shape?.length;

const batchNorm: Rule = (given) => {
  // Keras 1: the statistics of each sample, or of the batch.
  if (given.config.mode) return `mode: ${String(given.config.mode)}`;
  const config: JsonObject = { ...given.config, axis: first(given.config.axis) ?? -1 };
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
  const needs = config.rms_scaling === true || rank === undefined || rank > 4;
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
  // Keras stores the number of samples seen behind mean and variance.
  return own('Normalization', { ...config, axis }, isGiven ? 'any' : ['mean', 'variance', null]);
};

const relu: Rule = ({ config }) =>
  config.threshold || config.negative_slope ? own('ReLU', config) : native('ReLU', config);

const softmax: Rule = ({ config, shape }) => {
  const axis = first(config.axis) ?? -1;
  const isLast = axis === -1 || (shape !== undefined && axis === shape.length - 1);
  const isOne = !Array.isArray(config.axis) || config.axis.length === 1;
  return isLast && isOne ? native('Softmax', { ...config, axis: -1 }) : own('Softmax', config);
};

const globalPooling: Rule = ({ className, config, roles }) => {
  const masked = roles.includes('mask');
  const isThree = className.endsWith('3D');
  const needs =
    masked || isThree || config.keepdims === true || (className.endsWith('1D') && isChannelsFirst(config));
  return needs ? own(className, { ...config, masked }) : native(className, config);
};

const attention: Rule = ({ className, config, roles, flags, isKeras3 }) => {
  const camel = (name: string) => name.replace(/_(\w)/g, (_, c: string) => c.toUpperCase());
  const full: JsonObject = { ...config, ...flags, roles: roles.map(camel) };
  if (!roles.includes('value')) return 'a call without value';
  if (className !== 'MultiHeadAttention') {
    if (config.score_mode === 'concat') return 'score_mode: concat';
    const isScaled = className === 'Attention' ? config.use_scale === true : config.use_scale !== false;
    return own(className, { ...full, use_scale: isScaled }, isScaled ? ['scale'] : []);
  }
  const axes = config.attention_axes;
  if (Array.isArray(axes) && axes.some((axis, i) => axis !== i + 1))
    return `attention_axes: ${JSON.stringify(axes)}`;
  if (Array.isArray(config.output_shape) && config.output_shape.length > 1)
    return 'an output_shape of several axes';
  if (config.use_gate === true) return 'use_gate: true';
  if ((config.sliding_window ?? null) !== null) return 'a sliding window';
  full.zero_masked = isKeras3 && (Number(config.dropout ?? 0) > 0 || flags.return_attention_scores === true);
  const weights = ['query', 'key', 'value', 'attention_output'].flatMap((part) => [
    `${part}/kernel`,
    ...bias(config).map((b) => `${part}/${b}`),
  ]);
  return own(className, full, weights);
};

const reshaped = (config: JsonObject, target: Json): JsonObject => {
  const { data_format: _, ...rest } = config;
  return { ...rest, target_shape: target };
};

const isKnown = (shape: TensorShape | undefined): shape is TensorShape =>
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
  if (config.crop_to_aspect_ratio || config.pad_to_aspect_ratio || config.antialias)
    return 'cropping, padding or antialiasing';
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

const CODE = 'it holds code, which is never executed';

/** `x + y`, `1 - x`, `keras.ops.relu(x)`: element by element. */
const operation: Rule = ({ className, config, flags }) => {
  const name = className.replace(OPERATION, '').replace(/^./, (c) => c.toLowerCase());
  return Object.hasOwn(OPERATIONS, name)
    ? own('Operation', { ...config, ...flags, operation: name })
    : 'an operation that is not among those converted';
};

/** Rules by class. What stands in no row is not supported. */
const RULES: readonly (readonly [RegExp, Rule])[] = [
  [/^keras\.ops\./, operation],
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
  [/^RNN$/, rnnOfCell],
  [/^(LSTM|GRU|SimpleRNN)Cell$/, ({ className, config }) => native(className, config)],
  [/^ConvLSTM[123]D$/, convLstm],
  [/^Bidirectional$/, bidirectional],
  [/^TimeDistributed$/, timeDistributed],
  [/^SpectralNormalization$/, spectralNorm],
  [/^(MultiHeadAttention|Attention|AdditiveAttention)$/, attention],
  [/^(Sync)?BatchNormalization$/, batchNorm],
  [/^LayerNormalization$/, layerNorm],
  [/^GroupNormalization$/, groupNorm],
  [/^RMSNormalization$/, ({ config }) => own('RMSNormalization', config, ['scale'])],
  [/^(UnitNormalization|Masking|Subtract|ComputeMask|ZeroPadding[13]D|Cropping[13]D)$/, mine],
  [/^Normalization$/, normalization],
  [/^ReLU$/, relu],
  [
    /^LeakyReLU$/,
    ({ config }) => native('LeakyReLU', { ...config, alpha: config.negative_slope ?? config.alpha ?? 0.3 }),
  ],
  [/^ELU$/, ({ config }) => ((config.alpha ?? 1) === 1 ? native('ELU', config) : own('ELU', config))],
  [/^PReLU$/, ({ config }) => native('PReLU', config, ['alpha'])],
  [/^Softmax$/, softmax],
  [/^Global(Average|Max)Pooling[123]D$/, globalPooling],
  [/^UpSampling[123]D$/, upSampling],
  [/^(Resizing|CenterCrop)$/, resizing],
  [/^Flatten$/, flatten],
  [/^Reshape$/, reshape],
  [/^MaxPooling3D$/, mine],
  [/^(Max|Average)Pooling1D$/, (given) => (isChannelsFirst(given.config) ? mine(given) : same(given))],
  [/^(MaxPooling2D|AveragePooling[23]D)$/, same],
  [/^(Add|Multiply|Average|Maximum|Minimum|Concatenate|Dot)$/, same],
  [/^(InputLayer|Activation|ThresholdedReLU|Permute|RepeatVector|Rescaling|ZeroPadding2D|Cropping2D)$/, same],
  [
    /^(Dropout|SpatialDropout1D|GaussianNoise|GaussianDropout|AlphaDropout)$/,
    ({ className, config }) => native(className, config, 'any'),
  ],
  [
    /^(SpatialDropout[23]D|ActivityRegularization|Identity|Random[A-Z]\w*|AutoContrast|AugMix|CutMix|MixUp|RandAugment|MaxNumBoundingBoxes)$/,
    identity,
  ],
  [
    /^(Lambda|TFOpLambda|SlicingOpLambda|TensorFlowOpLayer|TorchModuleWrapper|JaxLayer|FlaxLayer|TFSMLayer)$/,
    () => CODE,
  ],
];

/** Converts a layer by the rule of its class. */
export function convertLayer(given: Given): Converted | string {
  const rule = RULES.find(([classes]) => classes.test(given.className));
  return rule ? rule[1](given) : 'TensorFlow.js has no such layer';
}
