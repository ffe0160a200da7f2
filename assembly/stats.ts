// Statistics of blocks. Two ways through memory, as in the other kernels:
//
// - columns: a tile of rows of `columns` floats; results lie in column vectors. Rows are read four columns at a time;
//   the last vector of a row may reach into the next one (or 12 bytes behind the tile): its spare lanes land
//   in the spare lanes of the result, which nobody reads.
// - runs: consecutive elements of one block each, cut where the wrapper says; one result per table entry.
//
// The order of every sum is part of the result: docs/KERNELS.md, and src/kernels/reference.ts.

import { constant, high, IOTA, lanesBelow, MAGNITUDE, sum16, ZERO } from './lanes';

/** Rows whose float32 partial sum is then added to the float64 total. */
export const ROWS: usize = 64;

// @ts-ignore: decorator
@inline
function maxStep(p: usize, q: usize, r: usize, s: usize, max: usize, magnitude: v128): void {
  const a = i32x4.max_s(v128.and(v128.load(p), magnitude), v128.and(v128.load(q), magnitude));
  const b = i32x4.max_s(v128.and(v128.load(r), magnitude), v128.and(v128.load(s), magnitude));
  v128.store(max, i32x4.max_s(v128.load(max), i32x4.max_s(a, b)));
}

/** `max[c] = max(max[c], |w|)` as integers: for magnitudes that is the order of floats, with NaN above infinity. */
export function absMaxColumns(weights: usize, rows: usize, columns: usize, max: usize): void {
  const pitch = columns << 2;
  const magnitude = constant(MAGNITUDE);
  // Rows of the four quarters at a time: see streamDistance in lanes.ts.
  const far = (rows >> 2) * pitch;
  for (const end = weights + far; weights < end; weights += pitch) {
    const w1 = weights + far;
    const w2 = w1 + far;
    const w3 = w2 + far;
    // Two vectors a step while they last: one lea for each row serves both.
    let c: usize = 0;
    for (; c + 32 <= pitch; c += 32) {
      maxStep(weights + c, w1 + c, w2 + c, w3 + c, max + c, magnitude);
      maxStep(weights + c + 16, w1 + c + 16, w2 + c + 16, w3 + c + 16, max + c + 16, magnitude);
    }
    for (; c < pitch; c += 16) maxStep(weights + c, w1 + c, w2 + c, w3 + c, max + c, magnitude);
  }
  weights += 3 * far;
  for (rows &= 3; rows > 0; rows--, weights += pitch) {
    for (let c: usize = 0; c < pitch; c += 16) {
      v128.store(max + c, i32x4.max_s(v128.load(max + c), v128.and(v128.load(weights + c), magnitude)));
    }
  }
}

// @ts-ignore: decorator
@inline
function absMaxRun(weights: usize, count: usize, magnitude: v128): f32 {
  let a = constant(ZERO);
  let b = a;
  let c = a;
  let d = a;
  const body = weights + ((count & ~15) << 2);
  const end = weights + (count << 2);
  for (; weights < body; weights += 64) {
    a = i32x4.max_s(a, v128.and(v128.load(weights), magnitude));
    b = i32x4.max_s(b, v128.and(v128.load(weights, 16), magnitude));
    c = i32x4.max_s(c, v128.and(v128.load(weights, 32), magnitude));
    d = i32x4.max_s(d, v128.and(v128.load(weights, 48), magnitude));
  }
  a = i32x4.max_s(i32x4.max_s(a, b), i32x4.max_s(c, d));
  for (; weights < end; weights += 4) a = i32x4.max_s(a, v128.and(v128.load32_splat(weights), magnitude));
  a = i32x4.max_s(a, high(a));
  return reinterpret<f32>(max(i32x4.extract_lane(a, 0), i32x4.extract_lane(a, 1)));
}

/** Writes `|w|max` of each run as the second half of its table entry (u32 length, f32). */
export function absMaxRuns(weights: usize, table: usize, entries: usize): void {
  const magnitude = constant(MAGNITUDE);
  for (const end = table + (entries << 3); table < end; table += 8) {
    const count: usize = load<u32>(table);
    store<f32>(table, absMaxRun(weights, count, magnitude), 4);
    weights += count << 2;
  }
}

