import type { Tensor, Tensor3D, Tensor4D, Tensor5D, TensorFlow } from '../types.js';
import { activate } from './activations.js';
import {
  type Context,
  channelsBack,
  channelsLast,
  channelsOf,
  type DataFormat,
  type LayerSpec,
  perAxis,
  type Shape,
  spatialShape,
  spec,
} from './define.js';
import { seen } from './windows.js';

export interface ConvConfig extends DataFormat {
  readonly filters: number;
  readonly kernelSize: number | number[];
  readonly strides?: number | number[];
  readonly dilationRate?: number | number[];
  readonly padding?: 'same' | 'valid' | 'causal';
  readonly groups?: number;
  readonly outputPadding?: number | number[] | null;
  readonly depthMultiplier?: number;
  readonly activation?: string | null;
  readonly useBias?: boolean;
}

/**
 * `rate - 1` zeros between neighbours on spatial axes, the first of which is `from`: of a kernel, what a dilated
 * convolution sums; of an input, what a transposed one does.
 */
export function dilated(tf: TensorFlow, kernel: Tensor, rates: readonly number[], from = 0): Tensor {
  let out = kernel;
  for (const [i, rate] of rates.entries()) {
    if (rate === 1) continue;
    const axis = from + i;
    const shape = out.shape;
    const n = shape[axis] as number;
    const before = shape.slice(0, axis).reduce((a, b) => a * b, 1);
    const after = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
    const spread = tf.concat(
      [tf.reshape(out, [before, n, 1, after]), tf.zeros([before, n, rate - 1, after])],
      2,
    );
    const reach = (n - 1) * rate + 1;
    const cut = tf.slice(tf.reshape(spread, [before, n * rate, after]), [0, 0, 0], [before, reach, after]);
    out = tf.reshape(cut, [...shape.slice(0, axis), reach, ...shape.slice(axis + 1)]);
  }
  return out;
}

/** Zeros before the first time step, so that no output sees a later input. */
function causal(tf: TensorFlow, x: Tensor, config: ConvConfig): Tensor {
  const reach =
    ((perAxis(config.kernelSize, 1, 1)[0] as number) - 1) * (perAxis(config.dilationRate, 1, 1)[0] as number);
  return reach === 0
    ? x
    : tf.pad(x, [
        [0, 0],
        [reach, 0],
        [0, 0],
      ]);
}

/** A convolution of one, two or three dimensions, channels last. */
export function convolve(
  tf: TensorFlow,
  rank: number,
  input: Tensor,
  kernel: Tensor,
  strides: number[],
  pad: 'same' | 'valid',
): Tensor {
  const x = seen(tf, input, kernel.shape.slice(0, rank), strides, pad);
  if (rank === 1) return tf.conv1d(x as Tensor3D, kernel as Tensor3D, strides[0] as number, pad);
  if (rank === 2) return tf.conv2d(x as Tensor4D, kernel as Tensor4D, strides as [number, number], pad);
  return tf.conv3d(x as Tensor5D, kernel as Tensor5D, strides as [number, number, number], pad);
}

/** Bias and activation on the last axis, then the channels back to where they were. */
function finish({ tf, config, has, weight }: Context<ConvConfig>, y: Tensor): Tensor {
  const biased = has('bias') ? tf.add(y, weight('bias')) : y;
  return channelsBack(tf, activate(tf, config.activation, biased), config);
}

export const padOf = (config: ConvConfig) => (config.padding === 'same' ? 'same' : 'valid');
const bias = (config: ConvConfig, n: number | null) =>
  config.useBias === false ? [] : [['bias', [n]] as const];

/** `same` and `causal`: `ceil(n / s)`; `valid`: `ceil((n - reach + 1) / s)` with `reach = (k - 1) d + 1`. */
export function convShape(config: ConvConfig, rank: number, shape: Shape, filters: number): Shape {
  const [size, stride, rate] = [config.kernelSize, config.strides, config.dilationRate].map((v) =>
    perAxis(v, rank, 1),
  );
  return spatialShape(
    config,
    shape,
    (n, axis) => {
      const s = stride?.[axis] ?? 1;
      if (config.padding === 'same' || config.padding === 'causal') return Math.ceil(n / s);
      return Math.ceil((n - ((size?.[axis] ?? 1) - 1) * (rate?.[axis] ?? 1)) / s);
    },
    filters,
  );
}

/**
 * Conv1D to Conv3D with what TensorFlow.js ignores or refuses: groups, causal padding, any dilation and data format,
 * kernels shorter than their stride.
 */
