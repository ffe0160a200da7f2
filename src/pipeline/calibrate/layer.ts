import { floatToHalf, halfToFloat } from '../../formats/float16.js';
import { roleOf } from '../../keras/axes.js';
import type { LinearAlgebra } from '../../kernels/linalg-types.js';
import type { Kernels } from '../../kernels/types.js';
import type { WeightInfo } from '../../model.js';
import {
  type CalibrateOptions,
  emptyMoments,
  fitCalibrated,
  type Moments,
} from '../../schemes/fit/calibrated.js';
import { fitShared } from '../../schemes/fit/shared.js';
import { GRIDS } from '../../schemes/grids.js';
import { packLevels } from '../../schemes/levels.js';
import { codingOf, dequantizeTensor } from '../../schemes/quantize.js';
import type { QuantizedTensor, QuantizeOptions } from '../../schemes/types.js';
import { type BlockLayout, blockLayout } from '../../shape.js';
import type { Bare, Layer, NodeCall } from '../../tfjs/run.js';
import type { Tensor, Tensor5D, TensorFlow } from '../../tfjs/types.js';
import type { Decision } from '../recipe.js';
import type { Batches } from './activations.js';
import { linearsOf } from './classes.js';
import type { Linear, Values } from './linear.js';
import { addMoments, mirror } from './moments.js';
import { fitTable } from './table.js';
import type { CallData, KernelFit, LayerFit, LayerPlan, Variable } from './types.js';

/** How a layer is to be fitted; a reason where it cannot be; undefined where none of its weights is quantized. */
export function planOf(
  { node, layer }: NodeCall,
  twin: Layer,
  pairs: ReadonlyMap<string, WeightInfo>,
  decisions: ReadonlyMap<string, Decision>,
): LayerPlan | string | undefined {
  const exact = new Map<string, Variable>();
  const rounded = new Map<string, Variable>();
  const weights = new Map<string, WeightInfo>();
  for (const [i, variable] of layer.weights.entries()) {
    const weight = pairs.get(variable.originalName);
    if (!weight) continue;
    weights.set(weight.id, weight);
    exact.set(weight.id, variable);
    rounded.set(weight.id, twin.weights[i] as Variable);
  }
  const options = new Map<string, QuantizeOptions>();
  for (const id of weights.keys()) {
    const decision = decisions.get(id);
    if (decision && !('keep' in decision)) options.set(id, decision.options);
  }
  if (options.size === 0) return undefined;
  for (const weight of weights.values()) {
    const own = options.get(weight.id);
    const role = roleOf(weight);
    const { shape = [] } = exact.get(weight.id) ?? {};
    if (weight.shape.join() !== shape.join())
      return 'a kernel in the order of Keras 1 is fitted without data';
    if (own?.axes && role.kind === 'kernel' && own.axes.join() !== role.axes.join())
      return 'channels along other axes are fitted without data';
  }
  const roles = new Map(
    Object.entries(node.weights).flatMap(([role, id]) => {
      const weight = weights.get(id);
      return weight ? [[role, weight] as const] : [];
    }),
  );
  const rest = { options, exact, rounded };
  const table = node.operation === 'Embedding' ? roles.get('embeddings') : undefined;
  if (table) return { linears: [], table, ...rest };
  const linears = linearsOf(node, roles, ({ id }) => !options.has(id));
  if (typeof linears === 'string') return linears;
  const bytes = Math.max(...linears.map(bytesOf));
  if (bytes > FIT_BYTES)
    return `its sums and factors take ${Math.ceil(bytes / 2 ** 20)} MiB, more than ${FIT_BYTES / 2 ** 20}`;
  return { linears, ...rest };
}

/** Bytes that a map is fitted in at most: 7,000 inputs of an output, or thereabouts. */
const FIT_BYTES = 2 ** 30;

/** Moments of all groups, and the arrays of one at a time: docs/CALIBRATION.md, "Time and memory". */
const bytesOf = ({ groups, k, n }: Linear) => 8 * groups * k * (k + n) + 12 * k * k + 56 * k * n;

/** Whether a layer is one map of its inputs, and nothing else but a bias and an activation. */
export const isOneMap = ({ linears }: LayerPlan): boolean =>
  linears.length === 1 && linears[0]?.ownOutputs !== undefined;

