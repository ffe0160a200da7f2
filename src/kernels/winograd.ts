import type { Convolution } from './linalg-types.js';

/** Outputs of a strip. */
export const STRIP = 8;

/** Places of a tile before and after it is transformed. */
export const TILE_IN = 6;
export const TILE_OUT = 4;

/** Rows and columns of tiles of an image, and what its outputs measure. */
export function tilesOf({ height, width, border }: Convolution) {
  const [outHeight, outWidth] = [height - 2 + 2 * border, width - 2 + 2 * border];
  const [down, across] = [Math.ceil(outHeight / TILE_OUT), Math.ceil(outWidth / TILE_OUT)];
  return { outHeight, outWidth, down, across };
}

/**
 * `G w G'` of every kernel `w` of 3 x 3, in 36 planes of strips of eight outputs, `[strip][channels][8]`:
 *
 *          1/4     0    0
 *         -1/6  -1/6 -1/6
 *     G = -1/6   1/6 -1/6        computed in float64, then rounded to float32
 *         1/24  1/12  1/6
 *         1/24 -1/12  1/6
 *            0     0    1
 *
 * @param kernel `[3, 3, channels, outputs]` @param outputs a multiple of eight
 */
export function winogradKernel(kernel: Float32Array, channels: number, outputs: number): Float32Array {
  const planes = new Float32Array(TILE_IN * TILE_IN * channels * outputs);
  const side = new Float64Array(TILE_IN * 3);
  const plane = channels * outputs;
  for (let c = 0; c < channels; c++)
    for (let k = 0; k < outputs; k++) {
      const from = c * outputs + k;
      for (let j = 0; j < 3; j++) {
        const [a, b, d] = [0, 1, 2].map((i) => kernel[(i * 3 + j) * plane + from]) as [
          number,
          number,
          number,
        ];
        widen(a, b, d, side, j, 3);
      }
      const to = (k - (k % STRIP)) * channels + c * STRIP + (k % STRIP);
      for (let i = 0; i < TILE_IN; i++) {
        const [a, b, d] = [side[i * 3], side[i * 3 + 1], side[i * 3 + 2]] as [number, number, number];
        widen(a, b, d, planes, i * TILE_IN * plane + to, plane);
      }
    }
  return planes;
}

/** `G` times a vector of three, with `step` between what it gives. */
function widen(
  a: number,
  b: number,
  c: number,
  to: Float32Array | Float64Array,
  at: number,
  step: number,
): void {
  to[at] = a / 4;
  to[at + step] = -(a + b + c) / 6;
  to[at + 2 * step] = -(a - b + c) / 6;
  to[at + 3 * step] = (a + 2 * b + 4 * c) / 24;
  to[at + 4 * step] = (a - 2 * b + 4 * c) / 24;
  to[at + 5 * step] = c;
}
