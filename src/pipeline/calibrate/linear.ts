import type { LinearAlgebra } from '../../kernels/linalg-types.js';
import type { WeightInfo } from '../../model.js';
import type { Moments } from '../../schemes/fit/calibrated.js';
import type { Tensor, Tensor5D, TensorFlow } from '../../tfjs/types.js';

/** Values of a layer's weights in one of the two networks. */
export type Values = (weight: WeightInfo) => Tensor;

/**
 * A kernel as a linear map of patches of an image `[batch, depth, height, width, channels]`: with the channels in
 * `groups` equal parts, output `[c of group g]` of a position is `sum x[position * strides + tap, part g] W_g[., c]`.
 *
 *     kernel   [K, N] as `BlockLayout` sees it, K = taps * channels / groups, N = groups * n
 *     dense    1 tap, 1 group        depthwise   a group for each channel, n its multiplier
 *
 * Axes that a layer does not have are 1 long; whatever has no place (the steps of a recurrent layer) lies along the width.
 */
export interface Linear {
  readonly weight: WeightInfo;
  readonly groups: number;
  /** Rows and columns of each group's matrix. */
  readonly k: number;
  readonly n: number;
  /** Where in a patch each tap lies, in the order of the kernel's rows. */
  readonly taps: readonly Offset[];
  readonly strides: Offset;
  /** The bias that takes the shift of the outputs, and where in it: absent, where there is none or a map comes behind. */
  readonly bias?: { readonly weight: WeightInfo; readonly from: number };
  /** Whether its inputs are what it gave a step before. */
  readonly isRecurrent?: boolean;
  /** The image of what the layer is called with, padding included. */
  input(tf: TensorFlow, inputs: readonly Tensor[], values: Values): Tensor5D;
  /** Outputs for an image, without bias and activation: `[batch, depth, height, width, N]`. */
  outputs(tf: TensorFlow, image: Tensor5D, values: Values): Tensor5D;
  /** `[batch, width]`, 0 where a position does not count. */
  mask?(tf: TensorFlow, inputs: readonly Tensor[]): Tensor | undefined;
}

export type Offset = readonly [depth: number, height: number, width: number];

/** A product `X W` of rows, as a map: one tap. @param image rows `[batch, 1, 1, rows, k * groups]` */
export function rowsMap(
  weight: WeightInfo,
  { groups = 1, k, n }: { readonly groups?: number; readonly k: number; readonly n: number },
  methods: Pick<Linear, 'input' | 'outputs' | 'bias' | 'mask' | 'isRecurrent'>,
): Linear {
  return { weight, groups, k, n, taps: [[0, 0, 0]], strides: [1, 1, 1], ...methods };
}

