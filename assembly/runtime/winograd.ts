// 3 x 3 convolutions of stride 1 as Winograd's F(2 x 2, 3 x 3) in exact integers: 16 products for 4 outputs where the direct sum
// takes 36.
//
//     4 Y = A' [ ((2G) g (2G)') . (B' d B) ] A      d: 4 x 4 activations, g: 3 x 3 levels, Y: 2 x 2 sums
//
//     B' = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1]      A' = [1 1 1 0; 0 1 -1 -1]
//
// What fits where, with activations of magnitude R, C channels and levels of magnitude L:
//
// - B' d B adds four activations. R = 8,191 gives 32,764. Where no activation is negative, differences of two pairs stay within
//   2 R = 32,766 at R = 16,383, and only position (1, 1), a sum of four, does not fit 16 bits: it is stored less 32,768, and 32,768
//   times the sum of its U is added back.
// - Sums wrap round modulo 2^32, which is no harm as long as 4 Y fits: 4 * 9 C * R * L < 2^31. With int4 levels that is C <= 910 at
//   R = 8,191, and C <= 455 at R = 16,383. The sum of four at (1, 1) has the same bound, so nothing else is needed.

import { decodeWinograd, storeFour } from './panels';
import { clamp } from './direct';
import { keepRange } from './quantize';
import { Layer } from './record';
import { correction } from './scratch';

/** Tiles whose sums lie in memory at once. */
const BLOCK: u32 = 32;

/**
 * The whole layer. The staged input has `2 tilesDown + 2` rows of `2 tilesAcross + 2` pixels of `depth` channels; outputs behind the last
 * row or column are not stored.
 *
 * @param isPositive no x is negative: |x| <= 16,383, else 8,191
 */
export function convolveWinograd(layer: Layer, x: usize, out: usize, factor: f32, isPositive: bool, slot: usize): void {
  const columns = layer.columns;
  const across = layer.tilesAcross;
  const down = layer.tilesDown;
  const position = <usize>layer.depth << 4;
  for (let top: u32 = 0; top < down; top += layer.chunk) {
    const rows = min(layer.chunk, down - top);
    const tiles = rows * across;
    transformInput(layer, x, top, rows, isPositive);
    for (let n: u32 = 0; n < columns; n += 8) {
      let panel = layer.scratch;
      if (layer.panels) panel = layer.panels + <usize>(n >> 3) * layer.panelBytes;
      else decodeWinograd(layer, n, panel);
      const shift = isPositive ? 15 : 32;
      const sums = panel + (position << 4);
      const fix = correction();
      v128.store(fix, shift == 32 ? i32x4.splat(0) : i32x4.shl(v128.load(sums), shift));
      v128.store(fix, shift == 32 ? i32x4.splat(0) : i32x4.shl(v128.load(sums, 16), shift), 16);
      for (let from: u32 = 0; from < tiles; from += BLOCK) {
        const count = min(BLOCK, tiles - from);
        multiply(layer, panel, tiles, from, count);
        transformOutput(layer, top, from, count, n, out + (<usize>n << 2), factor, slot);
      }
    }
  }
}

/** Four tiles of eight channels, two by two: `[channel pair][tile][2]`. */
// @ts-ignore: decorator
@inline
function storeTiles(to: usize, a: v128, b: v128, c: v128, d: v128): void {
  const e = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
  const f = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
  v128.store(to, v128.shuffle<i64>(e, f, 0, 2));
  v128.store(to, v128.shuffle<i64>(e, f, 1, 3), 16);
  const g = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
  const h = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<i64>(g, h, 0, 2), 32);
  v128.store(to, v128.shuffle<i64>(g, h, 1, 3), 48);
}

// @ts-ignore: decorator
@inline
function joinRows(p: usize, q: usize, isSum: bool): v128 {
  return isSum ? i16x8.add(v128.load(p), v128.load(q)) : i16x8.sub(v128.load(p), v128.load(q));
}

