import { BitnibbleError } from '../../errors.js';
import { fromNumbers } from '../../formats/dtypes.js';
import { floatToHalf, halfToFloat } from '../../formats/float16.js';
import type { Kernels } from '../../kernels/types.js';
import type { QuantizableModel } from '../../model.js';
import { type PackedWeight, QuantizedModel } from '../../packed/quantized-model.js';
import { nearestLevel } from '../../schemes/fit/gptq.js';
import { GRIDS, type Grid } from '../../schemes/grids.js';
import { packLevels, unpackLevels } from '../../schemes/levels.js';
import type { QuantizedTensor } from '../../schemes/types.js';
import { blockShape, sizeOf } from '../../shape.js';
import { addConvolutionGradients } from '../../tfjs/gradients.js';
import { loadLayersModel, prepare } from '../../tfjs/load.js';
import type { LayersModel, Tensor, Tensor2D, Tensor4D, TensorFlow, Variable } from '../../tfjs/types.js';
import { type OutputKind, outputKind } from '../outputs.js';
import { type Augmentation, augment } from './augment.js';
import { predictHow } from './calibrate.js';
import { Check, type CheckOptions } from './check.js';
import { divergence, isClassifier, klSum } from './divergence.js';
import { randomNumbers, sample } from './linear.js';
import { type SampleOptions, sampleBatches } from './samples.js';
import { stateless } from './stateless.js';
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
  /** Of scales (relative), biases and normalizations; falls likewise. Default 0.001. */
  readonly rate?: number;
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
 * outputs. The latent levels start at the float weights where these round to the code, else at the border of what rounds to it:
 * a tenth of a step inside.
 *
 * @param float the model that was quantized
 * @param quantized best calibrated on the first {@link tunedSamples} alone
 * @returns the tuned model, or the given one where the divergence on samples held back did not fall
 * @throws BitnibbleError `data-mismatch`; `no-gradient` where TensorFlow.js's backend cannot differentiate a layer
 */
