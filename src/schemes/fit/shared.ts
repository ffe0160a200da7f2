import type { LinearAlgebra } from '../../kernels/linalg-types.js';
import type { Grid } from '../grids.js';
import type { SchemeName } from '../types.js';
import { type CalibratedFit, type CalibrateOptions, fitCalibrated, type Moments } from './calibrated.js';

/** A matrix of a kernel whose scale is one for all. */
export interface SharedPart {
  readonly moments: Moments;
  /** Float kernel, `[k, n]`. */
  readonly weights: ArrayLike<number>;
}

/** First scales that are tried, as shares of the mean of those that the columns have alone. */
const STARTS = [0.5, 0.7, 1, 1.4, 2];
/** Codes for the scale and a scale for the codes, in turn, so often at most. */
const TURNS = 6;

/**
 * Codes of all parts of a kernel with one scale, from second moments: codes are fitted to the scale as {@link fitCalibrated} does,
 * and the scale to the codes by least squares of all outputs together,
 *
 *     s <- s sum_c cov(y_c, t_c) / sum_c var(y_c)
 *
 * from the best of a few first scales, until nothing changes. The scale of the least loss counts.
 *
 * @returns undefined where the moments of some part are useless
 */
export function fitShared(
  algebra: LinearAlgebra,
  parts: readonly SharedPart[],
  scheme: SchemeName,
  grid: Grid,
  options: Omit<CalibrateOptions, 'groupRows' | 'scale'> = {},
): CalibratedFit[] | undefined {
  const fitAll = (scale: number | undefined, rounds?: number) => {
    const own = { ...options, ...(scale === undefined ? {} : { scale }), ...(rounds ? { rounds } : {}) };
    const fits = parts.flatMap(
      ({ moments, weights }) => fitCalibrated(algebra, moments, weights, scheme, grid, own) ?? [],
    );
    return fits.length === parts.length ? fits : undefined;
  };
  const alone = fitAll(undefined, 1);
  if (!alone) return undefined;
  const scales = alone.flatMap((fit) => [...fit.scales]).filter((scale) => scale > 0);
  if (scales.length === 0) return undefined;
  const mean = scales.reduce((sum, scale) => sum + scale, 0) / scales.length;
  const lostBy = (fits: readonly CalibratedFit[]) => fits.reduce((sum, { lost }) => sum + lost, 0);
  const jointRatio = (fits: readonly CalibratedFit[]) => {
    // Parts weigh by their outputs' variance.
    const total = fits.reduce((sum, fit) => sum + fit.total, 0);
    return total > 0 ? fits.reduce((sum, { ratio, total: own }) => sum + (ratio * own) / total, 0) : 1;
  };
  let best: CalibratedFit[] | undefined;
  let least = Number.POSITIVE_INFINITY;
  let scale = mean;
  const consider = (own: number) => {
    const fits = fitAll(own);
    if (!fits) return undefined;
    const lost = lostBy(fits);
    if (lost < least) [best, least, scale] = [fits, lost, own];
    return fits;
  };
  for (const share of STARTS) consider(mean * share);
  for (let turn = 0; turn < TURNS && best; turn++) {
    const ratio = jointRatio(best);
    if (Math.abs(ratio - 1) < 1e-4) break;
    const before = least;
    consider(scale * ratio);
    if (!(least < before)) break;
  }
  return best;
}