function convolution(rank: number): LayerSpec<ConvConfig> {
  return {
    className: `Conv${rank}D`,
    weights(config, [shape]) {
      const channels = shape ? channelsOf(config, shape) : null;
      const perGroup = channels === null ? null : channels / (config.groups ?? 1);
      return [
        ['kernel', [...perAxis(config.kernelSize, rank, 1), perGroup, config.filters]],
        ...bias(config, config.filters),
      ];
    },
    outputShape: (config, [shape]) => convShape(config, rank, shape ?? [], config.filters),
    call(context) {
      const { tf, config, inputs, weight } = context;
      const groups = config.groups ?? 1;
      const kernel = dilated(tf, weight('kernel'), perAxis(config.dilationRate, rank, 1));
      let x = channelsLast(tf, inputs[0] as Tensor, config);
      if (config.padding === 'causal') x = causal(tf, x, config);
      const strides = perAxis(config.strides, rank, 1);
      const kernels = groups === 1 ? [kernel] : tf.split(kernel, groups, rank + 1);
      const parts = groups === 1 ? [x] : tf.split(x, groups, rank + 1);
      const ys = parts.map((part, g) =>
        convolve(tf, rank, part, kernels[g] as Tensor, strides, padOf(config)),
      );
      return finish(context, ys.length === 1 ? (ys[0] as Tensor) : tf.concat(ys, rank + 1));
    },
  };
}

/**
 * Length of a transposed convolution's output, `k` with its dilation. Without output padding `same`: `n s`,
 * `valid`: `n s + max(k - s, 0)`; with it `(n - 1) s + k + p`, for `same` less `2 floor(k / 2)`.
 */
export function transposedLength(
  n: number,
  k: number,
  s: number,
  padding: string | undefined,
  p: number | undefined,
): number {
  if (p === undefined) return padding === 'same' ? n * s : n * s + Math.max(k - s, 0);
  return (n - 1) * s + k + p - (padding === 'same' ? 2 * Math.floor(k / 2) : 0);
}

function transposedShape(config: ConvConfig, rank: number, shape: Shape): Shape {
  const [size, stride, rate] = [config.kernelSize, config.strides, config.dilationRate].map((v) =>
    perAxis(v, rank, 1),
  );
  const extra = config.outputPadding == null ? undefined : perAxis(config.outputPadding, rank, 0);
  return spatialShape(
    config,
    shape,
    (n, axis) => {
      const k = ((size?.[axis] ?? 1) - 1) * (rate?.[axis] ?? 1) + 1;
      return transposedLength(n, k, stride?.[axis] ?? 1, config.padding, extra?.[axis]);
    },
    config.filters,
  );
}

/**
 * `y[o] = sum of x[i] w[k] over i s + k - p = o`, `p` the padding of a convolution that leads from y to x: a convolution
 * of the spread input with the mirrored kernel. The WebAssembly backend's own kernel gives other values (tfjs 4.22).
 */
function transposed3d(
  tf: TensorFlow,
  x: Tensor,
  kernel: Tensor,
  shape: readonly number[],
  strides: readonly number[],
  pad: 'same' | 'valid',
): Tensor {
  const edges = strides.map((s, i): [number, number] => {
    const [n, k, out] = [x.shape[i + 1], kernel.shape[i], shape[i + 1]] as [number, number, number];
    const before = pad === 'same' ? Math.floor(Math.max((n - 1) * s + k - out, 0) / 2) : 0;
    return [k - 1 - before, out - 1 - (n - 1) * s + before];
  });
  const padded = tf.pad(dilated(tf, x, strides, 1), [[0, 0], ...edges, [0, 0]]);
  const mirrored = tf.transpose(tf.reverse(kernel, [0, 1, 2]), [0, 1, 2, 4, 3]);
  return tf.conv3d(padded as Tensor5D, mirrored as Tensor5D, 1, 'valid');
}

