import { fromNumbers } from '../../formats/dtypes.js';
import type { LinearAlgebra } from '../../kernels/linalg-types.js';
import type { Kernels } from '../../kernels/types.js';
import type { QuantizableModel, WeightInfo } from '../../model.js';
import { type PackedWeight, QuantizedModel } from '../../packed/quantized-model.js';
import type { CalibrateOptions } from '../../schemes/fit/calibrated.js';
import { withFastConvolutions } from '../../tfjs/convolutions.js';
import { loadLayersModel, loadNetwork } from '../../tfjs/load.js';
import { callsOf, type Layer, type NodeCall, type RunnableNetwork } from '../../tfjs/run.js';
import type { Tensor, TensorFlow } from '../../tfjs/types.js';
import { outputKind } from '../outputs.js';
import { type QuantizeReport, quantizeModel, reportOf, reportRow } from '../quantize.js';
import { type Decision, decide, parseRecipe, type Recipe } from '../recipe.js';
import { turns } from '../turns.js';
import { Activations, type Batches } from './activations.js';
import { algebraFor } from './algebra.js';
import { Check, type CheckOptions, type CheckReport } from './check.js';
import { divergence, requireFiniteOutputs } from './divergence.js';
import { fitLayer, isOneMap, planOf, type Tools } from './layer.js';
import { randomNumbers } from './linear.js';
import { type SampleOptions, sampleBatches } from './samples.js';
import { stateless } from './stateless.js';
import type { CallData, LayerFit, LayerPlan } from './types.js';
import { watchDivergence } from './watch.js';

/** What calibration uses, and how much of it. */
export interface CalibrationOptions extends CalibrateOptions, SampleOptions {
  /** Of `loadKernels`. */
  readonly kernels: Kernels;
  /** From `loadLinearAlgebra`, for hosts that refuse to compile bytes; by default it is loaded. */
  readonly algebra?: LinearAlgebra;
  /**
   * Places that a layer is fitted to, spread over all samples held: of a convolution's outputs, of a sequence's steps. Default
   * 64 for each input of an output, but 16,384 to 98,304.
   */
  readonly positions?: number;
  /**
   * Bytes of activations held at most. Layers whose inputs and outputs of all samples are more are fitted to fewer
   * samples. Default 384 MiB.
   */
  readonly activationBytes?: number;
  /**
   * Samples that layers are not fitted to: which result is kept is decided on these. Default: on the samples given, by the divergence.
   */
  readonly check?: CheckOptions;
  /** Default 0. */
  readonly seed?: number;
  /** Called with layers done and in all, and the name of the last one. */
  readonly onProgress?: (done: number, total: number, layer: string) => void;
  /**
   * Called before the first layer and after each one that is fitted, with the divergence of the outputs on the first batch as the
   * network is by then, layers that are still to come rounded without data. It takes a run of the network on that batch each time.
   */
  readonly onDivergence?: (divergence: number, done: number) => void;
}

/** What calibration did to one kernel. */
export interface CalibrationRow {
  readonly id: string;
  /** Share of the variance of the layer's outputs that is lost. */
  readonly error?: number;
  /** Inputs of an output, and how many of them are always zero. */
  readonly inputs?: number;
  readonly deadInputs?: number;
  /** Places that it was fitted to: samples, times positions in each for a convolution. */
  readonly positions?: number;
  /** Why it was fitted without data. */
  readonly fallback?: string;
}

export interface CalibrationReport extends QuantizeReport {
  readonly calibration: readonly CalibrationRow[];
  readonly samples: number;
  readonly seconds: number;
  /**
   * Mean divergence of the outputs from the float model's on `samples` of the calibration data: calibrated, and without data. All of them
   * where this decides what is kept; with {@link CalibrationOptions.check} as many as are checked on, at least a batch.
   */
  readonly divergence: { readonly calibrated: number; readonly dataFree: number; readonly samples: number };
  /** Whether the data-free result was kept since it was no worse. */
  readonly keptDataFree: boolean;
  /** Both results on the samples of {@link CalibrationOptions.check}. */
  readonly check?: CheckReport;
  readonly warnings: readonly string[];
}

