/** Side of an image that the demo's network takes. */
export const SIDE = 28;
/** Side of the box that a digit of MNIST fills. */
const BOX = 20;
/** Samples per pixel and axis when a drawing is made smaller. */
const SAMPLES = 4;

/**
 * A drawing as the digits of MNIST were made: scaled so that the longer side of its bounding box is 20 pixels, with its
 * centre of mass in the middle of 28 x 28. Source: http://yann.lecun.com/exdb/mnist.
 *
 * @param ink `side` x `side` bytes, 255 where it is black
 * @returns 28 x 28 bytes, or undefined for an empty drawing
 */
export function centredDigit(ink: Uint8Array, side: number): Uint8Array | undefined {
  let [left, top, right, bottom] = [side, side, -1, -1];
  let [mass, massX, massY] = [0, 0, 0];
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const value = ink[y * side + x] as number;
      if (value === 0) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
      mass += value;
      massX += value * (x + 0.5);
      massY += value * (y + 0.5);
    }
  }
  if (mass === 0) return undefined;
  const scale = BOX / Math.max(right - left + 1, bottom - top + 1);
  // Pixel p of the result is at (p - 14) / scale + centre of the drawing.
  const [centreX, centreY] = [massX / mass, massY / mass];
  const at = (x: number, y: number) =>
    x < 0 || y < 0 || x >= side || y >= side ? 0 : (ink[Math.floor(y) * side + Math.floor(x)] as number);
  return Uint8Array.from({ length: SIDE * SIDE }, (_, i) => {
    let sum = 0;
    for (let sy = 0; sy < SAMPLES; sy++) {
      for (let sx = 0; sx < SAMPLES; sx++) {
        const x = (i % SIDE) + (sx + 0.5) / SAMPLES;
        const y = Math.floor(i / SIDE) + (sy + 0.5) / SAMPLES;
        sum += at((x - SIDE / 2) / scale + centreX, (y - SIDE / 2) / scale + centreY);
      }
    }
    return Math.round(sum / SAMPLES ** 2);
  });
}
