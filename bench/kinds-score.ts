import type { Dataset } from '../src/data/index.js';
import type { Predictions } from '../src/pipeline/report/predict.js';

/** A network of examples/kinds and what its outputs are judged by. */
export interface Kind {
  readonly name: string;
  /** Share of right classes, of samples or of their steps; share of the variance that is explained; peak signal-to-noise ratio. */
  readonly metric: 'accuracy' | 'r2' | 'psnr';
}

/** The networks, in the order of the page of results. */
export const KINDS: readonly Kind[] = [
  { name: 'encoder', metric: 'accuracy' },
  { name: 'tagger', metric: 'accuracy' },
  { name: 'forecaster', metric: 'r2' },
  { name: 'question', metric: 'accuracy' },
  { name: 'denoiser', metric: 'psnr' },
  { name: 'siamese', metric: 'accuracy' },
  { name: 'table', metric: 'r2' },
];

/**
 * Outputs of a network of one output beside the answers:
 *
 *     accuracy   rows of classes, the first of the largest counts; of one number, 0.5 is the border
 *     r2         1 - sum (t - y)^2 / sum (t - mean)^2
 *     psnr       10 log10(1 / mean (t - y)^2), of values from 0 to 1
 */
export function scoreKind(
  { name, metric }: Kind,
  { outputs }: Predictions,
  { labels, targets }: Dataset,
): number {
  const [output] = outputs;
  const wanted = labels ?? targets?.values;
  if (!output || !wanted) throw new Error(`${name}: expected an output and answers`);
  const { values, shape } = output;
  if (metric === 'accuracy') return rightOf(values, wanted, shape.at(-1) ?? 1);
  if (values.length !== wanted.length) throw new Error(`${name}: expected as many answers as outputs`);
  let mean = 0;
  for (const t of wanted) mean += t / wanted.length;
  let [lost, total] = [0, 0];
  for (const [i, t] of wanted.entries()) {
    lost += (t - (values[i] as number)) ** 2;
    total += (t - mean) ** 2;
  }
  return metric === 'r2' ? 1 - lost / total : 10 * Math.log10(wanted.length / lost);
}

function rightOf(values: Float32Array, classes: ArrayLike<number>, width: number): number {
  if (values.length !== classes.length * width) throw new Error(`expected ${values.length / width} classes`);
  let right = 0;
  for (let row = 0; row < classes.length; row++) {
    const own = values.subarray(row * width, (row + 1) * width);
    const answer = width === 1 ? Number((own[0] as number) > 0.5) : own.indexOf(Math.max(...own));
    if (answer === classes[row]) right++;
  }
  return right / classes.length;
}
