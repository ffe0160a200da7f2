import { type BlockLayout, blockCount, blockShape, layoutSize } from '../../shape.js';
import { inverseOf } from '../grids.js';
import type { EachPiece, Fit, FitContext, ScalesContext, ScalesFound, SchemeName } from '../types.js';
import { leastSquaresPasses, scalesLeastSquares } from './lsq.js';

/** The first `beta` and what it grows by in each step: those of the paper's code, which makes 20 steps. */
const BETA = 10;
const KAPPA = 1.01;
const STEPS = 10;
/** First scales, as multiples of the least-squares one: outliers pull that one up. */
const TRIALS = Array.from({ length: 12 }, (_, k) => 2 ** ((1 - k) / 4));

/** The level of a weight, as the kernels code it: `w * inverse` rounded to float32, half to even or down, clamped. */
const LEVEL: Readonly<Record<SchemeName, (w: number, inverse: number) => number>> = {
  binary: (w) => (w > 0 ? 1 : -1),
  int2: (w, inverse) => Math.min(1, Math.max(-2, Math.floor(Math.fround(w * inverse)))) + 0.5,
  // Adding 1.5 * 2^23 in float32 rounds half to even.
  int4: (w, inverse) =>
    Math.fround(Math.min(7, Math.max(-8, Math.fround(w * inverse))) + 12582912) - 12582912,
};

/** Passes over the weights that {@link scalesHalfQuadratic} makes. */
export function halfQuadraticPasses(scheme: SchemeName, blocks: number): number {
  return leastSquaresPasses(scheme, blocks) + TRIALS.length + STEPS + 1;
}

/**
 * Half-quadratic scales: a small `sum |w - s l|^p`, `p = 3/4`, over the scale `s` of each block, `l` the level of the code
 * that `s` gives `w`. With `p < 1` the few weights far from their level count less than with squares.
 *
 * Badri and Shaji, Half-Quadratic Quantization of Large Machine Learning Models (2023), split the residual off:
 * `min |e|_p^p + beta/2 |e - (w - s l)|^2` over `e` and the parameters, in turn
 *
 * 1. `e = sign(r) max(0, |r| - |r|^(p-1) / beta)`, `r = w - s l`: generalized soft thresholding (sub-problem 1)
 * 2. the parameters for that `e`. The paper keeps the scale and finds a zero point, `z = mean(q - (w - e) / s)`
 *    (sub-problem 2). Our levels have none, so it is the scale: `|w - e - s l|^2` is least for `s = sum l (w - e) / sum l^2`
 * 3. the codes for that scale, `beta` times 1.01
 *
 * Residuals are measured in steps of the block (`r / s`), so that `beta` means the same whatever the weights' size.
 * The sum has many local minima, and the steps stay near the one they begin in. So they begin at the best of 12 multiples
 * of the least-squares scale; each block makes 10 steps and keeps the best scale it came by.
 *
 * The code of the paper has `p = 0.7`; powers of 3/4 are square roots of square roots, which every machine rounds alike:
 * the same bytes everywhere.
 */
export function scalesHalfQuadratic(each: EachPiece, scheme: SchemeName, stats: ScalesContext): ScalesFound {
  const { scales: start } = scalesLeastSquares(each, scheme, stats);
  const best = start.slice();
  const least = new Float64Array(blockCount(stats.layout)).fill(Number.POSITIVE_INFINITY);
  /** Tries scales; where they are better takes them over. The scales of a step from there. */
  const step = (scales: Float32Array<ArrayBuffer>, beta: number) => {
    const sums = {
      cost: new Float64Array(least.length),
      wl: new Float64Array(least.length),
      ll: new Float64Array(least.length),
    };
    const inverses = scales.map(inverseOf);
    each((weights, piece) => addStep(weights, piece, scheme, scales, inverses, 1 / beta, sums));
    return scales.map((scale, block) => {
      const cost = (sums.cost[block] as number) * Math.sqrt(scale) * Math.sqrt(Math.sqrt(scale));
      if (scale > 0 && cost < (least[block] as number)) {
        least[block] = cost;
        best[block] = scale;
      }
      const next = Math.fround((scale * (sums.wl[block] as number)) / (sums.ll[block] as number));
      return Number.isFinite(next) && next > 0 ? next : scale;
    });
  };
  for (const factor of TRIALS)
    step(
      start.map((scale) => scale * factor),
      BETA,
    );
  let scales = best.slice();
  for (let i = 0, beta = BETA; i < STEPS; i++, beta *= KAPPA) scales = step(scales, beta);
  step(scales, BETA);
  return { scales: best };
}

/** Sums of each block, in steps of its scale: `|r|^p`, `l (w - e)` and `l^2`. */
interface StepSums {
  readonly cost: Float64Array;
  readonly wl: Float64Array;
  readonly ll: Float64Array;
}

/** One weight after the other in C order and float64, so that pieces give the bits of the whole. */
function addStep(
  weights: Float32Array,
  layout: BlockLayout,
  scheme: SchemeName,
  scales: Float32Array,
  inverses: Float32Array,
  threshold: number,
  { cost, wl, ll }: StepSums,
): void {
  const level = LEVEL[scheme];
  const { channels, inner, groupRows } = layout;
  const [groups] = blockShape(layout);
  const size = layoutSize(layout);
  for (let at = 0, c = 0, row = 0; at < size; c = c + 1 === channels ? 0 : c + 1) {
    for (let i = 0; i < inner; i++, at++) {
      const block = groups === 1 ? c : Math.floor((row + i) / groupRows) * channels + c;
      const scale = scales[block] as number;
      if (scale === 0) continue;
      const w = weights[at] as number;
      const l = level(w, inverses[block] as number);
      const x = w / scale;
      const r = x - l;
      const root = Math.sqrt(Math.abs(r));
      const fourth = Math.sqrt(root);
      const e = Math.max(0, Math.abs(r) - threshold / fourth);
      cost[block] = (cost[block] as number) + root * fourth;
      wl[block] = (wl[block] as number) + l * (r > 0 ? x - e : x + e);
      ll[block] = (ll[block] as number) + l * l;
    }
    if (c + 1 === channels) row += inner;
  }
}

/** {@link scalesHalfQuadratic} of a whole tensor, with its codes. */
export function fitHalfQuadratic(weights: Float32Array, scheme: SchemeName, stats: FitContext): Fit {
  const each: EachPiece = (visit) => visit(weights, stats.layout, stats.first ?? 0);
  const { scales } = scalesHalfQuadratic(each, scheme, stats);
  return { scales, codes: ENCODE[scheme](weights, scales, stats) };
}

const ENCODE: Readonly<
  Record<SchemeName, (weights: Float32Array, scales: Float32Array, stats: FitContext) => Uint8Array>
> = {
  binary: (weights, _scales, { kernels }) => kernels.packSign(weights),
  int2: (weights, scales, { kernels, layout }) => kernels.packInt2(weights, scales.map(inverseOf), layout),
  int4: (weights, scales, { kernels, layout }) => kernels.packInt4(weights, scales.map(inverseOf), layout),
};
