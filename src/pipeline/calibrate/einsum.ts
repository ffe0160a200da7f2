import type { JsonObject, WeightInfo } from '../../model.js';
import { expanded } from '../../tfjs/layers/attention.js';
import type { Tensor, Tensor2D, Tensor5D } from '../../tfjs/types.js';
import { type Linear, rowsMap } from './linear.js';

/**
 * An EinsumDense whose equation is a matrix product: `abc,cde->abde` sums `c`, its rows are `a b`, its columns `d e`.
 * A reason where it is not: a letter of the kernel that stands in both input and output, or sums of the input alone.
 */
export function einsumDense(
  weight: WeightInfo,
  bias: WeightInfo | undefined,
  config: JsonObject,
): Linear | string {
  const equation = String(config.equation);
  const { left, right, out } = expanded(equation, 0);
  const summed = [...right].filter((c) => !out.includes(c));
  const columns = [...right].filter((c) => out.includes(c));
  const from = right.indexOf(columns[0] ?? '');
  const isProduct =
    summed.length > 0 &&
    columns.length > 0 &&
    columns.every((c, i) => right[from + i] === c && !left.includes(c)) &&
    summed.every((c) => left.includes(c)) &&
    [...left].every((c) => right.includes(c) || out.includes(c));
  if (!isProduct) return `the equation ${equation} is no product of two matrices and is fitted without data`;
  const size = (letters: readonly string[]) =>
    letters.reduce((n, c) => n * (weight.shape[right.indexOf(c)] as number), 1);
  const [k, n] = [size(summed), size(columns)];
  const isWhole = [...out].filter((c) => String(config.bias_axes).includes(c)).join('') === columns.join('');
  return rowsMap(
    weight,
    { k, n },
    {
      ...(bias && isWhole ? { bias: { weight: bias, from: 0 } } : {}),
      input(tf, [x]) {
        const { left: letters } = expanded(equation, (x as Tensor).rank);
        const order = [...letters].filter((c) => !summed.includes(c));
        const axes = [...order, ...summed].map((c) => letters.indexOf(c));
        const rows = (x as Tensor).size / k;
        const batch = (x as Tensor).shape[0] as number;
        const isBatched = letters.indexOf(order[0] as string) === 0;
        const images = isBatched ? batch : 1;
        return tf.reshape(tf.transpose(x as Tensor, axes), [images, 1, 1, rows / images, k]) as Tensor5D;
      },
      outputs(tf, image, values) {
        const order = [...summed, ...columns].map((c) => right.indexOf(c));
        const matrix = tf.reshape(tf.transpose(values(weight), order), [k, n]) as Tensor2D;
        const y = tf.matMul(tf.reshape(image, [-1, k]) as Tensor2D, matrix);
        return tf.reshape(y, [...image.shape.slice(0, 4), n] as Tensor5D['shape']);
      },
    },
  );
}
