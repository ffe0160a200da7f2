// Steps of single layers: transposed convolutions, images in other sizes, rows of an embedding.

import { factorOf, levels, offsetOf, powersOf } from './levels';
import { storeColumns, storeFour } from './panels';

/**
 * Transposed convolution, second half: products [height][width][tall][wide][channels] of every input pixel with every tap are
 * added where they belong, in the order of the taps, and the bias after them.
 *
 *     out[oy, ox] = sum over (r, q) of y[iy, ix, r, q], where oy + top = iy strideY + r dilationY, ox + left = ...
 */
export function scatter(
  y: usize,
  height: i32,
  width: i32,
  channels: u32,
  tall: i32,
  wide: i32,
  strideY: i32,
  strideX: i32,
  dilationY: i32,
  dilationX: i32,
  top: i32,
  left: i32,
  rows: i32,
  across: i32,
  bias: usize,
  out: usize,
): void {
  const tap = <usize>channels << 2;
  const pixel = <usize>(tall * wide) * tap;
  for (let oy = 0; oy < rows; oy++) {
    for (let ox = 0; ox < across; ox++, out += tap) {
      for (let c: u32 = 0; c < channels; c += 4) {
        let v = f32x4.splat(0);
        for (let r = 0; r < tall; r++) {
          const below = oy + top - r * dilationY;
          if (below < 0 || below % strideY != 0 || below / strideY >= height) continue;
          for (let q = 0; q < wide; q++) {
            const behind = ox + left - q * dilationX;
            if (behind < 0 || behind % strideX != 0 || behind / strideX >= width) continue;
            const p = y + <usize>((below / strideY) * width + behind / strideX) * pixel + <usize>(r * wide + q) * tap;
            v = f32x4.add(v, v128.load(p + (<usize>c << 2)));
          }
        }
        storeFour(out + (<usize>c << 2), f32x4.add(v, v128.load(bias + (<usize>c << 2))), channels - c);
      }
    }
  }
}

/**
 * Bilinear interpolation of an image, pixel centres at halves: row o of `rows` looks at (o + 1/2) height / rows - 1/2, kept inside.
 *
 *     top + (bottom - top) fy, where each is left + (right - left) fx
 */
export function interpolate(x: usize, height: i32, width: i32, channels: u32, rows: i32, across: i32, out: usize): void {
  const pixel = <usize>channels << 2;
  const scaleY = <f32>height / <f32>rows;
  const scaleX = <f32>width / <f32>across;
  for (let oy = 0; oy < rows; oy++) {
    const fy = max<f32>(0, (<f32>oy + 0.5) * scaleY - 0.5);
    const y0 = min(<i32>fy, height - 1);
    const y1 = min(y0 + 1, height - 1);
    const dy = f32x4.splat(fy - <f32>y0);
    for (let ox = 0; ox < across; ox++, out += pixel) {
      const fx = max<f32>(0, (<f32>ox + 0.5) * scaleX - 0.5);
      const x0 = min(<i32>fx, width - 1);
      const x1 = min(x0 + 1, width - 1);
      const dx = f32x4.splat(fx - <f32>x0);
      const a = x + <usize>(y0 * width + x0) * pixel;
      const b = x + <usize>(y0 * width + x1) * pixel;
      const c = x + <usize>(y1 * width + x0) * pixel;
      const d = x + <usize>(y1 * width + x1) * pixel;
      for (let i: usize = 0; i < pixel; i += 16) {
        const l = v128.load(a + i);
        const m = v128.load(c + i);
        const upper = f32x4.add(l, f32x4.mul(f32x4.sub(v128.load(b + i), l), dx));
        const lower = f32x4.add(m, f32x4.mul(f32x4.sub(v128.load(d + i), m), dx));
        storeFour(out + i, f32x4.add(upper, f32x4.mul(f32x4.sub(lower, upper), dy)), <u32>((pixel - i) >> 2));
      }
    }
  }
}

/** `out[i] = level * scale` of n codes from element `first` on. */
export function decodeRow(codes: usize, bits: u32, first: u32, n: u32, scale: f32, out: usize): void {
  const powers = powersOf(bits);
  const factor = factorOf(bits);
  const offset = offsetOf(bits);
  const s = f32x4.splat(scale);
  let at = <usize>(first * bits);
  for (let i: u32 = 0; i < n; i += 8, at += <usize>(bits << 3), out += 32) {
    const v = levels(codes, at, bits, powers, factor, offset);
    const p = f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(v)), s);
    const q = f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(v)), s);
    storeColumns(out, p, q, n - i);
  }
}
