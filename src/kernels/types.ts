import type { BlockLayout } from '../shape.js';

/** How far a decoded tensor is from the original. */
export interface Difference {
  /** Sum of `w^2`. */
  readonly signal: number;
  /** Sum of `(w - v)^2`. */
  readonly noise: number;
  /** Largest `|w - v|`. */
  readonly maxError: number;
}

/** Sums over each block: of weight times level, and of the squared level; see {@link Kernels.projectInt4}. `[blocks]` each. */
export interface Projection {
  readonly wq: Float64Array;
  readonly qq: Float64Array;
}

/** Memory of a backend's own; see {@link Kernels.lend}. */
export interface Lent {
  readonly weights: Float32Array<ArrayBuffer>;
  readonly codes: Uint8Array<ArrayBuffer>;
}

/** A `Float16Array`, told by its shape: hosts and compilers may lack it. */
export interface HalfArray {
  readonly [Symbol.toStringTag]: 'Float16Array';
  readonly [index: number]: number;
  readonly length: number;
  /** As a typed array does it. */
  set(values: ArrayLike<number>, offset?: number): void;
}

/** Bits of half precision behind the interface of a `Float16Array`; see `HalfBits` of `formats/float16.ts`. */
export interface HalfSink {
  readonly [Symbol.toStringTag]: 'HalfBits';
  readonly length: number;
  /** Rounds values half to even. @param offset of the first, in values */
  set(values: Float32Array, offset?: number): void;
}

/** Where decoded values go: float32, or rounded half to even to half precision. */
export type FloatSink = Float32Array | HalfArray | HalfSink;

/** What reading a packed file needs of {@link Kernels}. */
export interface Decoder {
  readonly backend: 'simd' | 'reference';

  /** `scale * (2b - 1)`. `scales`: `[blocks]`. */
  unpackSign(codes: Uint8Array, scales: Float32Array, layout: BlockLayout): Float32Array;
  /** {@link unpackSign} into `out`, which is returned. */
  unpackSignInto<T extends FloatSink>(
    codes: Uint8Array,
    scales: Float32Array,
    layout: BlockLayout,
    out: T,
  ): T;
  /** `f32((q + 1/2) * scale)`. `scales`: `[blocks]`. */
  unpackInt2(codes: Uint8Array, scales: Float32Array, layout: BlockLayout): Float32Array;
  /** {@link unpackInt2} into `out`, which is returned. */
  unpackInt2Into<T extends FloatSink>(
    codes: Uint8Array,
    scales: Float32Array,
    layout: BlockLayout,
    out: T,
  ): T;
  /** `f32(q * scale)`. `scales`: `[blocks]`. */
  unpackInt4(codes: Uint8Array, scales: Float32Array, layout: BlockLayout): Float32Array;
  /** {@link unpackInt4} into `out`, which is returned. */
  unpackInt4Into<T extends FloatSink>(
    codes: Uint8Array,
    scales: Float32Array,
    layout: BlockLayout,
    out: T,
  ): T;
}

/**
 * The heavy loops, over whole tensors of any length. `reference.ts` defines every bit of every result;
 * the SIMD backend equals it byte for byte. Tensors are C-order; block arrays follow {@link BlockLayout}.
 *
 * Non-finite weights give non-finite statistics (never an exception): callers check those.
 */
export interface Kernels extends Decoder {
  /**
   * Lends memory that the kernels work in: weights and codes that lie there are not copied in and out. One piece at a time:
   * the next call takes it back. Where the backend's memory cannot grow so far, it is ordinary memory.
   *
   * @param weights float32 numbers
   * @param codes bytes
   */
  lend(weights: number, codes: number): Lent;

  /**
   * Largest `|w|` of each block; a NaN in a block gives NaN, else an infinity gives Infinity. `[blocks]`; where `max` is
   * given, of the block and what is there, which is returned.
   */
  absMax(weights: Float32Array, layout: BlockLayout, max?: Float32Array): Float32Array;
  /**
   * Sum of `|w|` of each block, `[blocks]`; added to `sums` where given, which is returned.
   *
   * A tensor in pieces gives the bits of the whole tensor: the pieces in order, each with the sums so far, where all
   * have the tensor's blocks and begin, in a matrix (`inner` is 1), at a multiple of 64 rows, else at one of 1024 elements.
   */
  absSum(weights: Float32Array, layout: BlockLayout, sums?: Float64Array): Float64Array;

