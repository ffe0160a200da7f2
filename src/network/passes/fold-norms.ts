import type { Network, NetworkNode } from '../types.js';
import {
  hasKernel,
  isChannelsFirst,
  type Kernel,
  type KernelLayer,
  type KernelScale,
  kernelLayer,
  type WeightChanges,
  type Weights,
} from './kernel.js';
import { isNorm, type Norm, normAxis, normOf } from './norm.js';
import { type Wires, wiresOf, withoutNodes } from './wires.js';

/** A layer that a pass left as it was. */
export interface LeftLayer {
  readonly layer: string;
  readonly className: string;
  readonly why: string;
}

/** A batch normalization that was folded. */
export interface FoldedNorm {
  /** The normalization, and the layer it went into. */
  readonly norm: string;
  readonly layer: string;
  readonly className: string;
  /** Largest scale of a channel over the smallest, zeros aside: what folding adds to the spread of the kernel. */
  readonly spread: number;
}

/** A layer with kernels before a normalization. */
export interface Producer extends KernelLayer {
  /** Path of the layer, and its class with the wrappers around it. */
  readonly layer: string;
  readonly className: string;
}

/** A normalization that can be folded, and the layers that take it. */
export interface NormFold {
  /** Path of the normalization. */
  readonly layer: string;
  readonly norm: Norm;
  readonly into: readonly Producer[];
}

export interface FoldedNetwork extends WeightChanges {
  readonly network: Network;
  /** Ids of biases that were not there before, by the ids of the kernels that they come behind. */
  readonly biases: ReadonlyMap<string, string>;
  readonly folded: readonly FoldedNorm[];
  readonly left: readonly LeftLayer[];
}

/**
 * The batch normalizations that are next to layers which can take them, and why the others cannot be folded. A
 * normalization behind one of these is next to its layer when that one is gone: see {@link foldNorms}.
 */
export function findNormFolds(
  network: Network,
  weights: Weights,
): { readonly folds: readonly NormFold[]; readonly left: readonly LeftLayer[] } {
  const finder = new Finder(network, weights);
  const folds: NormFold[] = [];
  const left: LeftLayer[] = [];
  for (const [layer, nodes] of finder.wires.layers) {
    const [{ className }] = nodes as [NetworkNode];
    if (!/(^|\W)(Sync)?BatchNormalization(V\d)?$/.test(className)) continue;
    const found = finder.fold(layer, nodes);
    if (typeof found === 'string') left.push({ layer, className, why: found });
    else folds.push(found);
  }
  return { folds, left };
}

/** What a normalization adds to the layers that it goes into. */
export function foldedRows({ layer: norm, norm: { scale }, into }: NormFold): FoldedNorm[] {
  const sizes = scale.map(Math.abs).filter((size) => size > 0);
  const spread = sizes.length === 0 ? 1 : Math.max(...sizes) / Math.min(...sizes);
  return into.map(({ layer, className }) => ({ norm, layer, className, spread }));
}

/**
 * Folds batch normalizations into the layers before them: `W' = W scale`, `b' = b scale + shift` per output channel, with
 * `scale = gamma / sqrt(variance + epsilon)`, `shift = beta - mean scale`. Jacob et al., Quantization and Training of
 * Neural Networks for Efficient Integer-Arithmetic-Only Inference, CVPR 2018, section 3.2.
 *
 * Only where outputs stay the same: the layer (Dense, convolutions of all kinds) has no activation, all its calls go to
 * this normalization and nowhere else, and the normalized axis is that of its channels. Every other normalization is in
 * `left` with the reason.
 *
 * @returns the network with the normalizations gone and biases where there were none, and the weights that change
 */
export function foldNorms(network: Network, weights: Weights): FoldedNetwork {
  const scaled = new Map<string, KernelScale>();
  const values = new Map<string, Float64Array>();
  const added = new Map<string, string>();
  const folded: FoldedNorm[] = [];
  const now: Weights = {
    fixed: (id) => (values.has(id) ? undefined : weights.fixed?.(id)),
    read: (id) => values.get(id) ?? weights.read(id),
    size: (id) => values.get(id)?.length ?? weights.size?.(id),
  };
  const taken = new Set(network.nodes.flatMap((node) => Object.values(node.weights)));
  let current = network;
  for (;;) {
    const { folds, left } = findNormFolds(current, now);
    if (folds.length === 0) return { network: current, scaled, values, biases: added, folded, left };
    const biases = new Map<string, string>();
    for (const fold of folds) {
      for (const producer of fold.into) {
        const kernel = producer.kernels.at(-1) as Kernel;
        const bias =
          producer.bias ?? newBias(kernel.id, (id) => taken.has(id) || now.size?.(id) !== undefined);
        taken.add(bias);
        if (producer.bias === undefined) added.set(kernel.id, bias);
        biases.set(producer.layer, bias);
        values.set(
          bias,
          foldedBias(fold.norm, producer.bias === undefined ? undefined : now.read(producer.bias)),
        );
        scaled.set(kernel.id, outputsScaled(kernel, fold.norm.scale, scaled.get(kernel.id)));
      }
      folded.push(...foldedRows(fold));
    }
    current = rewired(current, new Set(folds.map(({ layer }) => layer)), biases);
  }
}

/** `b scale + shift`. */
export function foldedBias({ scale, shift }: Norm, before: ArrayLike<number> | undefined): Float64Array {
  return Float64Array.from(scale, (s, c) => (before?.[c] ?? 0) * s + (shift[c] as number));
}

