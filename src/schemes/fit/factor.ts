import { type LinearAlgebra, type Operand, TILE } from '../../kernels/linalg-types.js';

/** A matrix with `stride` elements from row to row, a multiple of four. */
export interface Matrix {
  readonly values: Float64Array;
  readonly stride: number;
}

/** The part of a matrix from an element on, as it lies or with rows and columns changed over. */
export const part = ({ values, stride }: Matrix, row: number, column: number): Operand => ({
  ...{ values, at: row * stride + column, rowStride: stride, columnStride: 1 },
});
export const transposed = (matrix: Matrix, row: number, column: number): Operand => ({
  ...{ values: matrix.values, at: row * matrix.stride + column, rowStride: 1, columnStride: matrix.stride },
});

/**
 * Reversed Cholesky factor, `H = V V'` with `V` upper triangular, in place, float64; only the upper triangle of the result
 * has a meaning.
 *
 *     V[j,j] = sqrt(H[j,j] - sum_{m>j} V[j,m]^2)
 *     V[i,j] = (H[i,j] - sum_{m>j} V[i,m] V[j,m]) / V[j,j],   i < j
 *
 * `k^3 / 6` multiply-adds, in tiles of 64: of each column of tiles J, the last first, what the finished ones take away
 * (`V[., M] V[J, M]'`, by the kernels), then the tile on the diagonal, then the rows above it.
 *
 *     . . . J M M        J -= V[., M] V[J, M]' of every M to the right
 *       . . J M M
 *         . J M M
 *           J M M
 *
 * @param h `[k, k]`, symmetric; the upper triangle is read
 * @returns the index of a pivot that is not positive, the last one, or -1
 */
export function factorUpper(algebra: LinearAlgebra, h: Matrix, k: number): number {
  for (let from = TILE * (Math.ceil(k / TILE) - 1); from >= 0; from -= TILE) {
    const to = Math.min(k, from + TILE);
    for (let column = to; column < k; column += TILE) {
      const depth = Math.min(TILE, k - column);
      const other = transposed(h, from, column);
      for (let row = 0; row < to; row += TILE)
        algebra.subtractProduct(
          part(h, row, from),
          part(h, row, column),
          other,
          Math.min(TILE, to - row),
          to - from,
          depth,
        );
    }
    const bad = factorTile(h, from, to);
    if (bad >= 0) return bad;
    divideRows(h, from, to);
  }
  return -1;
}

/** The tile on the diagonal, column by column from the last. */
function factorTile({ values, stride }: Matrix, from: number, to: number): number {
  for (let m = to - 1; m >= from; m--) {
    const pivot = values[m * stride + m] as number;
    if (!(pivot > 0)) return m;
    const root = Math.sqrt(pivot);
    values[m * stride + m] = root;
    for (let i = from; i < m; i++) values[i * stride + m] = (values[i * stride + m] as number) / root;
    for (let i = from; i < m; i++) {
      const factor = values[i * stride + m] as number;
      for (let j = i; j < m; j++)
        values[i * stride + j] =
          (values[i * stride + j] as number) - factor * (values[j * stride + m] as number);
    }
  }
  return -1;
}

/** The rows above a tile on the diagonal: `V[i, J] := V[i, J] V[J, J]'^-1`. */
function divideRows({ values, stride }: Matrix, from: number, to: number): void {
  const size = to - from;
  // Columns of the tile as rows, so that the innermost loop reads in order.
  const tile = new Float64Array(size * size);
  for (let j = 0; j < size; j++)
    for (let m = j; m < size; m++) tile[m * size + j] = values[(from + j) * stride + from + m] as number;
  for (let i = 0; i < from; i++) {
    const row = i * stride + from;
    for (let m = size - 1; m >= 0; m--) {
      const v = (values[row + m] as number) / (tile[m * size + m] as number);
      values[row + m] = v;
      for (let j = 0, at = m * size; j < m; j++)
        values[row + j] = (values[row + j] as number) - v * (tile[at + j] as number);
    }
  }
}

/** Adds `factor * source[from .. from + n)` to `target[to .. to + n)`. */
export function axpy(
  target: Float64Array,
  to: number,
  factor: number,
  source: Float64Array,
  from: number,
  n: number,
): void {
  for (let i = 0; i < n; i++)
    target[to + i] = (target[to + i] as number) + factor * (source[from + i] as number);
}

/**
 * Solves `V V' X = B` in place of `b`, in tiles of 64 rows.
 *
 * @param v from {@link factorUpper}, `[k, k]`
 * @param b `[k, n]`
 */
export function solveUpper(algebra: LinearAlgebra, v: Matrix, k: number, b: Matrix, n: number): void {
  const { values, stride } = b;
  const pivot = (i: number) => v.values[i * v.stride + i] as number;
  for (let from = TILE * (Math.ceil(k / TILE) - 1); from >= 0; from -= TILE) {
    const to = Math.min(k, from + TILE);
    for (let column = to; column < k; column += TILE)
      algebra.subtractProduct(
        ...([part(b, from, 0), part(v, from, column), part(b, column, 0)] as const),
        ...([to - from, n, Math.min(TILE, k - column)] as const),
      );
    for (let i = to - 1; i >= from; i--) {
      for (let m = i + 1; m < to; m++)
        axpy(values, i * stride, -(v.values[i * v.stride + m] as number), values, m * stride, n);
      divide(values, i * stride, pivot(i), n);
    }
  }
  for (let from = 0; from < k; from += TILE) {
    const to = Math.min(k, from + TILE);
    feedForward(algebra, v, b, b, from, to, n);
    for (let i = from; i < to; i++) {
      divide(values, i * stride, pivot(i), n);
      for (let m = i + 1; m < to; m++)
        axpy(values, m * stride, -(v.values[i * v.stride + m] as number), values, i * stride, n);
    }
  }
}

/** `C[M, .] -= V[I, M]' B[I, .]` of all rows I before the tile M. */
export function feedForward(
  algebra: LinearAlgebra,
  v: Matrix,
  c: Matrix,
  b: Matrix,
  from: number,
  to: number,
  n: number,
): void {
  for (let row = 0; row < from; row += TILE)
    algebra.subtractProduct(part(c, from, 0), transposed(v, row, from), part(b, row, 0), to - from, n, TILE);
}

function divide(b: Float64Array, at: number, by: number, n: number): void {
  for (let i = at; i < at + n; i++) b[i] = (b[i] as number) / by;
}