  /** `b = w > 0 ? 1 : 0`, least significant bit first, `ceil(n / 8)` bytes, padding bits zero. */
  packSign(weights: Float32Array): Uint8Array;
  /** {@link packSign} into `out`, which must hold at least `ceil(n / 8)` bytes. */
  packSignInto(weights: Float32Array, out: Uint8Array): Uint8Array;
  /** {@link packSign} and {@link absSum} in one pass over the weights. */
  packSignWithAbsSum(weights: Float32Array, layout: BlockLayout): { codes: Uint8Array; absSum: Float64Array };

  /**
   * `q = clamp(rne(f32(w * inverse)), -8, 7)`, -8 where the product is NaN: two's complement nibbles, low nibble first,
   * `ceil(n / 2)` bytes, the last nibble of an odd length zero. `inverses`: `[blocks]`, finite.
   */
  packInt4(weights: Float32Array, inverses: Float32Array, layout: BlockLayout): Uint8Array;
  /** {@link packInt4} into `out`, which must hold at least `ceil(n / 2)` bytes. */
  packInt4Into(
    weights: Float32Array,
    inverses: Float32Array,
    layout: BlockLayout,
    out: Uint8Array,
  ): Uint8Array;
  /**
   * {@link absMax}, then {@link packInt4} with `inverse = min(f32(7 / absMax), 0x1.fffffep127)`, 0 where `absMax` is 0.
   * Where any `absMax` of the tensor is not finite, its codes are unspecified.
   */
  packInt4WithAbsMax(weights: Float32Array, layout: BlockLayout): { codes: Uint8Array; absMax: Float32Array };
  /** {@link packInt4WithAbsMax} into `out`, which must hold at least `ceil(n / 2)` bytes. */
  packInt4WithAbsMaxInto(
    weights: Float32Array,
    layout: BlockLayout,
    out: Uint8Array,
  ): { codes: Uint8Array; absMax: Float32Array };
  /**
   * One half of a least-squares step: with the codes `q` that {@link packInt4} gives for `inverses`,
   * the sums `wq = sum(w q)` and `qq = sum(q^2)` of each block. `[blocks]` each; added to `sums` as {@link absSum} does.
   */
  projectInt4(
    weights: Float32Array,
    inverses: Float32Array,
    layout: BlockLayout,
    sums?: Projection,
  ): Projection;

  /**
   * `q = clamp(floor(f32(w * inverse)), -2, 1)`, -2 where the product is NaN: two's complement, four codes to a byte,
   * lowest bits first, `ceil(n / 4)` bytes, the codes behind the last zero. `inverses`: `[blocks]`, finite.
   */
  packInt2(weights: Float32Array, inverses: Float32Array, layout: BlockLayout): Uint8Array;
  /** {@link packInt2} into `out`, which must hold at least `ceil(n / 4)` bytes. */
  packInt2Into(
    weights: Float32Array,
    inverses: Float32Array,
    layout: BlockLayout,
    out: Uint8Array,
  ): Uint8Array;
  /** As {@link projectInt4} with the codes of {@link packInt2}: the sums of `w l` and `l^2`, `l = q + 1/2`. */
  projectInt2(
    weights: Float32Array,
    inverses: Float32Array,
    layout: BlockLayout,
    sums?: Projection,
  ): Projection;

  /** Signal and noise of `decoded` against `weights`; both of one length. */
  difference(weights: Float32Array, decoded: Float32Array): Difference;
  /** {@link difference} to what {@link unpackSign} gives. */
  differenceSign(
    weights: Float32Array,
    codes: Uint8Array,
    scales: Float32Array,
    layout: BlockLayout,
  ): Difference;
  /** {@link difference} to what {@link unpackInt2} gives. */
  differenceInt2(
    weights: Float32Array,
    codes: Uint8Array,
    scales: Float32Array,
    layout: BlockLayout,
  ): Difference;
  /** {@link difference} to what {@link unpackInt4} gives. */
  differenceInt4(
    weights: Float32Array,
    codes: Uint8Array,
    scales: Float32Array,
    layout: BlockLayout,
  ): Difference;
}