export async function tuneModel(
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
    rate = 0.001,
    seed = 0,
    onProgress,
  } = options;
  const check = options.check
    ? new Check(tf, float, { ...options.check, ...predictHow(options) })
    : undefined;
  const teacher = await loadLayersModel(tf, stateless(float));
  const student = await loadLayersModel(tf, stateless(quantized));
  let inputs: Tensor[][] = [];
  let tunables: ReadonlyMap<string, Tunable> = new Map();
  const optimizers = [tf.train.adam(latentRate), tf.train.adam(rate)] as const;
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
    for (let step = 0; step < steps; step++) {
      const chosen = sample(tuned, Math.min(stepSize, tuned), random);
      const [x, wanted] = tf.tidy(() => {
        const places = tf.tensor1d(Int32Array.from(chosen), 'int32');
        const own = samples.map((values) => tf.gather(values, places));
        const changed = kinds.length === 0 ? own : [augment(tf, own[0] as Tensor4D, kinds, random)];
        return [changed, [teacher.predict(changed)].flat() as Tensor[]];
      }) as [Tensor[], Tensor[]];
      for (const tunable of all) tunable.begin();
      const { value, grads } = gradientsOf(tf, float.file, [...latents, ...others], () => {
        const outputs = [
          student.apply(x.length === 1 ? (x[0] as Tensor) : x, { training: false }),
        ].flat() as Tensor[];
        return lossOf(tf, wanted, outputs, kind);
      });
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

type LayerVariable = LayersModel['weights'][number];

/** A weight of the student as a function of variables. */
interface Tunable {
  /** Latent levels; absent for a vector that is kept in float. */
  readonly latent?: Variable;
  /** The logarithm of what the scales are multiplied by, or the vector itself. */
  readonly other: Variable;
  /** A new step: what was computed in the last one is forgotten. */
  begin(): void;
  /** What it is now. */
  assemble(weight: PackedWeight): PackedWeight;
  dispose(): void;
}

function tunablesOf(
  tf: TensorFlow,
  student: LayersModel,
  float: QuantizableModel,
  quantized: QuantizedModel,
  kernels: Kernels,
): Map<string, Tunable> {
  const { weights } = prepare(quantized).topology;
  const tunables = new Map<string, Tunable>();
  for (const variable of student.weights) {
    const id = weights.get(variable.originalName);
    const weight = id === undefined ? undefined : quantized.weight(id);
    if (weight?.kind === 'quantized')
      tunables.set(weight.id, codedTunable(tf, variable, weight.tensor, float.read(weight.id), kernels));
    else if (weight && /^(bias|gamma|beta)$/.test(weight.name) && variable.dtype === 'float32')
      tunables.set(weight.id, vectorTunable(tf, variable));
  }
  return tunables;
}

function vectorTunable(tf: TensorFlow, variable: LayerVariable): Tunable {
  const other = tf.variable(variable.read(), true);
  variable.read = () => other;
  return {
    other,
    begin: () => undefined,
    assemble: (weight) => {
      if (weight.kind === 'quantized') return weight;
      const values = other.dataSync() as Float32Array;
      return { ...weight, changed: true, bytes: () => fromNumbers(values, weight.dtype) };
    },
    dispose: () => other.dispose(),
  };
}

function codedTunable(
  tf: TensorFlow,
  variable: LayerVariable,
  tensor: QuantizedTensor,
  floats: Float32Array,
  kernels: Kernels,
): Tunable {
  const { coding, layout, shape, scales } = tensor;
  const grid = GRIDS[coding.scheme];
  const { outer, channels, inner, groupRows } = layout;
  const [groups] = blockShape(layout);
  const levels = unpackLevels(kernels, coding.scheme, tensor.codes, floats.length);
  const start = new Float32Array(floats.length);
  const groupOf = new Int32Array(outer * inner);
  for (let o = 0, at = 0; o < outer; o++) {
    for (let c = 0; c < channels; c++) {
      for (let i = 0; i < inner; i++, at++) {
        const group = Math.floor((o * inner + i) / groupRows);
        groupOf[o * inner + i] = group;
        start[at] = latentOf(
          grid,
          floats[at] as number,
          scales[group * channels + c] as number,
          levels[at] as number,
        );
      }
    }
  }
  const latent = tf.tidy(() => tf.variable(tf.tensor3d(start, [outer, channels, inner]), true));
  // The scale is exp(v) times what it was: steps are relative, and its sign stays.
  const other = tf.tidy(() => tf.variable(tf.zeros([groups, channels]), true));
  const given = tf.tensor2d(scales, [groups, channels]);
  // Rows of 0 and one 1: a product spreads the scales over their rows, and unlike `gather` every backend differentiates it.
  const ones = new Float32Array(groups === 1 ? 0 : groupOf.length * groups);
  if (groups > 1) for (const [row, group] of groupOf.entries()) ones[row * groups + group] = 1;
  const members = groups === 1 ? undefined : tf.tensor2d(ones, [groupOf.length, groups]);
  const round = tf.customGrad((u, save) => {
    (save as (tensors: Tensor[]) => void)([u as Tensor]);
    return {
      value: rounded(tf, u as Tensor, grid),
      gradFunc: (dy, [saved]) => masked(tf, dy, saved as Tensor, grid),
    };
  });
  let value: Tensor | undefined;
  const compute = () => {
    const own = tf.mul(given, tf.exp(other));
    const spread = members
      ? tf.transpose(tf.reshape(tf.matMul(members, own as Tensor2D), [outer, inner, channels]), [0, 2, 1])
      : tf.reshape(own, [1, channels, 1]);
    return tf.reshape(tf.mul(round(latent), spread), [...shape]);
  };
  variable.read = () => {
    value ??= compute();
    return value as ReturnType<LayerVariable['read']>;
  };
  return {
    latent,
    other,
    begin: () => {
      value = undefined;
    },
    assemble: (weight) => {
      const u = latent.dataSync() as Float32Array;
      const now = tf.tidy(() => tf.mul(given, tf.exp(other)).dataSync()) as Float32Array;
      const codes = packLevels(
        kernels,
        coding.scheme,
        Uint8Array.from(u, (x) => nearestLevel(grid, x)),
      );
      const tuned = coding.scaleDtype === 'F16' ? halfToFloat(floatToHalf(now)) : Float32Array.from(now);
      return { ...weight, kind: 'quantized', tensor: { ...tensor, codes, scales: tuned } } as PackedWeight;
    },
    dispose: () => tf.dispose([latent, other, given, ...(members ? [members] : [])]),
  };
}

/** The level of `w / s` as a real number where it rounds to the code's, else the nearest that does, a tenth inside. */
function latentOf({ offset, step, levels }: Grid, weight: number, scale: number, level: number): number {
  if (scale === 0) return level;
  const low = level === 0 ? 0 : level - 0.4;
  const high = level === levels - 1 ? level : level + 0.4;
  return Math.min(high, Math.max(low, (weight / scale - offset) / step));
}

/** The value of the nearest level, as `nearestLevel` takes it. */
function rounded(tf: TensorFlow, latent: Tensor, { offset, step, levels }: Grid): Tensor {
  // Not clipByValue: the WebAssembly backend's makes the lowest level of what is not a number.
  const level = tf.minimum(tf.maximum(tf.ceil(tf.sub(latent, 0.5)), 0), levels - 1);
  return tf.add(tf.mul(level, step), offset);
}

/** The gradient passes where the latent level lies within half a step of the grid's ends. */
function masked(tf: TensorFlow, dy: Tensor, latent: Tensor, { step, levels }: Grid): Tensor {
  const isWithin = tf.logicalAnd(tf.greaterEqual(latent, -0.5), tf.lessEqual(latent, levels - 0.5));
  return tf.mul(dy, tf.mul(tf.cast(isWithin, 'float32'), step));
}

function lossOf(tf: TensorFlow, wanted: readonly Tensor[], outputs: readonly Tensor[], kind: OutputKind) {
  if (isClassifier(outputs, kind)) {
    const [p, q] = [wanted[0] as Tensor, outputs[0] as Tensor];
    return tf.div(klSum(tf, p, q, kind), p.shape[0] as number).asScalar();
  }
  return tf.addN(outputs.map((q, i) => tf.mean(tf.squaredDifference(wanted[i] as Tensor, q)))).asScalar();
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
