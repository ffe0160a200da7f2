// One half of a least-squares step: with q = clamp(rne(f32(w * inverse)), -8, 7), the sums of f32(w q) and q^2.
// Order of the sums as in stats.ts.

import { constant, HIGH, IOTA, lanesBelow, LOW, ROUND, sum16, ZERO } from './lanes';
import { flushColumns, ROWS } from './stats';

/** q as a float: adding and subtracting 1.5 * 2^23 rounds x in [-8, 7] half to even. */
// @ts-ignore: decorator
@inline
function float4(w: v128, inverse: v128, low: v128, high: v128, round: v128): v128 {
  const x = f32x4.pmin(high, f32x4.pmax(low, f32x4.mul(w, inverse)));
  return f32x4.sub(f32x4.add(x, round), round);
}

function addRows(weights: usize, rows: usize, columns: usize, inverses: usize, wq: usize, qq: usize): void {
  const pitch = columns << 2;
  const low = constant(LOW);
  const high = constant(HIGH);
  const round = constant(ROUND);
  for (; rows >= 2; rows -= 2, weights += pitch << 1) {
    const w1 = weights + pitch;
    for (let c: usize = 0; c < pitch; c += 16) {
      const inverse = v128.load(inverses + c);
      const a = v128.load(weights + c);
      const b = v128.load(w1 + c);
      const p = float4(a, inverse, low, high, round);
      const q = float4(b, inverse, low, high, round);
      const sum = f32x4.add(v128.load(wq + c), f32x4.mul(a, p));
      v128.store(wq + c, f32x4.add(sum, f32x4.mul(b, q)));
      const squares = f32x4.add(v128.load(qq + c), f32x4.mul(p, p));
      v128.store(qq + c, f32x4.add(squares, f32x4.mul(q, q)));
    }
  }
  if (rows > 0) {
    for (let c: usize = 0; c < pitch; c += 16) {
      const a = v128.load(weights + c);
      const p = float4(a, v128.load(inverses + c), low, high, round);
      v128.store(wq + c, f32x4.add(v128.load(wq + c), f32x4.mul(a, p)));
      v128.store(qq + c, f32x4.add(v128.load(qq + c), f32x4.mul(p, p)));
    }
  }
}

/**
 * As absSumColumns of stats.ts, for two sums.
 *
 * @param inverses column vector from extendColumns
 * @param partials two float32 vectors (w q, then q^2) of `columns` rounded up to 4
 * @param totals two float64 vectors of that length
 */
export function projectColumns(
  weights: usize, rows: usize, columns: usize, inverses: usize, partials: usize, totals: usize, row: usize, last: bool,
): void {
  const padded = (columns + 3) & ~3;
  const qq = partials + (padded << 2);
  const end = row + rows;
  while (row < end) {
    const next = min(end, (row & ~(ROWS - 1)) + ROWS);
    addRows(weights, next - row, columns, inverses, partials, qq);
    weights += ((next - row) * columns) << 2;
    if ((next & (ROWS - 1)) == 0 || (last && next == end)) flushColumns(partials, totals, padded << 1);
    row = next;
  }
}

/**
 * Sums of runs of at most 1024 elements. `table`: pairs (u32 length, f32 inverse); `sums`: pairs (w q, q^2) of float64.
 * Up to 60 bytes behind the last run are read.
 */
export function projectRuns(weights: usize, table: usize, entries: usize, sums: usize): void {
  const low = constant(LOW);
  const high = constant(HIGH);
  const round = constant(ROUND);
  const iota = v128.load(IOTA);
  for (const end = table + (entries << 3); table < end; table += 8, sums += 16) {
    const count: usize = load<u32>(table);
    const inverse = v128.load32_splat(table, 4);
    const stop = weights + (count << 2);
    let a = constant(ZERO), b = a, c = a, d = a;
    let e = a, f = a, g = a, h = a;
    for (let left = i32(count), p = weights; p < stop; p += 64, left -= 16) {
      const w = v128.and(v128.load(p), lanesBelow(left, iota));
      const x = v128.and(v128.load(p, 16), lanesBelow(left - 4, iota));
      const y = v128.and(v128.load(p, 32), lanesBelow(left - 8, iota));
      const z = v128.and(v128.load(p, 48), lanesBelow(left - 12, iota));
      const i = float4(w, inverse, low, high, round);
      const j = float4(x, inverse, low, high, round);
      const k = float4(y, inverse, low, high, round);
      const l = float4(z, inverse, low, high, round);
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