/** What computes. */
export interface Tools {
  readonly tf: TensorFlow;
  readonly kernels: Kernels;
  readonly algebra: LinearAlgebra;
}

export interface FitOptions extends CalibrateOptions {
  readonly positions?: number;
}

/** What need not be computed any more. */
export interface Known {
  /** Moments of the first map. */
  readonly first?: readonly Moments[];
  /** Of a layer that is one map, what it gives before its activation, batch by batch. */
  readonly targets?: readonly Bare[];
}

/**
 * Fits a layer's maps one after the other and sets them in the quantized network.
 *
 * @param data of a layer with targets, the quantized values suffice
 */
export async function fitLayer(
  tools: Tools,
  plan: LayerPlan,
  data: readonly CallData[],
  options: FitOptions,
  random: (n: number) => number,
  { first, targets }: Known = {},
): Promise<LayerFit | string> {
  const { tf, kernels, algebra } = tools;
  if (data.length === 0) return 'its inputs are not known when it is due';
  if (plan.table)
    return fitTable(
      kernels,
      plan,
      plan.table,
      data,
      (variables, id) => kernelOf(variables, id).dataSync() as Float32Array,
      (id, values) => setValues(tf, plan.rounded.get(id) as Variable, values),
    );
  const tensors = new Map<string, KernelFit>();
  const biases = new Map<string, Float32Array>();
  for (const [stage, linear] of plan.linears.entries()) {
    const { weight, bias } = linear;
    if (!plan.options.has(weight.id)) continue;
    const variable = plan.rounded.get(weight.id) as Variable;
    const before = bias && (biases.get(bias.weight.id) ?? copyOf(kernelOf(plan.exact, bias.weight.id)));
    /** Sets a kernel, and its bias less what the kernel is off by. */
    const place = (values: Float32Array, shift?: Float64Array) => {
      setValues(tf, variable, values);
      if (!bias || !before) return;
      const shifted = before.slice();
      shift?.forEach((s, c) => {
        shifted[bias.from + c] = (before[bias.from + c] as number) + s;
      });
      biases.set(bias.weight.id, shifted);
      setValues(tf, plan.rounded.get(bias.weight.id) as Variable, shifted);
    };
    const look = () => momentsOf(tf, algebra, plan, stage, data, options, random, targets);
    const fit = linear.isRecurrent
      ? await fitRecurrent(tools, plan, linear, options, { look, place })
      : fitMap(tools, plan, linear, stage === 0 && first ? first : await look(), options);
    if (!fit) return 'its inputs are all zero or not finite';
    place(dequantizeTensor(kernels, fit.kernel.tensor), fit.shift);
    tensors.set(weight.id, fit.kernel);
  }
  return { tensors, biases };
}

/** A map as it was fitted, and what its outputs are off by on the mean. */
interface MapFit {
  readonly kernel: KernelFit;
  readonly shift: Float64Array;
}

/** A kernel as `[k, groups * n]`, also where one scale is for all of it. */
function matrixOf(weight: WeightInfo, { granularity, axes }: QuantizedTensor['coding']): BlockLayout {
  const role = roleOf(weight);
  const own = granularity === 'tensor' && role.kind === 'kernel' ? role.axes : axes;
  return blockLayout(weight.shape, 'channel', own, undefined, weight.id);
}

const codingFor = (plan: LayerPlan, { shape, id }: WeightInfo) => ({
  ...codingOf(plan.options.get(id) as QuantizeOptions, shape.length, id),
  scale: 'calibrated' as const,
});

/** The matrix `[k, n]` of each group in a kernel's values. */
function matricesOf(plan: LayerPlan, { weight, groups, k, n }: Linear, values: Float32Array): Float32Array[] {
  const matrix = matrixOf(weight, codingFor(plan, weight));
  return Array.from({ length: groups }, (_, group) => {
    const own = new Float32Array(k * n);
    for (let row = 0, at = 0; row < k; row++)
      for (let c = 0; c < n; c++, at++) own[at] = values[elementOf(matrix, row, group * n + c)] as number;
    return own;
  });
}

/**
 * Fits a map to what is known of it.
 * @param moments one for each group
 * @returns undefined where its inputs are all zero or not finite
 */
