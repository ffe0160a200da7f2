import { type LinearAlgebra, TILE } from '../../kernels/linalg-types.js';
import type { Grid } from '../grids.js';
import { axpy, feedForward, type Matrix } from './factor.js';

/** The level of a grid nearest to `value / scale`; for scale 0 the one nearest to 0. */
export function levelOf(grid: Grid, value: number, scale: number): number {
  return nearestLevel(grid, ((scale === 0 ? 0 : value / scale) - grid.offset) / grid.step);
}

/** The level nearest to a real number of levels; half of the way counts down, so that a sign of 0 is -1 as everywhere. */
export function nearestLevel({ levels }: Grid, x: number): number {
  return Math.min(levels - 1, Math.max(0, Math.ceil(x - 0.5)));
}

/** Levels of a matrix `[k, n]`, one scale for each group of rows of a column: `scales[groupOf[row] * n + column]`. */
export interface Codebook {
  readonly grid: Grid;
  readonly groupOf: Uint32Array;
  readonly scales: Float64Array;
}

/**
 * GPTQ: rows are rounded one after the other, in the given order, and what rounding lost is made up for in the rows to
 * come. Frantar et al., GPTQ, ICLR 2023, algorithm 1, in the form of LDLQ, which is the same (Chee et al., QuIP, 2023,
 * theorem 6) and needs no inverse: with `H = V V'`, `V` upper triangular,
 *
 *     t_i = w_i + sum_{m<i} (w_m - q_m) V[m,i] / V[i,i],   q_i = round(t_i)
 *
 * Each column by itself; `k^2 n / 2` multiply-adds. What a tile of 64 rows lost goes to the tiles behind it by the kernels,
 * when these are due (lazy batches, section 3.3).
 *
 * @param v `[k, k]` from `factorUpper` of the Hessian
 * @param w `[k, n]`
 * @param carried what is to be made up for, negated, and what each row lost: `[k, n]` to work in, with the stride of `w`
 * @returns levels, `[k, n]`
 */
export function gptq(
  algebra: LinearAlgebra,
  v: Matrix,
  k: number,
  w: Matrix,
  n: number,
  book: Codebook,
  work: { readonly carried: Matrix; readonly lost: Matrix },
): Uint8Array {
  const { grid, groupOf, scales } = book;
  const { carried, lost } = work;
  const { stride } = w;
  const levels = new Uint8Array(k * n);
  carried.values.fill(0);
  for (let from = 0; from < k; from += TILE) {
    const to = Math.min(k, from + TILE);
    feedForward(algebra, v, carried, lost, from, to, n);
    for (let i = from; i < to; i++) {
      const pivot = v.values[i * v.stride + i] as number;
      const at = (groupOf[i] as number) * n;
      const row = i * stride;
      for (let c = 0; c < n; c++) {
        const own = w.values[row + c] as number;
        const s = scales[at + c] as number;
        const level = levelOf(grid, own - (carried.values[row + c] as number) / pivot, s);
        levels[i * n + c] = level;
        lost.values[row + c] = own - s * (grid.offset + grid.step * level);
      }
      for (let m = i + 1; m < to; m++)
        axpy(carried.values, m * stride, -(v.values[i * v.stride + m] as number), lost.values, row, n);
    }
  }
  return levels;
}
