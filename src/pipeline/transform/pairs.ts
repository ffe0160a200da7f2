import type { JsonObject, ModelSource, WeightInfo } from '../../model.js';
import { sizeOf } from '../../shape.js';
import type { GraphLayer } from '../../tfjs/graph.js';
import type { LeftLayer } from './fold.js';
import { type KernelView, type WeightLayer, weightLayer } from './kernel-view.js';
import { type Norm, normOf } from './norm.js';
import { activationFault, passing } from './passing.js';
import { type Core, coreOf, type Level, labelOf, levelsOf, ranksOf } from './wiring.js';

/** More elements than this in a kernel's matrix `[A, B]` are not held: 64 MiB of float32. */
const MAX_MATRIX = 2 ** 24;

/** Two kernels whose channels can be scaled against each other. */
export interface Pair {
  readonly first: KernelView;
  readonly second: KernelView;
  /** Channels between them: outputs of the first; input `j` of the second is of channel `j mod channels`. */
  readonly channels: number;
  /** Vectors that are scaled with the first kernel's outputs: its bias, means and betas of normalizations. */
  readonly vectors: readonly WeightInfo[];
  /** Names of the layers in between. */
  readonly through: readonly string[];
}

/** Where the outputs of a layer lead, through layers that scales pass. */
interface Way {
  readonly to: GraphLayer;
  readonly through: readonly GraphLayer[];
}

/** Every pair of a model that {@link equalize} may scale, in the order of the layers, and the layers that are in none. */
export function findPairs(source: ModelSource): { pairs: Pair[]; left: LeftLayer[] } {
  const levels = levelsOf(source);
  if (!levels) {
    const why = 'the file holds no architecture';
    return { pairs: [], left: [{ layer: source.file, className: 'model', why }] };
  }
  const finder = new Finder(source);
  for (const level of levels) for (const layer of level.layers) finder.visit(level, layer);
  return finder;
}

class Finder {
  readonly pairs: Pair[] = [];
  readonly left: LeftLayer[] = [];
  readonly #byLayer = new Map<string, WeightInfo[]>();
  readonly #ranks: ReadonlyMap<JsonObject, number>;

  constructor(readonly source: ModelSource) {
    for (const weight of source.weights) {
      const list = this.#byLayer.get(weight.layer);
      if (list) list.push(weight);
      else this.#byLayer.set(weight.layer, [weight]);
    }
    this.#ranks = ranksOf(source);
  }

  visit(level: Level, layer: GraphLayer): void {
    if (layer.isModel || layer.calls.length === 0) return;
    const path = level.path + layer.name;
    const weights = this.#byLayer.get(path) ?? [];
    if (weights.length === 0) return;
    const leave = (why: string) => this.left.push({ layer: path, className: labelOf(layer.entry), why });
    const core = coreOf(layer.entry);
    const own = weightLayer(core, weights);
    if (typeof own === 'string') {
      // Normalizations and the like are no first layer of a pair.
      if (weights.some(({ shape }) => shape.length > 1)) leave(own);
      return;
    }
    const [inner, last] = own.kernels as [KernelView, KernelView?];
    if (last) {
      // Nothing is between the two kernels of a separable convolution.
      if (isHeld(inner) && isHeld(last))
        this.pairs.push({ first: inner, second: last, channels: inner.outputs, vectors: [], through: [] });
      else leave('a kernel of too many weights');
    }
    const pair = this.#behind(level, layer, core, own);
    if (typeof pair === 'string') leave(pair);
    else this.pairs.push(pair);
  }