function fitMap(
  { kernels, algebra }: Tools,
  plan: LayerPlan,
  linear: Linear,
  moments: readonly Moments[],
  options: FitOptions,
): MapFit | undefined {
  const { weight, n, k, bias } = linear;
  const coding = codingFor(plan, weight);
  const isOne = coding.granularity === 'tensor';
  const groupRows = coding.groupSize ?? k;
  const matrix = matrixOf(weight, coding);
  const floats = matricesOf(plan, linear, kernelOf(plan.exact, weight.id).dataSync() as Float32Array);
  const width = linear.groups * n;
  const levels = new Uint8Array(k * width);
  const scales = new Float32Array(isOne ? 1 : Math.ceil(k / groupRows) * width);
  const shift = new Float64Array(width);
  let error = 0;
  let deadInputs = 0;
  const grid = GRIDS[coding.scheme];
  const how = { ...options, shift: bias !== undefined };
  const together = isOne
    ? fitShared(
        algebra,
        moments.map((own, group) => ({ moments: own, weights: floats[group] as Float32Array })),
        ...([coding.scheme, grid, how] as const),
      )
    : undefined;
  for (const [group, own] of moments.entries()) {
    const from = group * n;
    const weights = floats[group] as Float32Array;
    const fit = isOne
      ? together?.[group]
      : fitCalibrated(algebra, own, weights, coding.scheme, grid, { ...how, groupRows });
    if (!fit) return undefined;
    for (let row = 0; row < k; row++)
      for (let c = 0; c < n; c++)
        levels[elementOf(matrix, row, from + c)] = fit.levels[row * n + c] as number;
    if (isOne) scales[0] = fit.scales[0] as number;
    else
      for (let g = 0; g * width < scales.length; g++)
        scales.set(fit.scales.subarray(g * n, (g + 1) * n), g * width + from);
    shift.set(fit.shift, from);
    error += fit.error / moments.length;
    deadInputs += fit.deadInputs;
  }
  const tensor: QuantizedTensor = {
    coding,
    shape: [...weight.shape],
    layout: blockLayout(weight.shape, coding.granularity, coding.axes, coding.groupSize, weight.id),
    codes: packLevels(kernels, coding.scheme, levels),
    scales: coding.scaleDtype === 'F16' ? halfToFloat(floatToHalf(scales)) : scales,
  };
  const positions = (moments[0] as Moments).rows;
  return { kernel: { tensor, error, inputs: k, deadInputs, positions }, shift };
}

/** What a recurrent kernel is fitted in: it sees what it made itself. */
interface Loop {
  /** What the map takes and gives with the kernel and the bias that are set. */
  look(): Promise<Moments[]>;
  place(values: Float32Array, shift?: Float64Array): void;
}

/**
 * What a recurrent kernel takes depends on the kernel itself. It is fitted to the states that three others make of the quantized inputs:
 * the float kernel, what was fitted to these, and the kernel rounded without data. Of the three, the one that loses least on the states
 * that it makes itself is taken.
 */
async function fitRecurrent(
  tools: Tools,
  plan: LayerPlan,
  linear: Linear,
  options: FitOptions,
  { look, place }: Loop,
): Promise<MapFit | undefined> {
  const { id } = linear.weight;
  const given = copyOf(kernelOf(plan.rounded, id));
  let best: MapFit | undefined;
  const consider = async (moments: readonly Moments[]): Promise<Moments[] | undefined> => {
    const fit = fitMap(tools, plan, linear, moments, options);
    if (!fit) return undefined;
    const values = dequantizeTensor(tools.kernels, fit.kernel.tensor);
    place(values, fit.shift);
    const seen = await look();
    const error = shareLost(seen, matricesOf(plan, linear, values), fit.shift);
    if (!best || error < best.kernel.error) best = { ...fit, kernel: { ...fit.kernel, error } };
    return seen;
  };
  place(copyOf(kernelOf(plan.exact, id)));
  const seen = await consider(await look());
  if (seen) await consider(seen);
  place(given);
  await consider(await look());
  if (!best) place(given);
  return best;
}

/**
 * Share of the variance of outputs `T` that `X W + s` loses, the mean over groups:
 *
 *     sum (t - x w - s)^2 = tt - 2 w'(X't) - 2 s t + w'(X'X)w + 2 s x'w + rows s^2     for each column w of W
 */