/** Row i of B' d B for four tiles side by side, of all channels: ten columns make positions 4 i to 4 i + 3. */
// @ts-ignore: decorator
@inline
function transformRow(p: usize, q: usize, isSum: bool, pixel: usize, to: usize, position: usize, off: v128): void {
  for (const end = p + pixel; p < end; p += 16, q += 16, to += 64) {
    const t0 = joinRows(p, q, isSum);
    const t1 = joinRows(p + pixel, q + pixel, isSum);
    const t2 = joinRows(p + 2 * pixel, q + 2 * pixel, isSum);
    const t3 = joinRows(p + 3 * pixel, q + 3 * pixel, isSum);
    const t4 = joinRows(p + 4 * pixel, q + 4 * pixel, isSum);
    const t5 = joinRows(p + 5 * pixel, q + 5 * pixel, isSum);
    const t6 = joinRows(p + 6 * pixel, q + 6 * pixel, isSum);
    const t7 = joinRows(p + 7 * pixel, q + 7 * pixel, isSum);
    const t8 = joinRows(p + 8 * pixel, q + 8 * pixel, isSum);
    const t9 = joinRows(p + 9 * pixel, q + 9 * pixel, isSum);
    storeTiles(to, i16x8.sub(t0, t2), i16x8.sub(t2, t4), i16x8.sub(t4, t6), i16x8.sub(t6, t8));
    const second = to + position;
    if (isSum) {
      storeTiles(
        second,
        v128.xor(off, i16x8.add(t1, t2)),
        v128.xor(off, i16x8.add(t3, t4)),
        v128.xor(off, i16x8.add(t5, t6)),
        v128.xor(off, i16x8.add(t7, t8)),
      );
    } else storeTiles(second, i16x8.add(t1, t2), i16x8.add(t3, t4), i16x8.add(t5, t6), i16x8.add(t7, t8));
    const third = second + position;
    storeTiles(third, i16x8.sub(t2, t1), i16x8.sub(t4, t3), i16x8.sub(t6, t5), i16x8.sub(t8, t7));
    storeTiles(third + position, i16x8.sub(t1, t3), i16x8.sub(t3, t5), i16x8.sub(t5, t7), i16x8.sub(t7, t9));
  }
}

/** Rows 0, 2 and 3 of B' d B. */
function subtractRows(p: usize, q: usize, pixel: usize, to: usize, position: usize): void {
  transformRow(p, q, false, pixel, to, position, i16x8.splat(0));
}

/** Tile rows from `top` on to `[16][tiles / 4][depth / 2][4][2]` i16. */
function transformInput(layer: Layer, x: usize, top: u32, rows: u32, isPositive: bool): void {
  const across = layer.tilesAcross;
  const pixel = <usize>layer.depth << 1;
  const row = <usize>(2 * across + 2) * pixel;
  const position = <usize>(rows * across) * pixel;
  // Less 32,768 modulo 2^16 is the highest bit turned over.
  const off = i16x8.splat(isPositive ? -32768 : 0);
  let to = layer.transformed;
  x += <usize>(2 * top) * row;
  for (let ty: u32 = 0; ty < rows; ty++, x += 2 * row) {
    for (let tx: u32 = 0, p = x; tx < across; tx += 4, p += 8 * pixel, to += 4 * pixel) {
      const q = p + row;
      const r = q + row;
      subtractRows(p, r, pixel, to, position);
      transformRow(q, r, true, pixel, to + 4 * position, position, off);
      subtractRows(r, q, pixel, to + 8 * position, position);
      subtractRows(q, r + row, pixel, to + 12 * position, position);
    }
  }
}

// @ts-ignore: decorator
@inline
function dot(sum: v128, x: v128, w: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(x, w));
}

/** Sums over all channels: `[16][count][8]` i32. One pointer for four tiles, one for eight columns, one pair of channels a turn. */
function multiply(layer: Layer, panel: usize, tiles: u32, from: u32, count: u32): void {
  const group = <usize>layer.depth << 3;
  const positionU = <usize>layer.depth << 4;
  const positionV = <usize>(tiles >> 2) * group;
  let v = layer.transformed + <usize>(from >> 2) * group;
  let to = layer.sums;
  for (let i = 0; i < 16; i++, v += positionV, panel += positionU) {
    const i0 = i == 5 ? v128.load(correction()) : i32x4.splat(0);
    const i1 = i == 5 ? v128.load(correction(), 16) : i32x4.splat(0);
    const end = panel + positionU;
    let a = v;
    for (let t: u32 = 0; t < count; t += 4) {
      let b = panel;
      let c00 = i0;
      let c01 = i1;
      let c10 = i0;
      let c11 = i1;
      let c20 = i0;
      let c21 = i1;
      let c30 = i0;
      let c31 = i1;
      while (b < end) {
        const w0 = v128.load(b);
        const w1 = v128.load(b, 16);
        let y = v128.load32_splat(a);
        c00 = dot(c00, y, w0);
        c01 = dot(c01, y, w1);
        y = v128.load32_splat(a, 4);
        c10 = dot(c10, y, w0);
        c11 = dot(c11, y, w1);
        y = v128.load32_splat(a, 8);
        c20 = dot(c20, y, w0);
        c21 = dot(c21, y, w1);
        y = v128.load32_splat(a, 12);
        c30 = dot(c30, y, w0);
        c31 = dot(c31, y, w1);
        b += 32;
        a += 16;
      }
      v128.store(to, c00);
      v128.store(to, c01, 16);
      v128.store(to, c10, 32);
      v128.store(to, c11, 48);
      v128.store(to, c20, 64);
      v128.store(to, c21, 80);
      v128.store(to, c30, 96);
      v128.store(to, c31, 112);
      to += 128;
    }
  }
}

