// Convolutions and dense layers as sums of products of 16-bit activations and levels, without a matrix of patches: four output
// pixels by eight channels, the runs of activations read where they lie.

import { decodePanel, RUN, storeColumns } from './panels';
import { keepRange } from './quantize';
import { Layer } from './record';
import { partials } from './scratch';

// @ts-ignore: decorator
@inline
function dot(sum: v128, x: v128, w: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(x, w));
}

/**
 * `out = clamp(sum_g (sum_k x w) (scale_g factor) + bias)` for every pixel and channel.
 *
 * A run of the table is a row of activations that lie side by side; `offset` bytes behind the pixel's first, `rows` of them, and where
 * its third word is not negative, the sums end there and take the scales at that offset. Sums of 32 bits hold
 * 8,192 products of 32,767 with int4 levels: 8192 * 32767 * 8 = 2^31 - 65,536. The plan ends them there.
 *
 *     c[pixel][0..3], [4..7] += x[pixel][k, k+1] . w[k, k+1][0..7]      a turn: 2 vectors of weights, 4 pairs of activations
 *
 * @param x i16, staged by `quantize` @param factor value of one unit of x @param slot range to widen by the outputs
 */
export function convolve(layer: Layer, x: usize, out: usize, factor: f32, slot: usize): void {
  const columns = layer.columns;
  for (let n: u32 = 0; n < columns; n += 8) {
    let panel = layer.scratch;
    if (layer.panels) panel = layer.panels + <usize>(n >> 3) * layer.panelBytes;
    else decodePanel(layer, n, panel);
    convolvePanel(layer, x, panel, n, out + (<usize>n << 2), factor, slot);
  }
}

