import { type Dataset, type Preprocessing, pickSamples } from '../../data/index.js';
import { BitnibbleError } from '../../errors.js';
import type { ModelSource } from '../../model.js';
import { readNetwork } from '../../network/index.js';
import { sizeOf } from '../../shape.js';
import type { TensorFlow } from '../../tfjs/types.js';
import { indexedInputs } from '../input-range.js';
import { outputKind } from '../outputs.js';
import { distanceOf, type Predictions, predictAll, scoreOf } from '../report/predict.js';
import { stateless } from './stateless.js';

/**
 * What decides which form of a model is kept:
 *
 * - `divergence`: how far outputs are from the float model's; needs no labels
 * - `accuracy`: share of right classes; of steps or pixels where each has a class
 * - `r2`, `mae`: of numbers that are predicted, `1 - sum (t - y)^2 / sum (t - mean)^2` and `mean |t - y|`
 */
export type Metric = 'divergence' | 'accuracy' | 'r2' | 'mae';

/** Every {@link Metric}. */
export const METRICS: readonly Metric[] = ['divergence', 'accuracy', 'r2', 'mae'];

/** Samples that nothing was fitted to, and what is looked at on them. */
export interface CheckOptions {
  /** Other samples than those that layers are fitted to; with labels or targets for metrics that need them. */
  readonly dataset: Dataset;
  /** What decides. Default `divergence`. */
  readonly by?: Metric;
}

/** A form of the model on the samples held back; metrics are there where the answers are. */
export interface Candidate extends Readonly<Partial<Record<Exclude<Metric, 'divergence'>, number>>> {
  readonly name: 'rounded' | 'calibrated' | 'tuned';
  readonly divergence: number;
}

/** What was kept, and what spoke for it. */
export interface CheckReport {
  readonly by: Metric;
  readonly samples: number;
  readonly candidates: readonly Candidate[];
  /** Name of the candidate that was kept. */
  readonly kept: Candidate['name'];
  /** The same metrics of the float model, where the answers are there. */
  readonly float: Omit<Candidate, 'name' | 'divergence'>;
}

/**
 * Refuses a metric that the model's outputs and the answers do not give, from the architecture alone.
 * @throws BitnibbleError `data-mismatch`
 */
export function requireMetric(model: ModelSource, { dataset, by = 'divergence' }: CheckOptions): void {
  if (by === 'divergence') return;
  const { outputs, values } = readNetwork(model);
  const mismatch = (fault: string) =>
    new BitnibbleError('data-mismatch', `${model.file} and ${dataset.name}: ${by} ${fault}`);
  const { labels, targets } = dataset;
  if (outputs.length !== 1) throw mismatch(`needs a model of one output, this has ${outputs.length}`);
  if (!labels && !targets) throw mismatch('needs labels, and the data has none');
  const shape = values[outputs[0]?.value ?? -1]?.shape?.slice(1);
  if (!shape || shape.includes(null)) return;
  const possible = metricsOf(shape as number[], dataset);
  if (possible.includes(by)) return;
  const answers = targets ? `targets of shape [${targets.shape}]` : 'class numbers';
  throw mismatch(
    `cannot be taken of outputs [${shape}] and ${answers}${possible.length > 0 ? `: ${possible.join(' or ')} can` : ''}`,
  );
}

/** Metrics that an output of a shape and the answers give. */
function metricsOf(shape: readonly number[], { labels, targets }: Dataset): Exclude<Metric, 'divergence'>[] {
  const width = shape.at(-1) ?? 1;
  if (targets) {
    if (sizeOf(targets.shape) === sizeOf(shape)) return ['r2', 'mae'];
    const isEach = width > 1 && sizeOf(targets.shape) * width === sizeOf(shape);
    return isEach && targets.values.every((value) => Number.isInteger(value) && value >= 0)
      ? ['accuracy']
      : [];
  }
  return labels && shape.length === 1 ? ['accuracy'] : [];
}

/** Forms of a model beside each other, on samples that nothing was fitted to. */
export class Check {
  readonly #tf: TensorFlow;
  readonly #model: ModelSource;
  readonly #options: CheckOptions & PredictHow;
  readonly candidates: Candidate[] = [];
  #float: Predictions | undefined;

  constructor(tf: TensorFlow, float: ModelSource, options: CheckOptions & PredictHow) {
    this.#tf = tf;
    this.#model = float;
    this.#options = options;
    requireMetric(float, options);
  }

  get by(): Metric {
    return this.#options.by ?? 'divergence';
  }

  /** Runs a form of the model and adds it to the candidates. */
  async add(name: Candidate['name'], model: ModelSource): Promise<Candidate> {
    this.#float ??= await this.#predict(this.#model);
    const own = await this.#predict(model);
    const divergence = distanceOf(this.#float, own, outputKind(this.#model));
    const candidate = { name, divergence, ...this.#metrics(own) };
    this.candidates.push(candidate);
    return candidate;
  }

  /** Whether one candidate is better than another; of equal ones the nearer outputs are, and then the first. */
  isBetter(a: Candidate, b: Candidate): boolean {
    const by = this.by;
    const [own, other] = [a[by] ?? Number.NaN, b[by] ?? Number.NaN];
    if (own === other) return a.divergence < b.divergence;
    if (Number.isNaN(own) || Number.isNaN(other)) return Number.isNaN(other) && !Number.isNaN(own);
    return by === 'divergence' || by === 'mae' ? own < other : own > other;
  }

  report(kept: Candidate['name']): CheckReport {
    const float = this.#float ? this.#metrics(this.#float) : {};
    const { dataset } = this.#options;
    return { by: this.by, samples: dataset.count, candidates: [...this.candidates], kept, float };
  }

  #predict(model: ModelSource): Promise<Predictions> {
    const { dataset, preprocess, batchSize } = this.#options;
    return predictAll(this.#tf, stateless(model), dataset, {
      ...(preprocess ? { preprocess } : {}),
      ...(batchSize ? { batchSize } : {}),
    });
  }

