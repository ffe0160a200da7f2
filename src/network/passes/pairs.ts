import type { Network, NetworkNode } from '../types.js';
import type { LeftLayer } from './fold-norms.js';
import {
  hasKernel,
  isChannelsFirst,
  type Kernel,
  type KernelLayer,
  kernelLayer,
  type Weights,
} from './kernel.js';
import { isNorm, normAxis, normOf } from './norm.js';
import { activationFault, passing } from './passing.js';
import { type Wires, wiresOf } from './wires.js';

/** More elements than this in a kernel's matrix are not held: 64 MiB of float32. */
const MAX_MATRIX = 2 ** 24;

/** Two kernels whose channels can be scaled against each other. */
export interface Pair {
  readonly first: Kernel;
  readonly second: Kernel;
  /** Channels between them: outputs of the first; input `j` of the second is of channel `j mod channels`. */
  readonly channels: number;
  /** Ids of vectors that are scaled with the first kernel's outputs: its bias, means and betas of normalizations. */
  readonly vectors: readonly string[];
  /** Paths of the layers in between. */
  readonly through: readonly string[];
}

/** Where the output of a node leads, through nodes that scales pass. */
interface Way {
  readonly to: NetworkNode;
  readonly through: readonly NetworkNode[];
}

/**
 * Every pair of kernels between which scales of channels can be moved while outputs stay the same, in the order of the
 * network, and the layers with kernels that are the first of none.
 */
export function findPairs(
  network: Network,
  weights: Weights,
): { readonly pairs: readonly Pair[]; readonly left: readonly LeftLayer[] } {
  const finder = new Finder(network, weights);
  for (const [layer, nodes] of finder.wires.layers) finder.visit(layer, nodes);
  return finder;
}

class Finder {
  readonly pairs: Pair[] = [];
  readonly left: LeftLayer[] = [];
  readonly wires: Wires;

  constructor(
    readonly network: Network,
    readonly weights: Weights,
  ) {
    this.wires = wiresOf(network);
  }

  visit(layer: string, nodes: readonly NetworkNode[]): void {
    const [first] = nodes as [NetworkNode];
    if (!hasKernel(first)) return;
    const leave = (why: string) => this.left.push({ layer, className: first.className, why });
    const own = this.#layer(first);
    if (typeof own === 'string') {
      leave(own);
      return;
    }
    const [inner, last] = own.kernels as [Kernel, Kernel?];
    if (last) {
      // Nothing is between the two kernels of a separable convolution.
      if (isHeld(inner) && isHeld(last))
        this.pairs.push({ first: inner, second: last, channels: inner.outputs, vectors: [], through: [] });
      else leave('a kernel of too many weights');
    }
    const pair = this.#behind(nodes, own);
    if (typeof pair === 'string') leave(pair);
    else this.pairs.push(pair);
  }

