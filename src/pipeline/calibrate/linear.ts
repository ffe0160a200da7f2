import type { Tensor, Tensor4D } from '@tensorflow/tfjs';
import type { Json, JsonObject, WeightInfo } from '../../model.js';
import type { Algebra } from '../../schemes/fit/algebra.js';
import type { Moments } from '../../schemes/fit/calibrated.js';
import type { TensorFlow } from '../../tfjs/types.js';

/**
 * A kernel as a linear map of patches: `[kh, kw, in, out]`, or depthwise `[kh, kw, in, multiplier]`. Dense layers are
 * convolutions of 1 x 1 over everything before the last axis; one-dimensional ones have one row.
 */
export interface Linear {
  readonly weight: WeightInfo;
  readonly depthwise: boolean;
  readonly size: readonly [height: number, width: number];
  readonly strides: readonly [number, number];
  readonly dilation: readonly [number, number];
  readonly padding: 'same' | 'valid' | 'causal';
  readonly channels: number;
  /** Outputs, or outputs per channel of a depthwise kernel. */
  readonly outputs: number;
  /** `x` as `[batch, height, width, channels]`. */
  image(x: Tensor): Tensor4D;
}

const pair = (value: Json | undefined, rank: number): [number, number] => {
  const list = Array.isArray(value) ? value.map(Number) : Array(rank).fill(Number(value ?? 1));
  return rank === 1 ? [1, list[0] as number] : [list[0] as number, (list[1] ?? list[0]) as number];
};

/**
 * The linear maps of a layer, in the order in which they are applied, or why calibration does not know it.
 *
 * @param className Keras's, without wrappers
 * @param kernels the layer's kernels, as Keras stores them
 */
export function linearsOf(
  className: string,
  kernels: readonly WeightInfo[],
  config: JsonObject,
): readonly Linear[] | string {
  const match = /^(Dense|(Depthwise|Separable)?Conv([12])D)$/.exec(className);
  if (!match) return `the class ${className} is fitted without data`;
  if (config.data_format === 'channels_first') return 'channels first is fitted without data';
  if (Number(config.groups ?? 1) > 1) return 'grouped convolutions are fitted without data';
  const rank = Number(match[3] ?? 0);
  const strides = pair(config.strides, rank);
  const dilation = pair(config.dilation_rate, rank);
  const padding = (['same', 'causal'] as const).find((name) => name === config.padding) ?? 'valid';
  const image = (x: Tensor): Tensor4D => {
    if (rank === 2) return x as Tensor4D;
    const channels = x.shape.at(-1) as number;
    const rows = rank === 1 ? (x.shape[1] as number) : x.size / channels / (x.shape[0] as number);
    return x.reshape([x.shape[0] as number, 1, rows, channels]) as Tensor4D;
  };
  return kernels.map((weight, index): Linear => {
    const [first, second] = rank === 2 ? weight.shape : [1, rank === 1 ? weight.shape[0] : 1];
    const depthwise = match[2] !== undefined && index === 0;
    // The pointwise half of a separable convolution comes after strides, padding and dilation.
    const plain = index > 0 || rank === 0;
    return {
      weight,
      depthwise,
      size: [first as number, second as number],
      strides: plain ? [1, 1] : strides,
      dilation: plain ? [1, 1] : dilation,
      padding: plain ? 'valid' : padding,
      channels: weight.shape.at(-2) as number,
      outputs: weight.shape.at(-1) as number,
      image: index > 0 ? (x) => x as Tensor4D : image,
    };
  });
}

/** The input with its padding: what is left is a convolution of kind `valid`. */
export function padded(tf: TensorFlow, linear: Linear, x: Tensor): Tensor4D {
  const image = linear.image(x);
  if (linear.padding === 'valid') return image;
  const pads = [0, 1].map((axis): [number, number] => {
    const reach = ((linear.size[axis] as number) - 1) * (linear.dilation[axis] as number);
    if (linear.padding === 'causal') return axis === 1 ? [reach, 0] : [0, 0];
    const length = image.shape[axis + 1] as number;
    const stride = linear.strides[axis] as number;
    const total = Math.max(0, (Math.ceil(length / stride) - 1) * stride + reach + 1 - length);
    return [Math.floor(total / 2), Math.ceil(total / 2)];
  });
  if (pads.every(([a, b]) => a + b === 0)) return image;
  return tf.pad(image, [[0, 0], pads[0] as [number, number], pads[1] as [number, number], [0, 0]]);
}

/** The map's outputs for a padded input, without bias and activation. */
export function outputsOf(tf: TensorFlow, linear: Linear, x: Tensor4D, kernel: Tensor): Tensor4D {
  const { depthwise, size, strides, dilation, channels, outputs } = linear;
  const filter = kernel.reshape([...size, channels, outputs]) as Tensor4D;
  // A depthwise step needs equal strides; where they differ, one axis has a single row.
  const step = Math.max(...strides);
  return depthwise
    ? tf.depthwiseConv2d(x, filter, [step, step], 'valid', 'NHWC', [...dilation])
    : tf.conv2d(x, filter, [...strides], 'valid', 'NHWC', [...dilation]);
}

