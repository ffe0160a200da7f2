import { type Grid, topOf } from '../grids.js';
import type { SchemeName } from '../types.js';
import type { Matrix } from './factor.js';
import { levelOf } from './gptq.js';

/** Clips that are tried, as shares of the largest weight. */
const CLIPS = Array.from({ length: 31 }, (_, i) => 0.25 + 0.025 * i);

/**
 * Scales to begin with, `[groups, n]`: `mean |w|` for signs, else the clip with the least error weighted by the Hessian's diagonal.
 *
 * @param groupOf group of each row
 */
export function firstScales(
  w: Matrix,
  diagonal: Float64Array,
  n: number,
  groups: number,
  groupOf: Uint32Array,
  scheme: SchemeName,
  grid: Grid,
): Float64Array {
  const rowsOf: number[][] = Array.from({ length: groups }, () => []);
  for (const [i, group] of groupOf.entries()) rowsOf[group]?.push(i);
  const scales = new Float64Array(groups * n);
  rowsOf.forEach((rows, g) => {
    for (let c = 0; c < n; c++) {
      const own = rows.map((i) => w.values[i * w.stride + c] as number);
      const sum = own.reduce((total, x) => total + Math.abs(x), 0);
      if (scheme === 'binary') {
        scales[g * n + c] = sum / rows.length;
        continue;
      }
      const max = own.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      let least = Number.POSITIVE_INFINITY;
      for (const clip of CLIPS) {
        const s = (clip * max) / topOf(scheme);
        let error = 0;
        own.forEach((x, i) => {
          const lost = x - s * (grid.offset + grid.step * levelOf(grid, x, s));
          error += (diagonal[rows[i] as number] as number) * lost * lost;
        });
        if (error < least) {
          least = error;
          scales[g * n + c] = s;
        }
      }
    }
  });
  return scales;
}
