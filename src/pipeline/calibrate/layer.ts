import type { Tensor, Tensor4D } from '@tensorflow/tfjs';
import { floatToHalf, halfToFloat } from '../../formats/float16.js';
import { roleOf } from '../../keras/axes.js';
import { plainClass } from '../../keras/variables.js';
import type { Kernels } from '../../kernels/types.js';
import type { WeightInfo } from '../../model.js';
import type { Algebra } from '../../schemes/fit/algebra.js';
import {
  type CalibrateOptions,
  emptyMoments,
  fitCalibrated,
  type Moments,
} from '../../schemes/fit/calibrated.js';
import { GRIDS } from '../../schemes/grids.js';
import { packLevels } from '../../schemes/levels.js';
import { codingOf, dequantizeTensor } from '../../schemes/quantize.js';
import type { QuantizedTensor, QuantizeOptions } from '../../schemes/types.js';
import { blockLayout } from '../../shape.js';
import type { TensorFlow } from '../../tfjs/types.js';
import type { Decision } from '../recipe.js';
import type { Batches } from './activations.js';
import { tensorFlowAlgebra } from './algebra.js';
import { addMoments, type Linear, linearsOf, outputsOf, padded } from './linear.js';
import type { Layer } from './network.js';

type Variable = Layer['weights'][number];

/** A layer to be fitted: its maps in order, and its variables in both networks. */
export interface LayerPlan {
  readonly linears: readonly Linear[];
  readonly options: ReadonlyMap<string, QuantizeOptions>;
  readonly exact: ReadonlyMap<string, Variable>;
  readonly rounded: ReadonlyMap<string, Variable>;
  readonly bias: WeightInfo | undefined;
}

/** A kernel fitted to data. */
export interface KernelFit {
  readonly tensor: QuantizedTensor;
  /** Share of the variance of the outputs that is lost. */
  readonly error: number;
  readonly inputs: number;
  readonly deadInputs: number;
  readonly positions: number;
}

/** A layer's new values; they are set in the quantized network as well. */
export interface LayerFit {
  readonly tensors: ReadonlyMap<string, KernelFit>;
  readonly bias: { readonly id: string; readonly values: Float32Array } | undefined;
}

/** How a layer is to be fitted; a reason where it cannot be; undefined where none of its weights is quantized. */
export function planOf(
  layer: Layer,
  twin: Layer,
  pairs: ReadonlyMap<string, WeightInfo>,
  decisions: ReadonlyMap<string, Decision>,
): LayerPlan | string | undefined {
  const exact = new Map<string, Variable>();
  const rounded = new Map<string, Variable>();
  const weights: WeightInfo[] = [];
  for (const [i, variable] of layer.weights.entries()) {
    const weight = pairs.get(variable.originalName);
    if (!weight) continue;
    weights.push(weight);
    exact.set(weight.id, variable);
    rounded.set(weight.id, twin.weights[i] as Variable);
  }
  const options = new Map<string, QuantizeOptions>();
  for (const { id } of weights) {
    const decision = decisions.get(id);
    if (decision && !('keep' in decision)) options.set(id, decision.options);
  }
  if (options.size === 0) return undefined;
  const [first] = weights as [WeightInfo];
  if (first.className.includes('/'))
    return `a layer inside ${first.className.split('/')[0]} is fitted without data`;
  const kernels = weights.filter((weight) => roleOf(weight).kind === 'kernel');
  const linears = linearsOf(plainClass(first.className), kernels, first.config ?? {});
  if (typeof linears === 'string') return linears;
  for (const weight of kernels) {
    const own = options.get(weight.id);
    const role = roleOf(weight);
    if (own?.granularity === 'tensor') return 'one scale per tensor is fitted without data';
    if (own?.axes && role.kind === 'kernel' && own.axes.join() !== role.axes.join())
      return 'channels along other axes are fitted without data';
  }
  const bias = weights.find(({ name, id }) => name === 'bias' && !options.has(id));
  return { linears, options, exact, rounded, bias };
}

export interface FitOptions extends CalibrateOptions {
  readonly positions?: number;
}

/**
 * Fits a layer's maps one after the other and sets them in the quantized network.
 *
 * @param first moments of the first map, where they are known already
 */
