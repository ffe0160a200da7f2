import { BitnibbleError } from '../../errors.js';
import type { Scalar, Tensor, TensorFlow } from '../../tfjs/types.js';
import type { OutputKind } from '../outputs.js';

/** An output of a batch: a tensor, or what else has its values. */
export interface Output {
  readonly shape: readonly number[];
  /** float32 values in C order. */
  dataSync(): unknown;
}

/** Outputs of two networks, batch by batch. */
export interface OutputPair<T = Output> {
  readonly float: readonly T[];
  readonly quantized: readonly T[];
}

/**
 * Whether outputs are those of a classifier: one vector of two classes or more for each sample; of probabilities also one for each step
 * or pixel. Values of more axes that no softmax was applied to may be anything.
 */
export function isClassifier(
  outputs: readonly { readonly shape: readonly number[] }[],
  kind: OutputKind,
): boolean {
  const [{ shape } = { shape: [] }] = outputs;
  if (outputs.length !== 1 || kind === 'probability' || kind === 'numbers' || (shape.at(-1) ?? 1) < 2)
    return false;
  return kind === 'probabilities' ? shape.length >= 2 : shape.length === 2;
}

/**
 * `sum p log(p / q)` over all samples of a batch of classifier outputs, in nats; its gradient reaches `q`. It is a loss to
 * descend on: what is reported comes from {@link divergence}, whose sums do not depend on a backend.
 */
export function klSum(tf: TensorFlow, p: Tensor, q: Tensor, kind: OutputKind): Scalar {
  const log = (x: Tensor) => (kind === 'logits' ? tf.logSoftmax(x) : tf.log(tf.maximum(x, 1e-8)));
  const logP = log(p);
  return tf.sum(tf.mul(tf.exp(logP), tf.sub(logP, log(q))));
}

/**
 * How far outputs are from the float network's: for classifiers the mean Kullback-Leibler divergence
 * `sum p log(p / q)` in nats, of samples, steps or pixels; for a model with another kind of output the squared error over the outputs'
 * variance.
 * Sums are float64: TensorFlow.js's WebAssembly backend adds float32 numbers one by one, and loses 3 percent of 3,000,000.
 */
export function divergence(outputs: readonly OutputPair[], kind: OutputKind): number {
  let sum = 0;
  let count = 0;
  let total = 0;
  const first = outputs.flatMap(({ float }) => float[0] ?? []);
  const classifies = isClassifier(first, kind);
  for (const { float, quantized } of outputs) {
    for (const [i, p] of float.entries()) {
      const own = p.dataSync() as Float32Array;
      const other = (quantized[i] as Output).dataSync() as Float32Array;
      const classes = p.shape.at(-1) as number;
      sum += classifies ? klOf(own, other, classes, kind) : squaredError(own, other);
      total += classifies ? 0 : spreadOf(own);
      count += own.length / classes;
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
  outputs: readonly Pick<OutputPair<Tensor>, 'float'>[],
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

/** `sum (p - q)^2` in float64. */
function squaredError(p: Float32Array, q: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < p.length; i++) sum += ((p[i] as number) - (q[i] as number)) ** 2;
  return sum;
}

/** `sum (p - mean(p))^2` in float64. */
function spreadOf(p: Float32Array): number {
  let sum = 0;
  for (const value of p) sum += value;
  const mean = sum / p.length;
  let squares = 0;
  for (const value of p) squares += (value - mean) ** 2;
  return squares;
}

/** {@link klSum} in float64, of rows of classes. */
function klOf(p: Float32Array, q: Float32Array, classes: number, kind: OutputKind): number {
  let sum = 0;
  for (let from = 0; from < p.length; from += classes) {
    const a = logsOf(p.subarray(from, from + classes), kind);
    const b = logsOf(q.subarray(from, from + classes), kind);
    for (let c = 0; c < classes; c++) sum += Math.exp(a[c] as number) * ((a[c] as number) - (b[c] as number));
  }
  return sum;
}

/** Logarithms of the probabilities that one sample's outputs are or stand for. */
function logsOf(row: Float32Array, kind: OutputKind): Float64Array {
  if (kind !== 'logits') return Float64Array.from(row, (v) => Math.log(Math.max(v, 1e-8)));
  const top = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  let sum = 0;
  for (const v of row) sum += Math.exp(v - top);
  const shift = top + Math.log(sum);
  return Float64Array.from(row, (v) => v - shift);
}
