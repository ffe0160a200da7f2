// Products in float32: weights that were kept, products of two tensors, depthwise kernels, and pools. Each sum is taken in the order of
// k, one rounded product and one rounded sum after the other.

import { clamp } from './direct';
import { RUN, storeColumns, storeFour } from './panels';
import { keepRange, magnitude } from './quantize';
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
  const mask = i32x4.splat(0x7fffffff);
  const b0 = v128.load(layer.bias + (<usize>n << 2));
  const b1 = v128.load(layer.bias + (<usize>n << 2), 16);
  let most = i32x4.splat(0);
  let signs = most;
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
      most = magnitude(magnitude(most, v0, mask), v1, mask);
      signs = v128.or(signs, v128.or(v0, v1));
      out += pitch;
      v0 = clamp(f32x4.add(c10, b0), low, high);
      v1 = clamp(f32x4.add(c11, b1), low, high);
      storeColumns(out, v0, v1, left);
    }
    if (p + 2 < pixels) {
      most = magnitude(magnitude(most, v0, mask), v1, mask);
      signs = v128.or(signs, v128.or(v0, v1));
      out += pitch;
      v0 = clamp(f32x4.add(c20, b0), low, high);
      v1 = clamp(f32x4.add(c21, b1), low, high);
      storeColumns(out, v0, v1, left);
    }
    if (p + 3 < pixels) {
      most = magnitude(magnitude(most, v0, mask), v1, mask);
      signs = v128.or(signs, v128.or(v0, v1));
      out += pitch;
      v0 = clamp(f32x4.add(c30, b0), low, high);
      v1 = clamp(f32x4.add(c31, b1), low, high);
      storeColumns(out, v0, v1, left);
    }
    most = magnitude(magnitude(most, v0, mask), v1, mask);
    signs = v128.or(signs, v128.or(v0, v1));
    out += pitch;
  }
  keepRange(slot, most, signs);
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
  const mask = i32x4.splat(0x7fffffff);
  let most = i32x4.splat(0);
  let signs = most;
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
        for (let run = layer.table; run < tableEnd; run += RUN, w += tap) {
          const q = from + at + <usize>load<u32>(run);
          const k = v128.load(w);
          s0 = madd(s0, v128.load(q), k);
          s1 = madd(s1, v128.load(q + second), k);
          s2 = madd(s2, v128.load(q + third), k);
          s3 = madd(s3, v128.load(q + fourth), k);
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
        if (left < 4) {
          // Lanes behind the last channel hold the neighbour's activations.
          const keep = v128.load(KEEP + (<usize>left << 4));
          s0 = v128.and(s0, keep);
          s1 = v128.and(s1, keep);
          s2 = v128.and(s2, keep);
          s3 = v128.and(s3, keep);
        }
        most = magnitude(magnitude(magnitude(magnitude(most, s0, mask), s1, mask), s2, mask), s3, mask);
        signs = v128.or(signs, v128.or(v128.or(s0, s1), v128.or(s2, s3)));
      }
      i += count;
      p += count;
    }
  }
  keepRange(slot, most, signs);
}

/** All ones in the lanes below 0, 1, 2, 3. */
export const KEEP = memory.data<u32>([0, 0, 0, 0, 0xffffffff, 0, 0, 0, 0xffffffff, 0xffffffff, 0, 0, 0xffffffff, 0xffffffff, 0xffffffff, 0], 16);

/**
 * Windows over an image [height][width][channels], cut off at its edges: 0 the mean of those inside, 1 the largest number, 2 the
 * largest, or NaN where there is one. A window wholly outside gives -Infinity or 0.
 */
export function pool(
  x: usize,
  height: i32,
  width: i32,
  channels: u32,
  tall: i32,
  wide: i32,
  strideY: i32,
  strideX: i32,
  top: i32,
  left: i32,
  rows: i32,
  across: i32,
  how: i32,
  out: usize,
): void {
  const pixel = <usize>channels << 2;
  for (let oy = 0; oy < rows; oy++) {
    const y0 = max(0, oy * strideY - top);
    const y1 = min(height, oy * strideY - top + tall);
    for (let ox = 0; ox < across; ox++, out += pixel) {
      const x0 = max(0, ox * strideX - left);
      const x1 = min(width, ox * strideX - left + wide);
      const area = f32x4.splat(<f32>max(1, max(0, y1 - y0) * max(0, x1 - x0)));
      for (let c: u32 = 0; c < channels; c += 4) {
        let v = f32x4.splat(how ? -Infinity : 0);
        for (let y = y0; y < y1; y++) {
          let p = x + <usize>(y * width + x0) * pixel + (<usize>c << 2);
          for (const end = p + <usize>max(0, x1 - x0) * pixel; p < end; p += pixel)
            v =
              how == 0
                ? f32x4.add(v, v128.load(p))
                : how == 1
                  ? f32x4.pmax(v, v128.load(p))
                  : f32x4.max(v, v128.load(p));
        }
        storeFour(out + (<usize>c << 2), how ? v : f32x4.div(v, area), channels - c);
      }
    }
  }
}