/** A map that is applied step by step, as TimeDistributed does: the steps of its inputs become samples. */
export function stepwise(linear: Linear, steps: number): Linear {
  if (steps === 0) return linear;
  const merged = (tf: TensorFlow, inputs: readonly Tensor[]) =>
    inputs.map((x) => {
      const [lead, rest] = [x.shape.slice(0, steps + 1), x.shape.slice(steps + 1)];
      return tf.reshape(x, [lead.reduce((n, length) => n * length, 1), ...rest]);
    });
  const { mask } = linear;
  return {
    ...linear,
    input: (tf, inputs, values) => linear.input(tf, merged(tf, inputs), values),
    ...(mask ? { mask: (tf: TensorFlow, inputs: readonly Tensor[]) => mask(tf, merged(tf, inputs)) } : {}),
  };
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

/** {@link randomNumbers} of their own for whatever has this name: what is drawn under one name leaves the others as they are. */
export function randomStream(seed: number, name: string): (n: number) => number {
  // FNV-1a, of the seed's bytes and the name's code units.
  let hash = 0x811c9dc5;
  const add = (unit: number) => {
    hash = Math.imul(hash ^ unit, 0x01000193) >>> 0;
  };
  for (let shift = 0; shift < 32; shift += 8) add((seed >>> shift) & 0xff);
  for (let i = 0; i < name.length; i++) add(name.charCodeAt(i));
  return randomNumbers(hash);
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

/** Rows of patches that are held at once. */
const TILE_ROWS = 2048;

/**
 * Adds a batch to the moments of a map: `perImage` random positions of every image.
 *
 * @param x image in the quantized network
 * @param t outputs in the float network
 * @param moments one for each group
 * @param mask `[batch, width]`, 0 where a position does not count
 */
export async function addMoments(
  algebra: LinearAlgebra,
  linear: Linear,
  x: Tensor5D,
  t: Tensor5D,
  moments: readonly Moments[],
  perImage: number,
  random: (n: number) => number,
  mask?: Tensor,
): Promise<void> {
  const [images, depth, height, width, channels] = x.shape;
  const [, outDepth, outHeight, outWidth, outChannels] = t.shape;
  const { taps, strides } = linear;
  const inputs = (await x.data()) as Float32Array;
  const targets = (await t.data()) as Float32Array;
  const counted = (await mask?.data()) as Float32Array | undefined;
  const positions = outDepth * outHeight * outWidth;
  const rowsMost = Math.min(TILE_ROWS, images * Math.min(perImage, positions));
  const batch = {
    patches: new Float32Array(rowsMost * taps.length * channels),
    wanted: new Float32Array(rowsMost * outChannels),
    rows: 0,
  };
  const offsets = taps.map(([z, y, left]) => ((z * height + y) * width + left) * channels);
  for (let image = 0; image < images; image++) {
    const all = Array.from({ length: positions }, (_, i) => i);
    const open = counted ? all.filter((i) => counted[image * positions + i] !== 0) : all;
    for (const index of sample(open.length, perImage, random)) {
      const position = open[index] as number;
      const z = Math.floor(position / (outWidth * outHeight)) * strides[0];
      const y = (Math.floor(position / outWidth) % outHeight) * strides[1];
      const left = (position % outWidth) * strides[2];
      const corner = (((image * depth + z) * height + y) * width + left) * channels;
      let at = batch.rows * taps.length * channels;
      for (const offset of offsets) {
        batch.patches.set(inputs.subarray(corner + offset, corner + offset + channels), at);
        at += channels;
      }
      const from = (image * positions + position) * outChannels;
      batch.wanted.set(targets.subarray(from, from + outChannels), batch.rows * outChannels);
      if (++batch.rows === rowsMost) flush(algebra, linear, batch, channels, moments);
    }
  }
  if (batch.rows > 0) flush(algebra, linear, batch, channels, moments);
}

interface Batch {
  /** `[rows, taps * channels]` and `[rows, groups * n]` */
  readonly patches: Float32Array;
  readonly wanted: Float32Array;
  rows: number;
}

function flush(
  algebra: LinearAlgebra,
  { groups, taps, k, n }: Linear,
  batch: Batch,
  channels: number,
  moments: readonly Moments[],
): void {
  const { patches, wanted, rows } = batch;
  batch.rows = 0;
  if (groups === 1) {
    addRows(
      algebra,
      moments[0] as Moments,
      patches.subarray(0, rows * k),
      wanted.subarray(0, rows * n),
      rows,
    );
    return;
  }
  const x = new Float32Array(rows * k);
  const t = new Float32Array(rows * n);
  const part = channels / groups;
  for (const [group, own] of moments.entries()) {
    for (let row = 0; row < rows; row++) {
      for (let tap = 0; tap < taps.length; tap++) {
        const from = (row * taps.length + tap) * channels + group * part;
        for (let i = 0; i < part; i++) x[row * k + tap * part + i] = patches[from + i] as number;
      }
      for (let c = 0; c < n; c++) t[row * n + c] = wanted[(row * groups + group) * n + c] as number;
    }
    addRows(algebra, own, x, t, rows);
  }
}

function addRows(algebra: LinearAlgebra, own: Moments, x: Float32Array, t: Float32Array, rows: number): void {
  const { k, n, gram, cross, sumX, sumT, sumTT } = own;
  own.rows += rows;
  algebra.addGram(gram, x, rows, k);
  algebra.addCross(cross, x, t, rows, k, n);
  for (let row = 0, at = 0; row < rows; row++)
    for (let i = 0; i < k; i++, at++) sumX[i] = (sumX[i] as number) + (x[at] as number);
  for (let row = 0, at = 0; row < rows; row++)
    for (let c = 0; c < n; c++, at++) {
      const value = t[at] as number;
      sumT[c] = (sumT[c] as number) + value;
      sumTT[c] = (sumTT[c] as number) + value * value;
    }
}