/** A kernel with its output channels scaled, once more perhaps. */
function outputsScaled(kernel: Kernel, by: Float64Array, before: KernelScale | undefined): KernelScale {
  const outputs = before?.outputs;
  return { kernel, outputs: outputs ? by.map((s, c) => s * (outputs[c] as number)) : by };
}

/** An id for the bias of a layer: beside its kernel. */
function newBias(kernel: string, isTaken: (id: string) => boolean): string {
  const base = `${kernel.slice(0, kernel.lastIndexOf('/') + 1)}bias`;
  let id = base;
  for (let n = 2; isTaken(id); n++) id = `${base}#${n}`;
  return id;
}

/** The network without normalizations, with biases by the layers that have them now. */
function rewired(network: Network, norms: ReadonlySet<string>, biases: ReadonlyMap<string, string>): Network {
  const nodes = network.nodes.map((node): NetworkNode => {
    const bias = hasKernel(node) ? biases.get(node.layer) : undefined;
    if (bias === undefined) return node;
    const attributes = { ...node.attributes, use_bias: true };
    return { ...node, attributes, weights: { ...node.weights, bias } };
  });
  const gone = new Set(nodes.filter((node) => isNorm(node) && norms.has(node.layer)));
  return withoutNodes({ ...network, nodes }, gone);
}

class Finder {
  readonly wires: Wires;

  constructor(
    readonly network: Network,
    readonly weights: Weights,
  ) {
    this.wires = wiresOf(network);
  }

  /** What a normalization can be folded into, or why it cannot. */
  fold(layer: string, nodes: readonly NetworkNode[]): NormFold | string {
    const [first] = nodes as [NetworkNode];
    if (!isNorm(first)) return `the class ${first.className} is not Keras's own`;
    const before = new Set<string>();
    for (const { inputs } of nodes) {
      const [value, second] = inputs;
      if (value === undefined || second !== undefined) return 'it has several inputs';
      const maker = this.wires.maker(value);
      if (!maker) {
        const port = this.network.inputs.find((input) => input.value === value);
        return `its input comes from ${port?.name ?? 'nowhere'} (InputLayer)`;
      }
      before.add(maker.layer);
    }
    const into: Producer[] = [];
    for (const name of before) {
      const producer = this.#producer(name, layer, first);
      if (typeof producer === 'string') return producer;
      into.push(producer);
    }
    const norm = normOf(first, this.weights);
    if (typeof norm === 'string') return norm;
    const channels = norm.scale.length;
    for (const { layer: name, kernels } of into) {
      const { outputs } = kernels.at(-1) as Kernel;
      if (outputs !== channels) return `it has ${channels} channels, ${name} has ${outputs}`;
    }
    return this.#problem(layer) ?? { layer, norm, into };
  }

  /** Why a layer cannot be run, where that is known. */
  #problem(layer: string, wanted: 'any' | 'unsupported-layer' = 'any'): string | undefined {
    return this.network.problems.find(
      (problem) => problem.layer === layer && (wanted === 'any' || problem.code === wanted),
    )?.reason;
  }

  /** A layer before a normalization, all of whose outputs go into it. */
  #producer(name: string, norm: string, normNode: NetworkNode): Producer | string {
    const nodes = this.wires.layers.get(name);
    const [first] = nodes ?? [];
    if (!nodes || !first) return `its input comes from ${name}`;
    const { className, attributes } = first;
    const from = `its input comes from ${name} (${className})`;
    const problem = hasKernel(first) ? this.#problem(name, 'unsupported-layer') : undefined;
    if (problem) return `${from}: ${problem}`;
    const own = kernelLayer(first, this.weights);
    if (typeof own === 'string') return `${from}: ${own}`;
    const fault = this.#problem(name);
    if (fault) return `${from}: ${fault}`;
    if (attributes.activation !== 'linear')
      return `the activation ${String(attributes.activation)} of ${name} is before it`;
    for (const { outputs } of nodes) {
      const [value] = outputs as [number];
      if (this.wires.isOutput(value)) return `${name} before it is an output of the model`;
    }
    for (const { outputs } of nodes) {
      const takers = this.wires.takers(outputs[0] as number);
      const other = takers.find(({ layer }) => layer !== norm);
      if (other) return `${name} before it also goes to ${other.layer}`;
    }
    return this.#axisFault(normNode, first) ?? { ...own, layer: name, className };
  }

  /** Why the normalized axis is not that of the channels. */
  #axisFault(norm: NetworkNode, before: NetworkNode): string | undefined {
    const { axis } = norm.attributes;
    if (typeof axis !== 'number') return `it normalizes the axes ${JSON.stringify(axis ?? null)}`;
    const isFirst = isChannelsFirst(before);
    if (axis === -1 && !isFirst) return undefined;
    const { kernel_size: sizes } = before.attributes;
    // A convolution's output has two axes more than its windows.
    const own = Array.isArray(sizes) ? sizes.length + 2 + before.steps : undefined;
    const rank = this.network.values[norm.inputs[0] as number]?.shape?.length ?? own;
    const at = normAxis(norm, rank);
    if (at === undefined || rank === undefined)
      return `it normalizes axis ${axis} of an unknown number of axes`;
    const wanted = isFirst ? 1 + before.steps : rank - 1;
    return at === wanted ? undefined : `it normalizes axis ${at}, channels lie along axis ${wanted}`;
  }
}
