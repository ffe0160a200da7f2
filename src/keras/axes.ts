import { isFloat } from '../formats/dtypes.js';
import type { JsonObject, WeightInfo } from '../model.js';
import { plainClass } from './variables.js';

/** What a weight is to a quantizer. */
export type Role =
  /** Multiplied with activations: quantized by default. */
  | { readonly kind: 'kernel'; readonly axes: readonly number[]; readonly guess: boolean }
  /** Kept by default, for the reason given. */
  | { readonly kind: 'other'; readonly reason: string };

/** Weights that are no kernels whatever their shape: one number for each channel, or state. */
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
  'moving_stddev',
  'renorm_mean',
  'renorm_stddev',
  'running_mean',
  'running_std',
  'alpha',
  'scale',
  'vector_u',
  'sn_u',
  'kernel_scale',
  'kernel_zero',
  'embeddings_scale',
  'embeddings_zero',
  'reverse_embeddings_scale',
  'reverse_embeddings_zero',
  'awq_scales',
  'g_idx',
]);

const NORMALIZATIONS = /^((Sync)?Batch|Layer|Group|Instance|Unit|RMS|Spectral|Weight)?Normalization$/;

/** `[class, weight name] -> axes of the output channels`, by the tensor's rank and the layer's configuration. */
type Axes = (rank: number, config: JsonObject) => readonly number[] | undefined;
const last: Axes = (rank) => [rank - 1];
const lastTwo: Axes = (rank) => [rank - 2, rank - 1];
/** `(..., out, in)`: the axis before the last. */
const beforeLast: Axes = (rank) => [rank - 2];
const first: Axes = () => [0];
/** Keras 1 with `dim_ordering: "th"`: `(out, in, ...)`, which is the first axis; else `(..., in, out)`. */
const keras1: Axes = (rank, config) => (config.dim_ordering === 'th' ? [0] : [rank - 1]);
/** The same of a depthwise kernel: `(mult, in, ...)`. */
const keras1Depthwise: Axes = (rank, config) =>
  config.dim_ordering === 'th' ? [0, 1] : [rank - 2, rank - 1];

/**
 * Axes of an EinsumDense kernel that its output has: `abc,cde->abde` sums over `c`, so the kernel's axes 1 and 2.
 * Undefined where they are no neighbours, or the equation is not of that form.
 */
const einsum: Axes = (rank, config) => {
  const match = /^([^,>]*),([a-zA-Z]+)->([^,>]*)$/.exec(String(config.equation).replace(/\s/g, ''));
  const [, , kernel, output] = match ?? [];
  if (kernel === undefined || output === undefined || kernel.length !== rank) return undefined;
  const axes = [...kernel].flatMap((letter, axis) => (output.includes(letter) ? [axis] : []));
  const isRun = axes.length > 0 && axes.every((axis, i) => axis === (axes[0] as number) + i);
  return isRun ? axes : undefined;
};

const ATTENTION = /^(MultiHeadAttention|Group(ed)?QueryAttention)$/;
const RECURRENT =
  /^((CuDNN)?LSTM|(CuDNN)?GRU|SimpleRNN|ConvLSTM[123]D|RNN|StackedRNNCells|(LSTM|GRU|SimpleRNN|ConvLSTM)Cell)$/;

