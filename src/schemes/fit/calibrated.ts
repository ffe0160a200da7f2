import { type LinearAlgebra, strideOf } from '../../kernels/linalg-types.js';
import type { Grid } from '../grids.js';
import type { SchemeName } from '../types.js';
import { descend, rescale } from './descend.js';
import { factorUpper, type Matrix, solveUpper } from './factor.js';
import { firstScales } from './first-scales.js';
import { type Codebook, gptq } from './gptq.js';

/** Second moments of a linear layer on calibration data: `x` its inputs in the quantized network, `t` its float outputs. */
export interface Moments {
  readonly k: number;
  readonly n: number;
  /** Samples that were added up. */
  rows: number;
  /** `X'X`, `[k, k]`. */
  readonly gram: Float64Array;
  /** `X'T`, `[k, n]`. */
  readonly cross: Float64Array;
  /** Sums over the samples: of `x` `[k]`, of `t` and `t^2` `[n]`. */
  readonly sumX: Float64Array;
  readonly sumT: Float64Array;
  readonly sumTT: Float64Array;
}

export interface CalibrateOptions {
  /** Rows of K that share a scale; default all. */
  readonly groupRows?: number;
  /** Pull toward the float weights and damping of the Hessian, as a share of its mean diagonal. Default 0.01. */
  readonly ridge?: number;
  /** Rounds of GPTQ, descent and new scales; the best of each channel counts. Default 4. */
  readonly rounds?: number;
  /** Sweeps of the descent at most. Default 10. */
  readonly sweeps?: number;
  /** Whether outputs can be shifted; without a bias the refit is of the scales alone. Default true. */
  readonly shift?: boolean;
  /** One scale for all, which is kept as it is. Default: each column and group has its own, which is found. */
  readonly scale?: number;
}

/** What calibration found for a matrix `[k, n]`. */
export interface CalibratedFit {
  /** `[k, n]`. */
  readonly levels: Uint8Array;
  /** `[ceil(k / groupRows), n]`. */
  readonly scales: Float32Array;
  /** To be added to the bias, `[n]`. */
  readonly shift: Float64Array;
  /** Share of the outputs' variance that is lost, after the refit. */
  readonly error: number;
  /** What is lost and what it is a share of, as sums over outputs and samples. */
  readonly lost: number;
  readonly total: number;
  /** The factor of all scales that would lose least: 1 where each column has its own. */
  readonly ratio: number;
  /** Inputs that are always zero. */
  readonly deadInputs: number;
}

export function emptyMoments(k: number, n: number): Moments {
  return {
    k,
    n,
    rows: 0,
    gram: new Float64Array(k * k),
    cross: new Float64Array(k * n),
    sumX: new Float64Array(k),
    sumT: new Float64Array(n),
    sumTT: new Float64Array(n),
  };
}

/**
 * Codes and scales of a linear layer from second moments of its inputs and outputs:
 *
 * 1. ridge solution of `X W = T`, pulled toward the float weights: `(X'X + l I) W* = X'T + l W`
 * 2. a first scale: `mean |w*|` for signs, else the one of 31 with the least error weighted by `diag(X'X)`
 * 3. GPTQ over rows in descending order of the Hessian's diagonal (Frantar et al. 2023)
 * 4. coordinate descent over the codes (Behdin et al. 2023) and the least-squares scale for them, in turn
 * 5. again from 3 with the scale found; each channel keeps its best round
 * 6. refit per channel: `T ~ a X Q + c`; `a` goes into the scales, `c` is the bias's shift
 *
 * @param weights float kernel, `[k, n]`
 * @returns undefined where the moments are useless: no samples, all inputs zero, or not finite
 */
export function fitCalibrated(
  algebra: LinearAlgebra,
  moments: Moments,
  weights: ArrayLike<number>,
  scheme: SchemeName,
  grid: Grid,
  options: CalibrateOptions = {},
): CalibratedFit | undefined {
  const { k, n, rows, gram, cross } = moments;
  const { groupRows = k, ridge = 0.01, rounds = 4, sweeps = 10 } = options;
  let trace = 0;
  let deadInputs = 0;
  for (let i = 0; i < k; i++) {
    const d = gram[i * k + i] as number;
    trace += d;
    if (d === 0) deadInputs++;
  }
  if (rows === 0 || !(trace > 0) || !Number.isFinite(trace) || !cross.every(Number.isFinite))
    return undefined;
  const order = Uint32Array.from({ length: k }, (_, i) => i).sort(
    (a, b) => (gram[b * k + b] as number) - (gram[a * k + a] as number) || a - b,
  );
  const lambda = (ridge * trace) / k;
  const problem = new Problem(algebra, moments, weights, order, lambda);
  const { v, w } = problem;
  if (factorUpper(algebra, v, k) >= 0) return undefined;
  solveUpper(algebra, v, k, w, n);
  const groups = Math.ceil(k / groupRows);
  const groupOf = Uint32Array.from(order, (row) => Math.floor(row / groupRows));
  const { scale } = options;
  const scales =
    scale === undefined
      ? firstScales(w, problem.diagonal, n, groups, groupOf, scheme, grid)
      : new Float64Array(groups * n).fill(scale);
  const book: Codebook = { grid, groupOf, scales };
  const best = new Best(k, n, groups);
  for (let round = 0; round < rounds; round++) {
    const levels = gptq(algebra, v, k, w, n, book, problem);
    const residuals = problem.residuals(levels, book);
    for (let turn = 0; turn < TURNS; turn++) {
      descendAll(problem, residuals, levels, book, sweeps);
      if (scale !== undefined) break;
      const productOf =
        groups === 1
          ? () => problem.productOfAll(residuals, book)
          : (group: number) => problem.product(levels, book, group);
      rescale(productOf, groups, residuals, levels, n, book);
    }
    best.take(w, residuals, levels, book);
    // The same scales would give the same codes again.
    if (scale !== undefined) break;
  }
  const levels = new Uint8Array(k * n);
  order.forEach((row, i) => {
    levels.set(best.levels.subarray(i * n, (i + 1) * n), row * n);
  });
  const found = { grid, groupOf, scales: best.scales };
  return { levels, deadInputs, ...refit(problem, best.levels, found, options) };
}

