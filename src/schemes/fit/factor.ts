/**
 * Reversed Cholesky factor, `H = V V'` with `V` upper triangular, in place, float64. Row-major; only the upper triangle
 * of the result has a meaning.
 *
 *     V[j,j] = sqrt(H[j,j] - sum_{m>j} V[j,m]^2)
 *     V[i,j] = (H[i,j] - sum_{m>j} V[i,m] V[j,m]) / V[j,j],   i < j
 *
 * Both sums run along rows, so memory is read in order. `k^3 / 6` multiply-adds.
 *
 * @param h `[k, k]`, symmetric; the upper triangle is read
 * @returns the index of the first pivot that is not positive, or -1
 */
export function factorUpper(h: Float64Array, k: number): number {
  for (let j = k - 1; j >= 0; j--) {
    const rowJ = j * k;
    let pivot = h[rowJ + j] as number;
    for (let m = j + 1; m < k; m++) {
      const v = h[rowJ + m] as number;
      pivot -= v * v;
    }
    if (!(pivot > 0)) return j;
    const root = Math.sqrt(pivot);
    h[rowJ + j] = root;
    for (let i = 0; i < j; i++) {
      const rowI = i * k;
      let sum = h[rowI + j] as number;
      for (let m = j + 1; m < k; m++) sum -= (h[rowI + m] as number) * (h[rowJ + m] as number);
      h[rowI + j] = sum / root;
    }
  }
  return -1;
}

/** Adds `factor * source[from .. from + n)` to `target[to .. to + n)`. */
export function axpy(
  target: Float64Array,
  to: number,
  factor: number,
  source: Float64Array,
  from: number,
  n: number,
): void {
  for (let i = 0; i < n; i++)
    target[to + i] = (target[to + i] as number) + factor * (source[from + i] as number);
}

/**
 * Solves `V V' X = B` in place of `b`.
 *
 * @param v from {@link factorUpper}
 * @param b `[k, n]`
 */
export function solveUpper(v: Float64Array, k: number, b: Float64Array, n: number): void {
  for (let i = k - 1; i >= 0; i--) {
    for (let m = i + 1; m < k; m++) axpy(b, i * n, -(v[i * k + m] as number), b, m * n, n);
    scale(b, i * n, 1 / (v[i * k + i] as number), n);
  }
  for (let i = 0; i < k; i++) {
    scale(b, i * n, 1 / (v[i * k + i] as number), n);
    for (let m = i + 1; m < k; m++) axpy(b, m * n, -(v[i * k + m] as number), b, i * n, n);
  }
}

function scale(b: Float64Array, at: number, factor: number, n: number): void {
  for (let i = at; i < at + n; i++) b[i] = (b[i] as number) * factor;
}
