import { requireFinite } from '../finite.js';
import { inverseOf } from '../grids.js';
import type { Fit, FitContext, SchemeName } from '../types.js';
import { fitMean } from './closed.js';

/** A bound for what always converged in fewer steps: each step lowers the error of some block or ends. */
const MAX_STEPS = 100;

/** What of a scheme least squares needs: divisors of `amax` that give the first scales, and its kernels. */
const METHODS = {
  int2: { starts: [1.5, 2, 3], project: 'projectInt2', pack: 'packInt2' },
  int4: { starts: [7, 8], project: 'projectInt4', pack: 'packInt4' },
} as const;

/**
 * Least-squares scales: alternately the codes for a scale and the scale for the codes, with the level `l` of a code
 * (`q` for int4, `q + 1/2` for int2):
 * `q = code(w / s)`, `s = sum(w l) / sum(l^2)`, per block, until no scale moves.
 *
 * Both halves lower `sum (w - s l)^2` or leave it, so it converges (Lloyd's iteration with levels on a line).
 * The error of the nearest local minimum depends on the start; blocks start from `amax / 7` and `amax / 8` (int4), from
 * `amax / 1.5`, `amax / 2` and `amax / 3` (int2), and keep the best end.
 *
 * Source: Lloyd, Least squares quantization in PCM (1982), section V, with the levels tied to one scale.
 */
export function fitLeastSquares(weights: Float32Array, scheme: SchemeName, stats: FitContext): Fit {
  if (scheme === 'binary') return fitMean(weights, scheme, stats);
  const { kernels, layout } = stats;
  const { starts, pack } = METHODS[scheme];
  const absMax = kernels.absMax(weights, layout);
  requireFinite(weights, absMax, stats);
  const ends = starts.map((divisor) =>
    converge(
      weights,
      scheme,
      absMax.map((max) => max / divisor),
      stats,
    ),
  );
  const best = ends.reduce((a, b) => {
    const better = b.gain.map((gain, i) => Number(gain > (a.gain[i] as number)));
    return {
      scales: a.scales.map((scale, i) => (better[i] ? (b.scales[i] as number) : scale)),
      gain: a.gain.map((gain, i) => (better[i] ? (b.gain[i] as number) : gain)),
    };
  });
  return { scales: best.scales, codes: kernels[pack](weights, best.scales.map(inverseOf), layout) };
}

/**
 * `gain = (sum w l)^2 / sum l^2`: what the best scale for the codes takes off `sum w^2`.
 * The scale that is kept is the one that the codes were made with, so decoding uses the very codes measured.
 */
function converge(
  weights: Float32Array,
  scheme: keyof typeof METHODS,
  start: Float32Array,
  { kernels, layout }: FitContext,
): { scales: Float32Array; gain: Float64Array } {
  const { project } = METHODS[scheme];
  let scales = start;
  let gain = new Float64Array(start.length);
  for (let step = 0; step < MAX_STEPS; step++) {
    const { wq, qq } = kernels[project](weights, scales.map(inverseOf), layout);
    const next = scales.map((scale, i) => {
      const q2 = qq[i] as number;
      return q2 === 0 || !Number.isFinite(wq[i]) ? scale : (wq[i] as number) / q2;
    });
    gain = wq.map((v, i) => ((qq[i] as number) === 0 ? 0 : (v * v) / (qq[i] as number)));
    if (next.every((scale, i) => scale === scales[i])) break;
    scales = next;
  }
  return { scales, gain };
}
