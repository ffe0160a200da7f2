import type { QuantizableModel, WeightInfo } from '../model.js';
import type { QuantizedModel } from '../packed/quantized-model.js';
import { quantizedBytes, SCHEMES } from '../schemes/quantize.js';
import type { SchemeName } from '../schemes/types.js';
import { type Granularity, sizeOf } from '../shape.js';
import { loadNetwork } from '../tfjs/load.js';
import { callsOf, type Layer, type NodeCall, type RunnableNetwork, runCall } from '../tfjs/run.js';
import type { Tensor, TensorFlow } from '../tfjs/types.js';
import { Activations, type Batches } from './calibrate/activations.js';
import { algebraFor } from './calibrate/algebra.js';
import {
  ACTIVATION_BYTES,
  type CalibrationOptions,
  dataOf,
  kernelsOf,
  nextFitted,
  plansOf,
} from './calibrate/calibrate.js';
import { divergence } from './calibrate/divergence.js';
import { fitLayer, momentsOf, setValues } from './calibrate/layer.js';
import { randomNumbers } from './calibrate/linear.js';
import { sampleBatches } from './calibrate/samples.js';
import { stateless } from './calibrate/stateless.js';
import { outputKind } from './outputs.js';
import { quantizeModel } from './quantize.js';
import { decide } from './recipe.js';
import { turns } from './turns.js';

/** One layer at one scheme while all others stay in float. */
export interface SensitivityRow {
  /** The layer with the models that hold it, as `Rule.layer` takes it. */
  readonly layer: string;
  readonly className: string;
  /** Weights that were quantized. */
  readonly weights: readonly string[];
  readonly parameters: number;
  readonly scheme: SchemeName;
  readonly granularity: Granularity;
  /** Mean divergence of the model's outputs from the float model's: nats for classifiers; see `divergence`. */
  readonly divergence: number;
  /** Codes and scales. */
  readonly bytes: number;
  /** Bytes of the float weights less `bytes`. */
  readonly saved: number;
  /** Share of the variance of the layer's own outputs that is lost; absent without calibration. */
  readonly error?: number;
  /** Why it was fitted without data. */
  readonly fallback?: string;
}

/** Each layer at each scheme, alone. */
export interface SensitivityReport {
  /** In the order of the graph, schemes in the order asked for. */
  readonly rows: readonly SensitivityRow[];
  /** Samples that layers were fitted to, and samples that outputs were compared on. */
  readonly samples: number;
  readonly compared: number;
  readonly seconds: number;
  readonly warnings: readonly string[];
}

/** What sensitivities are measured with. */
export interface SensitivityOptions extends CalibrationOptions {
  /** Default: binary, int2 and int4. */
  readonly schemes?: readonly SchemeName[];
  /** Default: channel. */
  readonly granularity?: 'channel' | 'tensor';
  /** Samples whose outputs are compared, from the first on. Default 256. */
  readonly compared?: number;
}

/**
 * Each layer alone at each scheme, calibrated as `calibrateModel` does it but on the inputs of the float network, and how
 * far the outputs move.
 *
 * The moments of a layer are the same for every scheme, and so is all that comes before it: each is computed once, and only
 * the rest of the network runs for every row.
 *
 * @throws what `calibrateModel` throws
 */
export async function measureSensitivity(
  tf: TensorFlow,
  model: QuantizableModel,
  options: SensitivityOptions,
): Promise<SensitivityReport> {
  const start = performance.now();
  const { kernels, onProgress, seed = 0, compared = 256, activationBytes = ACTIVATION_BYTES } = options;
  const { schemes = ['binary', 'int2', 'int4'], granularity = 'channel' } = options;
  const bases = schemes.map((scheme) => {
    const recipe = { default: { scheme, granularity } };
    const decisions = decide(recipe, model.weights, model.file);
    return { scheme, decisions, model: quantizeModel(model, recipe, { kernels }).model };
  });
  const [{ decisions }] = bases as [(typeof bases)[number]];
  const tools = { tf, kernels, algebra: await algebraFor(tf, options) };
  const loaded = await loadNetwork(tf, stateless(model));
  const float = loaded.model;
  const other = await loadNetwork(tf, stateless(model));
  const quantized = other.model;
  let inputs: Tensor[][] = [];
  let activations: Activations | undefined;
  const wanted: Tensor[][] = [];
  try {
    const pairs = loaded.own;
    const network = callsOf(loaded);
    const twins = callsOf(other);
    const { calls } = network;
    const given = sampleBatches(tf, float, model, options);
    inputs = given.inputs;
    const kind = outputKind(model);
    let heard = 0;
    for (const x of inputs) {
      if (heard >= compared) break;
      wanted.push(tf.tidy(() => [float.predict(x)].flat() as Tensor[]));
      heard += (x[0] as Tensor).shape[0] as number;
    }
    activations = new Activations(tf, network, twins, inputs, {
      bytes: activationBytes,
      isChanged: () => false,
    });
    const plansBy = bases.map((base) => plansOf(network, twins, pairs, base.decisions));
    const [plans] = plansBy as [(typeof plansBy)[number]];
    const random = randomNumbers(seed);
    const rows: SensitivityRow[] = [];
    const done = new Set<Layer>();
    const turn = turns();
    activations.hold(0, nextFitted(calls, plans, 0));
    for (const [index, { layer }] of calls.entries()) {
      const weights = done.has(layer) ? [] : kernelsOf(layer, pairs, decisions);
      done.add(layer);
      if (weights.length > 0) {
        activations.hold(index, nextFitted(calls, plans, index + 1));
        const twin = (twins.calls[index] as NodeCall).layer;
        const later = activations.ahead(index, layer);
        const data = [...dataOf(activations, calls, layer), ...later];
        const first = plans.get(layer);
        const moments =
          first === undefined || typeof first === 'string' || first.table
            ? undefined
            : await momentsOf(tf, tools.algebra, first, 0, data, options, random);
        for (const [i, base] of bases.entries()) {
          const plan = plansBy[i]?.get(layer) ?? 'it is fitted without data';
          const fit =
            typeof plan === 'string' ? plan : await fitLayer(tools, plan, data, options, random, moments);
          const variables = layer.weights.map((variable, at) => ({
            weight: pairs.get(variable.originalName),
            exact: variable,
            twin: twin.weights[at] as typeof variable,
          }));
          if (typeof fit === 'string') {
            for (const { weight, twin: own } of variables)
              if (weight && weights.includes(weight)) setValues(tf, own, base.model.read(weight.id));
          }
          const outputs = rest(tf, network, twins, activations, index, wanted.length);
          const bytes = bytesOf(base.model, weights);
          rows.push({
            ...describe(weights),
            ...{ scheme: base.scheme, granularity, bytes },
            divergence: divergence(paired(wanted, outputs), kind),
            saved: 4 * parametersOf(weights) - bytes,
            ...(typeof fit === 'string' ? { fallback: fit } : { error: meanError(fit.tensors) }),
          });
          tf.dispose(outputs);
          for (const { exact, twin: own } of variables) own.write(exact.read());
          await turn();
        }
        tf.dispose(
          later.flatMap((call) => call.flatMap(({ float: own, quantized: twins }) => [...own, ...twins])),
        );
      }
      activations.run(index);
      onProgress?.(index + 1, calls.length, layer.name);
    }
    return {
      rows,
      samples: given.count,
      compared: heard,
      seconds: (performance.now() - start) / 1000,
      warnings: given.warnings,
    };
  } finally {
    activations?.dispose();
    tf.dispose([...inputs, ...wanted.flat()]);
    float.dispose();
    quantized.dispose();
  }
}