/**
 * Quantizes a model layer by layer in the order of its graph, each layer fitted to what it gets in the network quantized
 * so far and to what the float layer gives: see `fitCalibrated`. `docs/CALIBRATION.md` has a table of the classes; other
 * kernels are fitted without data and listed, with the reason.
 * A shared layer is fitted once, on all of its calls.
 *
 * Never worse than without data on the samples to check on, or else on those given: where it is, the data-free result is returned,
 * and the report says so.
 *
 * @throws BitnibbleError `data-mismatch` for samples of another shape or with NaN, and what `quantizeModel` and
 *   `loadLayersModel` throw
 */
export async function calibrateModel(
  tf: TensorFlow,
  model: QuantizableModel,
  recipe: Recipe,
  options: CalibrationOptions,
): Promise<{ model: QuantizedModel; report: CalibrationReport }> {
  const algebra = await algebraFor(tf, options);
  return withFastConvolutions(tf, algebra, () => calibrate(tf, algebra, model, recipe, options));
}

async function calibrate(
  tf: TensorFlow,
  algebra: LinearAlgebra,
  model: QuantizableModel,
  recipe: Recipe,
  options: CalibrationOptions,
): Promise<{ model: QuantizedModel; report: CalibrationReport }> {
  const start = performance.now();
  const { kernels, onProgress, seed = 0, activationBytes = ACTIVATION_BYTES } = options;
  const decisions = decide(parseRecipe(recipe), model.weights, model.file);
  const base = quantizeModel(model, recipe, { kernels });
  const check = options.check
    ? new Check(tf, model, { ...options.check, ...predictHow(options) })
    : undefined;
  const tools = { tf, kernels, algebra };
  const loaded = await loadNetwork(tf, stateless(model));
  const float = loaded.model;
  const other = await loadNetwork(tf, stateless(base.model));
  const quantized = other.model;
  let inputs: Tensor[][] = [];
  let activations: Activations | undefined;
  try {
    const pairs = loaded.own;
    const isPaired = new Set([...pairs.values()].map(({ id }) => id));
    const network = callsOf(loaded);
    const twins = callsOf(other);
    const given = sampleBatches(tf, float, model, options);
    inputs = given.inputs;
    const { warnings, count: samples } = given;
    activations = new Activations(tf, network, twins, inputs, {
      bytes: activationBytes,
      // A weight without a pair may be anywhere.
      isChanged: (layer) =>
        isPaired.size < model.weights.length || kernelsOf(layer, pairs, decisions).length > 0,
    });
    const plans = plansOf(network, twins, pairs, decisions);
    const fits = new Map<Layer, LayerFit | string>();
    const rows: CalibrationRow[] = [];
    const random = randomNumbers(seed);
    const { calls } = network;
    const turn = turns();
    const kind = outputKind(model);
    const { onDivergence } = options;
    const now = onDivergence && watchDivergence(tf, float, quantized, inputs[0] as readonly Tensor[], kind);
    if (now) onDivergence(now(), 0);
    activations.hold(0, nextFitted(calls, plans, 0));
    for (const [index, { layer }] of calls.entries()) {
      const plan = fits.has(layer) ? undefined : plans.get(layer);
      if (plan) {
        activations.hold(index, nextFitted(calls, plans, index + 1));
        const found =
          typeof plan === 'string'
            ? plan
            : await fitCalls(tools, activations, calls, index, plan, options, random);
        fits.set(layer, found);
        rows.push(...rowsOf(kernelsOf(layer, pairs, decisions), found));
        if (now && typeof found !== 'string') onDivergence(now(), index + 1);
      }
      activations.run(index);
      onProgress?.(index + 1, calls.length, layer.name);
      await turn();
    }
    activations.hold(calls.length, calls.length);
    for (const { id, kind } of base.model.weights)
      if (kind === 'quantized' && !rows.some((row) => row.id === id)) rows.push({ id, fallback: NOT_RUN });
    warnings.push(...shortOf(rows));
    const outputs = network.outputs.map((value) => activations?.of(value) as Batches);
    requireFiniteOutputs(tf, outputs, `${model.file} and ${options.dataset.name}`);
    const compared = firstBatches(inputs, options.check?.dataset.count ?? samples);
    const calibrated = divergence(
      outputs.map((own) => ({
        float: own.float.slice(0, compared.length),
        quantized: own.quantized.slice(0, compared.length),
      })),
      kind,
    );
    const plain = await loadLayersModel(tf, stateless(base.model));
    const predicted = outputs.map(({ float: exact }, i) => ({
      float: exact.slice(0, compared.length),
      quantized: compared.map((x) => tf.tidy(() => [plain.predict([...x])].flat()[i] as Tensor)),
    }));
    const dataFree = divergence(predicted, kind);
    tf.dispose(predicted.map(({ quantized: own }) => own));
    plain.dispose();
    const own = assemble(base.model, fits);
    let keptDataFree = !(calibrated <= dataFree);
    let what = `its outputs diverge by ${dataFree.toPrecision(3)}, the calibrated ones by ${calibrated.toPrecision(3)}`;
    if (check) {
      const rounded = await check.add('rounded', base.model);
      const fitted = await check.add('calibrated', own);
      keptDataFree = check.isBetter(rounded, fitted);
      const [by, of] = [check.by, (value: number | undefined) => value?.toPrecision(3)];
      what = `on the samples held back its ${by} is ${of(rounded[by])}, the calibrated one's ${of(fitted[by])}`;
    }
    if (keptDataFree) warnings.push(`the data-free result was kept: ${what}`);
    const result = keptDataFree ? base.model : own;
    const tensors = keptDataFree
      ? base.report.tensors
      : base.report.tensors.map((row) => reportRow(row, result, kernels, model.read(row.id)));
    return {
      model: result,
      report: {
        ...reportOf(tensors),
        calibration: rows,
        samples,
        seconds: (performance.now() - start) / 1000,
        divergence: { calibrated, dataFree, samples: countOf(compared) },
        keptDataFree,
        ...(check ? { check: check.report(keptDataFree ? 'rounded' : 'calibrated') } : {}),
        warnings,
      },
    };
  } finally {
    activations?.dispose();
    tf.dispose(inputs);
    float.dispose();
    quantized.dispose();
  }
}

