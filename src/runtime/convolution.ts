import type { Frame } from './frames.js';
import type { Weight } from './weights.js';

/**
 * A convolution over an image `[height, width, channels]`, or over planes of them; a dense layer is one of `[1, rows, channels]` with a
 * 1 x 1 kernel.
 */
export interface Convolution extends Frame {
  /** For messages. */
  readonly name: string;
  readonly groups: number;
  readonly columns: number;
  /** `[(planes,) tall, wide, channels / groups, columns]`. */
  readonly weight: Weight;
  /** Weights as float32, asked for where codes cannot be used as they are. */
  readonly values: () => Float32Array;
  /** For each column: multiplied with its weights, and added to its sum. */
  readonly factors?: Float32Array | undefined;
  readonly bias?: Float32Array | undefined;
  readonly low: number;
  readonly high: number;
}

export type { ProductOptions } from './options.js';

/** A product whose weights lie in memory: for tensors at any address. */
export interface Product {
  /** For messages. */
  readonly name: string;
  /** By which kernels, for {@link Program.summary}. */
  readonly kind: 'winograd' | 'direct' | 'float' | 'depthwise';
  /** Whether it has to know the range of its input. */
  readonly isInteger: boolean;
  /** Multiply-adds of one call, as the layer is defined: a transform makes them fewer. */
  readonly macs: number;
  /** @param slot range of the input @param own range that the outputs widen */
  run(from: number, slot: number, to: number, own: number): void;
}

export const tapsOf = ({ kernel, planes }: Frame) => (planes?.kernel ?? 1) * kernel[0] * kernel[1];

export const macsOf = (layer: Convolution): number =>
  (layer.planes?.out ?? 1) *
  layer.out[0] *
  layer.out[1] *
  layer.columns *
  tapsOf(layer) *
  (layer.image[2] / layer.groups);
