// Changes of an architecture in the notation of its file: with read.ts and notation.ts all that knows how Keras writes.
import { isObject, type Json, type JsonObject, type ModelInfo } from '../model.js';
import { isKeras1 } from './keras1.js';
import {
  entriesOf,
  historyOf,
  isModel,
  kerasTensor,
  nameOf,
  outputNumber,
  type Ref,
  tensorsIn,
} from './notation.js';

/** Changes of an architecture. Layers are named by the paths that the nodes of a network have. */
export interface ArchitectureEdits {
  /** Layers of one input that go: whoever takes the output of a call takes that call's input. */
  readonly removed?: Iterable<string>;
  /** Layers that get a bias; of a wrapper the layer inside. */
  readonly biased?: Iterable<string>;
}

/** What says that a layer has a bias, in the words of a model's Keras: `{ use_bias: true }`, `{ bias: true }` in Keras 1. */
export const biasConfig = (model: ModelInfo): JsonObject =>
  isKeras1(model) ? { bias: true } : { use_bias: true };

/**
 * The architecture of a model with edits applied, in the notation that it has; the one given stays as it is.
 *
 * @throws RangeError for a model without an architecture, paths that name none of its layers, and layers that cannot go:
 *   models, and layers of no input or of several
 */
export function editArchitecture(model: ModelInfo, edits: ArchitectureEdits): JsonObject {
  const { architecture, file } = model;
  if (!architecture)
    throw new RangeError(`${file}: expected a model with an architecture, got weights alone`);
  const editor = new Editor(model, edits);
  const edited = editor.model(architecture, '');
  const [missing] = editor.unseen;
  if (missing !== undefined)
    throw new RangeError(`${file}: expected the path of a layer of the architecture, got ${missing}`);
  return edited;
}

const keyOf = (layer: string, call: number) => `${layer}\n${call}`;

/** The model that an entry is, or that a wrapper holds. */
function modelIn(entry: JsonObject): JsonObject | undefined {
  if (isModel(entry)) return entry;
  const held = isObject(entry.config) ? entry.config.layer : undefined;
  return isObject(held) ? modelIn(held) : undefined;
}

/** An entry with the innermost layer, or model, out of the wrappers around it changed. */
function innermost(
  entry: JsonObject,
  wanted: (entry: JsonObject) => boolean,
  change: (entry: JsonObject) => JsonObject,
): JsonObject {
  if (wanted(entry)) return change(entry);
  const config = isObject(entry.config) ? entry.config : {};
  return isObject(config.layer)
    ? { ...entry, config: { ...config, layer: innermost(config.layer, wanted, change) } }
    : entry;
}

const isInnermost = ({ config }: JsonObject) => !isObject(config) || !isObject(config.layer);

/** References of a call as they are written, those of keyword arguments where there are no others. */
function refsOf(node: Json): readonly Ref[] {
  if (!isObject(node) || !Array.isArray(node.args)) return tensorsIn(node, true);
  const refs = tensorsIn(node.args, false);
  return refs.length > 0 ? refs : tensorsIn(node.kwargs, false);
}

/** What says which inputs a Sequential model takes, at its first layer. */
const STARTS = ['batch_input_shape', 'batch_shape', 'input_dtype'];

class Editor {
  readonly #removed: ReadonlySet<string>;
  readonly #biased: ReadonlySet<string>;
  readonly #bias: JsonObject;
  readonly #isKeras3: boolean;
  /** Paths of the edits that were not met. */
  readonly unseen: Set<string>;