function shareLost(
  moments: readonly Moments[],
  matrices: readonly Float32Array[],
  shift: Float64Array,
): number {
  const shares = moments.map(({ k, n, rows, gram, cross, sumX, sumT, sumTT }, group) => {
    const matrix = matrices[group] as Float32Array;
    let [lost, total] = [0, 0];
    for (let c = 0; c < n; c++) {
      const s = shift[group * n + c] as number;
      let [inner, wanted, mean] = [0, 0, 0];
      for (let i = 0; i < k; i++) {
        const w = matrix[i * n + c] as number;
        let sum = 0;
        for (let j = 0; j < k; j++) sum += (gram[i * k + j] as number) * (matrix[j * n + c] as number);
        inner += w * sum;
        wanted += w * (cross[i * n + c] as number);
        mean += w * (sumX[i] as number);
      }
      const [t, tt] = [sumT[c] as number, sumTT[c] as number];
      lost += tt - 2 * wanted - 2 * s * t + inner + 2 * s * mean + rows * s * s;
      total += tt - (t * t) / rows;
    }
    return total > 0 ? lost / total : 0;
  });
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

/** Where element `[row, column]` of a kernel's matrix is in the kernel. */
function elementOf({ channels, inner }: BlockLayout, row: number, column: number): number {
  return (Math.floor(row / inner) * channels + column) * inner + (row % inner);
}

/** Places that a map is fitted to at most. */
export const positionsOf = ({ k }: Linear, given: number | undefined): number =>
  given ?? Math.min(98_304, Math.max(16_384, 64 * k));

/**
 * Second moments of what a layer's map takes in the quantized network and gives in the float one, one for each group.
 *
 * @param targets see {@link Known}
 */
export async function momentsOf(
  tf: TensorFlow,
  algebra: LinearAlgebra,
  plan: LayerPlan,
  stage: number,
  data: readonly CallData[],
  { positions: given }: FitOptions,
  random: (n: number) => number,
  targets?: readonly Bare[],
): Promise<Moments[]> {
  const linear = plan.linears[stage] as Linear;
  const positions = positionsOf(linear, given);
  const moments = Array.from({ length: linear.groups }, () => emptyMoments(linear.k, linear.n));
  const samples = data.reduce(
    (sum, [x]) => sum + (x as Batches).quantized.reduce((own, { shape }) => own + (shape[0] as number), 0),
    0,
  );
  for (const inputs of data) {
    for (const [batch, { shape }] of (inputs[0] as Batches).quantized.entries()) {
      const rounded = inputs.map(({ quantized }) => quantized[batch] as Tensor);
      const exact = inputs.flatMap(({ float }) => float[batch] ?? []);
      const target = targets?.[batch];
      const [x, t, mask] = tf.tidy(() => {
        const floats: Values = ({ id }) => kernelOf(plan.exact, id);
        return [
          linear.input(tf, rounded, ({ id }) => kernelOf(plan.rounded, id)).clone(),
          target && linear.ownOutputs
            ? linear.ownOutputs(tf, target.output).clone()
            : linear.outputs(tf, linear.input(tf, exact, floats), floats),
          ...[linear.mask?.(tf, exact)?.clone() ?? []].flat(),
        ];
      }) as [Tensor5D, Tensor5D, Tensor?];
      const perSample = Math.ceil((positions * (shape[0] as number)) / samples / x.shape[0]);
      const own = { x, t, ...(mask ? { mask } : {}), ...(target?.bias ? { offset: target.bias } : {}) };
      await addMoments(tf, algebra, linear, own, moments, Math.max(1, perSample), random);
      tf.dispose([x, t, ...(mask ? [mask] : [])]);
    }
  }
  for (const own of moments) mirror(own);
  return moments;
}

const kernelOf = (variables: ReadonlyMap<string, Variable>, id: string): Tensor =>
  (variables.get(id) as Variable).read();

/** Its values, which stay when it is set. */
const copyOf = (tensor: Tensor): Float32Array => Float32Array.from(tensor.dataSync());

/** Sets a variable. */
export function setValues(tf: TensorFlow, variable: Variable, values: Float32Array): void {
  const tensor = tf.tensor(values, variable.shape as number[]);
  variable.write(tensor);
  tensor.dispose();
}
