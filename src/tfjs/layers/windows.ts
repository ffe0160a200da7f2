import type { Tensor, TensorFlow } from '../types.js';

/**
 * The input that windows with padding "same" see, channels last: without the rows behind the last window where windows
 * are shorter than their stride, `(ceil(n / s) - 1) s + k < n`. TensorFlow.js pads such an input by a negative number,
 * with other results on other backends; cropped, it needs no padding along that axis.
 *
 * @param sizes of the window on each spatial axis, dilation included
 */
export function seen(
  tf: TensorFlow,
  x: Tensor,
  sizes: readonly number[],
  strides: readonly number[],
  pad: 'same' | 'valid',
): Tensor {
  if (pad !== 'same') return x;
  const size = [...x.shape];
  for (const [axis, k] of sizes.entries()) {
    const n = x.shape[axis + 1] as number;
    const s = strides[axis] as number;
    size[axis + 1] = Math.min(n, (Math.ceil(n / s) - 1) * s + k);
  }
  if (size.every((n, axis) => n === x.shape[axis])) return x;
  return tf.slice(
    x,
    size.map(() => 0),
    size,
  );
}
