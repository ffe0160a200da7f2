import { isObject } from '../../keras/config.js';
import type { Json, JsonObject } from '../../model.js';
import type { Ref } from '../../tfjs/graph.js';
import { isModel } from '../../tfjs/read-graph.js';

/** Changes of an architecture. Entries are told apart as objects. */
export interface Edits {
  /** Entries of layers that go. */
  readonly removed: Set<JsonObject>;
  /** By entry of a model: what stands for each call of a layer that goes, by `name\ncall`. */
  readonly replaced: Map<JsonObject, Map<string, Ref>>;
  /** By entry of a layer: fields of its configuration. */
  readonly config: Map<JsonObject, JsonObject>;
}

/** A layer's call, for {@link Edits.replaced}. */
export const callKey = (layer: string, call: number): string => `${layer}\n${call}`;

/** A value with references to calls that go replaced, in the notations of Keras 2 and 3. */
function substituted(value: Json, replaced: ReadonlyMap<string, Ref>): Json {
  if (Array.isArray(value)) {
    const [layer, call] = value;
    const found =
      typeof layer === 'string' && typeof call === 'number' ? replaced.get(callKey(layer, call)) : undefined;
    const rest = (found ? value.slice(3) : value).map((item) => substituted(item, replaced));
    return found ? [found.layer, found.call, found.tensor, ...rest] : rest;
  }
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, substituted(item, replaced)]));
}

function editedLayer(entry: JsonObject, edits: Edits): JsonObject {
  if (isModel(entry)) return editedModel(entry, edits);
  const { config } = entry;
  if (!isObject(config)) return entry;
  const held: JsonObject = isObject(config.layer) ? { layer: editedLayer(config.layer, edits) } : {};
  return { ...entry, config: { ...config, ...held, ...edits.config.get(entry) } };
}

function editedModel(entry: JsonObject, edits: Edits): JsonObject {
  const replaced = edits.replaced.get(entry) ?? new Map<string, Ref>();
  const layers = (list: readonly Json[]): Json[] =>
    list
      .filter((layer) => !(isObject(layer) && edits.removed.has(layer)))
      .map((layer) => {
        if (!isObject(layer)) return layer;
        const edited = editedLayer(layer, edits);
        const { inbound_nodes: nodes } = edited;
        return nodes === undefined ? edited : { ...edited, inbound_nodes: substituted(nodes, replaced) };
      });
  const { config } = entry;
  if (Array.isArray(config)) return { ...entry, config: layers(config) };
  if (!isObject(config) || !Array.isArray(config.layers)) return entry;
  const { output_layers: outputs } = config;
  return {
    ...entry,
    config: {
      ...config,
      layers: layers(config.layers),
      ...(outputs === undefined ? {} : { output_layers: substituted(outputs, replaced) }),
    },
  };
}

/** The architecture with edits applied; the one given stays as it is. */
export function editedArchitecture(architecture: JsonObject, edits: Edits): JsonObject {
  return editedModel(architecture, edits);
}
