import type { QuantizableModel, WeightInfo } from '../model.js';
import { dealtOut } from '../packed/part.js';
import { type PartNumber, WHOLE } from '../packed/part-number.js';
import type { QuantizedModel } from '../packed/quantized-model.js';
import { quantizedBytes, SCHEMES } from '../schemes/quantize.js';
import type { SchemeName } from '../schemes/types.js';
import { sizeOf } from '../shape.js';
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
import { randomStream } from './calibrate/linear.js';
import { sampleBatches } from './calibrate/samples.js';
import { stateless } from './calibrate/stateless.js';
import { outputKind } from './outputs.js';
import { quantizeModel } from './quantize.js';
import { decide } from './recipe.js';
import {
  type DueLayer,
  layerCosts,
  mergeSensitivity,
  type SensitivityPart,
  type SensitivityReport,
  type SensitivityRow,
} from './sensitivity-parts.js';
import { turns } from './turns.js';

export type { SensitivityReport, SensitivityRow };

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
 * {@link measureSensitivityPart} of all layers.
 *
 * @throws what `calibrateModel` throws
 */
export async function measureSensitivity(
  tf: TensorFlow,
  model: QuantizableModel,
  options: SensitivityOptions,
): Promise<SensitivityReport> {
  return mergeSensitivity([await measureSensitivityPart(tf, model, options, WHOLE)]);
}

/**
 * Each layer alone at each scheme, calibrated as `calibrateModel` does it but on the inputs of the float network, and how
 * far the outputs move.
 *
 * The moments of a layer are the same for every scheme, and so is all that comes before it: each is computed once, and only
 * the rest of the network runs for every row.
 *
 * Each layer draws its positions from a stream of random numbers of its own, and all schemes of a layer the same. So a row depends
 * neither on the other layers nor on the other schemes, and parts that are measured apart are those of the whole.
 *
 * @param part which of the layers: they are dealt out so that parts take about as long as each other
 * @throws what `calibrateModel` throws
 */
export async function measureSensitivityPart(
  tf: TensorFlow,
  model: QuantizableModel,
  options: SensitivityOptions,
  part: PartNumber,
): Promise<SensitivityPart> {
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
    const due = dueLayers(calls, (layer) => kernelsOf(layer, pairs, decisions).length > 0);
    const held = { held: given.count, compared: heard };
    const { positions } = options;
    const how = { schemes: schemes.length, ...(positions === undefined ? {} : { positions }) };
    const dealt = dealtOut(layerCosts(due, calls, plans, activations, held, how), part.parts);
    const own = new Map(
      due.flatMap(({ index }, at) => (dealt[at] === part.part ? [[index, at] as const] : [])),
    );
    const last = Math.max(-1, ...own.keys());
    const rows: SensitivityPart['rows'][number][] = [];
    const turn = turns();
    activations.hold(0, nextFitted(calls, plans, 0));
    for (const [index, { layer }] of calls.entries()) {
      if (index > last) break;
      if (due.some((layer) => layer.index === index))
        // Whoever measures it, the same samples are held.
        activations.hold(index, nextFitted(calls, plans, index + 1));
      const place = own.get(index);
      if (place !== undefined) {
        const weights = kernelsOf(layer, pairs, decisions);
        const about = describe(weights);
        const streamOf = (what: string) => randomStream(seed, `${about.layer} ${what}`);
        const twin = (twins.calls[index] as NodeCall).layer;
        const later = activations.ahead(index, layer);
        const data = [...dataOf(activations, calls, layer), ...later];
        const first = plans.get(layer);
        const moments =
          first === undefined || typeof first === 'string' || first.table
            ? undefined
            : await momentsOf(tf, tools.algebra, first, 0, data, options, streamOf('first map'));
        for (const [i, base] of bases.entries()) {
          const plan = plansBy[i]?.get(layer) ?? 'it is fitted without data';
          const fit =
            typeof plan === 'string'
              ? plan
              : await fitLayer(tools, plan, data, options, streamOf('other maps'), {
                  ...(moments ? { first: moments } : {}),
                });
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
          const row: SensitivityRow = {
            ...about,
            ...{ scheme: base.scheme, granularity, bytes },
            divergence: divergence(paired(wanted, outputs), kind),
            saved: 4 * parametersOf(weights) - bytes,
            ...(typeof fit === 'string' ? { fallback: fit } : { error: meanError(fit.tensors) }),
          };
          rows.push({ place: place * bases.length + i, row });
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
    if (last + 1 < calls.length) onProgress?.(calls.length, calls.length, calls.at(-1)?.layer.name ?? '');
    return {
      ...{ rows, count: due.length * bases.length },
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

/** Where each layer that has kernels is called first. */
function dueLayers(calls: readonly NodeCall[], hasKernels: (layer: Layer) => boolean): DueLayer[] {
  const seen = new Set<Layer>();
  return calls.flatMap(({ layer }, index) => {
    if (seen.has(layer)) return [];
    seen.add(layer);
    return hasKernels(layer) ? [{ index, layer }] : [];
  });
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
      const values = new Map(activations.live(batch).float);
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
