import type { LinearAlgebra } from '../../kernels/linalg-types.js';
import { type Codebook, levelOf } from './gptq.js';

/**
 * Cyclic coordinate descent on `(w - q)' H (w - q)` over the codes of one column: every code in turn becomes the one that
 * is best with all others as they are. Behdin et al., QuantEase, 2023, section 3. The objective never rises.
 *
 * @param rows of `H`, which is symmetric, `[k]` each
 * @param diagonal of `H`, `[k]`
 * @param residual `H (w - q)` of the column, `[k]`, kept up to date
 * @param levels of the column, `[k]`, in and out
 * @param column index of the column among `n`, for its scales
 * @returns number of codes changed
 */
export function descend(
  algebra: LinearAlgebra,
  rows: readonly Float32Array[],
  diagonal: Float64Array,
  residual: Float64Array,
  levels: Uint8Array,
  column: number,
  n: number,
  { grid, groupOf, scales }: Codebook,
  sweeps: number,
): number {
  const k = diagonal.length;
  let total = 0;
  for (let sweep = 0; sweep < sweeps; sweep++) {
    let changed = 0;
    for (let i = 0; i < k; i++) {
      const s = scales[(groupOf[i] as number) * n + column] as number;
      if (s === 0) continue;
      const level = levels[i] as number;
      const target =
        s * (grid.offset + grid.step * level) + (residual[i] as number) / (diagonal[i] as number);
      const better = levelOf(grid, target, s);
      if (better === level) continue;
      levels[i] = better;
      changed++;
      algebra.subtractScaled(residual, s * grid.step * (better - level), rows[i] as Float32Array);
    }
    total += changed;
    if (changed === 0) break;
  }
  return total;
}

/**
 * The least-squares scale of every group and column for given codes, one group after the other:
 * `s_g += q_g' r_g / (q_g' H_gg q_g)`, `q_g` the unscaled codes, `r = H (w - q)`.
 *
 * @param productOf of a group, `H[:, g] q_g`, `[k, n]`; asked for when the scales of the groups before are the new ones
 * @param residuals `[k, n]`, kept up to date
 */
export function rescale(
  productOf: (group: number) => Float64Array,
  groups: number,
  residuals: Float64Array,
  levels: Uint8Array,
  n: number,
  { grid, groupOf, scales }: Codebook,
): void {
  const k = groupOf.length;
  const gain = new Float64Array(n);
  const norm = new Float64Array(n);
  for (let group = 0; group < groups; group++) {
    const product = productOf(group);
    gain.fill(0);
    norm.fill(0);
    for (let i = 0; i < k; i++) {
      if (groupOf[i] !== group) continue;
      for (let c = 0, at = i * n; c < n; c++, at++) {
        const q = grid.offset + grid.step * (levels[at] as number);
        gain[c] = (gain[c] as number) + q * (residuals[at] as number);
        norm[c] = (norm[c] as number) + q * (product[at] as number);
      }
    }
    for (let c = 0; c < n; c++) {
      const before = scales[group * n + c] as number;
      const after = before + (gain[c] as number) / (norm[c] as number);
      const isBetter = (norm[c] as number) > 0 && after > 0;
      if (isBetter) scales[group * n + c] = after;
      gain[c] = isBetter ? after - before : 0;
    }
    for (let i = 0, at = 0; i < k; i++)
      for (let c = 0; c < n; c++, at++)
        residuals[at] = (residuals[at] as number) - (gain[c] as number) * (product[at] as number);
  }
}