/** How samples to check on are run. */
export const predictHow = ({ preprocess, batchSize }: SampleOptions) => ({
  ...(preprocess ? { preprocess } : {}),
  ...(batchSize ? { batchSize } : {}),
});

/**
 * Fits a layer that is due, to all of its calls. What calls behind others take depends on the layer itself where it is called on its own
 * outputs, and on layers that are not fitted yet: these calls are run ahead, and once more when the layer is fitted.
 */
async function fitCalls(
  tools: Tools,
  activations: Activations,
  calls: readonly NodeCall[],
  index: number,
  plan: LayerPlan,
  options: CalibrationOptions,
  random: (n: number) => number,
): Promise<LayerFit | string> {
  const { layer } = calls[index] as NodeCall;
  let found: LayerFit | string = '';
  for (let round = 0; round < 2; round++) {
    const later = activations.ahead(index, layer);
    try {
      // A layer that is called once has its float outputs computed for what fits it and for what comes behind it.
      const isOnce = calls.filter((call) => call.layer === layer).length === 1;
      const targets = isOnce && isOneMap(plan) ? activations.targets(index) : undefined;
      const data = [...dataOf(activations, calls, layer), ...later];
      found = await fitLayer(tools, plan, data, options, random, targets ? { targets } : {});
    } finally {
      tools.tf.dispose(
        later.flatMap((call) => call.flatMap(({ float, quantized }) => [...float, ...quantized])),
      );
    }
    if (later.length === 0) break;
  }
  return found;
}

const countOf = (batches: readonly (readonly Tensor[])[]): number =>
  batches.reduce((sum, [x]) => sum + ((x as Tensor).shape[0] as number), 0);

/** The first batches, as few as have so many samples. */
function firstBatches(batches: readonly (readonly Tensor[])[], samples: number) {
  const enough = batches.findIndex((_, i) => countOf(batches.slice(0, i + 1)) >= samples);
  return batches.slice(0, enough < 0 ? batches.length : enough + 1);
}

