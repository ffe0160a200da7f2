import { type BlockLayout, blockCount, blockShape, layoutSize } from '../../shape.js';
import { requireFinite } from '../finite.js';
import { inverseOfMax, topOf } from '../grids.js';
import type { EachPiece, Fit, FitContext, ScalesContext, ScalesFound, SchemeName } from '../types.js';

/** Rows of K in each group: `groupRows`, the last group the rest. */
export function rowsOfBlock(layout: BlockLayout, block: number): number {
  const [groups] = blockShape(layout);
  const group = Math.floor(block / layout.channels);
  const rows = layout.outer * layout.inner;
  return group === groups - 1 ? rows - group * layout.groupRows : layout.groupRows;
}

/** `sum |w|` of every block of a tensor in pieces; in float64 where the kernels' float32 partial sums overflow. */
function absSums(each: EachPiece, { kernels, layout, context }: ScalesContext): Float64Array {
  const sums = new Float64Array(blockCount(layout));
  each((weights, piece, from) => {
    requireFinite(weights, kernels.absSum(weights, piece, sums), context, from);
  });
  if (sums.every(Number.isFinite)) return sums;
  const doubles = new Float64Array(sums.length);
  each((weights, piece) => addInFloat64(weights, piece, doubles));
  return doubles;
}

function addInFloat64(weights: Float32Array, layout: BlockLayout, sums: Float64Array): void {
  const { outer, channels, inner, groupRows } = layout;
  for (let at = 0; at < layoutSize(layout); at++) {
    const i = at % inner;
    const c = Math.floor(at / inner) % channels;
    const o = Math.floor(at / (inner * channels)) % outer;
    const block = Math.floor((o * inner + i) / groupRows) * channels + c;
    sums[block] = (sums[block] as number) + Math.abs(weights[at] as number);
  }
}

/** `amax` of every block, and with `mean` the mean of `|w|` in the same pass: NaN where its sum overflows float32. */
export function magnitudes(
  each: EachPiece,
  { kernels, layout, context }: ScalesContext,
  mean = false,
): { absMax: Float32Array; mean: Float64Array } {
  const absMax = new Float32Array(blockCount(layout));
  const sums = new Float64Array(mean ? absMax.length : 0);
  each((weights, piece, from) => {
    requireFinite(weights, kernels.absMax(weights, piece, absMax), context, from);
    if (mean) kernels.absSum(weights, piece, sums);
  });
  return { absMax, mean: sums.map((sum, block) => sum / rowsOfBlock(layout, block)) };
}

/** Scale 1 everywhere: signs as they are. */
export function fitNone(weights: Float32Array, _scheme: SchemeName, stats: FitContext): Fit {
  const { kernels, layout, context, first } = stats;
  const { codes, absSum } = kernels.packSignWithAbsSum(weights, layout);
  requireFinite(weights, absSum, context, first);
  return { codes, scales: new Float32Array(blockCount(layout)).fill(1) };
}

/** {@link fitNone} for a tensor in pieces. */
export function scalesNone(each: EachPiece, _scheme: SchemeName, stats: ScalesContext): ScalesFound {
  const { kernels, layout, context } = stats;
  const scales = new Float32Array(blockCount(layout));
  each((weights, piece, from) =>
    requireFinite(weights, kernels.absMax(weights, piece, scales), context, from),
  );
  return { scales: scales.fill(1) };
}

/**
 * `scale = mean |w|`, the minimum of `sum (w - scale sign(w))^2`.
 * Source: Rastegari et al., XNOR-Net (2016), equation 6.
 */
export function fitMean(weights: Float32Array, _scheme: SchemeName, stats: FitContext): Fit {
  const { kernels, layout, context, first } = stats;
  const { codes, absSum } = kernels.packSignWithAbsSum(weights, layout);
  requireFinite(weights, absSum, context, first);
  if (!absSum.every(Number.isFinite)) addInFloat64(weights, layout, absSum.fill(0));
  return { codes, scales: meansOf(absSum, layout) };
}

/** {@link fitMean} for a tensor in pieces. */
export function scalesMean(each: EachPiece, _scheme: SchemeName, stats: ScalesContext): ScalesFound {
  return { scales: meansOf(absSums(each, stats), stats.layout) };
}

function meansOf(sums: Float64Array, layout: BlockLayout): Float32Array {
  return Float32Array.from(sums, (sum, block) => sum / rowsOfBlock(layout, block));
}

/**
 * `scale = amax / top`, codes by `inverse = top / amax`, `top` the highest level: 7 for int4, 1.5 for int2. The largest
 * weight of a block gets that level or its negative.
 */
export function fitAbsMax(weights: Float32Array, scheme: SchemeName, stats: FitContext): Fit {
  const { kernels, layout, context, first } = stats;
  const top = topOf(scheme);
  if (scheme === 'int2') {
    const absMax = kernels.absMax(weights, layout);
    requireFinite(weights, absMax, context, first);
    const inverses = absMax.map((max) => inverseOfMax(scheme, max));
    return { codes: kernels.packInt2(weights, inverses, layout), scales: absMax.map((max) => max / top) };
  }
  const { codes, absMax } = kernels.packInt4WithAbsMax(weights, layout);
  requireFinite(weights, absMax, context, first);
  return { codes, scales: absMax.map((max) => max / top) };
}

/** {@link fitAbsMax} for a tensor in pieces. */
export function scalesAbsMax(each: EachPiece, scheme: SchemeName, stats: ScalesContext): ScalesFound {
  const { absMax } = magnitudes(each, stats);
  const top = topOf(scheme);
  return {
    scales: absMax.map((max) => max / top),
    inverses: absMax.map((max) => inverseOfMax(scheme, max)),
  };
}
