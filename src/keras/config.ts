import { BitnibbleError } from '../errors.js';
import type { Json, JsonObject } from '../model.js';

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

/**
 * The tree of layers of an architecture, in its own order.
 * @param what names the file in errors
 * @throws BitnibbleError `corrupt-file` where entries lack a class or a name, or nest out of all reason
 */
export function layerTree(architecture: JsonObject, what: string): LayerNode[] {
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
    return {
      name: name ?? inner?.name ?? entry.class_name,
      className: inner && !inner.isModel ? `${entry.class_name}/${inner.className}` : entry.class_name,
      config,
      entry,
      children,
      isModel: entries !== undefined,
    };
  };
  const root = visit(architecture, 0);
  if (!root.isModel) {
    throw new BitnibbleError(
      'no-model-config',
      `${what}: expected the architecture of a Sequential or Functional model, got class ${root.className} without layers`,
    );
  }
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

/**
 * The layer that owns a weight stored in the group of `top` under `weightName`.
 *
 * Keras 2 writes `layer/kernel:0` or `layer/lstm_cell/kernel:0`; Keras 3 `model/sub/layer/kernel` or a bare
 * `kernel`; Keras 1 `layer_W`. The path is followed down through sub-models as far as it names their layers.
 */
export function ownerOf(top: LayerNode, weightName: string): Owner {
  const parts = weightName
    .replace(/:\d+$/, '')
    .split('/')
    .filter((part) => part !== '');
  let node = top;
  const path = [top.name];
  let from = parts.lastIndexOf(top.name) + 1;
  for (let search = from; search < parts.length; search++) {
    const model = node.isModel ? node : node.children.find((child) => child.isModel);
    const child = model?.children.find(({ name }) => name === parts[search]);
    if (child) {
      node = child;
      path.push(child.name);
      from = search + 1;
    }
  }
  const last = parts.at(-1) ?? weightName;
  let rest = from > 0 && from < parts.length ? parts.slice(from) : [last];
  if (rest.length === 1 && last.startsWith(`${node.name}_`)) rest = [last.slice(node.name.length + 1)];
  return { layer: path.join('/'), node, rest };
}
