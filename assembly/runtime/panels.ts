// Panels: the weights of eight output channels in the order in which the products read them.

import { factorOf, levels, offsetOf, powersOf, zipHigh, zipLow } from './levels';
import { Layer } from './record';
import { taps } from './scratch';

/** Bytes of an entry of a table of runs: offset of the activations, rows, offset of the scales or -1. */
export const RUN: usize = 12;

/**
 * Levels of columns n to n + 8, rows two by two: `[pair][8][2]` i16. Every run of the table begins a pair of its own; behind an
 * odd number of rows stand zeros.
 */
export function decodePanel(layer: Layer, n: u32, panel: usize): void {
  const bits = layer.bits;
  const powers = powersOf(bits);
  const factor = factorOf(bits);
  const offset = offsetOf(bits);
  const zero = i16x8.splat(0);
  const codes = layer.codes;
  const row = <usize>(layer.rowStride * bits);
  let at = <usize>((layer.first + n) * bits);
  const last = layer.table + <usize>layer.runs * RUN;
  for (let run = layer.table; run < last; run += RUN) {
    const rows = load<u32>(run, 4);
    for (const end = panel + (<usize>(rows >> 1) << 5); panel < end; panel += 32) {
      const a = levels(codes, at, bits, powers, factor, offset);
      const b = levels(codes, at + row, bits, powers, factor, offset);
      v128.store(panel, zipLow(a, b));
      v128.store(panel, zipHigh(a, b), 16);
      at += row << 1;
    }
    if (rows & 1) {
      const a = levels(codes, at, bits, powers, factor, offset);
      v128.store(panel, zipLow(a, zero));
      v128.store(panel, zipHigh(a, zero), 16);
      at += row;
      panel += 32;
    }
  }
}

/**
 * `U = (2G) g (2G)'` of the 3 x 3 kernels of columns n to n + 8: `[16][depth / 2][8][2]` i16, behind it the sums over all channels of
 * position 5, `[8]` i32. Levels of int4 give at most 72.
 *
 *     2G = [2 0 0; 1 1 1; 1 -1 1; 0 0 2]
 */
export function decodeWinograd(layer: Layer, n: u32, panel: usize): void {
  const bits = layer.bits;
  const powers = powersOf(bits);
  const factor = factorOf(bits);
  const offset = offsetOf(bits);
  const codes = layer.codes;
  const channels = layer.channels;
  const depth = layer.depth;
  const row = <usize>(layer.rowStride * bits);
  const tap = <usize>channels * row;
  const position = <usize>depth << 4;
  const first = taps();
  const one = i16x8.splat(1);
  let low = i32x4.splat(0);
  let high = low;
  let at = <usize>((layer.first + n) * bits);
  for (let c: u32 = 0; c < depth; c += 2, panel += 32) {
    if (c + 1 >= channels) memory.fill(first, 0, 288);
    const end = c + 1 < channels ? first + 288 : c < channels ? first + 144 : first;
    for (let t = first; t < end; t += 144, at += row) {
      let from = at;
      for (let u = t; u < t + 144; u += 16, from += tap)
        v128.store(u, levels(codes, from, bits, powers, factor, offset));
    }
    transformRow(0, panel, position);
    const p = panel + (position << 2);
    transformRow(1, p, position);
    low = i32x4.add(low, i32x4.dot_i16x8_s(v128.load(p + position), one));
    high = i32x4.add(high, i32x4.dot_i16x8_s(v128.load(p + position, 16), one));
    transformRow(2, p + (position << 2), position);
    transformRow(3, p + (position << 3), position);
  }
  const sums = panel - position + (position << 4);
  v128.store(sums, low);
  v128.store(sums, high, 16);
}

/** A column of taps times row i of 2G. */
// @ts-ignore: decorator
@inline
function column(i: i32, t: usize): v128 {
  if (i == 0 || i == 3) {
    const v = v128.load(i == 0 ? t : t + 96);
    return i16x8.add(v, v);
  }
  const sum = i16x8.add(v128.load(t), v128.load(t, 96));
  return i == 1 ? i16x8.add(sum, v128.load(t, 48)) : i16x8.sub(sum, v128.load(t, 48));
}

// @ts-ignore: decorator
@inline
function storePair(to: usize, a: v128, b: v128): void {
  v128.store(to, zipLow(a, b));
  v128.store(to, zipHigh(a, b), 16);
}

/** Positions 4 i to 4 i + 3 of two channels, side by side. */
// @ts-ignore: decorator
@inline
function transformRow(i: i32, to: usize, position: usize): void {
  const t = taps();
  storeRow(to, position, column(i, t), column(i, t + 16), column(i, t + 32), column(i, t + 144), column(i, t + 160), column(i, t + 176));
}

/** Rows of 2G times rows `a b c` and `d e f` of two channels. */
function storeRow(to: usize, position: usize, a: v128, b: v128, c: v128, d: v128, e: v128, f: v128): void {
  storePair(to, i16x8.add(a, a), i16x8.add(d, d));
  storePair(to + 3 * position, i16x8.add(c, c), i16x8.add(f, f));
  a = i16x8.add(a, c);
  d = i16x8.add(d, f);
  storePair(to + position, i16x8.add(a, b), i16x8.add(d, e));
  storePair(to + 2 * position, i16x8.sub(a, b), i16x8.sub(d, e));
}

/** Eight floats, or as many as are left. */
// @ts-ignore: decorator
@inline
export function storeColumns(to: usize, p: v128, q: v128, left: u32): void {
  if (left >= 8) {
    v128.store(to, p);
    v128.store(to, q, 16);
  } else storeSome(to, p, q, left);
}

function storeSome(to: usize, p: v128, q: v128, left: u32): void {
  if (left >= 4) {
    v128.store(to, p);
    to += 16;
    p = q;
    left -= 4;
  }
  if (left & 2) {
    v128.store64_lane(to, p, 0);
    to += 8;
    p = v128.shuffle<u64>(p, p, 1, 1);
  }
  if (left & 1) v128.store32_lane(to, p, 0);
}

/** Four floats, or as many as are left. */
// @ts-ignore: decorator
@inline
export function storeFour(to: usize, p: v128, left: u32): void {
  if (left >= 4) v128.store(to, p);
  else storeSome(to, p, p, left);
}

/** All ones in the lanes below 0, 1, 2, 3. */
const KEEP = memory.data<u32>([0, 0, 0, 0, 0xffffffff, 0, 0, 0, 0xffffffff, 0xffffffff, 0, 0, 0xffffffff, 0xffffffff, 0xffffffff, 0], 16);

/** Zeros in the lanes from `left` on. */
// @ts-ignore: decorator
@inline
export function keepLanes(v: v128, left: u32): v128 {
  return left >= 4 ? v : v128.and(v, v128.load(KEEP + (<usize>left << 4)));
}
