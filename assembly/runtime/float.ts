// Products in float32: weights that were kept, products of two tensors, depthwise kernels. Each sum is taken in the order of
// k, one rounded product and one rounded sum after the other.

import { clamp } from './direct';
import { keepLanes, RUN, storeColumns, storeFour } from './panels';
import { keepRange } from './quantize';
import { Layer } from './record';

// @ts-ignore: decorator
@inline
function madd(sum: v128, x: v128, w: v128): v128 {
  return f32x4.add(sum, f32x4.mul(x, w));
}

/** `out = clamp(sum_k x w + bias)`: as `convolve`, with x in float32 and panels of `packPanels`. */
export function convolveFloat(layer: Layer, x: usize, out: usize, slot: usize): void {
  const columns = layer.columns;
  for (let n: u32 = 0; n < columns; n += 8)
    floatPanel(layer, x, layer.panels + <usize>(n >> 3) * layer.panelBytes, n, out + (<usize>n << 2), slot);
}

function floatPanel(layer: Layer, x: usize, panel: usize, n: u32, out: usize, slot: usize): void {
  const pixels = layer.pixels;
  const width = layer.width;
  const stridePixel = layer.stridePixel;
  const pitch = layer.outPitch;
  const left = layer.columns - n;
  const table = layer.table;
  const tableEnd = table + <usize>layer.runs * RUN;
  const low = f32x4.splat(layer.low);
  const high = f32x4.splat(layer.high);
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
    let c00 = f32x4.splat(0);
    let c01 = c00;
    let c10 = c00;
    let c11 = c00;
    let c20 = c00;
    let c21 = c00;
    let c30 = c00;
    let c31 = c00;
    for (let run = table; run < tableEnd; run += RUN) {
      const offset = <usize>load<u32>(run);
      const end = b + (<usize>load<u32>(run, 4) << 5);
      let p0 = a0 + offset;
      let p1 = a1 + offset;
      let p2 = a2 + offset;
      let p3 = a3 + offset;
      while (b < end) {
        const w0 = v128.load(b);
        const w1 = v128.load(b, 16);
        let v = v128.load32_splat(p0);
        c00 = madd(c00, v, w0);
        c01 = madd(c01, v, w1);
        v = v128.load32_splat(p1);
        c10 = madd(c10, v, w0);
        c11 = madd(c11, v, w1);
        v = v128.load32_splat(p2);
        c20 = madd(c20, v, w0);
        c21 = madd(c21, v, w1);
        v = v128.load32_splat(p3);
        c30 = madd(c30, v, w0);
        c31 = madd(c31, v, w1);
        b += 32;
        p0 += 4;
        p1 += 4;
        p2 += 4;
        p3 += 4;
      }
    }
    let v0 = clamp(f32x4.add(c00, b0), low, high);
    let v1 = clamp(f32x4.add(c01, b1), low, high);
    storeColumns(out, v0, v1, left);
    if (p + 1 < pixels) {
      most = i32x4.max_s(i32x4.max_s(most, v0), v1);
      least = i32x4.max_u(i32x4.max_u(least, v0), v1);
      out += pitch;
      v0 = clamp(f32x4.add(c10, b0), low, high);
      v1 = clamp(f32x4.add(c11, b1), low, high);
      storeColumns(out, v0, v1, left);
    }
    if (p + 2 < pixels) {
      most = i32x4.max_s(i32x4.max_s(most, v0), v1);
      least = i32x4.max_u(i32x4.max_u(least, v0), v1);
      out += pitch;
      v0 = clamp(f32x4.add(c20, b0), low, high);
      v1 = clamp(f32x4.add(c21, b1), low, high);
      storeColumns(out, v0, v1, left);
    }
    if (p + 3 < pixels) {
      most = i32x4.max_s(i32x4.max_s(most, v0), v1);
      least = i32x4.max_u(i32x4.max_u(least, v0), v1);
      out += pitch;
      v0 = clamp(f32x4.add(c30, b0), low, high);
      v1 = clamp(f32x4.add(c31, b1), low, high);
      storeColumns(out, v0, v1, left);
    }
    most = i32x4.max_s(i32x4.max_s(most, v0), v1);
    least = i32x4.max_u(i32x4.max_u(least, v0), v1);
    out += pitch;
  }
  keepRange(slot, most, least);
}

