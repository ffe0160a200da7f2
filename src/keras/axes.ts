import type { WeightInfo } from '../model.js';

/** What a weight is to a quantizer. */
export type Role =
  /** Multiplied with activations: quantized by default. */
  | { readonly kind: 'kernel'; readonly axes: readonly number[]; readonly guess: boolean }
  /** Kept by default, for the reason given. */
  | { readonly kind: 'other'; readonly reason: string };

const VECTORS = new Set([
  'bias',
  'b',
  'beta',
  'gamma',
  'mean',
  'variance',
  'count',
  'moving_mean',
  'moving_variance',
  'running_mean',
  'running_std',
  'alpha',
  'scale',
]);

const NORMALIZATIONS =
  /^(BatchNormalization|SyncBatchNormalization|LayerNormalization|GroupNormalization|UnitNormalization|RMSNormalization|SpectralNormalization|Normalization)(V\d)?$/;

/** `[class, weight name] -> axes of the output channels`, counted from the end (negative) or the start. */
type Axes = (rank: number) => readonly number[];
const last: Axes = (rank) => [rank - 1];
const lastTwo: Axes = (rank) => [rank - 2, rank - 1];
/** `(..., out, in)`: the axis before the last. */
const beforeLast: Axes = (rank) => [rank - 2];
const first: Axes = () => [0];

/**
 * Output-channel axes by layer class and weight name: the documented kernel shapes of Keras.
 *
 * | classes | kernel shape | axes |
 * |---|---|---|
 * | Conv1D, Conv2D, Conv3D | `(..., in / groups, out)` | last |
 * | Conv1DTranspose ... Conv3DTranspose | `(..., out, in)` | before the last |
 * | DepthwiseConv1D, DepthwiseConv2D | `(..., in, multiplier)` | the last two |
 * | SeparableConv1D, SeparableConv2D: `depthwise_kernel`, `pointwise_kernel` | `(..., in, mult)`, `(..., in * mult, out)` | the last two; last |
 * | Dense | `(in, out)` | last |
 * | Embedding | `(tokens, features)` | 0: one scale per token |
 * | LSTM, GRU, SimpleRNN, ConvLSTM: `kernel`, `recurrent_kernel` | `(..., in, gates * units)` | last |
 * | MultiHeadAttention: `query`, `key`, `value`; `attention_output` | `(in, heads, features)`; `(heads, features, out)` | the last two; last |
 */
const TABLE: readonly (readonly [className: RegExp, weight: RegExp, axes: Axes])[] = [
  [/^(Convolution|Conv)[123]D$/, /^(kernel|W)$/, last],
  [/^(Conv[123]DTranspose|Convolution[23]DTranspose|Deconvolution[23]D)$/, /^(kernel|W)$/, beforeLast],
  [/^DepthwiseConv[12]D$/, /^(depthwise_)?kernel$/, lastTwo],
  [/^Separable(Conv|Convolution)[12]D$/, /^depthwise_kernel$/, lastTwo],
  [/^Separable(Conv|Convolution)[12]D$/, /^pointwise_kernel$/, last],
  [/^(Dense|TimeDistributedDense)$/, /^(kernel|W)$/, last],
  [/^Embedding$/, /^(embeddings|W)$/, first],
  [
    /^((CuDNN)?LSTM|(CuDNN)?GRU|SimpleRNN|ConvLSTM[123]D|RNN|StackedRNNCells|LSTMCell|GRUCell|SimpleRNNCell)(V\d)?$/,
    /^(recurrent_)?kernel$/,
    last,
  ],
  [/^(LSTM|GRU|SimpleRNN|ConvLSTM2D)$/, /^[WU](_[a-z])?$/, last],
  [
    /^(MultiHeadAttention|GroupedQueryAttention|GroupQueryAttention)$/,
    /(^|\/)(query|key|value)\/kernel$/,
    lastTwo,
  ],
  [
    /^(MultiHeadAttention|GroupedQueryAttention|GroupQueryAttention)$/,
    /(^|\/)attention_output\/kernel$/,
    last,
  ],
];

/**
 * What a weight is, and along which axes its output channels lie.
 *
 * Classes that the table does not know fall back to the last axis for kernels of two and more axes, as a guess.
 */
export function roleOf(weight: WeightInfo): Role {
  const className = weight.className.split('/').at(-1) as string;
  const rank = weight.shape.length;
  if (rank < 2) return { kind: 'other', reason: rank === 0 ? 'scalar' : 'vector' };
  if (NORMALIZATIONS.test(className)) return { kind: 'other', reason: 'normalization' };
  if (className === 'PReLU') return { kind: 'other', reason: 'activation parameter' };
  if (VECTORS.has(weight.name)) return { kind: 'other', reason: weight.name };
  const path = weight.id;
  const row = TABLE.find(
    ([classes, names]) => classes.test(className) && (names.test(weight.name) || names.test(path)),
  );
  if (row) return { kind: 'kernel', axes: row[2](rank), guess: false };
  return { kind: 'kernel', axes: last(rank), guess: true };
}
