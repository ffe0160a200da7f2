import type { Json, JsonObject, WeightInfo } from '../../model.js';
import { dilated, transposedLength } from '../../tfjs/layers/conv.js';
import type { Tensor, Tensor4D, Tensor5D, TensorFlow } from '../../tfjs/types.js';
import type { Linear, Offset, Values } from './linear.js';

/** What a kernel does along depth, height and width. */
interface Geometry {
  /** Axes that the layer moves along, the last of the three; a dense layer has none. */
  readonly rank: number;
  readonly size: Offset;
  readonly strides: Offset;
  readonly dilation: Offset;
  readonly padding: 'same' | 'valid' | 'causal';
}

/** Numbers of the last `rank` of three axes. */
function three(value: Json | undefined, rank: number, fallback = 1): Offset {
  const list = Array.isArray(value) ? value.map(Number) : Array<number>(rank).fill(Number(value ?? fallback));
  const own = list.length === 1 ? Array<number>(rank).fill(list[0] as number) : list;
  return [...Array<number>(3 - rank).fill(fallback), ...own.slice(0, rank)] as unknown as Offset;
}

function geometryOf(config: JsonObject, rank: number): Geometry {
  return {
    rank,
    size: three(config.kernel_size, rank),
    strides: three(config.strides, rank),
    dilation: three(config.dilation_rate, rank),
    padding: (['same', 'causal'] as const).find((name) => name === config.padding) ?? 'valid',
  };
}

const plain = (rank: number): Geometry => ({
  ...{ rank, size: [1, 1, 1], strides: [1, 1, 1], dilation: [1, 1, 1], padding: 'valid' },
});

/** Positions of a kernel's taps, in C order. */
function tapsOf({ size, dilation }: Geometry): Offset[] {
  const [depth, height, width] = size;
  return Array.from({ length: depth * height * width }, (_, i): Offset => {
    const y = Math.floor(i / width);
    return [Math.floor(y / height) * dilation[0], (y % height) * dilation[1], (i % width) * dilation[2]];
  });
}

/**
 * `[batch, depth, height, width, channels]` of what a layer of a rank takes. All axes of a dense layer between batch and channels
 * are the width.
 */
function imageOf(tf: TensorFlow, x: Tensor, rank: number, isFirst: boolean): Tensor5D {
  const spatial = Array.from({ length: Math.max(0, x.rank - 2) }, (_, i) => 2 + i);
  const y = isFirst ? tf.transpose(x, [0, ...spatial, 1]) : x;
  const batch = y.shape[0] as number;
  const channels = y.shape.at(-1) as number;
  if (rank === 0) return tf.reshape(y, [batch, 1, 1, y.size / batch / channels, channels]);
  const own = y.shape.slice(-1 - rank, -1);
  const ones = Array<number>(3 - rank).fill(1);
  return tf.reshape(y, [batch, ...ones, ...own, channels] as Tensor5D['shape']);
}

/** The zeros around an image that make a convolution `valid`. */
function padded(tf: TensorFlow, image: Tensor5D, geometry: Geometry): Tensor5D {
  const { rank, size, strides, dilation, padding } = geometry;
  if (padding === 'valid') return image;
  const pads = ([0, 1, 2] as const).map((axis): [number, number] => {
    const reach = (size[axis] - 1) * dilation[axis];
    if (axis < 3 - rank) return [0, 0];
    if (padding === 'causal') return [reach, 0];
    const length = image.shape[axis + 1] as number;
    const total = Math.max(0, (Math.ceil(length / strides[axis]) - 1) * strides[axis] + reach + 1 - length);
    return [Math.floor(total / 2), Math.ceil(total / 2)];
  });
  return around(tf, image, pads);
}

function around(tf: TensorFlow, image: Tensor5D, pads: readonly [number, number][]): Tensor5D {
  return pads.every(([a, b]) => a + b === 0) ? image : tf.pad(image, [[0, 0], ...pads, [0, 0]]);
}

/** A convolution of kind `valid`. @param kernel `[depth, height, width, channels / groups, outputs]` */
function convolved(
  tf: TensorFlow,
  image: Tensor5D,
  kernel: Tensor,
  { rank, strides, dilation }: Geometry,
  groups: number,
): Tensor5D {
  if (groups > 1) {
    const kernels = tf.split(kernel, groups, 4);
    const parts = tf.split(image, groups, 4);
    const one = { rank, strides, dilation } as Geometry;
    return tf.concat(
      parts.map((part, g) => convolved(tf, part as Tensor5D, kernels[g] as Tensor, one, 1)),
      4,
    );
  }
  if (rank === 3) {
    const spread = dilated(tf, kernel, dilation) as Tensor5D;
    return tf.conv3d(image, spread, [...strides], 'valid');
  }
  return flat(tf, image, (x) =>
    tf.conv2d(x, tf.squeeze(kernel, [0]) as Tensor4D, [strides[1], strides[2]], 'valid', 'NHWC', [
      dilation[1],
      dilation[2],
    ]),
  );
}

/** Something of images `[n, height, width, channels]`, with the depth among the images. */
function flat(tf: TensorFlow, image: Tensor5D, make: (x: Tensor4D) => Tensor4D): Tensor5D {
  const [batch, depth, height, width, channels] = image.shape;
  const y = make(tf.reshape(image, [batch * depth, height, width, channels]));
  return tf.reshape(y, [batch, depth, ...y.shape.slice(1)] as Tensor5D['shape']);
}

/**
 * Dense layers (`rank` 0) and convolutions with or without groups.
 * @param isFirst channels come before the axes that the kernel moves along
 */
