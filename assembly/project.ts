// One half of a least-squares step: with q = clamp(rne(f32(w * inverse)), -8, 7), the sums of f32(w q) and q^2.
// Order of the sums as in stats.ts.

import { sum16 } from './lanes';
import { flushColumns, lanesBelow } from './stats';

const ROWS: usize = 64;

/** 1.5 * 2^23: adding and subtracting it rounds x in [-8, 7] half to even. */
const ROUND: f32 = 12582912;

/** q as a float. */
// @ts-ignore: decorator
@inline
function float4(w: v128, inverse: v128): v128 {
  let x = f32x4.pmax(f32x4.splat(-8), f32x4.mul(w, inverse));
  x = f32x4.add(f32x4.pmin(f32x4.splat(7), x), f32x4.splat(ROUND));
  return f32x4.sub(x, f32x4.splat(ROUND));
}

function addRows(weights: usize, rows: usize, columns: usize, inverses: usize, wq: usize, qq: usize): void {
  const pitch = columns << 2;
  for (; rows >= 2; rows -= 2, weights += pitch << 1) {
    const w1 = weights + pitch;
    for (let c: usize = 0; c < pitch; c += 16) {
      const inverse = v128.load(inverses + c);
      const a = v128.load(weights + c);
      const b = v128.load(w1 + c);
      const p = float4(a, inverse);
      const q = float4(b, inverse);
      const sum = f32x4.add(v128.load(wq + c), f32x4.mul(a, p));
      v128.store(wq + c, f32x4.add(sum, f32x4.mul(b, q)));
      const squares = f32x4.add(v128.load(qq + c), f32x4.mul(p, p));
      v128.store(qq + c, f32x4.add(squares, f32x4.mul(q, q)));
    }
  }
  if (rows > 0) {
    for (let c: usize = 0; c < pitch; c += 16) {
      const a = v128.load(weights + c);
      const p = float4(a, v128.load(inverses + c));
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
  for (const end = table + (entries << 3); table < end; table += 8, sums += 16) {
    const count: usize = load<u32>(table);
    const inverse = v128.load32_splat(table, 4);
    const stop = weights + (count << 2);
    let a = f32x4.splat(0), b = a, c = a, d = a;
    let e = a, f = a, g = a, h = a;
    let left = i32(count);
    for (let p = weights; p < stop; p += 64, left -= 16) {
      let w = v128.load(p);
      let x = v128.load(p, 16);
      let y = v128.load(p, 32);
      let z = v128.load(p, 48);
      if (left < 16) {
        w = v128.and(w, lanesBelow(left));
        x = v128.and(x, lanesBelow(left - 4));
        y = v128.and(y, lanesBelow(left - 8));
        z = v128.and(z, lanesBelow(left - 12));
      }
      const i = float4(w, inverse);
      const j = float4(x, inverse);
      const k = float4(y, inverse);
      const l = float4(z, inverse);
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