/** `H = X'X + l I` and `B = X'T + l W` with rows in the order of coding, and the arrays to solve with. */
class Problem {
  readonly k: number;
  readonly n: number;
  /** `H`, whose upper triangle becomes its factor. */
  readonly v: Matrix;
  /** `B`, which becomes the solution. */
  readonly w: Matrix;
  readonly carried: Matrix;
  readonly lost: Matrix;
  /** `B` that stays, `[k, n]`. */
  readonly b: Float64Array;
  /** Rows of `H` in float32, side by side in `single`. */
  readonly single: Float32Array;
  readonly rows: readonly Float32Array[];
  readonly diagonal: Float64Array;
  /** One column of residuals. */
  readonly residual: Float64Array;

  constructor(
    readonly algebra: LinearAlgebra,
    readonly moments: Moments,
    weights: ArrayLike<number>,
    readonly order: Uint32Array,
    readonly lambda: number,
  ) {
    const { k, n, gram, cross } = moments;
    this.k = k;
    this.n = n;
    const [strideK, strideN] = [strideOf(k), strideOf(n)];
    // docs/CALIBRATION.md states this sum.
    const room = algebra.room(8 * k * strideK + 4 * k * k + 3 * 8 * k * strideN + 8 * k + 6 * 16);
    const columns = (): Matrix => ({ values: room.float64(k * strideN), stride: strideN });
    this.v = { values: room.float64(k * strideK), stride: strideK };
    this.single = room.float32(k * k);
    this.w = columns();
    this.carried = columns();
    this.lost = columns();
    this.residual = room.float64(k);
    this.b = new Float64Array(k * n);
    this.diagonal = new Float64Array(k);
    const h = this.v.values;
    order.forEach((from, i) => {
      const own = h.subarray(i * strideK, i * strideK + k);
      order.forEach((column, j) => {
        own[j] = gram[from * k + column] as number;
      });
      own[i] = (own[i] as number) + lambda;
      this.diagonal[i] = own[i] as number;
      this.single.set(own, i * k);
      for (let c = 0; c < n; c++) {
        const value = (cross[from * n + c] as number) + lambda * (weights[from * n + c] as number);
        this.b[i * n + c] = value;
        this.w.values[i * strideN + c] = value;
      }
    });
    this.rows = Array.from({ length: k }, (_, i) => this.single.subarray(i * k, (i + 1) * k));
  }

  /** `H q`, `[k, n]`. */
  timesH(q: Float32Array): Float64Array {
    const { algebra, single, k, n } = this;
    const product = new Float64Array(k * n);
    algebra.addCross(product, single, q, k, k, n);
    return product;
  }

  /** `H (w - q) = B - H q`, `[k, n]`. */
  residuals(levels: Uint8Array, book: Codebook): Float64Array {
    const residuals = this.timesH(valuesOf(levels, this.n, book));
    for (let at = 0; at < residuals.length; at++)
      residuals[at] = (this.b[at] as number) - (residuals[at] as number);
    return residuals;
  }

  /** `H q` without the scales from `B - H q` with them, where a column has one; 0 where it is 0. */
  productOfAll(residuals: Float64Array, { scales }: Codebook): Float64Array {
    const { b, n } = this;
    return residuals.map((residual, at) => {
      const s = scales[at % n] as number;
      return s === 0 ? 0 : ((b[at] as number) - residual) / s;
    });
  }

  /** `H[:, g] q_g` without the scales. */
  product(levels: Uint8Array, { grid, groupOf }: Codebook, group: number): Float64Array {
    const { algebra, rows, k, n } = this;
    const own: number[] = [];
    for (let i = 0; i < k; i++) if (groupOf[i] === group) own.push(i);
    const h = new Float32Array(own.length * k);
    const q = new Float32Array(own.length * n);
    own.forEach((i, at) => {
      h.set(rows[i] as Float32Array, at * k);
      for (let c = 0; c < n; c++) q[at * n + c] = gridValue(grid, levels[i * n + c] as number);
    });
    const product = new Float64Array(k * n);
    algebra.addCross(product, h, q, own.length, k, n);
    return product;
  }
}