/** `totals += partials; partials = 0` */
export function flushColumns(partials: usize, totals: usize, columns: usize): void {
  for (let c: usize = 0; c < columns << 2; c += 16) {
    const p = v128.load(partials + c);
    const t = totals + (c << 1);
    v128.store(t, f64x2.add(v128.load(t), f64x2.promote_low_f32x4(p)));
    v128.store(t, f64x2.add(v128.load(t, 16), f64x2.promote_low_f32x4(high(p))), 16);
    v128.store(partials + c, f32x4.splat(0));
  }
}

// @ts-ignore: decorator
@inline
function addStep(p: usize, q: usize, r: usize, s: usize, partials: usize, magnitude: v128): void {
  let a = f32x4.add(v128.load(partials), v128.and(v128.load(p), magnitude));
  a = f32x4.add(a, v128.and(v128.load(q), magnitude));
  a = f32x4.add(a, v128.and(v128.load(r), magnitude));
  v128.store(partials, f32x4.add(a, v128.and(v128.load(s), magnitude)));
}

/** `partials[c] += |w|`, row after row. */
function addRows(weights: usize, rows: usize, columns: usize, partials: usize): void {
  const pitch = columns << 2;
  const magnitude = constant(MAGNITUDE);
  for (; rows >= 4; rows -= 4, weights += pitch << 2) {
    const w1 = weights + pitch;
    const w2 = w1 + pitch;
    const w3 = w2 + pitch;
    let c: usize = 0;
    for (; c + 32 <= pitch; c += 32) {
      addStep(weights + c, w1 + c, w2 + c, w3 + c, partials + c, magnitude);
      addStep(weights + c + 16, w1 + c + 16, w2 + c + 16, w3 + c + 16, partials + c + 16, magnitude);
    }
    for (; c < pitch; c += 16) addStep(weights + c, w1 + c, w2 + c, w3 + c, partials + c, magnitude);
  }
  for (; rows > 0; rows--, weights += pitch) {
    for (let c: usize = 0; c < pitch; c += 16) {
      v128.store(partials + c, f32x4.add(v128.load(partials + c), v128.and(v128.load(weights + c), magnitude)));
    }
  }
}

/**
 * Adds |w| of `rows` rows of one block to its column sums; `row` of the block's rows are in them already.
 * Partials go to the totals after every 64 rows of the block, and after the last row where `last` is set.
 *
 * @param partials float32 vector of `columns` rounded up to 4, zero for row 0
 * @param totals float64 vector of the same length
 */
export function absSumColumns(
  weights: usize, rows: usize, columns: usize, partials: usize, totals: usize, row: usize, last: bool,
): void {
  const end = row + rows;
  while (row < end) {
    const next = min(end, (row & ~(ROWS - 1)) + ROWS);
    addRows(weights, next - row, columns, partials);
    weights += ((next - row) * columns) << 2;
    if ((next & (ROWS - 1)) == 0 || (last && next == end)) flushColumns(partials, totals, columns);
    row = next;
  }
}

/** Sum of |w| of at most 1024 elements: 16 float32 lanes, lane = index % 16, then {@link sum16}. */
// @ts-ignore: decorator
@inline
function absSumRun(weights: usize, count: usize, magnitude: v128): f64 {
  let a = constant(ZERO);
  let b = a;
  let c = a;
  let d = a;
  const body = weights + ((count & ~15) << 2);
  for (; weights < body; weights += 64) {
    a = f32x4.add(a, v128.and(v128.load(weights), magnitude));
    b = f32x4.add(b, v128.and(v128.load(weights, 16), magnitude));
    c = f32x4.add(c, v128.and(v128.load(weights, 32), magnitude));
    d = f32x4.add(d, v128.and(v128.load(weights, 48), magnitude));
  }
  const rest = i32(count & 15);
  if (rest) {
    const iota = v128.load(IOTA);
    a = f32x4.add(a, v128.and(v128.and(v128.load(weights), magnitude), lanesBelow(rest, iota)));
    b = f32x4.add(b, v128.and(v128.and(v128.load(weights, 16), magnitude), lanesBelow(rest - 4, iota)));
    c = f32x4.add(c, v128.and(v128.and(v128.load(weights, 32), magnitude), lanesBelow(rest - 8, iota)));
    d = f32x4.add(d, v128.and(v128.and(v128.load(weights, 48), magnitude), lanesBelow(rest - 12, iota)));
  }
  return sum16(a, b, c, d);
}