/**
 * `out[p, c] = clamp(sum_t x[p + offset_t, c] w[t, c] + bias[c])`: one kernel for each channel.
 *
 * The table has one run for each tap. `panels` holds w as float32 [taps][columns, up to a multiple of 4], `panelBytes` apart.
 *
 * @param x float32, staged by `border`
 */
export function depthwise(layer: Layer, x: usize, out: usize, slot: usize): void {
  const pixels = layer.pixels;
  const width = layer.width;
  const pitch = layer.outPitch;
  const columns = layer.columns;
  const stride = layer.stridePixel;
  const tableEnd = layer.table + <usize>layer.runs * RUN;
  const tap = layer.panelBytes;
  const low = f32x4.splat(layer.low);
  const high = f32x4.splat(layer.high);
  const inThrees = areThrees(layer);
  let most = i32x4.splat(0);
  let least = most;
  let row = x;
  for (let p: u32 = 0; p < pixels; row += layer.strideRow) {
    // As many as four pixels of one row at a time: their weights are read once.
    for (let i: u32 = 0; i < width; ) {
      const count = min<u32>(4, width - i);
      const second = count > 1 ? stride : 0;
      const third = count > 2 ? stride << 1 : 0;
      const fourth = count > 3 ? stride + (stride << 1) : 0;
      const from = row + <usize>i * stride;
      const to = out + <usize>p * pitch;
      for (let c: u32 = 0; c < columns; c += 4) {
        const at = <usize>c << 2;
        const bias = v128.load(layer.bias + at);
        let w = layer.panels + at;
        let s0 = f32x4.splat(0);
        let s1 = s0;
        let s2 = s0;
        let s3 = s0;
        if (inThrees && count == 4) {
          //     x0 x1 x2 x3 x4 x5      six activations for three taps of four pixels, where twelve are read otherwise
          //     k0 k1 k2 ->  s0
          //        k0 k1 k2 ->  s1 ...
          for (let run = layer.table; run < tableEnd; run += 3 * RUN) {
            let q = from + at + <usize>load<u32>(run);
            let k = v128.load(w);
            w += tap;
            s0 = madd(s0, v128.load(q), k);
            q += stride;
            const x1 = v128.load(q);
            s1 = madd(s1, x1, k);
            q += stride;
            const x2 = v128.load(q);
            s2 = madd(s2, x2, k);
            q += stride;
            const x3 = v128.load(q);
            s3 = madd(s3, x3, k);
            q += stride;
            const x4 = v128.load(q);
            k = v128.load(w);
            w += tap;
            s0 = madd(s0, x1, k);
            s1 = madd(s1, x2, k);
            s2 = madd(s2, x3, k);
            s3 = madd(s3, x4, k);
            k = v128.load(w);
            w += tap;
            s0 = madd(s0, x2, k);
            s1 = madd(s1, x3, k);
            s2 = madd(s2, x4, k);
            s3 = madd(s3, v128.load(q + stride), k);
          }
        } else {
          for (let run = layer.table; run < tableEnd; run += RUN, w += tap) {
            const q = from + at + <usize>load<u32>(run);
            const k = v128.load(w);
            s0 = madd(s0, v128.load(q), k);
            s1 = madd(s1, v128.load(q + second), k);
            s2 = madd(s2, v128.load(q + third), k);
            s3 = madd(s3, v128.load(q + fourth), k);
          }
        }
        s0 = clamp(f32x4.add(s0, bias), low, high);
        s1 = clamp(f32x4.add(s1, bias), low, high);
        s2 = clamp(f32x4.add(s2, bias), low, high);
        s3 = clamp(f32x4.add(s3, bias), low, high);
        const left = columns - c;
        const o = to + at;
        storeFour(o, s0, left);
        if (count > 1) storeFour(o + pitch, s1, left);
        if (count > 2) storeFour(o + 2 * pitch, s2, left);
        if (count > 3) storeFour(o + 3 * pitch, s3, left);
        // Lanes behind the last channel hold the neighbour's activations.
        s0 = keepLanes(s0, left);
        s1 = keepLanes(s1, left);
        s2 = keepLanes(s2, left);
        s3 = keepLanes(s3, left);
        most = i32x4.max_s(i32x4.max_s(most, i32x4.max_s(s0, s1)), i32x4.max_s(s2, s3));
        least = i32x4.max_u(i32x4.max_u(least, i32x4.max_u(s0, s1)), i32x4.max_u(s2, s3));
      }
      i += count;
      p += count;
    }
  }
  keepRange(slot, most, least);
}

