/** Elements `values[at + row * rowStride + column * columnStride]`. */
export interface Operand {
  readonly values: Float64Array;
  readonly at: number;
  readonly rowStride: number;
  readonly columnStride: number;
}

/** Arrays of one problem, all zero, valid until the next {@link LinearAlgebra.room}. */
export interface Room {
  /** @throws RangeError when the room is full */
  float64(length: number): Float64Array;
  /** @throws RangeError when the room is full */
  float32(length: number): Float32Array;
}

/** Images `[images, height, width, channels]` and the convolution by 3 x 3 of stride 1 that is made of them. */
export interface Convolution {
  readonly images: number;
  readonly height: number;
  readonly width: number;
  /** A multiple of four. */
  readonly channels: number;
  /** A multiple of eight. */
  readonly outputs: number;
  /** Zeros around each image, on every side: 0 or 1. */
  readonly border: number;
}

/** Dense products that calibration is made of. `reference` defines the bits of `simd`, the order of summation included. */
export interface LinearAlgebra {
  readonly backend: 'simd' | 'reference';
  /** Room for arrays of so many bytes in all, 16 for each array's edge added by the caller; it stays with this object. */
  room(bytes: number): Room;
  /**
   * `total += X'X`, float32 products summed over 256 rows, in order, and the sums added in float64.
   *
   * @param total `[k, k]`
   * @param x `[rows, k]`
   */
  addGram(total: Float64Array, x: Float32Array, rows: number, k: number): void;
  /** `total += X'T` likewise. @param total `[k, n]` @param x `[rows, k]` @param t `[rows, n]` */
  addCross(total: Float64Array, x: Float32Array, t: Float32Array, rows: number, k: number, n: number): void;
  /**
   * `C[r, c] -= sum_d A[r, d] B[d, c]`, the sum from 0 in the order of d. Arrays of the {@link room}; up to
   * 64 rows and as deep; C has its columns side by side, and its rows a multiple of four apart.
   */
  subtractProduct(c: Operand, a: Operand, b: Operand, rows: number, columns: number, depth: number): void;
  /**
   * A convolution of float32 by Winograd's F(4 x 4, 3 x 3): a quarter of the multiplications (Lavin and Gray 2016), sums in the order of
   * the channels. Within 1e-5 of exact sums, relative to the largest output.
   *
   * @param kernel as `winogradKernel` of `kernels/winograd.ts` transforms it @param bias `[outputs]`
   * @param y `[images, height - 2 + 2 border, width - 2 + 2 border, outputs]`
   */
  convolve(
    y: Float32Array,
    x: Float32Array,
    kernel: Float32Array,
    bias: Float32Array,
    size: Convolution,
  ): void;
  /** `y[i] -= factor * x[i]`, in float64. Arrays of the {@link room}. */
  subtractScaled(y: Float64Array, factor: number, x: Float32Array): void;
}

/** Rows whose products are added in float32 before they are added in float64. */
export const CHUNK_ROWS = 256;

/** Rows and depth of a tile at most. */
export const TILE = 64;

/** Elements between rows of a matrix of `n` columns: what {@link LinearAlgebra.subtractProduct} wants. */
export const strideOf = (n: number): number => (n + 3) & ~3;