/** Why kernels that no call of a layer was seen to use are fitted without data. */
const NOT_RUN = 'it is not run as it is stored (Keras 1, Theano), or not at all, and is fitted without data';

/** Default of {@link CalibrationOptions.activationBytes}. */
export const ACTIVATION_BYTES = 384 * 2 ** 20;

/** How each layer that is called is to be fitted, or why it cannot be; layers without quantized weights are left out. */
export function plansOf(
  network: RunnableNetwork,
  twins: RunnableNetwork,
  pairs: ReadonlyMap<string, WeightInfo>,
  decisions: ReadonlyMap<string, Decision>,
): Map<Layer, LayerPlan | string> {
  const plans = new Map<Layer, LayerPlan | string>();
  for (const [index, call] of network.calls.entries()) {
    const plan = planOf(call, (twins.calls[index] as NodeCall).layer, pairs, decisions);
    if (plan) plans.set(call.layer, plan);
  }
  return plans;
}

/** The first call from `index` on whose layer is fitted to data. */
export function nextFitted(
  calls: readonly NodeCall[],
  plans: ReadonlyMap<Layer, LayerPlan | string>,
  index: number,
): number {
  let next = index;
  while (next < calls.length && typeof (plans.get((calls[next] as NodeCall).layer) ?? '') === 'string')
    next++;
  return next;
}

/** What all calls of a layer take whose inputs are known by now. */
export function dataOf(activations: Activations, calls: readonly NodeCall[], layer: Layer): CallData[] {
  return calls
    .filter((call) => call.layer === layer)
    .flatMap(({ inputs }) => {
      const known = inputs.flatMap((value) => activations.of(value) ?? []);
      return known.length === inputs.length ? [known] : [];
    });
}

function rowsOf(weights: readonly WeightInfo[], found: LayerFit | string): CalibrationRow[] {
  return weights.map(({ id }) => {
    if (typeof found === 'string') return { id, fallback: found };
    const fit = found.tensors.get(id);
    if (!fit) return { id, fallback: 'it is fitted without data' };
    const { error, deadInputs, inputs, positions } = fit;
    return { id, error, deadInputs, inputs, positions };
  });
}

/** A warning where kernels have more inputs than there were positions to fit them to. */
function shortOf(rows: readonly CalibrationRow[]): string[] {
  const short = rows.filter(
    ({ inputs = 0, deadInputs = 0, positions = 0 }) => positions < inputs - deadInputs,
  );
  const [first] = short;
  if (!first) return [];
  const example = `${first.id}: ${first.inputs} inputs, ${first.positions} positions`;
  return [
    `too few samples for the rank of ${short.length} of ${rows.length} kernels (${example}): they stay close to the float weights`,
  ];
}

/** A layer's weights that are quantized. */
export function kernelsOf(
  layer: Layer,
  pairs: ReadonlyMap<string, WeightInfo>,
  decisions: ReadonlyMap<string, Decision>,
): WeightInfo[] {
  return layer.weights.flatMap(({ originalName }) => {
    const weight = pairs.get(originalName);
    const decision = weight && decisions.get(weight.id);
    return weight && decision && !('keep' in decision) ? [weight] : [];
  });
}

/** The data-free model with what was fitted in its place. */
function assemble(base: QuantizedModel, fits: ReadonlyMap<Layer, LayerFit | string>): QuantizedModel {
  const tensors = new Map<string, LayerFit['tensors'] extends ReadonlyMap<string, infer T> ? T : never>();
  const biases = new Map<string, Float32Array>();
  for (const fit of fits.values()) {
    if (typeof fit === 'string') continue;
    for (const [id, tensor] of fit.tensors) tensors.set(id, tensor);
    for (const [id, values] of fit.biases) biases.set(id, values);
  }
  const weights = base.weights.map((weight): PackedWeight => {
    const fit = tensors.get(weight.id);
    if (weight.kind === 'quantized') return fit ? { ...weight, tensor: fit.tensor } : weight;
    const bias = biases.get(weight.id);
    return bias ? { ...weight, changed: true, bytes: () => fromNumbers(bias, weight.dtype) } : weight;
  });
  return new QuantizedModel(base, weights, base.kernels);
}
