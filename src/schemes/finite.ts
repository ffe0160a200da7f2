import { BitnibbleError } from '../errors.js';
import type { FitContext } from './types.js';

/**
 * Refuses NaN and infinities, by the statistics of the blocks: a non-finite weight makes its block's so.
 * @throws BitnibbleError `not-finite`, naming the tensor and the index
 */
export function requireFinite(
  weights: Float32Array,
  statistics: Float32Array | Float64Array,
  { context }: Pick<FitContext, 'context'>,
): void {
  if (statistics.every(Number.isFinite)) return;
  const at = weights.findIndex((w) => !Number.isFinite(w));
  if (at < 0) return;
  throw new BitnibbleError(
    'not-finite',
    `expected finite weights, got ${weights[at]} at index ${at} (${context})`,
  );
}
