import type { LayersModel, Tensor } from '@tensorflow/tfjs';
import type { Dataset, Preprocess } from '../../data/index.js';
import { BitnibbleError } from '../../errors.js';
import { fromNumbers } from '../../formats/dtypes.js';
import type { Kernels } from '../../kernels/types.js';
import type { QuantizableModel, WeightInfo } from '../../model.js';
import { type PackedWeight, QuantizedModel } from '../../packed/quantized-model.js';
import type { CalibrateOptions } from '../../schemes/fit/calibrated.js';
import { loadLayersModel, pairWeights } from '../../tfjs/load.js';
import { toTopology } from '../../tfjs/topology.js';
import type { TensorFlow } from '../../tfjs/types.js';
import { outputKind } from '../evaluate.js';
import { type QuantizeReport, quantizeModel, reportOf, reportRow } from '../quantize.js';
import { decide, parseRecipe, type Recipe } from '../recipe.js';
import { divergence } from './divergence.js';
import { fitLayer, type LayerData, type LayerFit, planOf } from './layer.js';
import { randomNumbers } from './linear.js';
import { type Layer, networkOf, runCall, useCounts } from './network.js';

export interface CalibrationOptions extends CalibrateOptions {
  readonly kernels: Kernels;
  /** Unlabelled samples, as the model takes them after `preprocess`; labels are never read. */
  readonly dataset: Dataset;
  readonly preprocess?: Preprocess;
  /** Samples taken, from the first on. Default 2048. */
  readonly samples?: number;
  /** Samples at a time. Default 64. */
  readonly batchSize?: number;
  /** Inputs of a convolution that are used at most, spread over all samples. Default 98,304. */
  readonly positions?: number;
  /** Default 0. */
  readonly seed?: number;
  readonly onProgress?: (done: number, total: number, layer: string) => void;
}

/** What calibration did to one kernel. */
export interface CalibrationRow {
  readonly id: string;
  /** Share of the variance of the layer's outputs that is lost. */
  readonly error?: number;
  /** Inputs that are always zero. */
  readonly deadInputs?: number;
  /** Why it was fitted without data. */
  readonly fallback?: string;
}

export interface CalibrationReport extends QuantizeReport {
  readonly calibration: readonly CalibrationRow[];
  readonly samples: number;
  readonly seconds: number;
  /** Mean divergence of the outputs from the float model's on the calibration data: calibrated, and without data. */
  readonly divergence: { readonly calibrated: number; readonly dataFree: number };
  /** Whether the data-free result was kept since it was no worse. */
  readonly keptDataFree: boolean;
  readonly warnings: readonly string[];
}

/**
 * Quantizes a model layer by layer in the order of its graph, each layer fitted to what it gets in the network quantized
 * so far and to what the float layer gives: see `fitCalibrated`. Dense layers and convolutions (plain, depthwise,
 * separable; one and two dimensions) with scales per channel or group; other kernels are fitted without data and listed.
 * A shared layer is fitted once, on all of its calls whose inputs are known by then.
 *
 * Never worse than without data on the samples given: where it is, the data-free result is returned, and the report says so.
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
  const start = performance.now();
  const { kernels, dataset, onProgress, seed = 0 } = options;
  const samples = Math.min(options.samples ?? 2048, dataset.count);
  const decisions = decide(parseRecipe(recipe), model.weights, model.file);
  const base = quantizeModel(model, recipe, { kernels });
  const float = await loadLayersModel(tf, model);
  const quantized = await loadLayersModel(tf, base.model);
  const values = new Map<number, { float: Tensor[]; quantized: Tensor[] }>();
  try {
    const pairs = pairWeights(model, toTopology(model));
    const network = networkOf(float);
    const twins = networkOf(quantized);
    const { inputs, warnings } = batchesOf(tf, float, model.file, options, samples);
    values.set(network.inputs[0] as number, { float: inputs, quantized: inputs.map((x) => x.clone()) });
    const same = new Set<number>(network.inputs);
    const uses = useCounts(network);
    const fits = new Map<Layer, LayerFit | string>();
    const rows: CalibrationRow[] = [];
    const random = randomNumbers(seed);
    for (const [index, { layer, inputs: taken, outputs }] of network.calls.entries()) {
      const twin = (twins.calls[index] as (typeof twins.calls)[number]).layer;
      const plan = fits.has(layer) ? undefined : planOf(layer, twin, pairs, decisions);
      if (plan) {
        const found =
          typeof plan === 'string'
            ? plan
            : await fitLayer(tf, kernels, plan, dataOf(layer), { ...options, samples }, random);
        fits.set(layer, found);
        for (const weight of kernelsOf(layer, pairs, decisions)) {
          const fit = typeof found === 'string' ? undefined : found.tensors.get(weight.id);
          rows.push(
            fit
              ? { id: weight.id, error: fit.error, deadInputs: fit.deadInputs }
              : { id: weight.id, fallback: typeof found === 'string' ? found : 'it is fitted without data' },
          );
        }
      }
      const isSame =
        taken.every((value) => same.has(value)) && !layer.weights.some((w) => isQuantized(w.originalName));
      const made = outputs.map(() => ({ float: [] as Tensor[], quantized: [] as Tensor[] }));
      for (const [batch] of inputs.entries()) {
        const given = taken.map((value) => values.get(value));
        const exact = runCall(
          tf,
          layer,
          given.map((value) => value?.float[batch] as Tensor),
        );
        const rounded = isSame
          ? exact.map((tensor) => tensor.clone())
          : runCall(
              tf,
              twin,
              given.map((value) => value?.quantized[batch] as Tensor),
            );
        made.forEach((value, i) => {
          value.float.push(exact[i] as Tensor);
          value.quantized.push(rounded[i] as Tensor);
        });
        for (const value of new Set(taken)) {
          const last = (uses.get(value) as number) - taken.filter((other) => other === value).length === 0;
          const held = last && value !== network.inputs[0] ? values.get(value) : undefined;
          held?.float[batch]?.dispose();
          held?.quantized[batch]?.dispose();
        }
      }
      for (const value of taken) uses.set(value, (uses.get(value) as number) - 1);
      outputs.forEach((value, i) => {
        values.set(value, made[i] as (typeof made)[number]);
        if (isSame) same.add(value);
      });
      onProgress?.(index + 1, network.calls.length, layer.name);
    }
    const kind = outputKind(model);
    const outputs = network.outputs.map(
      (value) => values.get(value) as { float: Tensor[]; quantized: Tensor[] },
    );
    const calibrated = divergence(tf, outputs, kind);
    const plain = await loadLayersModel(tf, base.model);
    const predicted = outputs.map(({ float: exact }, i) => ({
      float: exact,
      quantized: inputs.map((x) => tf.tidy(() => [plain.predict(x)].flat()[i] as Tensor)),
    }));
    const dataFree = divergence(tf, predicted, kind);
    tf.dispose(predicted.map(({ quantized: own }) => own));
    plain.dispose();
    const keptDataFree = !(calibrated <= dataFree);
    if (keptDataFree)
      warnings.push(
        `the data-free result was kept: its outputs diverge by ${dataFree.toPrecision(3)}, the calibrated ones by ${calibrated.toPrecision(3)}`,
      );
    const result = keptDataFree ? base.model : assemble(base.model, fits);
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
        divergence: { calibrated, dataFree },
        keptDataFree,
        warnings,
      },
    };

    /** What all calls of a layer take whose inputs are known by now. */
    function dataOf(layer: Layer): LayerData[] {
      return network.calls
        .filter((call) => call.layer === layer && call.inputs.length === 1)
        .flatMap((call) => values.get(call.inputs[0] as number) ?? []);
    }

    function isQuantized(name: string): boolean {
      const weight = pairs.get(name);
      const decision = weight && decisions.get(weight.id);
      return decision !== undefined && !('keep' in decision);
    }
  } finally {
    for (const value of values.values())
      for (const tensor of [...value.float, ...value.quantized]) if (!tensor.isDisposed) tensor.dispose();
    float.dispose();
    quantized.dispose();
  }
}