/** Conv1DTranspose to Conv3DTranspose with output padding and dilation. */
function transposed(rank: number): LayerSpec<ConvConfig> {
  return {
    className: `Conv${rank}DTranspose`,
    weights: (config, [shape]) => [
      [
        'kernel',
        [...perAxis(config.kernelSize, rank, 1), config.filters, shape ? channelsOf(config, shape) : null],
      ],
      ...bias(config, config.filters),
    ],
    outputShape: (config, [shape]) => transposedShape(config, rank, shape ?? []),
    call(context) {
      const { tf, config, inputs, weight } = context;
      const x = channelsLast(tf, inputs[0] as Tensor, config);
      const kernel = dilated(tf, weight('kernel'), perAxis(config.dilationRate, rank, 1));
      const shape = transposedShape({ ...config, dataFormat: 'channelsLast' }, rank, x.shape) as number[];
      const strides = perAxis(config.strides, rank, 1);
      if (rank === 3) return finish(context, transposed3d(tf, x, kernel, shape, strides, padOf(config)));
      const flat = rank === 1;
      const image = (flat ? tf.expandDims(x, 1) : x) as Tensor4D;
      const filter = (flat ? tf.expandDims(kernel, 0) : kernel) as Tensor4D;
      const size = (flat ? [shape[0], 1, shape[1], shape[2]] : shape) as [number, number, number, number];
      const steps = (flat ? [1, strides[0]] : strides) as [number, number];
      const y = tf.conv2dTranspose(image, filter, size, steps, padOf(config));
      return finish(context, flat ? tf.squeeze(y, [1]) : y);
    },
  };
}

/** One kernel per channel; a row of an image where `rank` is 1. */
function depthwise(tf: TensorFlow, rank: number, input: Tensor, kernel: Tensor, config: ConvConfig): Tensor {
  const spread = dilated(tf, kernel, perAxis(config.dilationRate, rank, 1));
  const strides = perAxis(config.strides, rank, 1);
  const x = seen(tf, input, spread.shape.slice(0, rank), strides, padOf(config));
  if (rank === 2)
    return tf.depthwiseConv2d(x as Tensor4D, spread as Tensor4D, strides as [number, number], padOf(config));
  // Depthwise kernels need equal strides on both axes; the single row is not affected.
  const step = strides[0] as number;
  const row = tf.expandDims(x, 1) as Tensor4D;
  return tf.squeeze(
    tf.depthwiseConv2d(row, tf.expandDims(spread, 0) as Tensor4D, [step, step], padOf(config)),
    [1],
  );
}

const multiplied = (config: ConvConfig, shape: Shape): number | null => {
  const channels = channelsOf(config, shape);
  return channels === null ? null : channels * (config.depthMultiplier ?? 1);
};

/** DepthwiseConv1D, and DepthwiseConv2D with the dilation that TensorFlow.js ignores. */
function depthwiseLayer(rank: number): LayerSpec<ConvConfig> {
  return {
    className: `DepthwiseConv${rank}D`,
    weights: (config, [shape = []]) => [
      [
        'depthwise_kernel',
        [...perAxis(config.kernelSize, rank, 1), channelsOf(config, shape), config.depthMultiplier ?? 1],
      ],
      ...bias(config, multiplied(config, shape)),
    ],
    outputShape: (config, [shape = []]) => convShape(config, rank, shape, multiplied(config, shape) ?? 0),
    call(context) {
      const { tf, config, inputs, weight } = context;
      const x = channelsLast(tf, inputs[0] as Tensor, config);
      return finish(context, depthwise(tf, rank, x, weight('depthwise_kernel'), config));
    },
  };
}

/** SeparableConv1D, and SeparableConv2D with channels first. */
function separable(rank: number): LayerSpec<ConvConfig> {
  return {
    className: `SeparableConv${rank}D`,
    weights: (config, [shape = []]) => [
      [
        'depthwise_kernel',
        [...perAxis(config.kernelSize, rank, 1), channelsOf(config, shape), config.depthMultiplier ?? 1],
      ],
      ['pointwise_kernel', [...perAxis(1, rank, 1), multiplied(config, shape), config.filters]],
      ...bias(config, config.filters),
    ],
    outputShape: (config, [shape]) => convShape(config, rank, shape ?? [], config.filters),
    call(context) {
      const { tf, config, inputs, weight } = context;
      let x = channelsLast(tf, inputs[0] as Tensor, config);
      if (config.padding === 'causal') x = causal(tf, x, config);
      const y = depthwise(tf, rank, x, weight('depthwise_kernel'), config);
      return finish(context, convolve(tf, rank, y, weight('pointwise_kernel'), perAxis(1, rank, 1), 'valid'));
    },
  };
}

/** Convolutions beyond those of TensorFlow.js. */
export const convLayers: readonly LayerSpec[] = [
  ...[1, 2, 3].map((rank) => spec(convolution(rank))),
  ...[1, 2, 3].map((rank) => spec(transposed(rank))),
  ...[1, 2].map((rank) => spec(depthwiseLayer(rank))),
  ...[1, 2].map((rank) => spec(separable(rank))),
];
