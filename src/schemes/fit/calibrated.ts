import { type Grid, topOf } from '../grids.js';
import type { SchemeName } from '../types.js';
import type { Algebra } from './algebra.js';
import { descend, rescale } from './descend.js';
import { factorUpper, solveUpper } from './factor.js';
import { type Codebook, gptq, levelOf } from './gptq.js';

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
  algebra: Algebra,
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
  const order = Array.from({ length: k }, (_, i) => i).sort(
    (a, b) => (gram[b * k + b] as number) - (gram[a * k + a] as number) || a - b,
  );
  const lambda = (ridge * trace) / k;
  const h = new Float64Array(k * k);
  const b = new Float64Array(k * n);
  order.forEach((from, i) => {
    order.forEach((column, j) => {
      h[i * k + j] = gram[from * k + column] as number;
    });
    h[i * k + i] = (h[i * k + i] as number) + lambda;
    for (let c = 0; c < n; c++)
      b[i * n + c] = (cross[from * n + c] as number) + lambda * (weights[from * n + c] as number);
  });
  const v = h.slice();
  if (factorUpper(v, k) >= 0) return undefined;
  const w = b.slice();
  solveUpper(v, k, w, n);
  const groups = Math.ceil(k / groupRows);
  const groupOf = Uint32Array.from(order, (row) => Math.floor(row / groupRows));
  const diagonal = Float64Array.from({ length: k }, (_, i) => h[i * k + i] as number);
  const scales = firstScales(w, diagonal, n, groups, groupOf, scheme, grid);
  const book: Codebook = { grid, groupOf, scales };
  const single = Float32Array.from(h);
  const best = new Best(k, n, groups);
  for (let round = 0; round < rounds; round++) {
    const levels = gptq(v, k, w, n, book);
    const products = () => productsOf(algebra, single, levels, k, n, book, groups);
    let residuals = residualsOf(b, products(), n, book);
    for (let turn = 0; turn < TURNS; turn++) {
      descendAll(single, diagonal, residuals, levels, n, book, sweeps);
      const own = products();
      residuals = residualsOf(b, own, n, book);
      rescale(own, residuals, levels, n, book);
    }
    best.take(w, residuals, levels, book);
  }
  const levels = new Uint8Array(k * n);
  order.forEach((row, i) => {
    levels.set(best.levels.subarray(i * n, (i + 1) * n), row * n);
  });
  return {
    levels,
    deadInputs,
    ...refit(algebra, moments, levels, best.scales, groupRows, grid, options.shift !== false),
  };
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

  take(
    w: Float64Array,
    residuals: Float64Array,
    levels: Uint8Array,
    { grid, groupOf, scales }: Codebook,
  ): void {
    const { k, n, groups } = this;
    const errors = new Float64Array(n);
    for (let i = 0, at = 0; i < k; i++)
      for (let c = 0; c < n; c++, at++) {
        const q = (scales[(groupOf[i] as number) * n + c] as number) * gridValue(grid, levels[at] as number);
        errors[c] = (errors[c] as number) + ((w[at] as number) - q) * (residuals[at] as number);
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

/** `H[:, g] q_g` of every group. */
function productsOf(
  algebra: Algebra,
  h: Float32Array,
  levels: Uint8Array,
  k: number,
  n: number,
  { grid, groupOf }: Codebook,
  groups: number,
): Float32Array[] {
  return Array.from({ length: groups }, (_, group) => {
    const q = new Float32Array(k * n);
    for (let i = 0, at = 0; i < k; i++)
      for (let c = 0; c < n; c++, at++)
        if (groupOf[i] === group) q[at] = gridValue(grid, levels[at] as number);
    return algebra.product(h, q, k, k, n);
  });
}

/** `H (w - q) = B - sum_g s_g H[:, g] q_g`. */
function residualsOf(
  b: Float64Array,
  products: readonly Float32Array[],
  n: number,
  { scales }: Codebook,
): Float64Array {
  const residuals = b.slice();
  for (const [group, product] of products.entries())
    for (let at = 0; at < b.length; at++)
      residuals[at] =
        (residuals[at] as number) - (scales[group * n + (at % n)] as number) * (product[at] as number);
  return residuals;
}

function descendAll(
  h: Float32Array,
  diagonal: Float64Array,
  residuals: Float64Array,
  levels: Uint8Array,
  n: number,
  book: Codebook,
  sweeps: number,
): void {
  const k = diagonal.length;
  const residual = new Float64Array(k);
  const own = new Uint8Array(k);
  for (let c = 0; c < n; c++) {
    for (let i = 0; i < k; i++) {
      residual[i] = residuals[i * n + c] as number;
      own[i] = levels[i * n + c] as number;
    }
    if (descend(h, diagonal, residual, own, c, n, book, sweeps) === 0) continue;
    for (let i = 0; i < k; i++) levels[i * n + c] = own[i] as number;
  }
}

/** Clips that are tried, as shares of the largest weight. */
const CLIPS = Array.from({ length: 31 }, (_, i) => 0.25 + 0.025 * i);

function firstScales(
  w: Float64Array,
  diagonal: Float64Array,
  n: number,
  groups: number,
  groupOf: Uint32Array,
  scheme: SchemeName,
  grid: Grid,
): Float64Array {
  const rowsOf: number[][] = Array.from({ length: groups }, () => []);
  for (const [i, group] of groupOf.entries()) rowsOf[group]?.push(i);
  const scales = new Float64Array(groups * n);
  rowsOf.forEach((rows, g) => {
    for (let c = 0; c < n; c++) {
      const own = rows.map((i) => w[i * n + c] as number);
      const sum = own.reduce((total, x) => total + Math.abs(x), 0);
      if (scheme === 'binary') {
        scales[g * n + c] = sum / rows.length;
        continue;
      }
      const max = own.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      let least = Number.POSITIVE_INFINITY;
      for (const clip of CLIPS) {
        const s = (clip * max) / topOf(scheme);
        let error = 0;
        own.forEach((x, i) => {
          const lost = x - s * (grid.offset + grid.step * levelOf(grid, x, s));
          error += (diagonal[rows[i] as number] as number) * lost * lost;
        });
        if (error < least) {
          least = error;
          scales[g * n + c] = s;
        }
      }
    }
  });
  return scales;
}

/** `T ~ a Y + c`, `Y = X Q`, by the centred moments; a channel whose `Y` is constant keeps `a = 1`. */
function refit(
  algebra: Algebra,
  moments: Moments,
  levels: Uint8Array,
  scales: Float64Array,
  groupRows: number,
  grid: Grid,
  isShifted: boolean,
) {
  const { k, n, rows, gram, cross, sumX, sumT, sumTT } = moments;
  const out = new Float32Array(scales.length);
  const shift = new Float64Array(n);
  const q = new Float32Array(k * n);
  for (let i = 0, at = 0; i < k; i++)
    for (let c = 0; c < n; c++, at++)
      q[at] = (scales[Math.floor(i / groupRows) * n + c] as number) * gridValue(grid, levels[at] as number);
  const product = algebra.product(Float32Array.from(gram), q, k, k, n);
  let lost = 0;
  let total = 0;
  for (let c = 0; c < n; c++) {
    let meanY = 0;
    let yt = 0;
    let yy = 0;
    for (let i = 0, at = c; i < k; i++, at += n) {
      meanY += ((q[at] as number) * (sumX[i] as number)) / rows;
      yt += (q[at] as number) * (cross[at] as number);
      yy += (q[at] as number) * (product[at] as number);
    }
    const meanT = (sumT[c] as number) / rows;
    const centre = isShifted ? rows : 0;
    const varY = yy - centre * meanY * meanY;
    const cov = yt - centre * meanY * meanT;
    const varT = (sumTT[c] as number) - centre * meanT * meanT;
    const ratio = cov / varY;
    const a = varY > 1e-9 * yy && ratio > 0 && Number.isFinite(ratio) ? ratio : 1;
    if (isShifted) shift[c] = meanT - a * meanY;
    lost += Math.max(0, varT - 2 * a * cov + a * a * varY);
    total += varT;
    for (let g = 0; g * groupRows < k; g++) out[g * n + c] = a * (scales[g * n + c] as number);
  }
  return { scales: out, shift, error: total > 0 ? lost / total : 0 };
}