  constructor(
    readonly info: ModelInfo,
    { removed = [], biased = [] }: ArchitectureEdits,
  ) {
    this.#removed = new Set(removed);
    this.#biased = new Set(biased);
    this.#bias = biasConfig(info);
    this.#isKeras3 = Number.parseInt(info.kerasVersion, 10) >= 3;
    this.unseen = new Set([...this.#removed, ...this.#biased]);
  }

  /** A model's entry with the edits of its layers. */
  model(entry: JsonObject, path: string): JsonObject {
    const list = entriesOf(entry);
    const names = list.map((layer, i) => nameOf(layer, `layer_${i}`));
    const isGone = list.map((layer, i) => this.#goes(layer, path + names[i]));
    const isChain = entry.class_name === 'Sequential';
    const instead = isChain ? new Map<string, Ref>() : this.#instead(list, names, isGone, path);
    const edited = list.map((layer, i) => {
      const own = this.#layer(layer, path + names[i]);
      // A name that tells the layer's place has to stay when layers before it go.
      const named =
        isGone.includes(true) && nameOf(layer, '') === '' ? { ...own, name: names[i] ?? '' } : own;
      const { inbound_nodes: nodes } = named;
      if (!Array.isArray(nodes)) return named;
      return { ...named, inbound_nodes: nodes.map((node) => substituted(node, instead)) };
    });
    const layers = isChain ? chained(edited, isGone) : edited.filter((_, i) => !isGone[i]);
    const { config } = entry;
    if (!isObject(config)) return { ...entry, config: layers };
    const { output_layers: outputs } = config;
    const changed: JsonObject = { ...config, layers };
    if (outputs !== undefined)
      changed.output_layers = substituted(outputs, this.#outside(list, names, instead));
    return { ...entry, config: changed };
  }

  #goes(layer: JsonObject, path: string): boolean {
    if (!this.#removed.has(path)) return false;
    this.unseen.delete(path);
    if (modelIn(layer) || layer.class_name === 'InputLayer')
      throw new RangeError(
        `${this.info.file}: ${path} cannot be taken out: it is ${modelIn(layer) ? 'a model' : 'an input'}`,
      );
    return true;
  }

  #layer(entry: JsonObject, path: string): JsonObject {
    if (modelIn(entry)) return innermost(entry, isModel, (inner) => this.model(inner, `${path}/`));
    if (!this.#biased.has(path)) return entry;
    this.unseen.delete(path);
    return innermost(entry, isInnermost, (inner) => ({
      ...inner,
      config: { ...(isObject(inner.config) ? inner.config : {}), ...this.#bias },
    }));
  }

  /** What stands for each call of the layers that go, as calls inside the model are counted. */
  #instead(
    list: readonly JsonObject[],
    names: readonly string[],
    isGone: readonly boolean[],
    path: string,
  ): Map<string, Ref> {
    const direct = new Map<string, Ref>();
    list.forEach((layer, i) => {
      const { inbound_nodes: nodes } = layer;
      if (!isGone[i] || !Array.isArray(nodes)) return;
      nodes.forEach((node, call) => {
        const [ref, second] = refsOf(node);
        if (!ref || second)
          throw new RangeError(
            `${this.info.file}: ${path}${names[i]} cannot be taken out: a call of ${ref ? 'several inputs' : 'no input'}`,
          );
        direct.set(keyOf(names[i] as string, call), ref);
      });
    });
    // The input may be the output of another that goes.
    return new Map(
      [...direct].map(([key, start]) => {
        let ref = start;
        const seen = new Set([key]);
        for (;;) {
          const at = keyOf(ref.layer, ref.call);
          const next = direct.get(at);
          if (!next) return [key, ref];
          if (seen.has(at))
            throw new RangeError(`${this.info.file}: ${ref.layer} is called on its own output`);
          seen.add(at);
          ref = next;
        }
      }),
    );
  }

  /** The same as outputs of the model are counted. */
  #outside(
    list: readonly JsonObject[],
    names: readonly string[],
    instead: ReadonlyMap<string, Ref>,
  ): ReadonlyMap<string, Ref> {
    const entries = new Map(names.map((name, i) => [name, list[i]]));
    return new Map(
      [...instead].map(([key, ref]) => {
        const call = outputNumber(entries.get(ref.layer), ref.call, this.#isKeras3);
        return [key, { ...ref, call }];
      }),
    );
  }
}

/** Entries of a Sequential model without those that go. Its first layer says which input it takes; it keeps one layer. */
function chained(list: readonly JsonObject[], isGone: readonly boolean[]): JsonObject[] {
  const left = list.filter((_, i) => !isGone[i]);
  const isEmpty = left.every(({ class_name }) => class_name === 'InputLayer');
  if (isEmpty && isGone.includes(true)) {
    const last = list[isGone.lastIndexOf(true)] as JsonObject;
    left.push(identityOf(last));
  }
  const [first] = list;
  const [start, ...rest] = left;
  if (!first || !start || !isGone[0] || !isObject(first.config)) return left;
  const own = isObject(start.config) ? start.config : {};
  const given = Object.entries(first.config).filter(([key]) => STARTS.includes(key) && !(key in own));
  return given.length === 0
    ? left
    : [{ ...start, config: { ...own, ...Object.fromEntries(given) } }, ...rest];
}

/** A layer of every Keras that hands its input on, by the name of another. */
function identityOf(entry: JsonObject): JsonObject {
  const { name, trainable, dtype } = isObject(entry.config) ? entry.config : ({} as JsonObject);
  const kept = Object.entries({ name, trainable, dtype }).filter(([, value]) => value !== undefined);
  const { module, registered_name: registered, build_config: _, ...rest } = entry;
  return {
    ...rest,
    ...(module === undefined ? {} : { module: 'keras.layers' }),
    ...(registered === undefined ? {} : { registered_name: null }),
    class_name: 'Activation',
    config: { ...(Object.fromEntries(kept) as JsonObject), activation: 'linear' },
  };
}

/** A value with references replaced, in lists and dictionaries of any nesting. */
function substituted(value: Json, instead: ReadonlyMap<string, Ref>): Json {
  if (instead.size === 0) return value;
  const isKeras3Call = isObject(value) && Array.isArray(value.args);
  const visit = (item: Json): Json => {
    const tensor = kerasTensor(item);
    if (tensor && isObject(item) && isObject(item.config)) {
      const found = instead.get(keyOf(tensor.layer, tensor.call));
      if (!found) return item;
      return { ...item, config: { ...item.config, keras_history: [found.layer, found.call, found.tensor] } };
    }
    if (Array.isArray(item)) {
      const ref = isKeras3Call ? undefined : historyOf(item);
      const found = ref && instead.get(keyOf(ref.layer, ref.call));
      return found ? [found.layer, found.call, found.tensor, ...item.slice(3).map(visit)] : item.map(visit);
    }
    if (!isObject(item)) return item;
    return Object.fromEntries(Object.entries(item).map(([key, own]) => [key, visit(own)]));
  };
  return visit(value);
}
