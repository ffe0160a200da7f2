import type { Scalar, Tensor } from '@tensorflow/tfjs';
import { BitnibbleError } from '../../errors.js';
import type { TensorFlow } from '../../tfjs/types.js';
import type { OutputKind } from '../outputs.js';

/** Outputs of two networks, batch by batch. */
export interface OutputPair {
  readonly float: readonly Tensor[];
  readonly quantized: readonly Tensor[];
}

/** Whether outputs are those of a classifier: one vector of two classes or more for each sample. */
export function isClassifier(
  outputs: readonly { readonly shape: readonly number[] }[],
  kind: OutputKind,
): boolean {
  const [{ shape } = { shape: [] }] = outputs;
  return outputs.length === 1 && shape.length === 2 && (shape[1] as number) > 1 && kind !== 'probability';
}

/** `sum p log(p / q)` over all samples of a batch of classifier outputs, in nats; its gradient reaches `q`. */
export function klSum(tf: TensorFlow, p: Tensor, q: Tensor, kind: OutputKind): Scalar {
  const log = (x: Tensor) => (kind === 'logits' ? tf.logSoftmax(x) : tf.log(tf.maximum(x, 1e-8)));
  const logP = log(p);
  return tf.sum(tf.mul(tf.exp(logP), tf.sub(logP, log(q))));
}

/**
 * How far outputs are from the float network's: for classifiers the mean Kullback-Leibler divergence
 * `sum p log(p / q)` in nats; for a model with another kind of output the squared error over the outputs' variance.
 */
export function divergence(tf: TensorFlow, outputs: readonly OutputPair[], kind: OutputKind): number {
  let sum = 0;
  let count = 0;
  let total = 0;
  const first = outputs.flatMap(({ float }) => float[0] ?? []);
  const classifies = isClassifier(first, kind);
  for (const { float, quantized } of outputs) {
    for (const [i, p] of float.entries()) {
      const [lost, size] = tf.tidy(() => {
        const q = quantized[i] as Tensor;
        if (!classifies) {
          const { variance } = tf.moments(p);
          return [
            tf.squaredDifference(p, q).sum().dataSync()[0],
            (variance.dataSync()[0] as number) * p.size,
          ];
        }
        return [klSum(tf, p, q, kind).dataSync()[0], p.shape[0]];
      });
      sum += lost as number;
      count += p.shape[0] as number;
      total += size as number;
    }
  }
  return classifies ? sum / count : total > 0 ? sum / total : sum;
}

/**
 * The float network is the yardstick: what it makes of the samples has to be numbers.
 * @throws BitnibbleError `not-finite`
 */
export function requireFiniteOutputs(
  tf: TensorFlow,
  outputs: readonly Pick<OutputPair, 'float'>[],
  what: string,
): void {
  for (const { float } of outputs) {
    for (const output of float) {
      const [sum] = tf.tidy(() => tf.mul(output, 0).sum().dataSync());
      if (sum === 0) continue;
      throw new BitnibbleError(
        'not-finite',
        `${what}: the model's outputs for these samples are NaN or infinite`,
      );
    }
  }
}
