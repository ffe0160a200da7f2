// Products of matrices for calibration: build/linalg.wasm. Row-major; strides in bytes, counts in elements.

import { high } from './lanes';

export { arenaBase, bitnibbleAbi } from './module';

/**
 * Products of eight columns of one matrix with the columns of another: `out[i, j] = sum_r a[r, i] b[r, j]`, float32 sums in
 * the order of the rows, widened at the end.
 *
 *     a       one strip: rows of 8 floats           out   8 rows of float64
 *     b       `strips` strips, one after the other
 *
 *     acc[i][0..7] += splat(a[r, i]) * b[r, 0..7]   four rows i at a time: 8 vectors of sums, 2 of b, 1 of a
 */
export function crossStrip(a: usize, b: usize, rows: usize, strips: usize, out: usize, stride: usize): void {
  const end = b + strips * (rows << 5);
  for (let strip = b; strip < end; strip += rows << 5, out += 64) {
    cross4(a, strip, rows, out, stride);
    cross4(a + 16, strip, rows, out + (stride << 2), stride);
  }
}

// @ts-ignore: decorator
@inline
function cross4(a: usize, b: usize, rows: usize, out: usize, stride: usize): void {
  let p0 = f32x4.splat(0);
  let q0 = p0;
  let p1 = p0;
  let q1 = p0;
  let p2 = p0;
  let q2 = p0;
  let p3 = p0;
  let q3 = p0;
  for (const end = a + (rows << 5); a < end; a += 32, b += 32) {
    const left = v128.load(b);
    const right = v128.load(b, 16);
    const x0 = v128.load32_splat(a);
    p0 = f32x4.add(p0, f32x4.mul(x0, left));
    q0 = f32x4.add(q0, f32x4.mul(x0, right));
    const x1 = v128.load32_splat(a, 4);
    p1 = f32x4.add(p1, f32x4.mul(x1, left));
    q1 = f32x4.add(q1, f32x4.mul(x1, right));
    const x2 = v128.load32_splat(a, 8);
    p2 = f32x4.add(p2, f32x4.mul(x2, left));
    q2 = f32x4.add(q2, f32x4.mul(x2, right));
    const x3 = v128.load32_splat(a, 12);
    p3 = f32x4.add(p3, f32x4.mul(x3, left));
    q3 = f32x4.add(q3, f32x4.mul(x3, right));
  }
  widen(out, p0, q0);
  widen(out + stride, p1, q1);
  widen(out + (stride << 1), p2, q2);
  widen(out + 3 * stride, p3, q3);
}

// @ts-ignore: decorator
@inline
function widen(out: usize, p: v128, q: v128): void {
  v128.store(out, f64x2.promote_low_f32x4(p));
  v128.store(out, f64x2.promote_low_f32x4(high(p)), 16);
  v128.store(out, f64x2.promote_low_f32x4(q), 32);
  v128.store(out, f64x2.promote_low_f32x4(high(q)), 48);
}

/** Bytes of a packed tile of 64 x 64. */
const TILE_BYTES: usize = 64 * 64 * 8;

/**
 * `C[r, c] -= sum_d A[r, d] B[d, c]`, float64, the sum in the order of d. At most 64 rows and 64 deep, any number of columns;
 * memory behind C's last column is written with what it holds, up to a multiple of four columns.
 *
 * A is packed to fours of rows, B to fours of columns (zeros behind the edges), so that both are read in order:
 *
 *     acc[r][0..3] += splat(A[r, d]) * B[d, 0..3]   four rows r at a time: 8 vectors of sums, 2 of B, 1 of A
 *
 * @param scratch 34 KiB
 */
