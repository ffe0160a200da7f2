import { BitnibbleError } from '../../errors.js';
import type { Kernels } from '../../kernels/types.js';
import type { QuantizableModel } from '../../model.js';
import { QuantizedModel } from '../../packed/quantized-model.js';
import { unpackLevels } from '../../schemes/levels.js';
import { sizeOf } from '../../shape.js';
import { addConvolutionGradients, withShortGradients } from '../../tfjs/gradients.js';
import { loadLayersModel, loadNetwork } from '../../tfjs/load.js';
import type { LayersModel, Tensor, TensorFlow, Variable } from '../../tfjs/types.js';
import { type OutputKind, outputKind } from '../outputs.js';
import { type Augmentation, augment, type ImageShape } from './augment.js';
import { predictHow } from './calibrate.js';
import { Check, type CheckOptions } from './check.js';
import { divergence } from './divergence.js';
import { randomNumbers, sample } from './linear.js';
import { type SampleOptions, sampleBatches } from './samples.js';
import { STAGE_WEIGHT } from './stages.js';
import { stateless } from './stateless.js';
import { type Tunable, tunablesOf } from './tunables.js';
import { tuningLoss } from './tuning-loss.js';
import type { TuneReport } from './types.js';

export type { TuneReport } from './types.js';

/** How a calibrated model is tuned. */
export interface TuneOptions extends SampleOptions {
  /** Of `loadKernels`. */
  readonly kernels: Kernels;
  /** Steps of Adam. Default {@link TUNING_STEPS}. */
  readonly steps?: number;
  /** Samples in a step. Default 64. */
  readonly stepSize?: number;
  /** Of the latent levels; rises for an eighth of the steps, then falls to 0 along half a cosine. Default 0.005. */
  readonly latentRate?: number;
  /** Of scales (relative), biases and normalizations; falls likewise. Default 0.002 where ends of stages are compared, else 0.001. */
  readonly rate?: number;
  /** Of the activations' squared error at the ends of stages, in the loss of classifiers of images; 0 leaves it out. Default 0.03. */
  readonly stageWeight?: number;
  /** Default: flip and cutmix for images, none for other samples. */
  readonly augment?: readonly Augmentation[];
  /**
   * Samples that nothing is tuned on: whether tuning is kept is decided on these, and all others are tuned on. Default: the last
   * eighth of the samples given, by the divergence.
   */
  readonly check?: CheckOptions;
  /** Default 0. */
  readonly seed?: number;
  /** Called with steps done and in all. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Default of {@link TuneOptions.steps}. */
export const TUNING_STEPS = 300;

/**
 * Default of {@link TuneOptions.rate} where ends of stages are compared. Divergence of the binary MobileNet-like network on 2,048
 * training images not tuned on, after 400 steps: 0.371 with outputs alone at 0.001; 0.376 with stages at 0.001, 0.369 at 0.002.
 */
const STAGED_RATE = 0.002;

/** Share of the samples that are kept to check with. */
const CHECKED = 1 / 8;

/**
 * How many of `count` samples tuning sees, from the first on; it checks itself on those behind them. A model calibrated on these
 * alone is checked on samples that are new to it before and after.
 */
export const tunedSamples = (count: number): number => count - Math.max(1, Math.floor(count * CHECKED));

/** Share of the steps in which rates rise from 0. */
const WARM = 1 / 8;

/**
 * Tunes a quantized model toward the outputs of the float model on unlabelled samples: scales, biases, normalizations, and
 * the codes through latent levels `u` that are rounded with a straight-through gradient (Bengio et al. 2013, section 4;
 * the clipped form of Hubara et al. 2016, eq. 4), `o` and `d` being the grid's offset and step:
 *
 *     w = s (o + d round(u)),   dw/du = s d within the grid, 0 beyond,   dw/ds = o + d round(u)
 *
 * Loss: Kullback-Leibler divergence from the float model's classes (Hinton et al. 2015), or the squared error of other
 * outputs; of classifiers of images also the squared error of activations at the ends of stages (`stageLoss`, after the block
 * outputs of BRECQ, Li et al. 2021). The latent levels start at the float weights where these round to the code, else at the border
 * of what rounds to it: a tenth of a step inside.
 *
 * @param float the model that was quantized
 * @param quantized best calibrated on the first {@link tunedSamples} alone
 * @returns the tuned model, or the given one where the divergence on samples held back did not fall
 * @throws BitnibbleError `data-mismatch`; `no-gradient` where TensorFlow.js's backend cannot differentiate a layer
 */
export function tuneModel(
  tf: TensorFlow,
  float: QuantizableModel,
  quantized: QuantizedModel,
  options: TuneOptions,
): Promise<{ model: QuantizedModel; report: TuneReport }> {
  return withShortGradients(tf, () => tune(tf, float, quantized, options));
}

async function tune(
  tf: TensorFlow,
  float: QuantizableModel,
  quantized: QuantizedModel,
  options: TuneOptions,
): Promise<{ model: QuantizedModel; report: TuneReport }> {
  const start = performance.now();
  addConvolutionGradients(tf);
  const {
    kernels,
    steps = TUNING_STEPS,
    stepSize = 64,
    latentRate = 0.005,
    stageWeight = STAGE_WEIGHT,
    seed = 0,
    onProgress,
  } = options;
  const check = options.check
    ? new Check(tf, float, { ...options.check, ...predictHow(options) })
    : undefined;
  const exact = await loadNetwork(tf, stateless(float));
  const rounded = await loadNetwork(tf, stateless(quantized));
  const [teacher, student] = [exact.model, rounded.model];
  let inputs: Tensor[][] = [];
  let tunables: ReadonlyMap<string, Tunable> = new Map();
  // Their rates are set at every step.
  const optimizers = [tf.train.adam(), tf.train.adam()] as const;
  try {
    const given = sampleBatches(tf, teacher, float, options);
    inputs = given.inputs;
    const tuned = check ? given.count : tunedSamples(given.count);
    const checked = check ? (options.check?.dataset.count ?? 0) : given.count - tuned;
    if (tuned === 0)
      throw new BitnibbleError(
        'data-mismatch',
        `${options.dataset.name}: expected two samples to tune with, got 1`,
      );
    const kind = outputKind(float);
    const [first] = inputs as [Tensor[]];
    const isImage = first.length === 1 && first[0]?.rank === 4;
    const kinds = options.augment ?? (isImage ? (['flip', 'cutmix'] as const) : []);
    if (kinds.length > 0 && !isImage) {
      throw new BitnibbleError(
        'data-mismatch',
        `${float.file}: expected images to ${kinds.join(' and ')}, got samples of shape ${first.map(({ shape }) => `[${shape.slice(1)}]`).join(', ')}`,
      );
    }
    const samples = first.map((_, i) =>
      tf.concat(
        inputs.map((batch) => batch[i] as Tensor),
        0,
      ),
    );
    tf.dispose(inputs);
    inputs = [samples];
    tunables = tunablesOf(tf, student, float, quantized, kernels);
    const all = [...tunables.values()];
    const latents = all.flatMap(({ latent }) => latent ?? []);
    const others = all.map(({ other }) => other);
    const random = randomNumbers(seed);
    const images = kinds.length > 0 ? samples[0] : undefined;
    const loss = tuningLoss(tf, exact, rounded, { kind, stageWeight });
    const { rate = loss.stages > 0 ? STAGED_RATE : 0.001 } = options;
    const pixels = (images?.dataSync() ?? new Float32Array(0)) as Float32Array;
    for (let step = 0; step < steps; step++) {
      const chosen = sample(tuned, Math.min(stepSize, tuned), random);
      const [x, wanted] = tf.tidy(() => {
        const own = images
          ? [changedImages(tf, images, pixels, chosen, kinds, random)]
          : gathered(tf, samples, chosen);
        return [own, loss.wanted(own)];
      }) as [Tensor[], Tensor[]];
      for (const tunable of all) tunable.begin();
      const { value, grads } = gradientsOf(tf, float.file, [...latents, ...others], () => loss.of(x, wanted));
      // Adam's first steps move every latent weight by the whole rate, all of them downhill at once.
      const warm = Math.min(1, (step + 1) / (WARM * steps));
      const share = (warm * (1 + Math.cos((Math.PI * step) / steps))) / 2;
      [latents, others].forEach((variables, i) => {
        const optimizer = optimizers[i] as (typeof optimizers)[number];
        setRate(optimizer, share * (i === 0 ? latentRate : rate));
        optimizer.applyGradients(variables.map(({ name }) => ({ name, tensor: grads[name] as Tensor })));
      });
      tf.dispose([value, grads, x, wanted]);
      // Lets progress bars and workers' messages through.
      await tf.nextFrame();
      onProgress?.(step + 1, steps);
    }
    const result = assembleTuned(quantized, tunables);
    let before: number;
    let after: number;
    let keptUntuned: boolean;
    if (check) {
      const [one, other] = [await check.add('calibrated', quantized), await check.add('tuned', result)];
      [before, after] = [one.divergence, other.divergence];
      keptUntuned = !check.isBetter(other, one);
    } else {
      const last = samples.map((values) => tf.slice(values, tuned, checked));
      before = await outputDivergence(tf, teacher, quantized, last, kind);
      after = await outputDivergence(tf, teacher, result, last, kind);
      tf.dispose(last);
      keptUntuned = !(after < before);
    }
    return {
      model: keptUntuned ? quantized : result,
      report: {
        ...{ steps, augment: kinds, tuned, checked, keptUntuned },
        changedCodes: keptUntuned ? 0 : changedCodes(kernels, quantized, result),
        divergence: { before, after },
        ...(check ? { check: check.report(keptUntuned ? 'calibrated' : 'tuned') } : {}),
        seconds: (performance.now() - start) / 1000,
      },
    };
  } finally {
    for (const tunable of tunables.values()) tunable.dispose();
    for (const optimizer of optimizers) optimizer.dispose();
    tf.dispose(inputs);
    teacher.dispose();
    student.dispose();
  }
}

function gathered(tf: TensorFlow, samples: readonly Tensor[], chosen: Uint32Array): Tensor[] {
  const places = tf.tensor1d(Int32Array.from(chosen), 'int32');
  return samples.map((values) => tf.gather(values, places));
}

/** @param pixels of the images, read once */
function changedImages(
  tf: TensorFlow,
  { shape: all, dtype }: Tensor,
  pixels: Float32Array,
  chosen: Uint32Array,
  kinds: readonly Augmentation[],
  random: (n: number) => number,
): Tensor {
  const shape = [chosen.length, ...all.slice(1)] as unknown as ImageShape;
  const size = sizeOf(all.slice(1));
  const batch = new Float32Array(chosen.length * size);
  for (const [i, place] of chosen.entries())
    batch.set(pixels.subarray(place * size, (place + 1) * size), i * size);
  augment(batch, shape, kinds, random);
  return tf.tensor(batch, [...shape], dtype);
}

function gradientsOf(
  tf: TensorFlow,
  file: string,
  variables: Variable[],
  loss: Parameters<TensorFlow['variableGrads']>[0],
): ReturnType<TensorFlow['variableGrads']> {
  try {
    return tf.variableGrads(loss, variables);
  } catch (error) {
    throw new BitnibbleError(
      'no-gradient',
      `${file}: the backend ${tf.getBackend()} of TensorFlow.js cannot differentiate the model: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

/** TensorFlow.js reads the rate at every step; it has no setter. */
function setRate(optimizer: ReturnType<TensorFlow['train']['adam']>, rate: number): void {
  (optimizer as unknown as { learningRate: number }).learningRate = rate;
}

function assembleTuned(base: QuantizedModel, tunables: ReadonlyMap<string, Tunable>): QuantizedModel {
  const weights = base.weights.map((weight) => tunables.get(weight.id)?.assemble(weight) ?? weight);
  return new QuantizedModel(base, weights, base.kernels);
}

async function outputDivergence(
  tf: TensorFlow,
  teacher: LayersModel,
  model: QuantizedModel,
  x: Tensor[],
  kind: OutputKind,
): Promise<number> {
  const own = await loadLayersModel(tf, stateless(model));
  const predict = (network: LayersModel) =>
    tf.tidy(() => [network.predict(x, { batchSize: 64 })].flat() as Tensor[]);
  const exact = predict(teacher);
  const rounded = predict(own);
  const result = divergence(
    exact.map((tensor, i) => ({ float: [tensor], quantized: [rounded[i] as Tensor] })),
    kind,
  );
  tf.dispose([exact, rounded]);
  own.dispose();
  return result;
}

function changedCodes(kernels: Kernels, before: QuantizedModel, after: QuantizedModel): number {
  let changed = 0;
  for (const weight of before.weights) {
    const other = after.weight(weight.id);
    if (weight.kind !== 'quantized' || other.kind !== 'quantized') continue;
    const { scheme } = weight.tensor.coding;
    const size = sizeOf(weight.shape);
    const own = unpackLevels(kernels, scheme, weight.tensor.codes, size);
    const now = unpackLevels(kernels, scheme, other.tensor.codes, size);
    for (let i = 0; i < size; i++) if (own[i] !== now[i]) changed++;
  }
  return changed;
}
