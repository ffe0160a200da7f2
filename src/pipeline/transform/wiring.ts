import { isObject, type LayerNode, listedLayers } from '../../keras/config.js';
import { outputShapes } from '../../keras/shapes.js';
import { plainClass } from '../../keras/variables.js';
import type { Json, JsonObject, ModelInfo } from '../../model.js';
import type { GraphLayer, Ref } from '../../tfjs/graph.js';
import { isModel, nameOf, readGraph } from '../../tfjs/read-graph.js';

/** What takes a tensor: a call of a layer, or the model's output. */
export type Consumer = { readonly layer: GraphLayer; readonly call: number } | 'output';

/** A model of the architecture: the whole, one inside it, or one inside a wrapper. */
export interface Level {
  /** Before the names of its layers in {@link WeightInfo.layer}: empty, or models around it, each with `/`. */
  readonly path: string;
  readonly entry: JsonObject;
  readonly layers: readonly GraphLayer[];
  layer(name: string): GraphLayer | undefined;
  /** What takes the outputs of one call of a layer. */
  consumers(layer: string, call: number): readonly Consumer[];
}

/** The layer that computes: a layer itself, or the one that TimeDistributed holds. */
export interface Core {
  /** Class of Keras's own, without version; undefined for classes of others. */
  readonly className: string | undefined;
  readonly config: JsonObject;
  readonly entry: JsonObject;
  /** TimeDistributed wrappers around it, each an axis before its inputs' others. */
  readonly depth: number;
}

const text = (value: Json | undefined) => String(value ?? '');

/** The layer of an entry, out of its TimeDistributed wrappers. */
export function coreOf(entry: JsonObject): Core {
  let inner = entry;
  let depth = 0;
  for (;;) {
    const config = isObject(inner.config) ? inner.config : {};
    const held = config.layer;
    if (inner.class_name !== 'TimeDistributed' || !isObject(held) || isModel(held)) {
      const name = text(inner.class_name);
      const isOther = name.includes('>') || /^.+>/.test(text(inner.registered_name));
      return { className: isOther ? undefined : plainClass(name), config, entry: inner, depth };
    }
    inner = held;
    depth++;
  }
}

/** The class of a layer as people call it: `TimeDistributed/Dense`. */
export function labelOf(entry: JsonObject): string {
  const config = isObject(entry.config) ? entry.config : {};
  const held = entry.class_name === 'TimeDistributed' && isObject(config.layer) ? config.layer : undefined;
  return held ? `TimeDistributed/${labelOf(held)}` : text(entry.class_name);
}

const keyOf = (layer: string, call: number) => `${layer}\n${call}`;

function levelOf(entry: JsonObject, path: string, isKeras3: boolean): Level {
  const { layers, outputs } = readGraph(entry, nameOf(entry, 'model'), isKeras3);
  const byName = new Map(layers.map((layer) => [layer.name, layer]));
  const takers = new Map<string, Consumer[]>();
  const add = ({ layer, call }: Ref, consumer: Consumer) => {
    const key = keyOf(layer, call);
    const list = takers.get(key);
    if (list) list.push(consumer);
    else takers.set(key, [consumer]);
  };
  for (const layer of layers) {
    layer.calls.forEach(({ inputs }, call) => {
      for (const ref of inputs) add(ref, { layer, call });
    });
  }
  for (const ref of outputs) add(ref, 'output');
  return {
    path,
    entry,
    layers,
    layer: (name) => byName.get(name),
    consumers: (layer, call) => takers.get(keyOf(layer, call)) ?? [],
  };
}

/** Every model of an architecture, outer ones first; undefined where it lists no layers. */
export function levelsOf(model: ModelInfo): Level[] | undefined {
  const { architecture } = model;
  // Checks names and depth of all entries.
  if (!architecture || !listedLayers(architecture, model.file)) return undefined;
  const isKeras3 = Number.parseInt(model.kerasVersion, 10) >= 3;
  const levels: Level[] = [];
  const visit = (entry: JsonObject, path: string): void => {
    const level = levelOf(entry, path, isKeras3);
    levels.push(level);
    for (const layer of level.layers) {
      const inner = modelIn(layer.entry);
      if (inner) visit(inner, `${path}${layer.name}/`);
    }
  };
  visit(architecture, '');
  return levels;
}

/** The model that a layer is, or that a wrapper holds. */
function modelIn(entry: JsonObject): JsonObject | undefined {
  if (isModel(entry)) return entry;
  const held = isObject(entry.config) ? entry.config.layer : undefined;
  return isObject(held) ? modelIn(held) : undefined;
}

/** Ranks of the layers' outputs, batch included, by their entries, where they are known. */
export function ranksOf(model: ModelInfo): ReadonlyMap<JsonObject, number> {
  const { architecture } = model;
  const layers: LayerNode[] = (architecture && listedLayers(architecture, model.file)) ?? [];
  const shapes = outputShapes(layers, text(architecture?.class_name));
  return new Map([...shapes].map(([{ entry }, shape]) => [entry, shape.length]));
}

/** Name of an activation function: `relu`, `{ class_name: 'function', config: 'relu' }`. A layer's is its class's. */
export function activationName(value: Json | undefined): string {
  if (value === null || value === undefined) return 'linear';
  const name = isObject(value) ? (typeof value.config === 'string' ? value.config : value.class_name) : value;
  return text(name).replace(/^.*>/, '');
}
