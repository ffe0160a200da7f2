import { requireFinite } from '../finite.js';
import type { Fit, FitContext, SchemeName } from '../types.js';
import { fitMean } from './closed.js';

const MAX_F32 = 3.4028234663852886e38;
/** A bound for what always converged in fewer steps: each step lowers the error of some block or ends. */
const MAX_STEPS = 100;

/** `1 / scale` as the kernels take it: finite, 0 for scale 0. */
export function inverseOf(scale: number): number {
  return scale === 0 ? 0 : Math.min(Math.fround(1 / scale), MAX_F32);
}

/**
 * Least-squares scales: alternately the codes for a scale and the scale for the codes,
 * `q = clamp(rne(w / s), -8, 7)`, `s = sum(w q) / sum(q^2)`, per block, until no scale moves.
 *
 * Both halves lower `sum (w - s q)^2` or leave it, so it converges (Lloyd's iteration with levels on a line).
 * The error of the nearest local minimum depends on the start; blocks start from `amax / 7` and from
 * `amax / 8`, and keep the better end.
 *
 * Source: Lloyd, Least squares quantization in PCM (1982), section V, with the levels tied to one scale.
 */
export function fitLeastSquares(weights: Float32Array, scheme: SchemeName, stats: FitContext): Fit {
  if (scheme === 'binary') return fitMean(weights, scheme, stats);
  const { kernels, layout } = stats;
  const absMax = kernels.absMax(weights, layout);
  requireFinite(weights, absMax, stats);
  const a = converge(
    weights,
    absMax.map((max) => max / 7),
    stats,
  );
  const b = converge(
    weights,
    absMax.map((max) => max / 8),
    stats,
  );
  const scales = a.scales.map((scale, i) =>
    (b.gain[i] as number) > (a.gain[i] as number) ? (b.scales[i] as number) : scale,
  );
  return { scales, codes: kernels.packInt4(weights, scales.map(inverseOf), layout) };
}

/**
 * `gain = (sum w q)^2 / sum q^2`: what the best scale for the codes takes off `sum w^2`.
 * The scale that is kept is the one that the codes were made with, so decoding uses the very codes measured.
 */
function converge(
  weights: Float32Array,
  start: Float32Array,
  { kernels, layout }: FitContext,
): { scales: Float32Array; gain: Float64Array } {
  let scales = start;
  let gain = new Float64Array(start.length);
  for (let step = 0; step < MAX_STEPS; step++) {
    const { wq, qq } = kernels.projectInt4(weights, scales.map(inverseOf), layout);
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
