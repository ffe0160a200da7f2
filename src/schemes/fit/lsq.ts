import type { Projection } from '../../kernels/types.js';
import { blockCount } from '../../shape.js';
import { inverseOf, topOf } from '../grids.js';
import type { EachPiece, Fit, FitContext, ScalesContext, ScalesFound, SchemeName } from '../types.js';
import { fitMean, magnitudes, scalesMean } from './closed.js';

/** Multiples `from * 2^(k / 6)`, `count` of them. */
function sixths(from: number, count: number): number[] {
  return Array.from({ length: count }, (_, k) => from * 2 ** (k / 6));
}

/**
 * The scales that are tried: `amax` over each divisor, then `mean |w|` times each factor. The largest weight decides
 * where blocks are small, the bulk of them where blocks are large or have outliers.
 */
const TRIALS = {
  int2: { divisors: [1.5, 1.75, 2], factors: sixths(0.8, 8) },
  int4: { divisors: [7, 6.75, 7.25, 7.5, 7.75, 8, 8.25, 8.5, 9, 9.5, 10, 11], factors: sixths(0.3, 13) },
} as const;

type Integers = keyof typeof TRIALS;
const KERNELS = {
  int2: { project: 'projectInt2', pack: 'packInt2' },
  int4: { project: 'projectInt4', pack: 'packInt4' },
} as const;

/** Around the best of those. */
const FINE = [-3, -2, -1, 0, 1, 2, 3].map((k) => 2 ** (k / 42));
const STEPS = 2;
/** Blocks times trials in one pass: bounds what is held for them to 20 MB. */
const MOST_SUMS = 2 ** 20;

/** Passes over the weights that {@link scalesLeastSquares} makes. */
export function leastSquaresPasses(scheme: SchemeName, blocks: number): number {
  if (scheme === 'binary') return 1;
  const { divisors, factors } = TRIALS[scheme];
  const each = trialsPerPass(blocks);
  return 1 + Math.ceil((divisors.length + factors.length) / each) + Math.ceil(FINE.length / each) + STEPS;
}

function trialsPerPass(blocks: number): number {
  return Math.max(1, Math.floor(MOST_SUMS / Math.max(1, blocks)));
}

/**
 * Least-squares scales: the minimum of `sum (w - s l)^2` over the scale `s` of each block, `l` the level of the code
 * that `s` gives `w` (`q` for int4, `q + 1/2` for int2).
 *
 * 1. With every trial scale: the codes, and `gain = (sum w l)^2 / sum l^2`, what the best scale for those codes,
 *    `sum(w l) / sum(l^2)`, takes off `sum w^2`. The best scale of the largest gain wins. Trials are 25 multiples of `amax`
 *    and `mean |w|` (int2: 11), `amax / top` among them, then 7 within 5 percent of the winner.
 * 2. Twice the codes for `s` and the best scale for the codes. Both halves lower the error or leave it (Lloyd's iteration
 *    with levels on a line).
 *
 * The error has many local minima in `s`; Lloyd's iteration alone stops in the first, or takes a hundred steps.
 *
 * Source: Lloyd, Least squares quantization in PCM (1982), section V, with the levels tied to one scale.
 */
export function scalesLeastSquares(each: EachPiece, scheme: SchemeName, stats: ScalesContext): ScalesFound {
  if (scheme === 'binary') return scalesMean(each, scheme, stats);
  const { divisors, factors } = TRIALS[scheme];
  const { absMax, mean } = magnitudes(each, stats, true);
  const top = topOf(scheme);
  const best = { scales: absMax.map((max) => max / top), gains: new Float64Array(absMax.length).fill(-1) };
  const scaled = (values: ArrayLike<number>, factor: number) => () =>
    Float32Array.from(values, (value) => inverseOf(Math.fround(value * factor)));
  const coarse = [
    ...divisors.map((divisor) => scaled(absMax, 1 / divisor)),
    ...factors.map((factor) => scaled(mean, factor)),
  ];
  const trial = (inverses: readonly (() => Float32Array)[]) => {
    const count = trialsPerPass(absMax.length);
    for (let from = 0; from < inverses.length; from += count) {
      const some = inverses.slice(from, from + count).map((make) => make());
      for (const sums of project(each, scheme, some, stats)) improve(best, sums, true);
    }
  };
  trial(coarse);
  const middle = best.scales.slice();
  trial(FINE.map((factor) => scaled(middle, factor)));
  for (let step = 0; step < STEPS; step++) {
    for (const sums of project(each, scheme, [best.scales.map(inverseOf)], stats)) improve(best, sums, false);
  }
  return { scales: best.scales };
}

/**
 * Takes over the best scales for some codes: everywhere, or where their gain is larger. Not where all codes are zero or
 * sums exceed float32.
 */
function improve(
  best: { scales: Float32Array; gains: Float64Array },
  { wq, qq }: Projection,
  ifLarger: boolean,
): void {
  for (let block = 0; block < wq.length; block++) {
    const scale = (wq[block] as number) / (qq[block] as number);
    const gain = (wq[block] as number) * scale;
    if (!(Number.isFinite(Math.fround(scale)) && scale >= 0)) continue;
    if (ifLarger && !(gain > (best.gains[block] as number))) continue;
    best.scales[block] = scale;
    best.gains[block] = gain;
  }
}

/** One pass: the sums of the codes that each array of inverses gives. */
function project(
  each: EachPiece,
  scheme: Integers,
  trials: readonly Float32Array[],
  { kernels, layout }: ScalesContext,
): Projection[] {
  const blocks = blockCount(layout);
  const work = trials.map((inverses) => ({
    inverses,
    sums: { wq: new Float64Array(blocks), qq: new Float64Array(blocks) },
  }));
  each((weights, piece) => {
    for (const { inverses, sums } of work) kernels[KERNELS[scheme].project](weights, inverses, piece, sums);
  });
  return work.map(({ sums }) => sums);
}

/** {@link scalesLeastSquares} of a whole tensor, with its codes. */
export function fitLeastSquares(weights: Float32Array, scheme: SchemeName, stats: FitContext): Fit {
  if (scheme === 'binary') return fitMean(weights, scheme, stats);
  const each: EachPiece = (visit) => visit(weights, stats.layout, stats.first ?? 0);
  const { scales } = scalesLeastSquares(each, scheme, stats);
  return { scales, codes: stats.kernels[KERNELS[scheme].pack](weights, scales.map(inverseOf), stats.layout) };
}
