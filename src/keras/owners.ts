import { BitnibbleError } from '../errors.js';
import type { LayerNode } from './config.js';

/** Pairs of weight and layer that are compared for one group: far more than any model has of one name. */
const MAX_COMPARISONS = 2_000_000;
/** Names of weights with more parts than this are none that Keras gives. */
const MAX_PARTS = 64;

/** Where a weight belongs. */
export interface Owner {
  /** Names from the top-level layer down to the owner, joined by `/`. */
  readonly layer: string;
  readonly node: LayerNode;
  /** What stands behind the owner's name in the weight's: `['lstm_cell', 'kernel']`. */
  readonly rest: readonly string[];
}

function partsOf(weightName: string): string[] {
  return weightName
    .replace(/:\d+$/, '')
    .split('/')
    .filter((part) => part !== '');
}

/** The ways to the layers below a model, by name. */
class Ways {
  readonly #known = new Map<LayerNode, ReadonlyMap<string, readonly LayerNode[]>>();

  /** The layers on the way from a model, or a wrapper around one, to each layer below it; nearer and earlier ones first. */
  of(node: LayerNode): ReadonlyMap<string, readonly LayerNode[]> {
    const known = this.#known.get(node);
    if (known) return known;
    const ways = new Map<string, readonly LayerNode[]>();
    const add = (name: string, way: readonly LayerNode[]) => {
      if (!ways.has(name)) ways.set(name, way);
    };
    const model = node.isModel ? node : node.children.find((child) => child.isModel);
    for (const child of model?.children ?? []) add(child.name, [child]);
    for (const child of model?.children ?? [])
      for (const [name, way] of this.of(child)) add(name, [child, ...way]);
    this.#known.set(node, ways);
    return ways;
  }
}

/**
 * The layer that owns a weight stored in the group of `top` under `weightName`.
 *
 * Keras 2 writes `layer/kernel:0` or `layer/lstm_cell/kernel:0`, with `layer_1` where the graph already had a `layer`;
 * Keras 3 `model/sub/layer/kernel` or a bare `kernel`; Keras 1 `layer_W`. The path is followed down through sub-models
 * as far as it names their layers.
 */
export function ownerOf(top: LayerNode, weightName: string, ways = new Ways()): Owner {
  const parts = partsOf(weightName);
  const last = parts.at(-1) ?? weightName;
  let node = top;
  const path = [top.name];
  const renamed = (part: string) =>
    part.startsWith(`${top.name}_`) && /^\d+$/.test(part.slice(top.name.length + 1));
  let from = parts.lastIndexOf(top.name) + 1 || parts.slice(0, -1).findIndex(renamed) + 1;
  const enter = (way: readonly LayerNode[]) => {
    node = way.at(-1) as LayerNode;
    path.push(...way.map(({ name }) => name));
  };
  for (let search = from; search < parts.length; search++) {
    const way = ways.of(node).get(parts[search] as string);
    if (way) {
      enter(way);
      from = search + 1;
    }
  }
  if (parts.length === 1) {
    // `dense_1_W` belongs to `dense_1` rather than to `dense`.
    for (let end = last.lastIndexOf('_'); end > 0; end = last.lastIndexOf('_', end - 1)) {
      const way = ways.of(node).get(last.slice(0, end));
      if (way) {
        enter(way);
        break;
      }
    }
  }
  let rest = from > 0 && from < parts.length ? parts.slice(from) : [last];
  if (parts.length === 1 && last.startsWith(`${node.name}_`)) rest = [last.slice(node.name.length + 1)];
  return { layer: path.join('/'), node, rest };
}

interface Leaf {
  readonly node: LayerNode;
  readonly path: readonly string[];
}

/** Layers below a model, sub-models' layers included, in the order in which Keras lists their weights. */
function leavesOf(model: LayerNode, path: readonly string[]): Leaf[] {
  return model.children.flatMap((child) => {
    const inner = child.isModel ? child : child.children.find((node) => node.isModel);
    const at = [...path, child.name];
    return inner ? leavesOf(inner, at) : [{ node: child, path: at }];
  });
}

/**
 * The owners of all weights in the group of `top`, in the order of the group.
 *
 * Keras 3 names weights of a model inside `top` by their layer alone, and layers of different models may share a name.
 * Of all layers with the name, a weight belongs to the one of whose path the weight's name has most; then to the first
 * that has no such weight yet, since the group lists weights in the order of the layers.
 *
 * @param file for messages
 * @throws BitnibbleError `corrupt-file` for names out of all reason
 */
export function ownersOf(top: LayerNode, weightNames: readonly string[], file: string): Owner[] {
  const fail = (fault: string): never => {
    throw new BitnibbleError('corrupt-file', `${file}: layer ${top.name} ${fault}`);
  };
  const ways = new Ways();
  const model = top.isModel ? top : top.children.find((child) => child.isModel);
  const byName = new Map<string, { readonly order: number; readonly leaf: Leaf }[]>();
  if (model) {
    for (const [order, leaf] of leavesOf(model, [top.name]).entries()) {
      const same = byName.get(leaf.node.name);
      if (same) same.push({ order, leaf });
      else byName.set(leaf.node.name, [{ order, leaf }]);
    }
  }
  const taken = new Set<string>();
  let comparisons = 0;
  return weightNames.map((name) => {
    const parts = partsOf(name);
    if (parts.length > MAX_PARTS) fail(`lists a weight whose name has ${parts.length} parts`);
    const named = [...new Set(parts.slice(0, -1))].flatMap((part) => byName.get(part) ?? []);
    comparisons += named.length;
    if (comparisons > MAX_COMPARISONS) fail('has too many layers of the same name to tell its weights apart');
    let best: (Owner & { readonly score: number; readonly key: string }) | undefined;
    for (const { leaf } of named.sort((a, b) => a.order - b.order)) {
      const { node, path } = leaf;
      const score = path.filter((part) => parts.includes(part)).length;
      if (best && best.score >= score) continue;
      const layer = path.join('/');
      const rest = parts.slice(parts.lastIndexOf(node.name, parts.length - 2) + 1);
      const key = [layer, ...rest].join('/');
      if (!taken.has(key)) best = { layer, node, rest, score, key };
    }
    if (!best) return ownerOf(top, name, ways);
    taken.add(best.key);
    return { layer: best.layer, node: best.node, rest: best.rest };
  });
}
