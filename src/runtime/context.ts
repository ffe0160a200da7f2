import type { JsonObject } from '../model.js';
import type { NetworkNode } from '../network/types.js';
import type { ActivationSpec } from './activations.js';
import type { ProductOptions } from './options.js';
import type { Program, Tensor } from './program.js';
import { refuse } from './refusal.js';
import type { Weight } from './weights.js';

export { sizeOf as product } from '../shape.js';
export { refuse };

/** What follows a product and is computed with it. */
export interface Tail {
  /** Multiplied with the weights of each channel: a folded normalization. */
  readonly factors: Float32Array | undefined;
  readonly bias: Float32Array | undefined;
  readonly activation: ActivationSpec;
}

/** Zeros around an image that a convolution adds itself. */
export interface Border {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** A node that is turned into steps. */
export interface Context {
  readonly program: Program;
  readonly options: ProductOptions;
  readonly node: NetworkNode;
  readonly attributes: JsonObject;
  readonly inputs: readonly Tensor[];
  /** Border of the first input that this node has to add. */
  readonly border: Border | undefined;
  /** A weight as it is stored. @throws BitnibbleError `missing-weight` */
  weight(role: string): Weight;
  /** A weight as float32; undefined where the node has none of that role. */
  values(role: string): Float32Array | undefined;
  /** Takes the nodes behind this one that a product can compute as well. @param channels of the output */
  tail(channels: number): Tail;
}

/** Adds the steps of a node. @returns its outputs */
export type Build = (context: Context) => readonly Tensor[];

export const numberOf = (value: unknown): number => Number(value);
export const numbersOf = (value: unknown): readonly number[] => value as readonly number[];
export const roundUp = (n: number, by: number): number => Math.ceil(n / by) * by;

/** An axis of Keras, the batch counted, as one of a shape without it. @throws Refusal for the batch itself */
export function axisOf(axis: unknown, rank: number): number {
  const at = numberOf(axis);
  const own = at < 0 ? at + rank : at - 1;
  if (own < 0 || own >= rank) refuse(`axis: ${String(axis)}`);
  return own;
}