/** Whether taps come in threes side by side, as far apart as output pixels: rows of a 3 x 3 kernel at stride and dilation 1. */
function areThrees(layer: Layer): bool {
  if (layer.runs % 3 != 0) return false;
  const stride = layer.stridePixel;
  const end = layer.table + <usize>layer.runs * RUN;
  for (let run = layer.table; run < end; run += 3 * RUN) {
    const first = <usize>load<u32>(run);
    if (<usize>load<u32>(run + RUN) != first + stride) return false;
    if (<usize>load<u32>(run + 2 * RUN) != first + 2 * stride) return false;
  }
  return true;
}

/**
 * A float32 matrix to panels `[panel][row][8]`, zeros behind the last column.
 *
 * @param rowBytes from one row to the next; `columnBytes` likewise, so that a matrix may lie turned
 */
export function packPanels(from: usize, rows: u32, columns: u32, rowBytes: usize, columnBytes: usize, to: usize): void {
  for (let n: u32 = 0; n < columns; n += 8) {
    const count = min<u32>(8, columns - n);
    for (let k: u32 = 0; k < rows; k++) {
      let p = from + <usize>k * rowBytes + <usize>n * columnBytes;
      for (let i: u32 = 0; i < 8; i++) {
        if (i < count) {
          store<f32>(to, load<f32>(p));
          p += columnBytes;
        } else store<f32>(to, 0);
        to += 4;
      }
    }
  }
}

/** As `quantize`, in float32: every channel `repeat` times side by side: [rows][across][channels * repeat]. */
export function border(
  x: usize,
  height: u32,
  width: u32,
  channels: u32,
  pitch: usize,
  out: usize,
  rows: u32,
  across: u32,
  repeat: u32,
  top: u32,
  left: u32,
): void {
  const pixel = <usize>(channels * repeat) << 2;
  const row = <usize>across * pixel;
  const high = min(height, rows - top);
  const wide = min(width, across - left);
  const whole = repeat == 1 && pitch == pixel;
  memory.fill(out, 0, <usize>top * row);
  let o = out + <usize>top * row;
  for (let y: u32 = 0; y < high; y++, x += <usize>width * pitch) {
    memory.fill(o, 0, <usize>left * pixel);
    o += <usize>left * pixel;
    if (whole) {
      memory.copy(o, x, <usize>wide * pixel);
      o += <usize>wide * pixel;
    } else {
      for (let i: u32 = 0, p = x; i < wide; i++, p += pitch) {
        for (let c: usize = 0; c < <usize>channels << 2; c += 4) {
          const v = load<f32>(p + c);
          for (let r: u32 = 0; r < repeat; r++, o += 4) store<f32>(o, v);
        }
      }
    }
    memory.fill(o, 0, <usize>(across - left - wide) * pixel);
    o += <usize>(across - left - wide) * pixel;
  }
  memory.fill(o, 0, <usize>(rows - top - high) * row);
}
