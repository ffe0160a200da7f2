// One half of a least-squares step: with the level l of each weight's code, the sums of f32(w l) and l^2.
//
//     4 bits: l = q = clamp(rne(f32(w * inverse)), -8, 7)      2 bits: l = q + 1/2, q = clamp(floor(f32(w * inverse)), -2, 1)
//
// Order of the sums as in stats.ts. Functions that take `bits` are inlined with a constant.

import { constant, HALF, HIGH, IOTA, lanesBelow, LOW, MINUS_TWO, ONE, ROUND, sum16, ZERO } from './lanes';
import { flushColumns, ROWS } from './stats';

/** Adding and subtracting 1.5 * 2^23 rounds x in [-8, 7] half to even: `shift` is that, or 1/2. */
// @ts-ignore: decorator
@inline
function level4(w: v128, inverse: v128, bits: i32, low: v128, high: v128, shift: v128): v128 {
  const x = f32x4.pmin(high, f32x4.pmax(low, f32x4.mul(w, inverse)));
  return bits == 4 ? f32x4.sub(f32x4.add(x, shift), shift) : f32x4.add(f32x4.floor(x), shift);
}

// @ts-ignore: decorator
@inline
function addRows(
  weights: usize, rows: usize, columns: usize, inverses: usize, levels: usize, squares: usize, bits: i32,
): void {
  const pitch = columns << 2;
  const low = constant(bits == 4 ? LOW : MINUS_TWO);
  const high = constant(bits == 4 ? HIGH : ONE);
  const shift = constant(bits == 4 ? ROUND : HALF);
  for (; rows >= 2; rows -= 2, weights += pitch << 1) {
    const w1 = weights + pitch;
    for (let c: usize = 0; c < pitch; c += 16) {
      const inverse = v128.load(inverses + c);
      const a = v128.load(weights + c);
      const b = v128.load(w1 + c);
      const p = level4(a, inverse, bits, low, high, shift);
      const q = level4(b, inverse, bits, low, high, shift);
      const sum = f32x4.add(v128.load(levels + c), f32x4.mul(a, p));
      v128.store(levels + c, f32x4.add(sum, f32x4.mul(b, q)));
      const square = f32x4.add(v128.load(squares + c), f32x4.mul(p, p));
      v128.store(squares + c, f32x4.add(square, f32x4.mul(q, q)));
    }
  }
  if (rows > 0) {
    for (let c: usize = 0; c < pitch; c += 16) {
      const a = v128.load(weights + c);
      const p = level4(a, v128.load(inverses + c), bits, low, high, shift);
      v128.store(levels + c, f32x4.add(v128.load(levels + c), f32x4.mul(a, p)));
      v128.store(squares + c, f32x4.add(v128.load(squares + c), f32x4.mul(p, p)));
    }
  }
}

// @ts-ignore: decorator
@inline
function projectColumns(
  weights: usize, rows: usize, columns: usize, inverses: usize, partials: usize, totals: usize, row: usize, last: bool,
  bits: i32,
): void {
  const padded = (columns + 3) & ~3;
  const squares = partials + (padded << 2);
  const end = row + rows;
  while (row < end) {
    const next = min(end, (row & ~(ROWS - 1)) + ROWS);
    addRows(weights, next - row, columns, inverses, partials, squares, bits);
    weights += ((next - row) * columns) << 2;
    if ((next & (ROWS - 1)) == 0 || (last && next == end)) flushColumns(partials, totals, padded << 1);
    row = next;
  }
}

/**
 * As absSumColumns of stats.ts, for two sums.
 *
 * @param inverses column vector from extendColumns
 * @param partials two float32 vectors (w l, then l^2) of `columns` rounded up to 4
 * @param totals two float64 vectors of that length
 */
export function projectInt4Columns(
  weights: usize, rows: usize, columns: usize, inverses: usize, partials: usize, totals: usize, row: usize, last: bool,
): void {
  projectColumns(weights, rows, columns, inverses, partials, totals, row, last, 4);
}

/** As projectInt4Columns, for the levels of 2 bits. */
export function projectInt2Columns(
  weights: usize, rows: usize, columns: usize, inverses: usize, partials: usize, totals: usize, row: usize, last: bool,
): void {
  projectColumns(weights, rows, columns, inverses, partials, totals, row, last, 2);
}

// @ts-ignore: decorator
@inline
function projectRuns(weights: usize, table: usize, entries: usize, sums: usize, bits: i32): void {
  const low = constant(bits == 4 ? LOW : MINUS_TWO);
  const high = constant(bits == 4 ? HIGH : ONE);
  const shift = constant(bits == 4 ? ROUND : HALF);
  const iota = v128.load(IOTA);
  for (const end = table + (entries << 3); table < end; table += 8, sums += 16) {
    const count: usize = load<u32>(table);
    const inverse = v128.load32_splat(table, 4);
    const stop = weights + (count << 2);
    let a = constant(ZERO), b = a, c = a, d = a;
    let e = a, f = a, g = a, h = a;
    for (let left = i32(count), p = weights; p < stop; p += 64, left -= 16) {
      const inA = lanesBelow(left, iota);
      const inB = lanesBelow(left - 4, iota);
      const inC = lanesBelow(left - 8, iota);
      const inD = lanesBelow(left - 12, iota);
      const w = v128.and(v128.load(p), inA);
      const x = v128.and(v128.load(p, 16), inB);
      const y = v128.and(v128.load(p, 32), inC);
      const z = v128.and(v128.load(p, 48), inD);
      let i = level4(w, inverse, bits, low, high, shift);
      let j = level4(x, inverse, bits, low, high, shift);
      let k = level4(y, inverse, bits, low, high, shift);
      let l = level4(z, inverse, bits, low, high, shift);
      if (bits == 2) { // the level of a weight 0 is not 0
        i = v128.and(i, inA);
        j = v128.and(j, inB);
        k = v128.and(k, inC);
        l = v128.and(l, inD);
      }
      a = f32x4.add(a, f32x4.mul(w, i));
      b = f32x4.add(b, f32x4.mul(x, j));
      c = f32x4.add(c, f32x4.mul(y, k));
      d = f32x4.add(d, f32x4.mul(z, l));
      e = f32x4.add(e, f32x4.mul(i, i));
      f = f32x4.add(f, f32x4.mul(j, j));
      g = f32x4.add(g, f32x4.mul(k, k));
      h = f32x4.add(h, f32x4.mul(l, l));
    }
    store<f64>(sums, sum16(a, b, c, d));
    store<f64>(sums, sum16(e, f, g, h), 8);
    weights = stop;
  }
}

/**
 * Sums of runs of at most 1024 elements. `table`: pairs (u32 length, f32 inverse); `sums`: pairs (w l, l^2) of float64.
 * Up to 60 bytes behind the last run are read.
 */
export function projectInt4Runs(weights: usize, table: usize, entries: usize, sums: usize): void {
  projectRuns(weights, table, entries, sums, 4);
}

/** As projectInt4Runs, for the levels of 2 bits. */
export function projectInt2Runs(weights: usize, table: usize, entries: usize, sums: usize): void {
  projectRuns(weights, table, entries, sums, 2);
}