/** `sums[entry]` in float64. Runs are of at most 1024 elements; up to 60 bytes behind the last are read. */
export function absSumRuns(weights: usize, table: usize, entries: usize, sums: usize): void {
  const magnitude = constant(MAGNITUDE);
  for (const end = table + (entries << 3); table < end; table += 8, sums += 8) {
    const count: usize = load<u32>(table);
    store<f64>(sums, absSumRun(weights, count, magnitude));
    weights += count << 2;
  }
}

/**
 * Adds a tile to the signal, noise and largest squared error of decoded values, all in float64:
 * eight lanes each, lane = index % 8, so a tile starts at a multiple of 8.
 *
 * The square of the difference of two float32 neither overflows nor vanishes in float64, and the root of a correctly
 * rounded square is exact: the wrapper takes it.
 *
 * Halves of vectors are loaded apart, since conversions take them from memory: a tenth less than shuffles of whole ones.
 *
 * @param state signal[8], noise[8], max[2]
 */
export function difference(weights: usize, decoded: usize, count: usize, state: usize): void {
  const end = weights + ((count & ~7) << 2);
  let s0 = v128.load(state);
  let s1 = v128.load(state, 16);
  let s2 = v128.load(state, 32);
  let s3 = v128.load(state, 48);
  let n0 = v128.load(state, 64);
  let n1 = v128.load(state, 80);
  let n2 = v128.load(state, 96);
  let n3 = v128.load(state, 112);
  let top = v128.load(state, 128);
  for (; weights < end; weights += 32, decoded += 32) {
    const w0 = f64x2.promote_low_f32x4(v128.load64_zero(weights));
    const d0 = f64x2.sub(w0, f64x2.promote_low_f32x4(v128.load64_zero(decoded)));
    const e0 = f64x2.mul(d0, d0);
    s0 = f64x2.add(s0, f64x2.mul(w0, w0));
    n0 = f64x2.add(n0, e0);
    const w1 = f64x2.promote_low_f32x4(v128.load64_zero(weights, 8));
    const d1 = f64x2.sub(w1, f64x2.promote_low_f32x4(v128.load64_zero(decoded, 8)));
    const e1 = f64x2.mul(d1, d1);
    s1 = f64x2.add(s1, f64x2.mul(w1, w1));
    n1 = f64x2.add(n1, e1);
    const w2 = f64x2.promote_low_f32x4(v128.load64_zero(weights, 16));
    const d2 = f64x2.sub(w2, f64x2.promote_low_f32x4(v128.load64_zero(decoded, 16)));
    const e2 = f64x2.mul(d2, d2);
    s2 = f64x2.add(s2, f64x2.mul(w2, w2));
    n2 = f64x2.add(n2, e2);
    const w3 = f64x2.promote_low_f32x4(v128.load64_zero(weights, 24));
    const d3 = f64x2.sub(w3, f64x2.promote_low_f32x4(v128.load64_zero(decoded, 24)));
    const e3 = f64x2.mul(d3, d3);
    s3 = f64x2.add(s3, f64x2.mul(w3, w3));
    n3 = f64x2.add(n3, e3);
    top = f64x2.pmax(top, f64x2.pmax(f64x2.pmax(e0, e1), f64x2.pmax(e2, e3)));
  }
  v128.store(state, s0);
  v128.store(state, s1, 16);
  v128.store(state, s2, 32);
  v128.store(state, s3, 48);
  v128.store(state, n0, 64);
  v128.store(state, n1, 80);
  v128.store(state, n2, 96);
  v128.store(state, n3, 112);
  v128.store(state, top, 128);
  for (let lane: usize = 0; lane < (count & 7); lane++) {
    const w = f64(load<f32>(weights + (lane << 2)));
    const d = w - f64(load<f32>(decoded + (lane << 2)));
    const p = state + (lane << 3);
    store<f64>(p, load<f64>(p) + w * w);
    store<f64>(p, load<f64>(p, 64) + d * d, 64);
    if (d * d > load<f64>(state, 128)) store<f64>(state, d * d, 128);
  }
}
