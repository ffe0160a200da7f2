import { BitnibbleError } from '../errors.js';

/**
 * Refuses NaN and infinities, by the statistics of the blocks: a non-finite weight makes its block's so.
 * @param context names the tensor
 * @param first index of the first weight in the tensor
 * @throws BitnibbleError `not-finite`, naming the tensor and the index
 */
export function requireFinite(
  weights: Float32Array,
  statistics: Float32Array | Float64Array,
  context: string,
  first = 0,
): void {
  let all = true;
  for (let i = 0; i < statistics.length; i++) all &&= Number.isFinite(statistics[i]);
  if (all) return;
  const at = weights.findIndex((w) => !Number.isFinite(w));
  if (at < 0) return;
  throw new BitnibbleError(
    'not-finite',
    `expected finite weights, got ${weights[at]} at index ${first + at} (${context})`,
  );
}
