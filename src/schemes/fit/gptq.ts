import type { Grid } from '../grids.js';
import { axpy } from './factor.js';

/** The level of a grid nearest to `value / scale`; for scale 0 the one nearest to 0. */
export function levelOf({ offset, step, levels }: Grid, value: number, scale: number): number {
  const x = ((scale === 0 ? 0 : value / scale) - offset) / step;
  // Half of the way counts down, so that a sign of 0 is -1 as everywhere in the house.
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
 * Each column by itself; `k^2 n / 2` multiply-adds.
 *
 * @param v `[k, k]` from `factorUpper` of the Hessian
 * @param w `[k, n]`
 * @returns levels, `[k, n]`
 */
export function gptq(v: Float64Array, k: number, w: Float64Array, n: number, book: Codebook): Uint8Array {
  const { grid, groupOf, scales } = book;
  const levels = new Uint8Array(k * n);
  const carried = new Float64Array(k * n);
  const lost = new Float64Array(n);
  for (let i = 0; i < k; i++) {
    const pivot = v[i * k + i] as number;
    const at = (groupOf[i] as number) * n;
    for (let c = 0; c < n; c++) {
      const own = w[i * n + c] as number;
      const s = scales[at + c] as number;
      const level = levelOf(grid, own + (carried[i * n + c] as number) / pivot, s);
      levels[i * n + c] = level;
      lost[c] = own - s * (grid.offset + grid.step * level);
    }
    for (let m = i + 1; m < k; m++) axpy(carried, m * n, v[i * k + m] as number, lost, 0, n);
  }
  return levels;
}
