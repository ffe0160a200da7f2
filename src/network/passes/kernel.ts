// Kernels as matrices of channels, and weights that a pass gives new values.
import type { JsonObject } from '../../model.js';
import { operationOf } from '../operations/index.js';
import type { NetworkNode } from '../types.js';

/** Where a pass finds the weights of a network. */
export interface Weights {
  /** The values of one weight, C order. Passes read vectors alone, and kernels whose size is not known otherwise. */
  read(id: string): ArrayLike<number>;
  /** Number of elements of a weight, where it is known without reading; undefined for ids that are not taken. */
  size?(id: string): number | undefined;
  /** What a weight is that cannot be given new values, such as `I8`; undefined where it can. */
  fixed?(id: string): string | undefined;
}

/**
 * A kernel as spatial positions of a matrix `[rows, columns]`, its last two axes, of which each element `(a, b)` belongs
 * to one input and one output channel of the layer:
 *
 * | kind | operations | rows, columns | input channel | output channel |
 * |---|---|---|---|---|
 * | `dense` | Dense, Conv1D to Conv3D; pointwise | in / groups, out | `floor(b / (columns / groups)) rows + a` | `b` |
 * | `transpose` | Conv1DTranspose to Conv3DTranspose | out, in | `b` | `a` |
 * | `depthwise` | DepthwiseConv1D, 2D; depthwise | in, multiplier | `a` | `a columns + b` |
 */
export interface Kernel {
  readonly id: string;
  readonly kind: 'dense' | 'transpose' | 'depthwise';
  readonly rows: number;
  readonly columns: number;
  readonly groups: number;
  /** Channels. */
  readonly inputs: number;
  readonly outputs: number;
}

/** The channel of the element in row `a` and column `b` of a {@link Kernel}. */
export type Channel = (a: number, b: number) => number;

/** The input channel of an element. */
export function inputChannel({ kind, rows, columns, groups }: Kernel): Channel {
  if (kind === 'depthwise') return (a) => a;
  if (kind === 'transpose') return (_, b) => b;
  const width = columns / groups;
  return groups === 1 ? (a) => a : (a, b) => Math.floor(b / width) * rows + a;
}

/** The output channel of an element. */
export function outputChannel({ kind, columns }: Kernel): Channel {
  if (kind === 'depthwise') return (a, b) => a * columns + b;
  return kind === 'transpose' ? (a) => a : (_, b) => b;
}

/** Factors of a kernel's channels; none: 1. */
export interface KernelScale {
  readonly kernel: Kernel;
  readonly inputs?: Float64Array | undefined;
  readonly outputs?: Float64Array | undefined;
}

/**
 * Multiplies each value by the factors of its channels, in place.
 * @param from index of the first value in the kernel, C order
 */
