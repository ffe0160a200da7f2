import { isFloat } from '../../formats/dtypes.js';
import type { JsonObject, WeightInfo } from '../../model.js';
import { sizeOf } from '../../shape.js';
import type { Core } from './wiring.js';

/**
 * A kernel as spatial positions of a matrix `[A, B]`, its last two axes, of which each element belongs to one input and
 * one output channel of the layer:
 *
 * | class | A, B | input channel of (a, b) | output channel |
 * |---|---|---|---|
 * | Dense, Conv1D to Conv3D; pointwise | in / groups, out | `floor(b / (B / groups)) A + a` | `b` |
 * | Conv1DTranspose to Conv3DTranspose | out, in | `b` | `a` |
 * | DepthwiseConv1D, 2D; depthwise | in, multiplier | `a` | `a B + b` |
 */
export interface KernelView {
  readonly weight: WeightInfo;
  readonly rows: number;
  readonly columns: number;
  readonly inputs: number;
  readonly outputs: number;
  inputOf(a: number, b: number): number;
  outputOf(a: number, b: number): number;
}

/** The kernels of a layer in the order in which they are applied, and its bias. */
export interface WeightLayer {
  readonly kernels: readonly KernelView[];
  readonly bias: WeightInfo | undefined;
  /** Whether a bias is added: it may be missing in the file. */
  readonly usesBias: boolean;
}

const CONV = /^Conv[123]D$/;
const TRANSPOSE = /^Conv[123]DTranspose$/;
const DEPTHWISE = /^DepthwiseConv[12]D$/;
const SEPARABLE = /^SeparableConv[12]D$/;

/** Whether a class is a layer of weights that transforms know: its outputs are channels, each with a bias. */
export function isWeightLayer(className: string | undefined): boolean {
  return [CONV, TRANSPOSE, DEPTHWISE, SEPARABLE, /^Dense$/].some((classes) => classes.test(className ?? ''));
}

const numberIn = (config: JsonObject, key: string, fallback: number) =>
  typeof config[key] === 'number' ? config[key] : fallback;

function viewOf(weight: WeightInfo, kind: 'depthwise' | 'transpose' | 'dense', groups: number): KernelView {
  const [rows, columns] = weight.shape.slice(-2) as [number, number];
  const size = { weight, rows, columns };
  if (kind === 'depthwise') {
    const outputs = rows * columns;
    return { ...size, inputs: rows, outputs, inputOf: (a) => a, outputOf: (a, b) => a * columns + b };
  }
  if (kind === 'transpose')
    return { ...size, inputs: columns, outputs: rows, inputOf: (_, b) => b, outputOf: (a) => a };
  const width = columns / groups;
  return {
    ...size,
    inputs: rows * groups,
    outputs: columns,
    inputOf: groups === 1 ? (a) => a : (a, b) => Math.floor(b / width) * rows + a,
    outputOf: (_, b) => b,
  };
}

/**
 * The kernels and the bias of a layer.
 * @param weights of the layer
 * @returns why not, as text, for classes that are not known or files that lack weights
 */
export function weightLayer(
  { className, config }: Core,
  weights: readonly WeightInfo[],
): WeightLayer | string {
  if (className === undefined || !isWeightLayer(className)) return 'a class without a kernel of known axes';
  const names = SEPARABLE.test(className)
    ? ['depthwise_kernel', 'pointwise_kernel']
    : [
        DEPTHWISE.test(className) && weights.some(({ name }) => name === 'depthwise_kernel')
          ? 'depthwise_kernel'
          : 'kernel',
      ];
  const found = names.map((name) => weights.filter((weight) => weight.name === name));
  const groups = numberIn(config, 'groups', 1);
  const kernels: KernelView[] = [];
  for (const [i, list] of found.entries()) {
    const [weight, second] = list;
    if (!weight || second) return `expected one weight ${names[i]}, the file has ${list.length}`;
    const { shape, dtype } = weight;
    if (!isFloat(dtype)) return `its ${names[i]} is ${dtype}`;
    if (shape.length < 2 || sizeOf(shape) === 0) return `its ${names[i]} has the shape [${shape}]`;
    const isDepthwise = DEPTHWISE.test(className) || (SEPARABLE.test(className) && i === 0);
    const kind = isDepthwise ? 'depthwise' : TRANSPOSE.test(className) ? 'transpose' : 'dense';
    if (kind === 'dense' && (groups < 1 || (shape.at(-1) as number) % groups !== 0))
      return `${groups} groups of [${shape}]`;
    kernels.push(viewOf(weight, kind, kind === 'dense' && CONV.test(className) ? groups : 1));
  }
  const bias = weights.find(({ name }) => name === 'bias');
  const usesBias = config.use_bias !== false;
  if (usesBias !== (bias !== undefined))
    return usesBias ? 'its bias is not in the file' : 'a bias that it does not use';
  const outputs = (kernels.at(-1) as KernelView).outputs;
  if (bias && (bias.shape.length !== 1 || bias.shape[0] !== outputs || !isFloat(bias.dtype)))
    return `its bias is ${bias.dtype} of shape [${bias.shape}], expected [${outputs}]`;
  return { kernels, bias, usesBias };
}

/**
 * Multiplies each value by the factors of its channels, in place.
 * @param from index of the first value in the kernel, C order
 */
export function scaleKernel(
  { rows, columns, inputOf, outputOf }: KernelView,
  values: Float32Array,
  from: number,
  inputs: ArrayLike<number> | undefined,
  outputs: ArrayLike<number> | undefined,
): void {
  let b = from % columns;
  let a = Math.floor(from / columns) % rows;
  for (let i = 0; i < values.length; i++) {
    const factor = (inputs?.[inputOf(a, b)] ?? 1) * (outputs?.[outputOf(a, b)] ?? 1);
    values[i] = (values[i] as number) * factor;
    if (++b === columns) {
      b = 0;
      if (++a === rows) a = 0;
    }
  }
}

/** `max |w|` over the spatial positions: `[A, B]`, C order. */
export function magnitudes({ rows, columns }: KernelView, values: Float32Array): Float32Array {
  const out = new Float32Array(rows * columns);
  for (let i = 0, at = 0; i < values.length; i++) {
    const size = Math.abs(values[i] as number);
    if (size > (out[at] as number)) out[at] = size;
    if (++at === out.length) at = 0;
  }
  return out;
}