  /** The kernels of a node, or why they cannot be scaled. */
  #layer(node: NetworkNode): KernelLayer | string {
    return this.#problem(node, 'unsupported-layer') ?? this.#checked(node, kernelLayer(node, this.weights));
  }

  #checked(node: NetworkNode, own: KernelLayer | string): KernelLayer | string {
    return typeof own === 'string' ? own : (this.#problem(node) ?? own);
  }

  /** Why a layer cannot be run, where that is known. */
  #problem({ layer }: NetworkNode, code?: 'unsupported-layer'): string | undefined {
    return this.network.problems.find(
      (problem) => problem.layer === layer && (code === undefined || problem.code === code),
    )?.reason;
  }

  #nodes({ layer }: NetworkNode): readonly NetworkNode[] {
    return this.wires.layers.get(layer) ?? [];
  }

  /** The pair that a layer is the first of, or why there is none. */
  #behind(nodes: readonly NetworkNode[], own: KernelLayer): Pair | string {
    const [layer] = nodes as [NetworkNode];
    const fault = activationFault(layer);
    if (fault) return fault;
    if (isChannelsFirst(layer)) return 'channels first';
    const ways: Way[] = [];
    for (const node of nodes) {
      const way = this.#follow(node);
      if (typeof way === 'string') return way;
      ways.push(way);
    }
    const [{ to, through }] = ways as [Way];
    if (ways.some((way) => way.to.layer !== to.layer)) return 'its calls lead to different layers';
    if (to.layer === layer.layer) return 'it follows itself';
    if (this.#nodes(to).length !== ways.length) return `${to.layer} behind it is called from elsewhere too`;
    const second = this.#layer(to);
    if (typeof second === 'string') return `${to.layer} (${to.className}) behind it: ${second}`;
    if (isChannelsFirst(to)) return 'channels first';
    const first = own.kernels.at(-1) as Kernel;
    const [next] = second.kernels as [Kernel];
    const channels = first.outputs;
    const isFlat = through.some(({ operation }) => operation === 'Flatten');
    if (isFlat ? next.inputs % channels !== 0 : next.inputs !== channels)
      return `it has ${channels} channels, ${to.layer} behind it takes ${next.inputs}`;
    const vectors = new Set(own.bias === undefined ? [] : [own.bias]);
    // Each way has its own layers in between, or all have the same.
    for (const between of ways.flatMap((way) => way.through)) {
      const more = this.#affine(between, ways, channels);
      if (typeof more === 'string') return more;
      for (const id of more) vectors.add(id);
    }
    if (!isHeld(first) || !isHeld(next)) return 'a kernel of too many weights';
    return {
      first,
      second: next,
      channels,
      vectors: [...vectors],
      through: through.map((node) => node.layer),
    };
  }

  /** Follows the output of a node as long as one other alone takes it and lets scales pass. */
  #follow(start: NetworkNode): Way | string {
    const through: NetworkNode[] = [];
    for (let at = start; ; ) {
      const [value] = at.outputs as [number];
      const takers = this.wires.takers(value);
      const [next] = takers;
      if (this.wires.isOutput(value)) return 'its outputs are those of the model';
      if (!next) return 'nothing takes its outputs';
      if (takers.length > 1) return `its outputs go to ${takers.length} layers`;
      if (hasKernel(next)) return { to: next, through };
      const how = passing(next);
      if (typeof how === 'object') return `${next.layer} behind it: ${how.why}`;
      const problem = this.#problem(next, 'unsupported-layer');
      if (problem) return `${next.layer} behind it: ${problem}`;
      if (next.inputs.length > 1) return `${next.layer} behind it takes several inputs`;
      if (through.some(({ layer }) => layer === next.layer))
        return `${next.layer} behind it is called again and again`;
      through.push(next);
      at = next;
    }
  }

  /** Vectors of a normalization in between that are scaled with the channels; none of other layers. */
  #affine(node: NetworkNode, ways: readonly Way[], channels: number): readonly string[] | string {
    if (!isNorm(node)) return [];
    const norm = normOf(node, this.weights);
    if (typeof norm === 'string') return `${node.layer} behind it: ${norm}`;
    const own = ways.flatMap(({ through }) => through).filter(({ layer }) => layer === node.layer);
    if (this.#nodes(node).length !== own.length)
      return `${node.layer} behind it is called from elsewhere too`;
    const rank = this.network.values[node.inputs[0] as number]?.shape?.length;
    const { axis } = node.attributes;
    const isLast = axis === -1 || (rank !== undefined && normAxis(node, rank) === rank - 1);
    if (!isLast || norm.scale.length % channels !== 0)
      return `${node.layer} behind it normalizes axis ${JSON.stringify(axis ?? null)}`;
    return [norm.mean, ...(norm.beta === undefined ? [] : [norm.beta])];
  }
}

function isHeld({ rows, columns }: Kernel): boolean {
  return rows * columns <= MAX_MATRIX;
}
