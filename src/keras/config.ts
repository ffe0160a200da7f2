import { BitnibbleError } from '../errors.js';
import { checkName } from '../formats/names.js';
import { isObject, type Json, type JsonObject, type ModelInfo, type WeightInfo } from '../model.js';

/** Deeper nesting of sub-models and wrappers than this is taken for a fault of the file. */
const MAX_DEPTH = 32;
const MAX_LAYERS = 20_000;

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

export { isObject };

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
 * @throws BitnibbleError `corrupt-file` where entries lack a class or nest out of all reason, `too-large` for names beyond
 *   reason
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
    for (const text of [entry.class_name, entry.registered_name, name])
      if (typeof text === 'string') checkName(text, `${what}: a layer of the architecture`);
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