/** Random whole numbers in [0, n): mulberry32, the same on every machine. */
export function randomNumbers(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  };
}

/** `count` of the numbers below `n`, without repetition, ascending where all are taken. */
export function sample(n: number, count: number, random: (n: number) => number): Uint32Array {
  const all = Uint32Array.from({ length: n }, (_, i) => i);
  if (count >= n) return all;
  for (let i = 0; i < count; i++) {
    const j = i + random(n - i);
    [all[i], all[j]] = [all[j] as number, all[i] as number];
  }
  return all.slice(0, count);
}

/** Samples whose products are added in float32 before they are added to float64 totals. */
const TILE_ROWS = 2048;

/**
 * Adds a batch to the moments of a map: `perImage` random positions of every image.
 *
 * @param x padded input in the quantized network
 * @param t outputs in the float network
 * @param moments one, or one per channel of a depthwise map
 */
export async function addMoments(
  algebra: Algebra,
  linear: Linear,
  x: Tensor4D,
  t: Tensor4D,
  moments: readonly Moments[],
  perImage: number,
  random: (n: number) => number,
): Promise<void> {
  const [images, , width, channels] = x.shape;
  const [, outHeight, outWidth, outChannels] = t.shape;
  const { size, strides, dilation } = linear;
  const inputs = (await x.data()) as Float32Array;
  const targets = (await t.data()) as Float32Array;
  const k = size[0] * size[1] * channels;
  const positions = outHeight * outWidth;
  const each = Math.min(perImage, positions);
  const rowsMost = Math.min(TILE_ROWS, images * each);
  const patches = new Float32Array(rowsMost * k);
  const wanted = new Float32Array(rowsMost * outChannels);
  const imageSize = (x.shape[1] as number) * width * channels;
  let rows = 0;
  for (let image = 0; image < images; image++) {
    for (const position of sample(positions, each, random)) {
      const y = Math.floor(position / outWidth) * strides[0];
      const left = (position % outWidth) * strides[1];
      let at = rows * k;
      for (let dy = 0; dy < size[0]; dy++) {
        for (let dx = 0; dx < size[1]; dx++, at += channels) {
          const from =
            image * imageSize + ((y + dy * dilation[0]) * width + left + dx * dilation[1]) * channels;
          patches.set(inputs.subarray(from, from + channels), at);
        }
      }
      const from = (image * positions + position) * outChannels;
      wanted.set(targets.subarray(from, from + outChannels), rows * outChannels);
      if (++rows === rowsMost) {
        flush(algebra, linear, patches, wanted, rows, moments);
        rows = 0;
      }
    }
  }
  if (rows > 0) flush(algebra, linear, patches, wanted, rows, moments);
}

function flush(
  algebra: Algebra,
  linear: Linear,
  patches: Float32Array,
  wanted: Float32Array,
  rows: number,
  moments: readonly Moments[],
): void {
  if (linear.depthwise) {
    flushChannels(linear, patches, wanted, rows, moments);
    return;
  }
  const [own] = moments as [Moments];
  const { k, n } = own;
  const x = patches.subarray(0, rows * k);
  const { gram, cross } = algebra.moments(x, wanted.subarray(0, rows * n), rows, k, n);
  add(own.gram, gram);
  add(own.cross, cross);
  own.rows += rows;
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < k; i++) own.sumX[i] = (own.sumX[i] as number) + (patches[row * k + i] as number);
    for (let c = 0; c < n; c++) addTarget(own, c, wanted[row * n + c] as number);
  }
}

function add(total: Float64Array, part: Float32Array): void {
  for (let i = 0; i < total.length; i++) total[i] = (total[i] as number) + (part[i] as number);
}

function addTarget({ sumT, sumTT }: Moments, c: number, t: number): void {
  sumT[c] = (sumT[c] as number) + t;
  sumTT[c] = (sumTT[c] as number) + t * t;
}

/** Each channel of a depthwise map has inputs of its own: `k = kh kw`, `n = multiplier`. */
function flushChannels(
  { channels, outputs }: Linear,
  patches: Float32Array,
  wanted: Float32Array,
  rows: number,
  moments: readonly Moments[],
): void {
  for (const [channel, own] of moments.entries()) {
    const { k, n, gram, cross, sumX } = own;
    own.rows += rows;
    for (let row = 0; row < rows; row++) {
      const at = row * k * channels + channel;
      const to = row * channels * outputs + channel * outputs;
      for (let i = 0; i < k; i++) {
        const x = patches[at + i * channels] as number;
        if (x === 0) continue;
        sumX[i] = (sumX[i] as number) + x;
        for (let m = 0; m < k; m++)
          gram[i * k + m] = (gram[i * k + m] as number) + x * (patches[at + m * channels] as number);
        for (let c = 0; c < n; c++)
          cross[i * n + c] = (cross[i * n + c] as number) + x * (wanted[to + c] as number);
      }
      for (let c = 0; c < n; c++) addTarget(own, c, wanted[to + c] as number);
    }
  }
}