  /** The pair that a layer is the first of, or why there is none. */
  #behind(level: Level, layer: GraphLayer, core: Core, own: WeightLayer): Pair | string {
    const fault = activationFault(core.config);
    if (fault) return fault;
    if (core.config.data_format === 'channels_first' && core.className !== 'Dense') return 'channels first';
    const ways = layer.calls.map((_, call) => this.#follow(level, layer, call));
    const [way] = ways;
    for (const one of ways) if (typeof one === 'string') return one;
    if (typeof way !== 'object') return 'it is never called';
    if ((ways as Way[]).some(({ to }) => to !== way.to)) return 'its calls lead to different layers';
    const { to, through } = way;
    if (to.calls.length !== ways.length) return `${to.name} behind it is called from elsewhere too`;
    if (to === layer) return 'it follows itself';
    const after = coreOf(to.entry);
    const second = weightLayer(after, this.#byLayer.get(level.path + to.name) ?? []);
    if (typeof second === 'string') return `${to.name} (${labelOf(to.entry)}) behind it: ${second}`;
    if (after.config.data_format === 'channels_first' && after.className !== 'Dense') return 'channels first';
    const first = own.kernels.at(-1) as KernelView;
    const [next] = second.kernels as [KernelView];
    const channels = first.outputs;
    const isFlat = through.some(({ entry }) => coreOf(entry).className === 'Flatten');
    if (isFlat ? next.inputs % channels !== 0 : next.inputs !== channels)
      return `it has ${channels} channels, ${to.name} behind it takes ${next.inputs}`;
    const vectors = own.bias ? [own.bias] : [];
    for (const between of through) {
      const more = this.#affine(level, between, layer.calls.length, channels);
      if (typeof more === 'string') return more;
      vectors.push(...more);
    }
    if (!isHeld(first) || !isHeld(next)) return 'a kernel of too many weights';
    const names = through.map(({ name }) => level.path + name);
    return { first, second: next, channels, vectors, through: names };
  }

  /** Follows the outputs of a call as long as one layer alone takes them and lets scales pass. */
  #follow(level: Level, layer: GraphLayer, call: number): Way | string {
    const through: GraphLayer[] = [];
    let at = { layer, call };
    for (;;) {
      const consumers = level.consumers(at.layer.name, at.call);
      const [next, other] = consumers;
      if (next === undefined) return 'nothing takes its outputs';
      if (next === 'output' || other === 'output') return 'its outputs are those of the model';
      if (other) return `its outputs go to ${consumers.length} layers`;
      const { problems, inputs } = next.layer.calls[next.call] as GraphLayer['calls'][number];
      if (problems[0] !== undefined) return `${next.layer.name} behind it: ${problems[0]}`;
      if (next.layer.isModel) return `${next.layer.name} behind it is a model`;
      const core = coreOf(next.layer.entry);
      if (typeof weightLayer(core, this.#byLayer.get(level.path + next.layer.name) ?? []) !== 'string')
        return { to: next.layer, through };
      const how = passing(core);
      if (typeof how === 'object') return `${next.layer.name} behind it: ${how.why}`;
      if (inputs.length > 1) return `${next.layer.name} behind it takes several inputs`;
      if (through.includes(next.layer)) return `${next.layer.name} behind it is called again and again`;
      through.push(next.layer);
      at = next;
    }
  }

  /** Vectors of a normalization in between that are scaled with the channels; none of other layers. */
  #affine(level: Level, layer: GraphLayer, calls: number, channels: number): WeightInfo[] | string {
    const core = coreOf(layer.entry);
    if (passing(core) !== 'affine') return [];
    const norm: Norm | string = normOf(this.source, core, this.#byLayer.get(level.path + layer.name) ?? []);
    if (typeof norm === 'string') return `${layer.name} behind it: ${norm}`;
    if (layer.calls.length !== calls) return `${layer.name} behind it is called from elsewhere too`;
    const given = core.config.axis ?? -1;
    const [axis, second] = Array.isArray(given) ? given : [given];
    const rank = this.#ranks.get(layer.entry);
    const isLast = axis === -1 || (rank !== undefined && axis === rank - 1 - core.depth);
    if (!isLast || second !== undefined || sizeOf(norm.mean.shape) % channels !== 0)
      return `${layer.name} behind it normalizes axis ${JSON.stringify(given)}`;
    return [norm.mean, ...(norm.beta ? [norm.beta] : [])];
  }
}

function isHeld({ rows, columns }: KernelView): boolean {
  return rows * columns <= MAX_MATRIX;
}