/** Scaled values of levels, `[k, n]`. */
function valuesOf(levels: Uint8Array, n: number, { grid, groupOf, scales }: Codebook): Float32Array {
  const q = new Float32Array(levels.length);
  for (const [i, group] of groupOf.entries())
    for (let c = 0, at = i * n; c < n; c++, at++)
      q[at] = (scales[group * n + c] as number) * gridValue(grid, levels[at] as number);
  return q;
}

/** Descents, each with new scales behind it, in a round. */
const TURNS = 3;

/** The round of each column that ended with the least `(w - q)' H (w - q)`. */
class Best {
  readonly levels: Uint8Array;
  readonly scales: Float64Array;
  readonly #errors: Float64Array;

  constructor(
    readonly k: number,
    readonly n: number,
    readonly groups: number,
  ) {
    this.levels = new Uint8Array(k * n);
    this.scales = new Float64Array(groups * n);
    this.#errors = new Float64Array(n).fill(Number.POSITIVE_INFINITY);
  }

  take(w: Matrix, residuals: Float64Array, levels: Uint8Array, { grid, groupOf, scales }: Codebook): void {
    const { k, n, groups } = this;
    const errors = new Float64Array(n);
    for (let i = 0, at = 0; i < k; i++)
      for (let c = 0; c < n; c++, at++) {
        const q = (scales[(groupOf[i] as number) * n + c] as number) * gridValue(grid, levels[at] as number);
        const lost = (w.values[i * w.stride + c] as number) - q;
        errors[c] = (errors[c] as number) + lost * (residuals[at] as number);
      }
    for (let c = 0; c < n; c++) {
      if (!((errors[c] as number) < (this.#errors[c] as number))) continue;
      this.#errors[c] = errors[c] as number;
      for (let i = 0; i < k; i++) this.levels[i * n + c] = levels[i * n + c] as number;
      for (let g = 0; g < groups; g++) this.scales[g * n + c] = scales[g * n + c] as number;
    }
  }
}

const gridValue = ({ offset, step }: Grid, level: number) => offset + step * level;

function descendAll(
  { algebra, rows, diagonal, residual, k, n }: Problem,
  residuals: Float64Array,
  levels: Uint8Array,
  book: Codebook,
  sweeps: number,
): void {
  const own = new Uint8Array(k);
  for (let c = 0; c < n; c++) {
    for (let i = 0; i < k; i++) {
      residual[i] = residuals[i * n + c] as number;
      own[i] = levels[i * n + c] as number;
    }
    if (descend(algebra, rows, diagonal, residual, own, c, n, book, sweeps) === 0) continue;
    for (let i = 0; i < k; i++) {
      residuals[i * n + c] = residual[i] as number;
      levels[i * n + c] = own[i] as number;
    }
  }
}

/** `T ~ a Y + c`, `Y = X Q`, by the centred moments; a channel whose `Y` is constant keeps `a = 1`. */
function refit(
  problem: Problem,
  levels: Uint8Array,
  book: Codebook,
  { shift: isShifted = true, scale }: CalibrateOptions,
) {
  const { k, n, moments, order, lambda } = problem;
  const { rows, cross, sumX, sumT, sumTT } = moments;
  const { scales } = book;
  const out = new Float32Array(scales.length);
  const shift = new Float64Array(n);
  const q = valuesOf(levels, n, book);
  const product = problem.timesH(q);
  let lost = 0;
  let total = 0;
  let covs = 0;
  let vars = 0;
  for (let c = 0; c < n; c++) {
    let meanY = 0;
    let yt = 0;
    let yy = 0;
    for (let i = 0, at = c; i < k; i++, at += n) {
      const own = q[at] as number;
      const row = order[i] as number;
      meanY += (own * (sumX[row] as number)) / rows;
      yt += own * (cross[row * n + c] as number);
      // X'X = H - l I
      yy += own * ((product[at] as number) - lambda * own);
    }
    const meanT = (sumT[c] as number) / rows;
    const centre = isShifted ? rows : 0;
    const varY = yy - centre * meanY * meanY;
    const cov = yt - centre * meanY * meanT;
    const varT = (sumTT[c] as number) - centre * meanT * meanT;
    const ratio = cov / varY;
    const isOwn = scale === undefined && varY > 1e-9 * yy && ratio > 0 && Number.isFinite(ratio);
    const a = isOwn ? ratio : 1;
    covs += cov;
    vars += varY;
    if (isShifted) shift[c] = meanT - a * meanY;
    lost += Math.max(0, varT - 2 * a * cov + a * a * varY);
    total += varT;
    for (let at = c; at < scales.length; at += n) out[at] = a * (scales[at] as number);
  }
  const joint = covs / vars;
  const ratio = scale !== undefined && joint > 0 && Number.isFinite(joint) ? joint : 1;
  return { scales: out, shift, lost, total, ratio, error: total > 0 ? lost / total : 0 };
}