export function scaleKernel({ kernel, inputs, outputs }: KernelScale, values: Float32Array, from = 0): void {
  const { rows, columns } = kernel;
  const [inputOf, outputOf] = [inputChannel(kernel), outputChannel(kernel)];
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

/**
 * Weights that a pass changes. Vectors are here; kernels stay where they are and are scaled by whoever reads them, whole
 * or in pieces, so that memory does not grow with the network.
 */
export interface WeightChanges {
  /** Factors of kernels by id. */
  readonly scaled: ReadonlyMap<string, KernelScale>;
  /** New values of vectors by id; an id that was not there before is a new weight. */
  readonly values: ReadonlyMap<string, Float64Array>;
}

/** The values of a weight with changes, float32. */
export function readChanged(
  read: (id: string) => ArrayLike<number>,
  { scaled, values }: WeightChanges,
): (id: string) => Float32Array {
  return (id) => {
    const own = Float32Array.from(values.get(id) ?? read(id));
    const scale = scaled.get(id);
    if (scale) scaleKernel(scale, own);
    return own;
  };
}

/** The kernels of a layer in the order in which they are applied, and its bias. */
export interface KernelLayer {
  readonly kernels: readonly Kernel[];
  readonly bias: string | undefined;
  readonly usesBias: boolean;
}

const KERNELS: readonly (readonly [operation: RegExp, kernels: readonly [Kernel['kind'], string][]])[] = [
  [/^(Dense|Conv[123]D)$/, [['dense', 'kernel']]],
  [/^Conv[123]DTranspose$/, [['transpose', 'kernel']]],
  [/^DepthwiseConv[12]D$/, [['depthwise', 'depthwise_kernel']]],
  [
    /^SeparableConv[12]D$/,
    [
      ['depthwise', 'depthwise_kernel'],
      ['dense', 'pointwise_kernel'],
    ],
  ],
];

const kernelsOf = ({ operation }: NetworkNode) => KERNELS.find(([pattern]) => pattern.test(operation))?.[1];

/** Whether a node has kernels of known axes: each of its outputs is a channel, with a bias of its own. */
export const hasKernel = (node: NetworkNode): boolean => kernelsOf(node) !== undefined;

/** Whether a kernel lies along the second axis of its input, as channels do. */
export const isChannelsFirst = ({ attributes }: NetworkNode): boolean =>
  attributes.data_format === 'channels_first';

const area = (sizes: JsonObject[string] | undefined) =>
  Array.isArray(sizes) ? sizes.reduce<number>((product, n) => product * Number(n), 1) : 1;

/** Elements of a kernel over those that its attributes tell: the length of the other one of its last two axes. */
function lengthOf(id: string, known: number, weights: Weights): number {
  return (weights.size?.(id) ?? weights.read(id).length) / known;
}

function kernelOf(node: NetworkNode, kind: Kernel['kind'], role: string, weights: Weights): Kernel | string {
  const { attributes } = node;
  const id = node.weights[role];
  if (id === undefined) return `expected one weight ${role}, the file has 0`;
  const fixed = weights.fixed?.(id);
  if (fixed !== undefined) return `its ${role} is ${fixed}`;
  const positions = role === 'pointwise_kernel' ? 1 : area(attributes.kernel_size);
  const given = kind === 'depthwise' ? attributes.depth_multiplier : (attributes.filters ?? attributes.units);
  const known = Number(given);
  const other = lengthOf(id, positions * known, weights);
  if (!(Number.isInteger(other) && other > 0))
    return `its ${role} has ${other * positions * known} elements, ${positions} positions of ${known} channels`;
  if (kind === 'depthwise')
    return { id, kind, rows: other, columns: known, groups: 1, inputs: other, outputs: other * known };
  if (kind === 'transpose')
    return { id, kind, rows: known, columns: other, groups: 1, inputs: other, outputs: known };
  const groups = Number(attributes.groups ?? 1);
  if (groups < 1 || known % groups !== 0) return `${groups} groups of ${known} filters`;
  return { id, kind, rows: other, columns: known, groups, inputs: other * groups, outputs: known };
}

/**
 * The kernels and the bias of a node.
 * @returns why not, as text, for operations that are not known or files that lack weights
 */
export function kernelLayer(node: NetworkNode, weights: Weights): KernelLayer | string {
  const names = kernelsOf(node);
  if (!names || !operationOf(node.operation)) return 'a class without a kernel of known axes';
  const kernels: Kernel[] = [];
  for (const [kind, role] of names) {
    const kernel = kernelOf(node, kind, role, weights);
    if (typeof kernel === 'string') return kernel;
    kernels.push(kernel);
  }
  const { bias } = node.weights;
  const usesBias = node.attributes.use_bias !== false;
  if (usesBias !== (bias !== undefined))
    return usesBias ? 'its bias is not in the file' : 'a bias that it does not use';
  const fixed = bias === undefined ? undefined : weights.fixed?.(bias);
  if (fixed !== undefined) return `its bias is ${fixed}`;
  return { kernels, bias, usesBias };
}
