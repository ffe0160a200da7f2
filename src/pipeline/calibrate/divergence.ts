import type { Tensor } from '@tensorflow/tfjs';
import type { TensorFlow } from '../../tfjs/types.js';
import type { OutputKind } from '../evaluate.js';

/** Outputs of two networks, batch by batch. */
export interface OutputPair {
  readonly float: readonly Tensor[];
  readonly quantized: readonly Tensor[];
}

/**
 * How far outputs are from the float network's: for classifiers the mean Kullback-Leibler divergence
 * `sum p log(p / q)` in nats; for a model with another kind of output the squared error over the outputs' variance.
 */
export function divergence(tf: TensorFlow, outputs: readonly OutputPair[], kind: OutputKind): number {
  let sum = 0;
  let count = 0;
  let total = 0;
  const isClassifier = outputs.length === 1 && outputs[0]?.float[0]?.rank === 2 && kind !== 'probability';
  for (const { float, quantized } of outputs) {
    for (const [i, p] of float.entries()) {
      const [lost, size] = tf.tidy(() => {
        const q = quantized[i] as Tensor;
        if (!isClassifier) {
          const { variance } = tf.moments(p);
          return [
            tf.squaredDifference(p, q).sum().dataSync()[0],
            (variance.dataSync()[0] as number) * p.size,
          ];
        }
        const log = (x: Tensor) => (kind === 'logits' ? tf.logSoftmax(x) : tf.log(tf.maximum(x, 1e-8)));
        const a = log(p);
        return [tf.sum(tf.mul(tf.exp(a), tf.sub(a, log(q)))).dataSync()[0], p.shape[0]];
      });
      sum += lost as number;
      count += p.shape[0] as number;
      total += size as number;
    }
  }
  return isClassifier ? sum / count : total > 0 ? sum / total : sum;
}
