import type { WeightInfo } from '../../model.js';
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
  /** The same of what the layer gives before its activation, bias included, where it is this map and nothing else. */
  ownOutputs?(tf: TensorFlow, output: Tensor): Tensor5D;
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
  const { mask, ownOutputs: _, ...rest } = linear;
  return {
    ...rest,
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
  const all = new Uint32Array(n);
  for (let i = 0; i < n; i++) all[i] = i;
  if (count >= n) return all;
  for (let i = 0; i < count; i++) {
    const j = i + random(n - i);
    [all[i], all[j]] = [all[j] as number, all[i] as number];
  }
  return all.slice(0, count);
}