  #metrics(predictions: Predictions): Omit<Candidate, 'name' | 'divergence'> {
    const [output, more] = predictions.outputs;
    const { dataset } = this.#options;
    if (!output || more) return {};
    const possible = metricsOf(output.shape, dataset);
    const kind = outputKind(this.#model);
    if (possible.includes('accuracy')) {
      const { labels, targets } = dataset;
      if (labels) {
        const classes = kind === 'probability' ? 2 : sizeOf(output.shape);
        const isKnown = labels.every((label) => label < classes);
        return isKnown ? { accuracy: scoreOf(predictions, labels, kind).top1 } : {};
      }
      return targets ? { accuracy: shareRight(output.values, targets.values, output.shape.at(-1) ?? 1) } : {};
    }
    return possible.includes('r2') && dataset.targets ? errorsOf(output.values, dataset.targets.values) : {};
  }
}

interface PredictHow {
  readonly preprocess?: Preprocessing;
  readonly batchSize?: number;
}

/** Of rows of classes, how many have their largest where the class is. */
function shareRight(values: Float32Array, classes: Float32Array, width: number): number {
  let right = 0;
  for (const [row, wanted] of classes.entries()) {
    let best = 0;
    for (let c = 1; c < width; c++)
      if ((values[row * width + c] as number) > (values[row * width + best] as number)) best = c;
    if (best === wanted) right++;
  }
  return right / classes.length;
}

function errorsOf(values: Float32Array, targets: Float32Array): { r2: number; mae: number } {
  const mean = targets.reduce((sum, t) => sum + t, 0) / targets.length;
  let [lost, total, apart] = [0, 0, 0];
  for (const [i, t] of targets.entries()) {
    const off = t - (values[i] as number);
    lost += off * off;
    apart += Math.abs(off);
    total += (t - mean) ** 2;
  }
  return { r2: 1 - lost / total, mae: apart / targets.length };
}

/** Samples to fit to, and others to check on. */
export interface HeldOut {
  readonly fit: Dataset;
  readonly check: Dataset;
  /** How these were chosen, in words. */
  readonly how: string;
}

/** Samples held back for each one that is fitted to. */
const SHARE = 1 / 8;
/** Samples held back at most: more say no more. */
const MOST = 1024;
/** Samples below which none are held back. */
const FEWEST = 16;

/**
 * Holds samples back that nothing is fitted to: an eighth as many as `samples`, behind these where the data goes on, else of these.
 *
 * - labels: of every class its share, the last ones of it
 * - sequences over time, without labels: a stretch, the last one, so that no window of it overlaps with those fitted to but at its border
 * - else: spread evenly
 *
 * @returns undefined for fewer than 16 samples
 */
export function holdBack(model: ModelSource, dataset: Dataset, samples: number): HeldOut | undefined {
  const taken = Math.min(samples, dataset.count);
  if (taken < FEWEST) return undefined;
  const wanted = Math.min(MOST, Math.floor(taken * SHARE));
  const behind = dataset.count - taken >= wanted;
  const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
  const [from, to] = behind ? [taken, dataset.count] : [0, taken];
  let check: number[];
  let how: string;
  if (dataset.labels) {
    check = stratified(dataset.labels, from, to, wanted);
    how = 'of every class its share';
  } else if (isOverTime(model)) {
    check = behind ? range(taken, taken + wanted) : range(taken - wanted, taken);
    how = 'one stretch of time';
  } else {
    check = range(0, wanted).map((i) => from + Math.floor(((i + 0.5) * (to - from)) / wanted));
    how = 'spread evenly';
  }
  const held = new Set(check);
  const fit = range(0, taken).filter((i) => !held.has(i));
  if (check.length === 0 || fit.length === 0) return undefined;
  return { fit: pickSamples(dataset, fit), check: pickSamples(dataset, check), how };
}

/** Whether samples are steps of something measured: two axes, and no token ids. */
function isOverTime(model: ModelSource): boolean {
  const { inputs, values } = readNetwork(model);
  const indexed = indexedInputs(model);
  return inputs.some(({ name, value }) => !indexed.has(name) && values[value]?.shape?.length === 3);
}

/** Of every class its share of `wanted` samples between two places, the last ones. */
function stratified(labels: Int32Array, from: number, to: number, wanted: number): number[] {
  const byClass = new Map<number, number[]>();
  for (let i = from; i < to; i++) {
    const label = labels[i] as number;
    const places = byClass.get(label);
    if (places) places.push(i);
    else byClass.set(label, [i]);
  }
  const share = wanted / (to - from);
  // What rounding leaves over goes to the next class.
  let owed = 0;
  const chosen: number[] = [];
  for (const [, places] of [...byClass].sort(([a], [b]) => a - b)) {
    owed += places.length * share;
    const count = Math.min(places.length, Math.round(owed));
    owed -= count;
    if (count > 0) chosen.push(...places.slice(-count));
  }
  return chosen.sort((a, b) => a - b);
}
