import type { Kernels } from '../kernels/types.js';
import type { BlockLayout, Granularity } from '../shape.js';

/** How a weight is coded: one bit, its sign; two bits, half-integers; four bits, two's complement. */
export type SchemeName = 'binary' | 'int2' | 'int4';

/**
 * How scales are found: `none` (all 1; binary only), `absmax` (the largest weight on the highest level:
 * `amax / 7` for int4, `amax / 1.5` for int2), `mean` (`mean |w|`; binary only), `lsq` (least squares; for binary it is
 * `mean`, which is already the minimum), `hqq` (half-quadratic: least `sum |error|^(3/4)`), `calibrated` (from the layer's inputs: needs data).
 */
export type ScaleRule = 'none' | 'absmax' | 'mean' | 'lsq' | 'hqq' | 'calibrated';

/** How scales are stored. With `F16` the codes are made for the rounded scales. */
export type ScaleDtype = 'F32' | 'F16';

/** How one tensor is quantized. */
export interface QuantizeOptions {
  /** 1, 2 or 4 bits per weight: `binary`, `int2` or `int4`. */
  readonly scheme: SchemeName;
  /** Default `channel`. */
  readonly granularity?: Granularity;
  /** Rows of K per scale; needed with `group` only. */
  readonly groupSize?: number;
  /** Default `mean` for binary, `lsq` for int2, `absmax` for int4. */
  readonly scale?: ScaleRule;
  /** Default `F32`. */
  readonly scaleDtype?: ScaleDtype;
  /** Output-channel axes, neighbours; default: the last. */
  readonly axes?: readonly number[];
}

/** {@link QuantizeOptions} with everything decided. */
export interface Coding {
  readonly scheme: SchemeName;
  readonly granularity: Granularity;
  readonly groupSize: number | undefined;
  readonly scale: ScaleRule;
  readonly scaleDtype: ScaleDtype;
  readonly axes: readonly number[];
}

/** A tensor as codes and scales; `value = scale(block) * level(code)`. */
export interface QuantizedTensor {
  readonly coding: Coding;
  readonly shape: readonly number[];
  readonly layout: BlockLayout;
  /** Packed codes in C order of the tensor. */
  readonly codes: Uint8Array;
  /** One per block, `[groups, channels]` in C order; for `F16` already rounded to half precision. */
  readonly scales: Float32Array;
}

/** What finding scales needs besides the weights. */
export interface ScalesContext {
  readonly kernels: Kernels;
  /** Of the whole tensor. */
  readonly layout: BlockLayout;
  /** For messages: which tensor of which file. */
  readonly context: string;
}

/** What a fit works with besides the weights. */
export interface FitContext extends ScalesContext {
  /** For messages: where in the tensor the weights begin, 0 unless they are a slice of it. */
  readonly first?: number;
}

/**
 * Hands over the weights of a tensor once: whole, or in pieces in C order that have all blocks of the tensor each. The
 * memory of a piece may be used again for the next. `from` is the index of its first weight in the tensor.
 */
export type EachPiece = (visit: (weights: Float32Array, layout: BlockLayout, from: number) => void) => void;

/** Scales, and their inverses where those are not `1 / scale`. */
export interface ScalesFound {
  readonly scales: Float32Array;
  readonly inverses?: Float32Array;
}

/** Scales and the codes that belong to them. */
export interface Fit {
  readonly scales: Float32Array;
  readonly codes: Uint8Array;
}

/** Every way to find scales has this signature; one file each under `fit/`. */
export type FitFunction = (weights: Float32Array, scheme: SchemeName, stats: FitContext) => Fit;

/** The same for a tensor that is never whole in memory: scales with the same bits, found in passes over its pieces. */
export type ScalesFunction = (each: EachPiece, scheme: SchemeName, stats: ScalesContext) => ScalesFound;

/** A way to find scales. */
export interface Rule {
  readonly fit: FitFunction;
  readonly scales: ScalesFunction;
  /** How often `scales` goes over the weights of so many blocks. */
  passes(scheme: SchemeName, blocks: number): number;
}
