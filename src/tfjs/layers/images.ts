import type { Tensor, TensorFlow } from '../types.js';
import { type LayerSpec, spec } from './define.js';

/** Values of `from` moved to `to`, as Keras does it: by way of 0 to 1. */
function ranged(
  tf: TensorFlow,
  x: Tensor,
  from: readonly [number, number],
  to: readonly [number, number],
): Tensor {
  if (from[0] === to[0] && from[1] === to[1]) return x;
  const share = tf.div(tf.sub(x, from[0]), from[1] - from[0]);
  return tf.add(tf.mul(share, to[1] - to[0]), to[0]);
}

/**
 * Stretches each channel of each image over the whole range of values, also outside of training. A channel of one value
 * stays as it is. Keras takes axes 1 and 2 for rows and columns whatever the data format.
 */
const autoContrast: LayerSpec<{ readonly valueRange?: readonly [number, number] }> = {
  className: 'AutoContrast',
  call({ tf, config, inputs }) {
    const x = tf.cast(inputs[0] as Tensor, 'float32');
    const [a, b] = config.valueRange ?? [0, 255];
    const range = [Math.min(a, b), Math.max(a, b)] as const;
    const bytes = [0, 255] as const;
    const image = ranged(tf, x, range, bytes);
    const low = tf.min(image, [1, 2], true);
    const width = tf.sub(tf.max(image, [1, 2], true), low);
    const isFlat = tf.equal(width, 0);
    const scale = tf.div(255, tf.where(isFlat, tf.onesLike(width), width));
    const stretched = tf.add(tf.mul(image, scale), tf.mul(tf.neg(low), scale));
    const back = ranged(tf, tf.clipByValue(stretched, 0, 255), bytes, range);
    return tf.where(isFlat, x, back);
  },
};

/** What Keras computes of images outside of training, too. */
export const imageLayers: readonly LayerSpec[] = [spec(autoContrast)];
