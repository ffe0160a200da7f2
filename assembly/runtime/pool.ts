// Windows without weights.

import { storeFour } from './panels';

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
  const first = f32x4.splat(how ? -Infinity : 0);
  for (let oy = 0; oy < rows; oy++) {
    const y0 = max(0, oy * strideY - top);
    const y1 = min(height, oy * strideY - top + tall);
    for (let ox = 0; ox < across; ox++, out += pixel) {
      const x0 = max(0, ox * strideX - left);
      const x1 = min(width, ox * strideX - left + wide);
      for (let c: usize = 0; c < pixel; c += 16) storeFour(out + c, first, <u32>((pixel - c) >> 2));
      for (let y = y0; y < y1; y++) {
        let p = x + <usize>(y * width + x0) * pixel;
        for (const end = p + <usize>max(0, x1 - x0) * pixel; p < end; p += pixel) {
          if (how == 0) join(out, p, pixel, 0);
          else if (how == 1) join(out, p, pixel, 1);
          else join(out, p, pixel, 2);
        }
      }
      if (how) continue;
      const area = f32x4.splat(<f32>max(1, max(0, y1 - y0) * max(0, x1 - x0)));
      for (let c: usize = 0; c < pixel; c += 16)
        storeFour(out + c, f32x4.div(v128.load(out + c), area), <u32>((pixel - c) >> 2));
    }
  }
}

/** A pixel of `bytes` joined into the one at `out`. */
// @ts-ignore: decorator
@inline
function join(out: usize, p: usize, bytes: usize, how: i32): void {
  for (let c: usize = 0; c < bytes; c += 16) {
    const v = v128.load(out + c);
    const x = v128.load(p + c);
    const sum = how == 0 ? f32x4.add(v, x) : how == 1 ? f32x4.pmax(v, x) : f32x4.max(v, x);
    storeFour(out + c, sum, <u32>((bytes - c) >> 2));
  }
}
