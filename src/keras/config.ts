import { BitnibbleError } from '../errors.js';
import type { Json, JsonObject, ModelInfo, WeightInfo } from '../model.js';

/** Deeper nesting of sub-models and wrappers than this is taken for a fault of the file. */
const MAX_DEPTH = 32;
const MAX_LAYERS = 100_000;

/** A layer of the architecture; sub-models and wrappers have children. */
export interface LayerNode {
  readonly name: string;
  readonly className: string;
  readonly config: JsonObject;
  /** The layer's whole entry: class name, config, inbound nodes. */
  readonly entry: JsonObject;
  readonly children: readonly LayerNode[];
  /** A model inside a model, as opposed to a wrapper around one layer. */
  readonly isModel: boolean;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Python's JSON: as JSON, with bare `NaN`, `Infinity` and `-Infinity`.
 * @throws BitnibbleError `corrupt-file`
 */
export function parseJson(text: string, what: string): Json {
  const standard = text.replace(/"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/g, (token) => {
    if (token.startsWith('"')) return token;
    if (token === 'NaN') return 'null';
    return token.startsWith('-') ? '-1e999' : '1e999';
  });
  try {
    return JSON.parse(standard) as Json;
  } catch (error) {
    throw new BitnibbleError('corrupt-file', `${what}: not JSON: ${(error as Error).message.slice(0, 100)}`);
  }
}

/** Entries of the layers of a model's config, which is a bare list in Keras 1 and early 2, else `{ layers }`. */
function layerEntries(config: Json | undefined): readonly Json[] | undefined {
  if (Array.isArray(config)) return config;
  if (isObject(config) && Array.isArray(config.layers)) return config.layers;
  return undefined;
}

/** The layer or layers that a wrapper holds: `layer`, and Bidirectional's `backward_layer`. */
function wrapped(config: JsonObject): Json[] {
  return [config.layer, config.backward_layer, config.cell].filter(
    (inner): inner is JsonObject => isObject(inner) && typeof inner.class_name === 'string',
  );
}

/** Keras 2 calls a registered class `Package>Name`; Keras 3 has that name beside the class's. */
function classLabel(className: string, registered: Json | undefined): string {
  return typeof registered === 'string' && registered.endsWith(`>${className}`) ? registered : className;
}

/**
 * The tree of layers of an architecture, in its own order.
 * @param what names the file in errors
 * @throws BitnibbleError `corrupt-file` where entries lack a class or a name, or nest out of all reason
 */
export function layerTree(architecture: JsonObject, what: string): LayerNode[] {
  const layers = listedLayers(architecture, what);
  if (layers) return layers;
  throw new BitnibbleError(
    'no-model-config',
    `${what}: expected the architecture of a Sequential or Functional model, got class ${String(architecture.class_name)} without layers`,
  );
}

/** {@link layerTree}, or undefined for a model of another class, whose architecture is code and not in the file. */
export function listedLayers(architecture: JsonObject, what: string): LayerNode[] | undefined {
  if (layerEntries(architecture.config) === undefined) return undefined;
  let count = 0;
  const visit = (entry: Json, depth: number): LayerNode => {
    if (!isObject(entry) || typeof entry.class_name !== 'string') {
      throw new BitnibbleError('corrupt-file', `${what}: a layer without a class name in the architecture`);
    }
    if (depth > MAX_DEPTH || ++count > MAX_LAYERS) {
      throw new BitnibbleError('corrupt-file', `${what}: an architecture of unreasonable depth or size`);
    }
    const config = isObject(entry.config) ? entry.config : {};
    const name = [config.name, entry.name].find((n) => typeof n === 'string') as string | undefined;
    const entries = layerEntries(entry.config);
    const children = (entries ?? wrapped(config)).map((child) => visit(child, depth + 1));
    const inner = entries === undefined ? children[0] : undefined;
    const label = classLabel(entry.class_name, entry.registered_name);
    return {
      name: name ?? inner?.name ?? entry.class_name,
      className: inner && !inner.isModel ? `${label}/${inner.className}` : label,
      config,
      entry,
      children,
      isModel: entries !== undefined,
    };
  };
  const root = visit(architecture, 0);
  return [...root.children];
}

/** Where a weight belongs. */
export interface Owner {
  /** Names from the top-level layer down to the owner, joined by `/`. */
  readonly layer: string;
  readonly node: LayerNode;
  /** What stands behind the owner's name in the weight's: `['lstm_cell', 'kernel']`. */
  readonly rest: readonly string[];
}

/** The layers on the way from a model, or a wrapper around one, to the one that `matches`; nearer ones first. */
function wayTo(node: LayerNode, matches: (name: string) => boolean): LayerNode[] | undefined {
  const model = node.isModel ? node : node.children.find((child) => child.isModel);
  for (const child of model?.children ?? []) if (matches(child.name)) return [child];
  for (const child of model?.children ?? []) {
    const way = wayTo(child, matches);
    if (way) return [child, ...way];
  }
  return undefined;
}

/**
 * The layer that owns a weight stored in the group of `top` under `weightName`.
 *
 * Keras 2 writes `layer/kernel:0` or `layer/lstm_cell/kernel:0`, with `layer_1` where the graph already had a `layer`;
 * Keras 3 `model/sub/layer/kernel` or a bare `kernel`; Keras 1 `layer_W`. The path is followed down through sub-models
 * as far as it names their layers.
 */
export function ownerOf(top: LayerNode, weightName: string): Owner {
  const parts = weightName
    .replace(/:\d+$/, '')
    .split('/')
    .filter((part) => part !== '');
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
    const way = wayTo(node, (name) => name === parts[search]);
    if (way) {
      enter(way);
      from = search + 1;
    }
  }
  if (parts.length === 1) {
    const names = [...descendants(node)]
      .map(({ name }) => name)
      .filter((name) => last.startsWith(`${name}_`));
    const longest = names.sort((a, b) => b.length - a.length)[0];
    const way = longest === undefined ? undefined : wayTo(node, (name) => name === longest);
    if (way) enter(way);
  }
  let rest = from > 0 && from < parts.length ? parts.slice(from) : [last];
  if (parts.length === 1 && last.startsWith(`${node.name}_`)) rest = [last.slice(node.name.length + 1)];
  return { layer: path.join('/'), node, rest };
}

function* descendants(node: LayerNode): Generator<LayerNode> {
  for (const child of node.children) {
    yield child;
    yield* descendants(child);
  }
}

/**
 * The architecture of a model.
 * @throws BitnibbleError `no-model-config` where its file holds weights alone
 */
export function requireArchitecture(model: ModelInfo): JsonObject {
  if (model.architecture) return model.architecture;
  throw new BitnibbleError(
    'no-model-config',
    `${model.file}: the file holds weights and no architecture: expected a whole model, saved with model.save`,
  );
}

/** Layers as the weights tell them, for models whose architecture is not known or lists none. */
export function layersOfWeights(weights: readonly WeightInfo[]): LayerNode[] {
  const layers = new Map<string, LayerNode>();
  for (const { layer, className } of weights) {
    const entry = { class_name: className };
    if (!layers.has(layer)) {
      layers.set(layer, { name: layer, className, config: {}, entry, children: [], isModel: false });
    }
  }
  return [...layers.values()];
}

/** The configuration of the layer that does the computing: of a wrapper, the wrapped one's. */
export function configOf(layer: LayerNode): JsonObject {
  const [inner] = layer.children;
  return inner && !layer.isModel && !inner.isModel && isObject(layer.config.layer)
    ? configOf(inner)
    : layer.config;
}