/**
 * Output-channel axes by layer class and weight name: the documented kernel shapes of Keras.
 *
 * | classes | kernel shape | axes |
 * |---|---|---|
 * | Conv1D, Conv2D, Conv3D; LocallyConnected1D, 2D | `(..., in / groups, out)` | last |
 * | Conv1DTranspose ... Conv3DTranspose | `(..., out, in)` | before the last |
 * | DepthwiseConv1D, DepthwiseConv2D | `(..., in, multiplier)` | the last two |
 * | SeparableConv1D, SeparableConv2D: `depthwise_kernel`, `pointwise_kernel` | `(..., in, mult)`, `(..., in * mult, out)` | the last two; last |
 * | Dense | `(in, out)` | last |
 * | EinsumDense | the equation's second term | those of its letters that the output has |
 * | Embedding | `(tokens, features)` | 0: one scale per token |
 * | ReversibleEmbedding: `reverse_embeddings` | `(features, tokens)` | last |
 * | LSTM, GRU, SimpleRNN, ConvLSTM: `kernel`, `recurrent_kernel` | `(..., in, gates * units)` | last |
 * | MultiHeadAttention: `query`, `key`, `gate`, `value`; `attention_output` | `(in, heads, features)`; `(heads, features, out)` | the last two; last |
 * | Keras 1: Convolution2D and others, Deconvolution2D | `(..., in, out)`; with `dim_ordering: "th"` `(out, in, ...)` | last; 0 |
 */
const TABLE: readonly (readonly [className: RegExp, weight: RegExp, axes: Axes])[] = [
  [/^Conv[123]D$/, /^kernel$/, last],
  [/^(Atrous)?(Convolution|Conv)[123]D$|^Deconvolution[23]D$/, /^W$/, keras1],
  [/^LocallyConnected[12]D$/, /^(kernel|W)$/, last],
  [/^Conv[123]DTranspose$/, /^kernel$/, beforeLast],
  [/^DepthwiseConv[12]D$/, /^(depthwise_)?kernel$/, lastTwo],
  [/^Separable(Conv|Convolution)[12]D$/, /^depthwise_kernel$/, keras1Depthwise],
  [/^Separable(Conv|Convolution)[12]D$/, /^pointwise_kernel$/, keras1],
  [/^(Dense|TimeDistributedDense)$/, /^(kernel|W)$/, last],
  [/^EinsumDense$/, /^kernel$/, einsum],
  [/^(Reversible)?Embedding$/, /^(embeddings|W)$/, first],
  [/^ReversibleEmbedding$/, /^reverse_embeddings$/, last],
  [RECURRENT, /^(recurrent_)?kernel$/, last],
  [/^(LSTM|GRU|SimpleRNN|ConvLSTM2D)$/, /(^|_)[WU](_[a-z])?$/, last],
  [ATTENTION, /(^|\/)(query|key|gate|value)\/kernel$/, lastTwo],
  [ATTENTION, /(^|\/)attention_output\/kernel$/, last],
];

/**
 * What a weight is, and along which axes its output channels lie.
 *
 * Classes that the table does not know fall back to the last axis for kernels of two and more axes, as a guess; a class
 * that was told from names is a guess too.
 */
export function roleOf(weight: WeightInfo): Role {
  const inner = weight.className.split('/').at(-1) as string;
  const className = plainClass(inner);
  const rank = weight.shape.length;
  if (weight.stored?.kept !== undefined) return { kind: 'other', reason: weight.stored.kept };
  if (!isFloat(weight.dtype))
    return { kind: 'other', reason: weight.dtype === 'BOOL' ? 'booleans' : 'integers' };
  if (rank < 2) return { kind: 'other', reason: rank === 0 ? 'scalar' : 'vector' };
  if (NORMALIZATIONS.test(className)) return { kind: 'other', reason: 'normalization' };
  if (className === 'PReLU') return { kind: 'other', reason: 'activation parameter' };
  if (className === 'STFTSpectrogram') return { kind: 'other', reason: 'spectrogram' };
  if (VECTORS.has(weight.name)) return { kind: 'other', reason: weight.name };
  const row = TABLE.find(
    ([classes, names]) => classes.test(className) && (names.test(weight.name) || names.test(weight.id)),
  );
  const axes = row?.[2](rank, weight.config ?? {});
  // A class of that name registered by another package is not Keras's.
  const guess = axes === undefined || weight.guessed === true || inner.includes('>');
  return { kind: 'kernel', axes: axes ?? [rank - 1], guess };
}
