import { blockCount, blockShape, layoutSize } from '../../shape.js';
import { requireFinite } from '../finite.js';
import { inverseOfMax, topOf } from '../grids.js';
import type { Fit, FitContext, SchemeName } from '../types.js';

/** Rows of K in each group: `groupRows`, the last group the rest. */
export function rowsOfBlock(layout: FitContext['layout'], block: number): number {
  const [groups] = blockShape(layout);
  const group = Math.floor(block / layout.channels);
  const rows = layout.outer * layout.inner;
  return group === groups - 1 ? rows - group * layout.groupRows : layout.groupRows;
}

/** Scale 1 everywhere: signs as they are. */
export function fitNone(
  weights: Float32Array,
  _scheme: SchemeName,
  { kernels, layout, context }: FitContext,
): Fit {
  const { codes, absSum } = kernels.packSignWithAbsSum(weights, layout);
  requireFinite(weights, absSum, { context });
  return { codes, scales: new Float32Array(blockCount(layout)).fill(1) };
}

/**
 * `scale = mean |w|`, the minimum of `sum (w - scale sign(w))^2`.
 * Source: Rastegari et al., XNOR-Net (2016), equation 6.
 */
export function fitMean(
  weights: Float32Array,
  _scheme: SchemeName,
  { kernels, layout, context }: FitContext,
): Fit {
  const { codes, absSum } = kernels.packSignWithAbsSum(weights, layout);
  requireFinite(weights, absSum, { context });
  const sums = absSum.every(Number.isFinite) ? absSum : absSumInFloat64(weights, layout);
  return { codes, scales: Float32Array.from(sums, (sum, block) => sum / rowsOfBlock(layout, block)) };
}

/** For weights so large that their sums overflow the float32 partial sums of the kernels. */
function absSumInFloat64(weights: Float32Array, layout: FitContext['layout']): Float64Array {
  const { outer, channels, inner, groupRows } = layout;
  const sums = new Float64Array(blockCount(layout));
  for (let at = 0; at < layoutSize(layout); at++) {
    const i = at % inner;
    const c = Math.floor(at / inner) % channels;
    const o = Math.floor(at / (inner * channels)) % outer;
    const block = Math.floor((o * inner + i) / groupRows) * channels + c;
    sums[block] = (sums[block] as number) + Math.abs(weights[at] as number);
  }
  return sums;
}

/**
 * `scale = amax / top`, codes by `inverse = top / amax`, `top` the highest level: 7 for int4, 1.5 for int2. The largest
 * weight of a block is a code of that level or of its negative.
 */
export function fitAbsMax(
  weights: Float32Array,
  scheme: SchemeName,
  { kernels, layout, context }: FitContext,
): Fit {
  const top = topOf(scheme);
  if (scheme === 'int2') {
    const absMax = kernels.absMax(weights, layout);
    requireFinite(weights, absMax, { context });
    const inverses = absMax.map((max) => inverseOfMax(scheme, max));
    return { codes: kernels.packInt2(weights, inverses, layout), scales: absMax.map((max) => max / top) };
  }
  const { codes, absMax } = kernels.packInt4WithAbsMax(weights, layout);
  requireFinite(weights, absMax, { context });
  return { codes, scales: absMax.map((max) => max / top) };
}
