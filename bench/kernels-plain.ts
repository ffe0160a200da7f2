// The same jobs as the kernels, to the same bytes, in plain JavaScript as one would write it with care: no allocation in
// loops, one pass for each thing that needs one. Rounding half to even by adding 1.5 * 2^52 is the fastest way there is.

const ROUND = 1.5 * 2 ** 52;

/** Packed signs and the mean magnitude of every column of a `[rows, columns]` matrix. */
export function plainSign(
  weights: Float32Array,
  columns: number,
): { codes: Uint8Array; scales: Float32Array } {
  const codes = new Uint8Array(Math.ceil(weights.length / 8));
  const sums = new Float64Array(columns);
  const rows = weights.length / columns;
  for (let row = 0, i = 0; row < rows; row++) {
    for (let c = 0; c < columns; c++, i++) {
      const w = weights[i]!;
      sums[c]! += Math.abs(w);
      if (w > 0) codes[i >> 3]! |= 1 << (i & 7);
    }
  }
  return { codes, scales: Float32Array.from(sums, (sum) => sum / rows) };
}

/** Packed int4 codes and the scale of every column. */
export function plainInt4(
  weights: Float32Array,
  columns: number,
): { codes: Uint8Array; scales: Float32Array } {
  const codes = new Uint8Array(Math.ceil(weights.length / 2));
  const max = new Float32Array(columns);
  const rows = weights.length / columns;
  for (let row = 0, i = 0; row < rows; row++) {
    for (let c = 0; c < columns; c++, i++) {
      const w = Math.abs(weights[i]!);
      if (w > max[c]!) max[c] = w;
    }
  }
  const inverses = max.map((m) => (m === 0 ? 0 : 7 / m));
  for (let row = 0, i = 0; row < rows; row++) {
    for (let c = 0; c < columns; c++, i++) {
      const x = Math.fround(weights[i]! * inverses[c]!);
      const q = Math.min(7, Math.max(-8, x + ROUND - ROUND));
      codes[i >> 1]! |= (q & 15) << (4 * (i & 1));
    }
  }
  return { codes, scales: max.map((m) => m / 7) };
}

/** Packed int2 codes for the scale of every column. */
export function plainInt2(weights: Float32Array, scales: Float32Array): Uint8Array {
  const codes = new Uint8Array(Math.ceil(weights.length / 4));
  const columns = scales.length;
  const inverses = scales.map((scale) => 1 / scale);
  for (let i = 0, c = 0; i < weights.length; i++) {
    const x = Math.fround(weights[i]! * inverses[c]!);
    const q = Math.min(1, Math.max(-2, Math.floor(x)));
    codes[i >> 2]! |= (q & 3) << (2 * (i & 3));
    if (++c === columns) c = 0;
  }
  return codes;
}

/** Values of packed int2 codes, a scale for every column. */
export function plainUnpackInt2(codes: Uint8Array, scales: Float32Array, out: Float32Array): void {
  const columns = scales.length;
  for (let i = 0, c = 0; i < out.length; i++) {
    const q = (codes[i >> 2]! << (30 - 2 * (i & 3))) >> 30;
    out[i] = (q + 0.5) * scales[c]!;
    if (++c === columns) c = 0;
  }
}

/** Values of packed int4 codes, a scale for every column. */
export function plainUnpackInt4(codes: Uint8Array, scales: Float32Array, out: Float32Array): void {
  const columns = scales.length;
  for (let i = 0, c = 0; i < out.length; i++) {
    const q = (codes[i >> 1]! << (28 - 4 * (i & 1))) >> 28;
    out[i] = q * scales[c]!;
    if (++c === columns) c = 0;
  }
}