function convolvePanel(layer: Layer, x: usize, panel: usize, n: u32, out: usize, factor: f32, slot: usize): void {
  const pixels = layer.pixels;
  const width = layer.width;
  const stridePixel = layer.stridePixel;
  const pitch = layer.outPitch;
  const left = layer.columns - n;
  const table = layer.table;
  const last = table + <usize>(layer.runs - 1) * RUN;
  const low = f32x4.splat(layer.low);
  const high = f32x4.splat(layer.high);
  const scales = layer.scales + (<usize>n << 2);
  const f = f32x4.splat(factor);
  const final = scales + <usize>load<i32>(last, 8);
  const s0 = f32x4.mul(v128.load(final), f);
  const s1 = f32x4.mul(v128.load(final, 16), f);
  const b0 = v128.load(layer.bias + (<usize>n << 2));
  const b1 = v128.load(layer.bias + (<usize>n << 2), 16);
  let most = i32x4.splat(0);
  let least = most;
  let row = x;
  let next = x;
  let column: u32 = 0;
  for (let p: u32 = 0; p < pixels; p += 4) {
    const a0 = next;
    if (++column == width) { column = 0; row += layer.strideRow; next = row; } else next += stridePixel;
    const a1 = p + 1 < pixels ? next : a0;
    if (++column == width) { column = 0; row += layer.strideRow; next = row; } else next += stridePixel;
    const a2 = p + 2 < pixels ? next : a0;
    if (++column == width) { column = 0; row += layer.strideRow; next = row; } else next += stridePixel;
    const a3 = p + 3 < pixels ? next : a0;
    if (++column == width) { column = 0; row += layer.strideRow; next = row; } else next += stridePixel;
    let b = panel;
    let c00 = i32x4.splat(0);
    let c01 = c00;
    let c10 = c00;
    let c11 = c00;
    let c20 = c00;
    let c21 = c00;
    let c30 = c00;
    let c31 = c00;
    let isFirst = true;
    for (let run = table; run <= last; run += RUN) {
      const offset = <usize>load<u32>(run);
      const end = b + (<usize>((load<u32>(run, 4) + 1) >> 1) << 5);
      let p0 = a0 + offset;
      if (pixels == 1) {
        for (; b < end; b += 32, p0 += 4) {
          const v = v128.load32_splat(p0);
          c00 = dot(c00, v, v128.load(b));
          c01 = dot(c01, v, v128.load(b, 16));
        }
      } else {
        let p1 = a1 + offset;
        let p2 = a2 + offset;
        let p3 = a3 + offset;
        while (b < end) {
          const w0 = v128.load(b);
          const w1 = v128.load(b, 16);
          let v = v128.load32_splat(p0);
          c00 = dot(c00, v, w0);
          c01 = dot(c01, v, w1);
          v = v128.load32_splat(p1);
          c10 = dot(c10, v, w0);
          c11 = dot(c11, v, w1);
          v = v128.load32_splat(p2);
          c20 = dot(c20, v, w0);
          c21 = dot(c21, v, w1);
          v = v128.load32_splat(p3);
          c30 = dot(c30, v, w0);
          c31 = dot(c31, v, w1);
          b += 32;
          p0 += 4;
          p1 += 4;
          p2 += 4;
          p3 += 4;
        }
      }
      const group = load<i32>(run, 8);
      if (group >= 0 && run != last) {
        const g0 = f32x4.mul(v128.load(scales + <usize>group), f);
        const g1 = f32x4.mul(v128.load(scales + <usize>group, 16), f);
        keepPartial(0, c00, g0, isFirst);
        keepPartial(16, c01, g1, isFirst);
        keepPartial(32, c10, g0, isFirst);
        keepPartial(48, c11, g1, isFirst);
        keepPartial(64, c20, g0, isFirst);
        keepPartial(80, c21, g1, isFirst);
        keepPartial(96, c30, g0, isFirst);
        keepPartial(112, c31, g1, isFirst);
        isFirst = false;
        c00 = i32x4.splat(0);
        c01 = c00;
        c10 = c00;
        c11 = c00;
        c20 = c00;
        c21 = c00;
        c30 = c00;
        c31 = c00;
      }
    }
    let v0 = finish(c00, s0, b0, low, high, 0, isFirst);
    let v1 = finish(c01, s1, b1, low, high, 16, isFirst);
    storeColumns(out, v0, v1, left);
    most = i32x4.max_s(i32x4.max_s(most, v0), v1);
    least = i32x4.max_u(i32x4.max_u(least, v0), v1);
    if (p + 1 < pixels) {
      out += pitch;
      v0 = finish(c10, s0, b0, low, high, 32, isFirst);
      v1 = finish(c11, s1, b1, low, high, 48, isFirst);
      storeColumns(out, v0, v1, left);
      most = i32x4.max_s(i32x4.max_s(most, v0), v1);
      least = i32x4.max_u(i32x4.max_u(least, v0), v1);
    }
    if (p + 2 < pixels) {
      out += pitch;
      v0 = finish(c20, s0, b0, low, high, 64, isFirst);
      v1 = finish(c21, s1, b1, low, high, 80, isFirst);
      storeColumns(out, v0, v1, left);
      most = i32x4.max_s(i32x4.max_s(most, v0), v1);
      least = i32x4.max_u(i32x4.max_u(least, v0), v1);
    }
    if (p + 3 < pixels) {
      out += pitch;
      v0 = finish(c30, s0, b0, low, high, 96, isFirst);
      v1 = finish(c31, s1, b1, low, high, 112, isFirst);
      storeColumns(out, v0, v1, left);
      most = i32x4.max_s(i32x4.max_s(most, v0), v1);
      least = i32x4.max_u(i32x4.max_u(least, v0), v1);
    }
    out += pitch;
  }
  keepRange(slot, most, least);
}

// @ts-ignore: decorator
@inline
function keepPartial(at: usize, sum: v128, scale: v128, isFirst: bool): void {
  const v = f32x4.mul(f32x4.convert_i32x4_s(sum), scale);
  const p = partials() + at;
  v128.store(p, isFirst ? v : f32x4.add(v128.load(p), v));
}

// @ts-ignore: decorator
@inline
function finish(sum: v128, scale: v128, bias: v128, low: v128, high: v128, at: usize, isFirst: bool): v128 {
  let v = f32x4.mul(f32x4.convert_i32x4_s(sum), scale);
  if (!isFirst) v = f32x4.add(v128.load(partials() + at), v);
  return clamp(f32x4.add(v, bias), low, high);
}

/** NaN stays: `v < low ? low : v`, then `high < v ? high : v`. */
// @ts-ignore: decorator
@inline
export function clamp(v: v128, low: v128, high: v128): v128 {
  return f32x4.pmin(f32x4.pmax(v, low), high);
}
