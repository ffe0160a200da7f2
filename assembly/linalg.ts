// Products of matrices for calibration: build/linalg.wasm. Row-major; strides in bytes, counts in elements.

import { high } from './lanes';

export { arenaBase, bitnibbleAbi } from './module';

/**
 * Products of eight columns of one matrix with the columns of another: `out[i, j] += sum_r a[r, i] b[r, j]`, float32 sums in
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

/** Copies `strips` strips of eight columns of float32 rows of `stride` bytes: `[strip][row][8]`. */
export function packStrips(from: usize, stride: usize, rows: usize, strips: usize, to: usize): void {
  for (const end = from + (strips << 5); from < end; from += 32) {
    let at = from;
    for (const last = to + (rows << 5); to < last; to += 32, at += stride) {
      v128.store(to, v128.load(at));
      v128.store(to, v128.load(at, 16), 16);
    }
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
  add2(out, p);
  add2(out + 16, high(p));
  add2(out + 32, q);
  add2(out + 48, high(q));
}

// @ts-ignore: decorator
@inline
function add2(out: usize, p: v128): void {
  v128.store(out, f64x2.add(v128.load(out), f64x2.promote_low_f32x4(p)));
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

/**
 * Input of a convolution by 3 x 3, as Winograd's F(4 x 4, 3 x 3) multiplies it: `B' d B` of every tile `d` of 6 x 6 of a strip of six
 * rows, tiles four columns apart, each channel by itself, four channels at a time (Lavin and Gray 2016, section 4.1).
 *
 *          4  0 -5  0  1  0
 *          0 -4 -4  1  1  0
 *     B' = 0  4 -4 -1  1  0        columns first, then rows, by way of 36 vectors on the side
 *          0 -2 -1  2  1  0
 *          0  2 -1 -2  1  0
 *          0  4  0 -5  0  1
 *
 * @param from rows of `stride` bytes, `[column][channels]` @param channels a multiple of four @param to 36 planes of `[tile][channels]`
 */
export function winogradInput(
  from: usize,
  stride: usize,
  tiles: usize,
  channels: usize,
  to: usize,
  plane: usize,
): void {
  const pixel = channels << 2;
  for (let tile: usize = 0; tile < tiles; tile++, from += pixel << 2, to += pixel) {
    for (let c: usize = 0; c < pixel; c += 16) {
      for (let j: usize = 0; j < 6; j++) six(from + j * pixel + c, stride, SIDE + (j << 4), 96);
      for (let i: usize = 0; i < 6; i++) six(SIDE + i * 96, 16, to + i * 6 * plane + c, plane);
    }
  }
}

/** 6 x 6 vectors. */
const SIDE: usize = memory.data(576, 16);

// @ts-ignore: decorator
@inline
function six(from: usize, by: usize, to: usize, step: usize): void {
  const d1 = v128.load(from + by);
  const d2 = v128.load(from + 2 * by);
  const d3 = v128.load(from + 3 * by);
  const d4 = v128.load(from + 4 * by);
  const four = f32x4.splat(4);
  const five = f32x4.splat(5);
  v128.store(to, f32x4.add(f32x4.sub(f32x4.mul(four, v128.load(from)), f32x4.mul(five, d2)), d4));
  const a = f32x4.sub(d4, f32x4.mul(four, d2));
  const b = f32x4.sub(d3, f32x4.mul(four, d1));
  v128.store(to + step, f32x4.add(a, b));
  v128.store(to + 2 * step, f32x4.sub(a, b));
  const c = f32x4.sub(d4, d2);
  const d = f32x4.sub(d3, d1);
  const e = f32x4.add(d, d);
  v128.store(to + 3 * step, f32x4.add(c, e));
  v128.store(to + 4 * step, f32x4.sub(c, e));
  const last = f32x4.sub(f32x4.mul(four, d1), f32x4.mul(five, d3));
  v128.store(to + 5 * step, f32x4.add(last, v128.load(from + 5 * by)));
}

/**
 * Products of 36 planes, `m[tile, k] = sum_c v[tile, c] u[c, k]`, float32, in the order of the channels.
 *
 *     acc[tile][0..7] += splat(v[tile, c]) * u[c, 0..7]    four tiles at a time: 8 vectors of sums, 2 of u, 1 of v
 *
 * @param v planes of `[tile][channels]` @param u planes of strips of eight outputs, `[strip][channels][8]`
 * @param m planes of `[tile][outputs]` @param tiles a multiple of four
 */
export function winogradProduct(
  v: usize,
  u: usize,
  m: usize,
  tiles: usize,
  channels: usize,
  outputs: usize,
): void {
  const pixel = channels << 2;
  const row = outputs << 2;
  for (let f = 0; f < 36; f++, v += tiles * pixel, m += tiles * row) {
    for (let strip: usize = 0; strip < row; strip += 32, u += pixel << 3) {
      let a = v;
      let to = m + strip;
      for (const end = v + tiles * pixel; a < end; a += pixel << 2, to += row << 2)
        product4(a, pixel, u, to, row);
    }
  }
}

// @ts-ignore: decorator
@inline
function product4(a: usize, stride: usize, b: usize, out: usize, row: usize): void {
  let p0 = f32x4.splat(0);
  let q0 = p0;
  let p1 = p0;
  let q1 = p0;
  let p2 = p0;
  let q2 = p0;
  let p3 = p0;
  let q3 = p0;
  const a1 = a + stride;
  const a2 = a1 + stride;
  const a3 = a2 + stride;
  for (let c: usize = 0; c < stride; c += 4, b += 32) {
    const left = v128.load(b);
    const right = v128.load(b, 16);
    const x0 = v128.load32_splat(a + c);
    p0 = f32x4.add(p0, f32x4.mul(x0, left));
    q0 = f32x4.add(q0, f32x4.mul(x0, right));
    const x1 = v128.load32_splat(a1 + c);
    p1 = f32x4.add(p1, f32x4.mul(x1, left));
    q1 = f32x4.add(q1, f32x4.mul(x1, right));
    const x2 = v128.load32_splat(a2 + c);
    p2 = f32x4.add(p2, f32x4.mul(x2, left));
    q2 = f32x4.add(q2, f32x4.mul(x2, right));
    const x3 = v128.load32_splat(a3 + c);
    p3 = f32x4.add(p3, f32x4.mul(x3, left));
    q3 = f32x4.add(q3, f32x4.mul(x3, right));
  }
  v128.store(out, p0);
  v128.store(out, q0, 16);
  v128.store(out + row, p1);
  v128.store(out + row, q1, 16);
  v128.store(out + 2 * row, p2);
  v128.store(out + 2 * row, q2, 16);
  v128.store(out + 3 * row, p3);
  v128.store(out + 3 * row, q3, 16);
}

/**
 * Outputs `A' m A` of a row of tiles, 4 x 4 each, with a bias for each output:
 *
 *          1  1  1  1  1  0
 *     A' = 0  1 -1  2 -2  0
 *          0  1  1  4  4  0
 *          0  1 -1  8 -8  1
 *
 * @param from 36 planes of `[tile][outputs]` @param to rows of `stride` bytes, `[column][outputs]`
 */
export function winogradOutput(
  from: usize,
  plane: usize,
  tiles: usize,
  outputs: usize,
  bias: usize,
  to: usize,
  stride: usize,
): void {
  const pixel = outputs << 2;
  for (let tile: usize = 0; tile < tiles; tile++, from += pixel, to += pixel << 2) {
    for (let c: usize = 0; c < pixel; c += 16) {
      const zero = f32x4.splat(0);
      for (let j: usize = 0; j < 6; j++) sixToFour(from + j * plane + c, 6 * plane, SIDE + (j << 4), 96, zero);
      const own = v128.load(bias + c);
      for (let i: usize = 0; i < 4; i++) sixToFour(SIDE + i * 96, 16, to + i * stride + c, pixel, own);
    }
  }
}

// @ts-ignore: decorator
@inline
function sixToFour(from: usize, by: usize, to: usize, step: usize, bias: v128): void {
  const m1 = v128.load(from + by);
  const m2 = v128.load(from + 2 * by);
  const m3 = v128.load(from + 3 * by);
  const m4 = v128.load(from + 4 * by);
  const p = f32x4.add(m1, m2);
  const q = f32x4.sub(m1, m2);
  const r = f32x4.add(m3, m4);
  const s = f32x4.sub(m3, m4);
  v128.store(to, f32x4.add(f32x4.add(f32x4.add(v128.load(from), p), r), bias));
  v128.store(to + step, f32x4.add(f32x4.add(q, f32x4.add(s, s)), bias));
  v128.store(to + 2 * step, f32x4.add(f32x4.add(p, f32x4.mul(f32x4.splat(4), r)), bias));
  const last = f32x4.add(f32x4.add(q, f32x4.mul(f32x4.splat(8), s)), v128.load(from + 5 * by));
  v128.store(to + 3 * step, f32x4.add(last, bias));
}