function kernelsOf(
  layer: Layer,
  pairs: ReadonlyMap<string, WeightInfo>,
  decisions: ReturnType<typeof decide>,
): WeightInfo[] {
  return layer.weights.flatMap(({ originalName }) => {
    const weight = pairs.get(originalName);
    const decision = weight && decisions.get(weight.id);
    return weight && decision && !('keep' in decision) ? [weight] : [];
  });
}

/** Calibration samples as tensors, and what looks wrong about them. */
function batchesOf(
  tf: TensorFlow,
  model: LayersModel,
  file: string,
  { dataset, preprocess, batchSize = 64 }: CalibrationOptions,
  samples: number,
): { inputs: Tensor[]; warnings: string[] } {
  const mismatch = (fault: string) =>
    new BitnibbleError('data-mismatch', `${file} and ${dataset.name}: ${fault}`);
  if (model.inputs.length !== 1)
    throw mismatch(`expected a model with one input, got ${model.inputs.length}`);
  const shape = model.inputs[0]?.shape.slice(1) ?? [];
  const fits =
    shape.length === dataset.inputShape.length &&
    shape.every((n, i) => n === null || n === dataset.inputShape[i]);
  const isFlat = shape.length === 1 && shape[0] === dataset.inputShape.reduce((a, b) => a * b, 1);
  if (!fits && !isFlat)
    throw mismatch(`the model expects inputs of shape [${shape}], the data has [${dataset.inputShape}]`);
  const warnings: string[] = [];
  let most = 0;
  const inputs: Tensor[] = [];
  for (const { x, size } of dataset.batches({
    batchSize,
    limit: samples,
    ...(preprocess ? { preprocess } : {}),
  })) {
    for (const value of x) {
      if (!Number.isFinite(value)) throw mismatch(`expected finite samples, got ${value}`);
      most = Math.max(most, Math.abs(value));
    }
    inputs.push(tf.tensor(x, [size, ...(isFlat ? (shape as number[]) : dataset.inputShape)]));
  }
  if (most > 30)
    warnings.push(
      `inputs reach ${most.toPrecision(3)}: they look unscaled; most networks expect 0 to 1, or a deviation of 1`,
    );
  if (samples < 64) warnings.push(`${samples} samples are few: 256 to 2048 are usual`);
  return { inputs, warnings };
}

/** The data-free model with what was fitted in its place. */
function assemble(base: QuantizedModel, fits: ReadonlyMap<Layer, LayerFit | string>): QuantizedModel {
  const tensors = new Map<string, LayerFit['tensors'] extends ReadonlyMap<string, infer T> ? T : never>();
  const biases = new Map<string, Float32Array>();
  for (const fit of fits.values()) {
    if (typeof fit === 'string') continue;
    for (const [id, tensor] of fit.tensors) tensors.set(id, tensor);
    if (fit.bias) biases.set(fit.bias.id, fit.bias.values);
  }
  const weights = base.weights.map((weight): PackedWeight => {
    const fit = tensors.get(weight.id);
    if (weight.kind === 'quantized') return fit ? { ...weight, tensor: fit.tensor } : weight;
    const bias = biases.get(weight.id);
    return bias ? { ...weight, changed: true, bytes: () => fromNumbers(bias, weight.dtype) } : weight;
  });
  return new QuantizedModel(base, weights, base.kernels);
}