/** Four times the sum times a quarter of the scale, then as everywhere: bias, bounds. */
// @ts-ignore: decorator
@inline
function finish(sum: v128, scale: v128, bias: v128, low: v128, high: v128): v128 {
  return clamp(f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(sum), scale), bias), low, high);
}

/** `A' M A` of `count` tiles from tile `from` of the chunk on, to eight channels of the output. */
function transformOutput(
  layer: Layer,
  top: u32,
  from: u32,
  count: u32,
  n: u32,
  out: usize,
  factor: f32,
  slot: usize,
): void {
  const position = <usize>count << 5;
  const width = layer.width;
  const pitch = layer.outPitch;
  const across = layer.tilesAcross;
  const low = f32x4.splat(layer.low);
  const high = f32x4.splat(layer.high);
  let most = i32x4.splat(0);
  let least = most;
  const unit = f32x4.splat(factor);
  const quarter = f32x4.splat(0.25);
  const left = layer.columns - n;
  const bytes: usize = left > 4 ? 32 : 16;
  const scales = layer.scales + (<usize>n << 2);
  const biases = layer.bias + (<usize>n << 2);
  let m = layer.sums;
  let y: u32 = 2 * (top + from / across);
  let x: u32 = 2 * (from % across);
  for (let t: u32 = 0; t < count; t++, m += 32) {
    if (x < width) {
      const tile = out + <usize>(y * width + x) * pitch;
      const isWide = x + 1 < width;
      const isTall = y + 1 < layer.height;
      for (let h: usize = 0; h < bytes; h += 16) {
        const s = f32x4.mul(f32x4.mul(v128.load(scales + h), unit), quarter);
        const b = v128.load(biases + h);
        const some = left - <u32>(h >> 2);
        const o = tile + h;
        let p = m + h;
        // Down each column of positions: the rows of A' M.
        let u = v128.load(p + 4 * position);
        let v = v128.load(p + 8 * position);
        const r0 = i32x4.add(v128.load(p), i32x4.add(u, v));
        const q0 = i32x4.sub(i32x4.sub(u, v), v128.load(p + 12 * position));
        p += position;
        u = v128.load(p + 4 * position);
        v = v128.load(p + 8 * position);
        const r1 = i32x4.add(v128.load(p), i32x4.add(u, v));
        const q1 = i32x4.sub(i32x4.sub(u, v), v128.load(p + 12 * position));
        p += position;
        u = v128.load(p + 4 * position);
        v = v128.load(p + 8 * position);
        const r2 = i32x4.add(v128.load(p), i32x4.add(u, v));
        const q2 = i32x4.sub(i32x4.sub(u, v), v128.load(p + 12 * position));
        p += position;
        u = v128.load(p + 4 * position);
        v = v128.load(p + 8 * position);
        const r3 = i32x4.add(v128.load(p), i32x4.add(u, v));
        const q3 = i32x4.sub(i32x4.sub(u, v), v128.load(p + 12 * position));
        let f = finish(i32x4.add(r0, i32x4.add(r1, r2)), s, b, low, high);
        storeFour(o, f, some);
        most = i32x4.max_s(most, f);
        least = i32x4.max_u(least, f);
        if (isWide) {
          f = finish(i32x4.sub(i32x4.sub(r1, r2), r3), s, b, low, high);
          storeFour(o + pitch, f, some);
          most = i32x4.max_s(most, f);
          least = i32x4.max_u(least, f);
        }
        if (isTall) {
          const next = o + <usize>width * pitch;
          f = finish(i32x4.add(q0, i32x4.add(q1, q2)), s, b, low, high);
          storeFour(next, f, some);
          most = i32x4.max_s(most, f);
          least = i32x4.max_u(least, f);
          if (isWide) {
            f = finish(i32x4.sub(i32x4.sub(q1, q2), q3), s, b, low, high);
            storeFour(next + pitch, f, some);
            most = i32x4.max_s(most, f);
            least = i32x4.max_u(least, f);
          }
        }
      }
    }
    x += 2;
    if (x == 2 * across) {
      x = 0;
      y += 2;
    }
  }
  keepRange(slot, most, least);
}