export function convolution(
  weight: WeightInfo,
  bias: WeightInfo | undefined,
  config: JsonObject,
  rank: number,
  isFirst: boolean,
): Linear {
  const geometry = rank === 0 ? plain(0) : geometryOf(config, rank);
  const groups = rank === 0 ? 1 : Number(config.groups ?? 1);
  const taps = tapsOf(geometry);
  const [channels, outputs] = weight.shape.slice(-2) as [number, number];
  return {
    ...{ weight, groups, taps, k: taps.length * channels, n: outputs / groups, strides: geometry.strides },
    ...(bias ? { bias: { weight: bias, from: 0 } } : {}),
    input: (tf, [x]) => padded(tf, imageOf(tf, x as Tensor, rank, isFirst), geometry),
    ownOutputs: (tf, y) => imageOf(tf, y, rank, isFirst),
    outputs: (tf, image, values) =>
      convolved(
        tf,
        image,
        tf.reshape(values(weight), [...geometry.size, channels, outputs]),
        geometry,
        groups,
      ),
  };
}

/** A depthwise convolution: a group for each channel. */
export function depthwise(
  weight: WeightInfo,
  bias: WeightInfo | undefined,
  config: JsonObject,
  rank: number,
  isFirst: boolean,
): Linear {
  const geometry = geometryOf(config, rank);
  const { size, strides, dilation } = geometry;
  const taps = tapsOf(geometry);
  const [channels, n] = weight.shape.slice(-2) as [number, number];
  // A depthwise step needs equal strides; where they differ, one axis has a single row.
  const step = Math.max(...strides);
  return {
    ...{ weight, groups: channels, taps, k: taps.length, n, strides },
    ...(bias ? { bias: { weight: bias, from: 0 } } : {}),
    input: (tf, [x]) => padded(tf, imageOf(tf, x as Tensor, rank, isFirst), geometry),
    outputs: (tf, image, values) => {
      const kernel = tf.reshape(values(weight), [size[1], size[2], channels, n]);
      // TensorFlow's own kernel for processors has no dilations; zeros between the taps are the same.
      const spread = dilated(tf, kernel, [dilation[1], dilation[2]]) as Tensor4D;
      return flat(tf, image, (x) => tf.depthwiseConv2d(x, spread, [step, step], 'valid', 'NHWC'));
    },
  };
}

/** A convolution of kind `same` whose strides and dilations are 1, as of states: rows are patches of an image. */
export function plainConvolution(weight: WeightInfo, bias: WeightInfo | undefined, rank: number): Linear {
  const config = { kernel_size: weight.shape.slice(0, rank), padding: 'same', groups: 1 };
  return convolution(weight, bias, config, rank, false);
}

/** Both halves of a separable convolution; the second takes what the first gives, after strides and padding. */
export function separable(
  [first, second]: readonly [WeightInfo, WeightInfo],
  bias: WeightInfo | undefined,
  config: JsonObject,
  rank: number,
  isFirst: boolean,
): Linear[] {
  const spatial = depthwise(first, undefined, config, rank, isFirst);
  const pointwise = convolution(second, bias, {}, 0, false);
  const input = (tf: TensorFlow, inputs: readonly Tensor[], values: Values) =>
    spatial.outputs(tf, spatial.input(tf, inputs, values), values);
  return [spatial, { ...pointwise, input }];
}

/**
 * A transposed convolution, as the convolution of the input with zeros between its values and around them:
 *
 *     y[o] = sum over i, j with i s + j d = o + p of x[i] w[j],   p the padding that a convolution of y would have
 *
 * so tap `j` of output `o` lies at `o + (size - 1 - j) d` of an image that begins `(size - 1) d - p` before the input.
 * Kernels are `[..., outputs, channels]`.
 */
export function transposed(
  weight: WeightInfo,
  bias: WeightInfo | undefined,
  config: JsonObject,
  rank: number,
  isFirst: boolean,
): Linear {
  const geometry = geometryOf(config, rank);
  const { size, strides, dilation, padding } = geometry;
  const extra = config.output_padding == null ? undefined : three(config.output_padding, rank, 0);
  const [outputs, channels] = weight.shape.slice(-2) as [number, number];
  const reach = ([0, 1, 2] as const).map((axis) => (size[axis] - 1) * dilation[axis]);
  const taps = tapsOf(geometry).map(
    (tap) => tap.map((at, axis) => (reach[axis] as number) - at) as unknown as Offset,
  );
  return {
    ...{ weight, groups: 1, taps, k: taps.length * channels, n: outputs, strides: [1, 1, 1] },
    ...(bias ? { bias: { weight: bias, from: 0 } } : {}),
    input(tf, [x]) {
      const image = imageOf(tf, x as Tensor, rank, isFirst);
      const pads = ([0, 1, 2] as const).map((axis): [number, number] => {
        if (axis < 3 - rank) return [0, 0];
        const n = image.shape[axis + 1] as number;
        const [s, r] = [strides[axis], reach[axis] as number];
        const out = transposedLength(n, r + 1, s, padding, extra?.[axis]);
        const before = padding === 'same' ? Math.floor(Math.max((n - 1) * s + r + 1 - out, 0) / 2) : 0;
        return [r - before, out - 1 - (n - 1) * s + before];
      });
      return around(tf, dilated(tf, image, strides, 1) as Tensor5D, pads);
    },
    outputs(tf, image, values) {
      const kernel = tf.reshape(values(weight), [...size, outputs, channels]);
      const mirrored = tf.transpose(tf.reverse(kernel, [0, 1, 2]), [0, 1, 2, 4, 3]);
      return convolved(tf, image, mirrored, { ...geometry, strides: [1, 1, 1] }, 1);
    },
  };
}