export function subtractProduct(
  c: usize,
  strideC: usize,
  a: usize,
  rowA: usize,
  depthA: usize,
  b: usize,
  depthB: usize,
  columnB: usize,
  rows: usize,
  columns: usize,
  depth: usize,
  scratch: usize,
): void {
  let p = scratch;
  for (let r: usize = 0; r < rows; r += 4) {
    for (let d: usize = 0; d < depth; d++, p += 32) four(p, a + r * rowA + d * depthA, rowA, rows - r);
  }
  const strip = scratch + TILE_BYTES;
  const bytes = depth << 5;
  for (let j: usize = 0; j < columns; j += 4) {
    for (let d: usize = 0; d < depth; d++)
      four(strip + (d << 5), b + d * depthB + j * columnB, columnB, columns - j);
    p = scratch;
    for (let r: usize = 0; r < rows; r += 4, p += bytes)
      subtract4(c + r * strideC + (j << 3), strideC, p, strip, bytes, rows - r);
  }
}

/** Four elements that lie `stride` bytes apart, zeros from `left` on. */
// @ts-ignore: decorator
@inline
function four(to: usize, from: usize, stride: usize, left: usize): void {
  store<f64>(to, load<f64>(from));
  store<f64>(to, left > 1 ? load<f64>(from + stride) : 0, 8);
  store<f64>(to, left > 2 ? load<f64>(from + (stride << 1)) : 0, 16);
  store<f64>(to, left > 3 ? load<f64>(from + 3 * stride) : 0, 24);
}

// @ts-ignore: decorator
@inline
function subtract4(c: usize, stride: usize, a: usize, b: usize, bytes: usize, rows: usize): void {
  let p0 = f64x2.splat(0);
  let q0 = p0;
  let p1 = p0;
  let q1 = p0;
  let p2 = p0;
  let q2 = p0;
  let p3 = p0;
  let q3 = p0;
  for (const end = a + bytes; a < end; a += 32, b += 32) {
    const left = v128.load(b);
    const right = v128.load(b, 16);
    const x0 = v128.load64_splat(a);
    p0 = f64x2.add(p0, f64x2.mul(x0, left));
    q0 = f64x2.add(q0, f64x2.mul(x0, right));
    const x1 = v128.load64_splat(a, 8);
    p1 = f64x2.add(p1, f64x2.mul(x1, left));
    q1 = f64x2.add(q1, f64x2.mul(x1, right));
    const x2 = v128.load64_splat(a, 16);
    p2 = f64x2.add(p2, f64x2.mul(x2, left));
    q2 = f64x2.add(q2, f64x2.mul(x2, right));
    const x3 = v128.load64_splat(a, 24);
    p3 = f64x2.add(p3, f64x2.mul(x3, left));
    q3 = f64x2.add(q3, f64x2.mul(x3, right));
  }
  subtractRow(c, p0, q0);
  if (rows > 1) subtractRow(c + stride, p1, q1);
  if (rows > 2) subtractRow(c + (stride << 1), p2, q2);
  if (rows > 3) subtractRow(c + 3 * stride, p3, q3);
}

// @ts-ignore: decorator
@inline
function subtractRow(c: usize, p: v128, q: v128): void {
  v128.store(c, f64x2.sub(v128.load(c), p));
  v128.store(c, f64x2.sub(v128.load(c, 16), q), 16);
}

/** `y[i] -= factor * x[i]`: y float64, x float32. */
export function subtractScaled(y: usize, factor: f64, x: usize, n: usize): void {
  const f = f64x2.splat(factor);
  const fours = y + ((n & ~3) << 3);
  for (; y < fours; y += 32, x += 16) {
    const v = v128.load(x);
    v128.store(y, f64x2.sub(v128.load(y), f64x2.mul(f, f64x2.promote_low_f32x4(v))));
    v128.store(y, f64x2.sub(v128.load(y, 16), f64x2.mul(f, f64x2.promote_low_f32x4(high(v)))), 16);
  }
  for (const end = y + ((n & 3) << 3); y < end; y += 8, x += 4)
    store<f64>(y, load<f64>(y) - factor * <f64>load<f32>(x));
}
