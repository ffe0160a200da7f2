// Moves of tensors, and what else is neither product nor function.

import { storeFour } from './panels';

/**
 * Blocks of `bytes` that lie apart, in three dimensions: pads, crops, concatenations, permutations, upsampling by repeated moves.
 * Steps are in bytes and may be 0.
 */
export function move(
  from: usize,
  out: usize,
  n0: u32,
  n1: u32,
  n2: u32,
  bytes: usize,
  from0: usize,
  from1: usize,
  from2: usize,
  out0: usize,
  out1: usize,
  out2: usize,
): void {
  for (let i: u32 = 0; i < n0; i++, from += from0, out += out0) {
    for (let j: u32 = 0, p = from, q = out; j < n1; j++, p += from1, q += out1) {
      for (let k: u32 = 0, r = p, s = q; k < n2; k++, r += from2, s += out2) {
        if (bytes == 4) store<u32>(s, load<u32>(r));
        else memory.copy(s, r, bytes);
      }
    }
  }
}

/** n floats of one value. */
export function fill(out: usize, n: u32, value: f32): void {
  const v = f32x4.splat(value);
  for (let i: u32 = 0; i < n; i += 4, out += 16) storeFour(out, v, n - i);
}

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