export async function fitLayer(
  tf: TensorFlow,
  kernels: Kernels,
  plan: LayerPlan,
  data: readonly Batches[],
  options: FitOptions,
  random: (n: number) => number,
  first?: readonly Moments[],
): Promise<LayerFit | string> {
  const algebra = tensorFlowAlgebra(tf);
  const tensors = new Map<string, KernelFit>();
  let bias: LayerFit['bias'];
  for (const [stage, linear] of plan.linears.entries()) {
    const { weight, depthwise, channels, outputs } = linear;
    const chosen = plan.options.get(weight.id);
    if (!chosen) continue;
    const known = stage === 0 ? first : undefined;
    const moments = known ?? (await momentsOf(tf, algebra, plan, stage, data, options, random));
    const { k } = moments[0] as Moments;
    const isLast = stage === plan.linears.length - 1;
    const shifted = isLast && plan.bias !== undefined;
    const coding = { ...codingOf(chosen, weight.shape.length, weight.id), scale: 'calibrated' as const };
    const groupRows = coding.groupSize ?? k;
    const values = kernelOf(plan.exact, weight.id).dataSync() as Float32Array;
    const width = depthwise ? channels * outputs : outputs;
    const levels = new Uint8Array(k * width);
    const scales = new Float32Array(Math.ceil(k / groupRows) * width);
    const shift = new Float64Array(width);
    let error = 0;
    let deadInputs = 0;
    for (const [group, own] of moments.entries()) {
      const from = group * outputs;
      const floats = Float32Array.from({ length: k * outputs }, (_, i) => {
        const row = Math.floor(i / outputs);
        return values[row * width + from + (i % outputs)] as number;
      });
      const fit = fitCalibrated(algebra, own, floats, coding.scheme, GRIDS[coding.scheme], {
        ...options,
        groupRows,
        shift: shifted,
      });
      if (!fit) return 'its inputs are all zero or not finite';
      for (let row = 0; row < k; row++)
        levels.set(fit.levels.subarray(row * outputs, (row + 1) * outputs), row * width + from);
      for (let g = 0; g * width < scales.length; g++)
        scales.set(fit.scales.subarray(g * outputs, (g + 1) * outputs), g * width + from);
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
    setValues(tf, plan.rounded.get(weight.id) as Variable, dequantizeTensor(kernels, tensor));
    const positions = (moments[0] as Moments).rows;
    tensors.set(weight.id, { tensor, error, inputs: k, deadInputs, positions });
    if (!shifted || !plan.bias) continue;
    const before = kernelOf(plan.exact, plan.bias.id).dataSync();
    bias = { id: plan.bias.id, values: Float32Array.from(shift, (s, c) => s + (before[c] as number)) };
    setValues(tf, plan.rounded.get(plan.bias.id) as Variable, bias.values);
  }
  return { tensors, bias };
}

/**
 * Second moments of what a layer's map takes in the quantized network and gives in the float one: one, or one per channel
 * of a depthwise map.
 */
export async function momentsOf(
  tf: TensorFlow,
  algebra: Algebra,
  plan: LayerPlan,
  stage: number,
  data: readonly Batches[],
  { positions = 98304 }: FitOptions,
  random: (n: number) => number,
): Promise<Moments[]> {
  const linear = plan.linears[stage] as Linear;
  const { depthwise, size, channels, outputs } = linear;
  const k = size[0] * size[1] * (depthwise ? 1 : channels);
  const moments = Array.from({ length: depthwise ? channels : 1 }, () => emptyMoments(k, outputs));
  const samples = data.reduce(
    (sum, { float }) => sum + float.reduce((own, x) => own + (x.shape[0] as number), 0),
    0,
  );
  const perSample = Math.max(1, Math.ceil(positions / samples));
  const before = (input: Tensor, variables: ReadonlyMap<string, Variable>) =>
    plan.linears
      .slice(0, stage)
      .reduce<Tensor>(
        (y, earlier) =>
          outputsOf(tf, earlier, padded(tf, earlier, y), kernelOf(variables, earlier.weight.id)),
        input,
      );
  for (const { float, quantized } of data) {
    for (const [batch, exact] of float.entries()) {
      const [x, t] = tf.tidy(() => {
        const wanted = padded(tf, linear, before(exact, plan.exact));
        return [
          padded(tf, linear, before(quantized[batch] as Tensor, plan.rounded)).clone(),
          outputsOf(tf, linear, wanted, kernelOf(plan.exact, linear.weight.id)),
        ];
      }) as [Tensor4D, Tensor4D];
      await addMoments(algebra, linear, x, t, moments, perSample, random);
      x.dispose();
      t.dispose();
    }
  }
  return moments;
}

const kernelOf = (variables: ReadonlyMap<string, Variable>, id: string): Tensor =>
  (variables.get(id) as Variable).read();

/** Sets a variable. */
export function setValues(tf: TensorFlow, variable: Variable, values: Float32Array): void {
  const tensor = tf.tensor(values, variable.shape as number[]);
  variable.write(tensor);
  tensor.dispose();
}
