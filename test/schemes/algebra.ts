import type { Algebra } from '../../src/schemes/fit/algebra.js';

/** `out += A' B`, `a` `[rows, k]`, `b` `[rows, n]`; zeros in `a` cost nothing. */
function transposedProduct(
  a: Float32Array,
  b: Float32Array,
  rows: number,
  k: number,
  n: number,
): Float32Array {
  const out = new Float32Array(k * n);
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < k; i++) {
      const x = a[row * k + i] as number;
      if (x === 0) continue;
      for (let c = 0; c < n; c++)
        out[i * n + c] = (out[i * n + c] as number) + x * (b[row * n + c] as number);
    }
  return out;
}

/** Plain JavaScript: about one billion multiply-adds a second. */
export const plainAlgebra: Algebra = {
  product(a, b, m, k, n) {
    const out = new Float32Array(m * n);
    for (let i = 0; i < m; i++)
      for (let j = 0; j < k; j++) {
        const x = a[i * k + j] as number;
        if (x === 0) continue;
        for (let c = 0; c < n; c++)
          out[i * n + c] = (out[i * n + c] as number) + x * (b[j * n + c] as number);
      }
    return out;
  },
  moments: (x, t, rows, k, n) => ({
    gram: transposedProduct(x, x, rows, k, k),
    cross: transposedProduct(x, t, rows, k, n),
  }),
};
