import type { JsonObject, WeightInfo } from '../../model.js';
import { expanded } from '../../tfjs/layers/attention.js';
import type { Tensor, Tensor5D } from '../../tfjs/types.js';
import { type Linear, rowsMap } from './linear.js';

/**
 * An EinsumDense as products of matrices, one for each value of the letters that stand in all three terms:
 *
 *     abc,cde->abde   sums c, its rows are a b, its columns d e
 *     abc,bcd->abd    sums c, its rows are a, a matrix for each b
 *     abcx,cd->abd    x is summed before
 *
 * A reason where the kernel's letters that the output has do not stand together: its channels are not known then.
 */
export function einsumDense(
  weight: WeightInfo,
  bias: WeightInfo | undefined,
  config: JsonObject,
): Linear | string {
  const equation = String(config.equation);
  const { left, right, out } = expanded(equation, 0);
  const summed = [...right].filter((c) => !out.includes(c));
  const shared = [...right].filter((c) => out.includes(c) && left.includes(c));
  const columns = [...right].filter((c) => out.includes(c) && !left.includes(c));
  const channels = [...shared, ...columns];
  const from = right.indexOf(channels[0] ?? '');
  const isProduct =
    summed.length > 0 &&
    channels.length > 0 &&
    channels.every((c, i) => right[from + i] === c) &&
    summed.every((c) => left.includes(c));
  if (!isProduct) return `the channels of the equation ${equation} do not lie together`;
  const size = (letters: readonly string[]) =>
    letters.reduce((n, c) => n * (weight.shape[right.indexOf(c)] as number), 1);
  const [groups, k, n] = [size(shared), size(summed), size(columns)];
  const isWhole = [...out].filter((c) => String(config.bias_axes).includes(c)).join('') === channels.join('');
  return rowsMap(
    weight,
    { groups, k, n },
    {
      ...(bias && isWhole ? { bias: { weight: bias, from: 0 } } : {}),
      input(tf, [given]) {
        const { left: all, out: made } = expanded(equation, (given as Tensor).rank);
        const alone = [...all].flatMap((c, axis) => (made.includes(c) || right.includes(c) ? [] : [axis]));
        const x = alone.length > 0 ? tf.sum(given as Tensor, alone) : (given as Tensor);
        const letters = [...all].filter((_, axis) => !alone.includes(axis));
        const order = letters.filter((c) => !summed.includes(c) && !shared.includes(c));
        const axes = [...order, ...shared, ...summed].map((c) => letters.indexOf(c));
        const rows = x.size / k / groups;
        const isBatched = letters.indexOf(order[0] as string) === 0;
        const images = isBatched ? (x.shape[0] as number) : 1;
        return tf.reshape(tf.transpose(x, axes), [images, 1, 1, rows / images, groups * k]) as Tensor5D;
      },
      outputs(tf, image, values) {
        const order = [...shared, ...summed, ...columns].map((c) => right.indexOf(c));
        const matrices = tf.reshape(tf.transpose(values(weight), order), [groups, k, n]);
        const rows = tf.transpose(tf.reshape(image, [-1, groups, k]), [1, 0, 2]);
        const y = tf.transpose(tf.matMul(rows, matrices), [1, 0, 2]);
        return tf.reshape(y, [...image.shape.slice(0, 4), groups * n] as Tensor5D['shape']);
      },
    },
  );
}