/**
 * The rows of every layer at the scheme of the fewest bits, before anything is measured: what no choice goes below.
 * Divergences are 0.
 */
export async function leastRows(
  tf: TensorFlow,
  model: QuantizableModel,
  { kernels, schemes = ['binary'] }: Pick<SensitivityOptions, 'kernels' | 'schemes'>,
): Promise<SensitivityRow[]> {
  const scheme = schemes.reduce((a, b) => (SCHEMES[b].bits < SCHEMES[a].bits ? b : a));
  const recipe = { default: { scheme, granularity: 'channel' } } as const;
  const decisions = decide(recipe, model.weights, model.file);
  const base = quantizeModel(model, recipe, { kernels }).model;
  const loaded = await loadNetwork(tf, stateless(model));
  try {
    const pairs = loaded.own;
    const layers = new Set(callsOf(loaded).calls.map(({ layer }) => layer));
    return [...layers].flatMap((layer) => {
      const weights = kernelsOf(layer, pairs, decisions);
      if (weights.length === 0) return [];
      const bytes = bytesOf(base, weights);
      const saved = 4 * parametersOf(weights) - bytes;
      return [{ ...describe(weights), scheme, granularity: 'channel', divergence: 0, bytes, saved }];
    });
  } finally {
    loaded.model.dispose();
  }
}

const parametersOf = (weights: readonly WeightInfo[]) =>
  weights.reduce((sum, { shape }) => sum + sizeOf(shape), 0);

/** Codes and scales. */
const bytesOf = (model: QuantizedModel, weights: readonly WeightInfo[]) =>
  weights.reduce((sum, { id }) => {
    const packed = model.weight(id);
    return sum + (packed.kind === 'quantized' ? quantizedBytes(packed.tensor) : 0);
  }, 0);

function describe(weights: readonly WeightInfo[]) {
  const [{ layer, className }] = weights as [WeightInfo];
  return { layer, className, weights: weights.map(({ id }) => id), parameters: parametersOf(weights) };
}

function meanError(fits: ReadonlyMap<string, { readonly error: number }>): number {
  const errors = [...fits.values()].map(({ error }) => error);
  return errors.reduce((sum, error) => sum + error, 0) / errors.length;
}

/** The outputs of the twins when call `index` and all after it are theirs, batch by batch. */
function rest(
  tf: TensorFlow,
  network: RunnableNetwork,
  twins: RunnableNetwork,
  activations: Activations,
  index: number,
  batches: number,
): Tensor[][] {
  return Array.from({ length: Math.min(batches, activations.count) }, (_, batch) =>
    tf.tidy(() => {
      const values = new Map<number, Tensor>();
      for (const [value, { float }] of activations.live(batch)) values.set(value, float);
      for (const { layer, inputs, outputs } of twins.calls.slice(index)) {
        const made = runCall(
          tf,
          layer,
          inputs.map((value) => values.get(value) as Tensor),
        );
        outputs.forEach((value, i) => {
          values.set(value, made[i] as Tensor);
        });
      }
      return network.outputs.map((value) => tf.clone(values.get(value) as Tensor));
    }),
  );
}

/** Batches of outputs as outputs of batches, float and quantized. */
function paired(float: readonly Tensor[][], quantized: readonly Tensor[][]): Batches[] {
  return (float[0] ?? []).map((_, i) => ({
    float: float.slice(0, quantized.length).map((outputs) => outputs[i] as Tensor),
    quantized: quantized.map((outputs) => outputs[i] as Tensor),
  }));
}
