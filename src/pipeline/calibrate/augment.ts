/**
 * Changes of images against overfitting; the float network is asked what it makes of the changed image, so none needs to
 * keep a label true.
 *
 * - `flip`: left to right, half of the images
 * - `shift`: each image by up to a tenth of it in each direction; what moves in is its mirror image
 * - `cutmix`: in every other batch, a rectangle of another image of the batch in its place (Yun et al., CutMix, ICCV 2019,
 *   section 3.1)
 */
export type Augmentation = 'flip' | 'shift' | 'cutmix';

/** Every kind of {@link Augmentation}. */
export const AUGMENTATIONS: readonly Augmentation[] = ['flip', 'shift', 'cutmix'];

/** `[n, height, width, channels]` of a batch of images. */
export type ImageShape = readonly [n: number, height: number, width: number, channels: number];

/**
 * Changes a batch of images in place, in the order of {@link AUGMENTATIONS}.
 *
 * @param x of that shape, in C order
 * @param random whole numbers in [0, n)
 */
export function augment(
  x: Float32Array,
  shape: ImageShape,
  kinds: readonly Augmentation[],
  random: (n: number) => number,
): void {
  for (const kind of AUGMENTATIONS) if (kinds.includes(kind)) APPLY[kind](x, shape, random);
}

const APPLY: Readonly<
  Record<Augmentation, (x: Float32Array, shape: ImageShape, random: (n: number) => number) => void>
> = {
  flip(x, shape, random) {
    const [n, , width] = shape;
    for (let i = 0; i < n; i++)
      if (random(2) === 1)
        gather(
          x,
          shape,
          i,
          (y) => y,
          (c) => width - 1 - c,
        );
  },

  shift(x, shape, random) {
    const [n, height, width] = shape;
    for (let i = 0; i < n; i++) {
      const [down, right] = [height, width].map((length) => {
        const reach = Math.floor(length / 10);
        return random(2 * reach + 1) - reach;
      }) as [number, number];
      if (down === 0 && right === 0) continue;
      gather(
        x,
        shape,
        i,
        (y) => mirrored(y + down, height),
        (c) => mirrored(c + right, width),
      );
    }
  },

  cutmix(x, [n, height, width, channels], random) {
    if (random(2) === 0) return;
    // The batch is in random order, so the neighbour is a random partner.
    const size = height * width * channels;
    const first = x.slice(0, size);
    for (let i = 0; i < n; i++) {
      const partner = i + 1 < n ? x.subarray((i + 1) * size, (i + 2) * size) : first;
      // The rectangle's share of the image is uniform in [0, 1), its place may reach over the border.
      const side = Math.sqrt(random(1 << 16) / (1 << 16));
      const [top, high] = span(height, side, random);
      const [left, wide] = span(width, side, random);
      for (let y = top; y < top + high; y++) {
        const from = (y * width + left) * channels;
        x.set(partner.subarray(from, from + wide * channels), i * size + from);
      }
    }
  },
};

/** Image `i` anew: the pixel at `y`, `c` is the one that was at `row(y)`, `column(c)`. */
function gather(
  x: Float32Array,
  [, height, width, channels]: ImageShape,
  i: number,
  row: (y: number) => number,
  column: (c: number) => number,
): void {
  const size = height * width * channels;
  const own = x.subarray(i * size, (i + 1) * size);
  const before = own.slice();
  for (let y = 0, at = 0; y < height; y++)
    for (let c = 0, line = row(y) * width; c < width; c++)
      for (let k = 0, from = (line + column(c)) * channels; k < channels; k++, at++)
        own[at] = before[from + k] as number;
}

/** A place beyond an end is the one as far before it, the end itself not twice. */
function mirrored(place: number, length: number): number {
  if (place < 0) return -place;
  return place < length ? place : 2 * (length - 1) - place;
}

function span(length: number, side: number, random: (n: number) => number): [from: number, size: number] {
  const half = (side * length) / 2;
  const centre = random(length);
  const from = Math.max(0, Math.round(centre - half));
  return [from, Math.min(length, Math.round(centre + half)) - from];
}
