// What sensitivities are, how long those of a layer take, and the report of parts that were measured apart.
import { BitnibbleError } from '../errors.js';
import type { SchemeName } from '../schemes/types.js';
import type { Granularity } from '../shape.js';
import type { Layer, NodeCall } from '../tfjs/run.js';
import type { Activations } from './calibrate/activations.js';
import { positionsOf } from './calibrate/layer.js';
import type { LayerPlan } from './calibrate/types.js';

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

/** Some layers of a model, each alone at each scheme. JSON, but for values that are not finite. */
export interface SensitivityPart extends Omit<SensitivityReport, 'rows'> {
  /** Rows, each with its place among those of all layers. */
  readonly rows: readonly { readonly place: number; readonly row: SensitivityRow }[];
  /** Rows of all parts. */
  readonly count: number;
}

/**
 * The report of all parts, in any order.
 * @throws BitnibbleError `part-mismatch` where a row is missing or doubled
 */
export function mergeSensitivity(parts: readonly SensitivityPart[]): SensitivityReport {
  const { count = 0, samples = 0, compared = 0 } = parts[0] ?? {};
  const given = parts.flatMap((part) => part.rows);
  const placed = new Map(given.map(({ place, row }) => [place, row]));
  const rows: SensitivityRow[] = [];
  for (let place = 0; place < Math.max(count, given.length); place++) {
    const row = placed.get(place);
    if (!row || place >= count)
      throw new BitnibbleError(
        'part-mismatch',
        `sensitivities: expected ${count} rows, each once, got ${given.length}`,
      );
    rows.push(row);
  }
  return {
    ...{ rows, samples, compared },
    seconds: parts.reduce((sum, { seconds }) => sum + seconds, 0),
    warnings: [...new Set(parts.flatMap(({ warnings }) => warnings))],
  };
}

/** A layer that is to be measured, and the call where it is due. */
export interface DueLayer {
  readonly index: number;
  readonly layer: Layer;
}

/**
 * Time of a multiply-add of each kind, in that of the first, as the layers of the CIFAR-10 network of 17 layers took it: sums of
 * products, fits, which pass over their arrays many times, and outputs by TensorFlow.js.
 */
const RATES = { sums: 1, fit: 35, outputs: 1.5 };

/**
 * About how long each layer takes, in the same unit for all, from shapes alone: each of its maps of `k` inputs and `n` outputs is
 * summed up once, `rows k (k + n)`, and fitted for each scheme, `k^2 (k + n)`, whereupon the rest of the network runs.
 */
export function layerCosts(
  due: readonly DueLayer[],
  calls: readonly NodeCall[],
  plans: ReadonlyMap<Layer, LayerPlan | string>,
  activations: Activations,
  samples: { readonly held: number; readonly compared: number },
  { schemes, positions }: { readonly schemes: number; readonly positions?: number },
): number[] {
  const linearsOf = (layer: Layer) => {
    const plan = plans.get(layer);
    return plan === undefined || typeof plan === 'string' ? [] : plan.linears;
  };
  const elements = ({ outputs }: NodeCall) =>
    outputs.reduce((sum, value) => sum + activations.sizeOf(value), 0);
  // Multiply-adds of each call for one sample, and of all from it on.
  const runs = calls.map((call) =>
    linearsOf(call.layer).reduce((sum, { k }) => sum + k * elements(call), elements(call)),
  );
  const rest = runs.map((_, index) => runs.slice(index).reduce((sum, own) => sum + own, 0));
  return due.map(({ index, layer }) => {
    const call = calls[index] as NodeCall;
    let cost = RATES.outputs * schemes * samples.compared * (rest[index] as number);
    for (const linear of linearsOf(layer)) {
      const { groups, k, n } = linear;
      const there = (samples.held * elements(call)) / (groups * n);
      const rows = Math.min(there, positionsOf(linear, positions));
      cost += RATES.sums * groups * rows * k * (k + n);
      cost += RATES.fit * schemes * groups * k * k * (k + n);
    }
    return cost;
  });
}
