import type { Tensor, Tensor4D, TensorFlow } from '../../tfjs/types.js';

/**
 * Changes of images against overfitting; the float network is asked what it makes of the changed image, so none needs to
 * keep a label true.
 *
 * - `flip`: left to right, half of the images
 * - `shift`: by up to an eighth of the image in each direction, zeros moving in
 * - `cutmix`: a rectangle of another image of the batch in its place (Yun et al., CutMix, ICCV 2019, section 3.1)
 */
export type Augmentation = 'flip' | 'shift' | 'cutmix';

/** Every kind of {@link Augmentation}. */
export const AUGMENTATIONS: readonly Augmentation[] = ['flip', 'shift', 'cutmix'];

/**
 * @param x `[n, height, width, channels]`
 * @param random whole numbers in [0, n)
 */
export function augment(
  tf: TensorFlow,
  x: Tensor4D,
  kinds: readonly Augmentation[],
  random: (n: number) => number,
): Tensor4D {
  return tf.tidy(() =>
    AUGMENTATIONS.filter((kind) => kinds.includes(kind)).reduce(
      (image, kind) => APPLY[kind](tf, image, random),
      x,
    ),
  );
}

const APPLY: Readonly<
  Record<Augmentation, (tf: TensorFlow, x: Tensor4D, random: (n: number) => number) => Tensor4D>
> = {
  flip(tf, x, random) {
    const [n] = x.shape;
    const isFlipped = tf.tensor4d(
      Float32Array.from({ length: n }, () => random(2)),
      [n, 1, 1, 1],
    );
    return mix(tf, x, tf.reverse(x, 2), isFlipped);
  },

  shift(tf, x, random) {
    const [n, height, width] = x.shape;
    const reach = [Math.floor(height / 8), Math.floor(width / 8)] as const;
    const [down, right] = reach.map((most) => random(2 * most + 1)) as [number, number];
    const padded = tf.pad4d(x, [
      [0, 0],
      [reach[0], reach[0]],
      [reach[1], reach[1]],
      [0, 0],
    ]);
    return tf.slice4d(padded, [0, down, right, 0], [n, height, width, -1]);
  },

  cutmix(tf, x, random) {
    const [n, height, width] = x.shape;
    const mask = new Float32Array(n * height * width);
    for (let i = 0; i < n; i++) {
      // The rectangle's share of the image is uniform in [0, 1), its place may reach over the border.
      const side = Math.sqrt(random(1 << 16) / (1 << 16));
      const [y, h] = span(height, side, random);
      const [left, w] = span(width, side, random);
      for (let row = y; row < y + h; row++) {
        const from = (i * height + row) * width + left;
        mask.fill(1, from, from + w);
      }
    }
    // The batch is in random order, so the neighbour is a random partner.
    const partner = tf.concat([tf.slice(x, [1], [n - 1]), tf.slice(x, [0], [1])], 0) as Tensor4D;
    return mix(tf, x, partner, tf.tensor4d(mask, [n, height, width, 1]));
  },
};

function span(length: number, side: number, random: (n: number) => number): [from: number, size: number] {
  const half = (side * length) / 2;
  const centre = random(length);
  const from = Math.max(0, Math.round(centre - half));
  return [from, Math.min(length, Math.round(centre + half)) - from];
}

/** `a` where the mask is 0, `b` where it is 1. */
function mix(tf: TensorFlow, a: Tensor, b: Tensor, mask: Tensor): Tensor4D {
  return tf.add(a, tf.mul(tf.sub(b, a), mask));
}
