import { BitnibbleError } from '../errors.js';
import { isFloat } from '../formats/dtypes.js';
import { UniqueNames } from '../formats/unique.js';
import type { JsonObject } from '../model.js';
import { checkShape } from './check-shapes.js';
import { configOf, isObject, type LayerNode } from './config.js';
import type { KerasWeight } from './keras-weight.js';
import { classOfName, plainClass, snakeCase, variableNames } from './variables.js';
import type { StoredVariable, VarsNode } from './vars-tree.js';

/** Attributes under which models list their layers: Keras 3 and TF 2.14, TF 2.12 and 2.13. */
const LAYER_LISTS = ['layers', '_layer_checkpoint_dependencies', '_self_tracked_trackables'];
const MODELS = /^(Sequential|Functional|Model)$/;
/** State of training, that Keras counts among no model's weights. */
const TRAINING = /(^|_)(optimizer|opt|metrics?|tracker|compile_metrics|loss_tracker)$/;

const METRIC = /(^|_)(loss|acc|accuracy|mean|error|mse|mae|rmse|auc)$/;

/** Attributes that hold a layer's parts, in the order of the layer's weights; the name that the part has by default. */
const PARTS: ReadonlyMap<string, string | undefined> = new Map([
  ['forward_layer', undefined],
  ['backward_layer', undefined],
  ['layer', undefined],
  ['cell', undefined],
  ['query_dense', 'query'],
  ['key_dense', 'key'],
  ['gate_dense', 'gate'],
  ['value_dense', 'value'],
  ['output_dense', 'attention_output'],
]);
const PART_ORDER = [...PARTS.keys()];
const partOf = (attribute: string) => attribute.replace(/^_/, '');

/** What is known of the layer that variables are being placed in. */
interface Place {
  /** Top-level layer, path of the owner, class with wrappers. */
  readonly group: string;
  readonly layer: string;
  readonly className: string;
  readonly guessed: boolean;
  /** Names of parts within the owner. */
  readonly rest: readonly string[];
  /** Class and config of the part itself, for the order of its variables. */
  readonly partClass: string;
  readonly partConfig: JsonObject;
  readonly config: JsonObject | undefined;
  /** The layers that the configuration says it holds. */
  readonly inner: readonly LayerNode[];
  /** The owner in the architecture. */
  readonly node?: LayerNode;
}

/**
 * The weights of a Keras 3 file: its tree of objects laid on the layers of the architecture.
 *
 * Layers are found by the name that Keras 3.8 and later store, else by Keras's own rule for lists: class name in snake
 * case, counted from the second on. Without an architecture the stored names tell layers and classes, as a guess.
 *
 * @throws BitnibbleError `shape-mismatch` with the architecture
 */
export function placeVariables(
  root: VarsNode,
  layers: readonly LayerNode[] | undefined,
  file: string,
  keras2 = false,
): KerasWeight[] {
  const placer = new Placer(file, keras2);
  if (layers) placer.model(root, layers, '', undefined);
  else placer.unknown(root, '', undefined);
  return placer.weights;
}

class Placer {
  readonly weights: KerasWeight[] = [];
  readonly #ids = new UniqueNames();

  constructor(
    readonly file: string,
    readonly keras2: boolean,
  ) {}

  /** Lays a model's objects on its layers. */
  model(node: VarsNode, layers: readonly LayerNode[], prefix: string, top: string | undefined): void {
    const lists = LAYER_LISTS.map((name) => node.children.get(name)).filter((list) => list !== undefined);
    const taken = new Set<VarsNode>();
    const counts = new Map<string, number>();
    for (const layer of layers) {
      const auto = nextName(counts, snakeCase(String(layer.entry.class_name)));
      const found = lists.map((list) => objectOf(list, layer.name, auto)).find((item) => item !== undefined);
      if (!found || taken.has(found)) continue;
      taken.add(found);
      const group = top ?? layer.name;
      if (layer.isModel) this.model(found, layer.children, `${prefix}${layer.name}/`, group);
      else this.layer(found, placeOf(layer, prefix + layer.name, group));
    }
    this.#own(node, prefix, top, true);
    for (const [attribute, child] of node.children) {
      if (LAYER_LISTS.includes(attribute)) {
        for (const [name, item] of child.children)
          if (!taken.has(item)) this.#guess(item, name, prefix, top, true);
      } else if (!isTraining(attribute, child)) {
        this.#guess(child, attribute, prefix, top, false);
      }
    }
  }

  /** A model without an architecture: every object by its names. */
  unknown(node: VarsNode, prefix: string, top: string | undefined): void {
    this.#own(node, prefix, top);
    const inList = isList(node);
    for (const [attribute, child] of node.children) {
      if (!isTraining(attribute, child)) this.#guess(child, attribute, prefix, top, inList);
    }
  }

  /** Variables of a layer and of its parts. */
  layer(node: VarsNode, place: Place): void {
    const parts = [...node.children].sort(([a], [b]) => rank(a) - rank(b));
    const wrapped = node.children.get('layer');
    if (!wrapped) this.#variables(node, place);
    for (const [attribute, child] of parts) this.#part(attribute, child, place);
    if (wrapped) this.#variables(node, place);
  }

  /** Variables of a model itself, or of an object of which nothing is known. */
  #own(node: VarsNode, prefix: string, top: string | undefined, known = prefix === ''): void {
    const layer = prefix === '' ? 'top_level_model_weights' : prefix.slice(0, -1);
    this.#variables(node, {
      group: top ?? layer,
      layer,
      className: known ? 'Model' : 'unknown',
      guessed: !known,
      rest: [],
      partClass: 'Model',
      partConfig: {},
      config: undefined,
      inner: [],
    });
  }

  /** An object, or a list of them, that no configuration mentions. `inList`: Keras itself gave the attribute. */
  #guess(node: VarsNode, attribute: string, prefix: string, top: string | undefined, inList: boolean): void {
    if (isList(node)) {
      const path = isNamedList(attribute, node) ? prefix : `${prefix}${attribute}/`;
      this.unknown(node, path, top);
      return;
    }
    const path = prefix + (node.name ?? attribute);
    // Items of lists are called after their class, whatever their own name is.
    const className =
      (inList ? classOfName(attribute) : undefined) ?? classOfObject(node, attribute) ?? 'unknown';
    const known = className !== 'unknown' && !MODELS.test(className);
    if (!known) {
      this.unknown(node, `${path}/`, top ?? path);
      return;
    }
    this.layer(node, {
      group: top ?? path,
      layer: path,
      className,
      guessed: true,
      rest: [],
      partClass: className,
      partConfig: {},
      config: undefined,
      inner: [],
    });
  }

  #part(attribute: string, node: VarsNode, place: Place): void {
    const part = partOf(attribute);
    if (isTraining(attribute, node)) return;
    if (!node.isObject && node.variables.length === 0) {
      // A list of objects, or the way there of names with backslashes.
      const named =
        LAYER_LISTS.includes(attribute) ||
        [...node.children.values()].every(({ name }) => name !== undefined);
      const rest = named || attribute === 'cells' ? place.rest : [...place.rest, attribute];
      for (const [name, item] of inOrder(node, place)) this.#part(name, item, { ...place, rest, inner: [] });
      return;
    }
    const [first, second] = place.inner;
    const inner = part === 'backward_layer' ? (second ?? first) : PARTS.has(part) ? first : undefined;
    if (inner?.isModel) {
      this.model(node, inner.children, `${place.layer}/`, place.group);
      return;
    }
    const name = node.name ?? partName(part, attribute, inner, place);
    // Keras 2 names the variables of a wrapped layer without the layer.
    const rest = this.keras2 && part === 'layer' ? place.rest : [...place.rest, name];
    if (inner) {
      const partClass = String(inner.entry.class_name);
      this.layer(node, { ...place, rest, partClass, partConfig: inner.config, inner: inner.children });
      return;
    }
    const known = part === 'cell' ? cellOf(place.partClass) : partClassOf(part, node, attribute);
    const isCell = part === 'cell' || plainClass(place.partClass) === 'StackedRNNCells';
    const isGuess = !isCell && PARTS.get(part) === undefined;
    this.layer(node, {
      ...place,
      rest,
      className: isGuess && known && !MODELS.test(known) ? `${place.className}/${known}` : place.className,
      guessed: place.guessed || isGuess,
      partClass: known ?? '',
      partConfig: part === 'cell' ? place.partConfig : {},
      config: isGuess ? undefined : place.config,
      inner: [],
    });
  }

  #variables(node: VarsNode, place: Place): void {
    const names = variableNames(place.partClass, place.partConfig, node.variables, this.keras2);
    node.variables.forEach((variable, i) => {
      const name = /^\d+$/.test(variable.key) ? (names[i] as string) : variable.key;
      const original = this.#original(name, variable, place);
      if (original) (original.copies as { file: number; path: string }[]).push(variable);
      else this.#add(name, variable, place);
    });
  }

  /** SpectralNormalization stores the kernel of the layer that it wraps once more. */
  #original(name: string, { shape }: StoredVariable, place: Place): KerasWeight | undefined {
    if (plainClass(place.partClass) !== 'SpectralNormalization' || name !== 'kernel') return undefined;
    return this.weights.find(
      (weight) =>
        weight.layer === place.layer &&
        (weight.name === 'kernel' || weight.name === 'embeddings') &&
        String(weight.shape) === String(shape),
    );
  }

  #add(name: string, { file, path, shape, dtype }: StoredVariable, place: Place): void {
    const { layer, className, group, guessed, config } = place;
    const id = this.#ids.of([layer, ...place.rest, name].join('/'), this.file);
    const weight = { id, layer, className, name, shape, dtype, group, path, file, copies: [] };
    if (place.node && place.rest.length === 0 && isFloat(dtype)) checkShape(this.file, place.node, weight);
    this.weights.push({ ...weight, ...(guessed ? { guessed } : {}), ...(config ? { config } : {}) });
  }
}

/** A list of objects, or the way there of names with backslashes. */
function isList(node: VarsNode): boolean {
  return !node.isObject && node.variables.length === 0;
}

/** Whether the items of a list can be told apart without its own name. */
function isNamedList(attribute: string, list: VarsNode): boolean {
  const items = [...list.children.values()];
  return (
    LAYER_LISTS.includes(attribute) || attribute === 'cells' || items.every(({ name }) => name !== undefined)
  );
}

function rank(attribute: string): number {
  const at = PART_ORDER.indexOf(partOf(attribute));
  return at < 0 ? PART_ORDER.length : at;
}

/** The name that Keras gives an item of a list: `dense`, `dense_1`, ... */
export function nextName(counts: Map<string, number>, name: string): string {
  const count = counts.get(name) ?? 0;
  counts.set(name, count + 1);
  return count === 0 ? name : `${name}_${count}`;
}

/** Items of a list, in the order of the configuration where it has one: files sort them by name. */
function inOrder(list: VarsNode, { partConfig }: Place): [string, VarsNode][] {
  const items = [...list.children];
  if (!Array.isArray(partConfig.cells)) return items;
  const counts = new Map<string, number>();
  const names = partConfig.cells.map((cell) =>
    nextName(counts, snakeCase(String(isObject(cell) ? cell.class_name : ''))),
  );
  const order = new Map(names.map((name, i) => [name, i]));
  return items.sort(([a], [b]) => (order.get(a) ?? -1) - (order.get(b) ?? -1));
}

function objectOf(list: VarsNode, name: string, auto: string): VarsNode | undefined {
  const byRule = list.children.get(auto);
  if (byRule && (byRule.name === undefined || byRule.name === name)) return byRule;
  for (const item of list.children.values()) if (item.name === name) return item;
  return byRule?.name === undefined ? byRule : undefined;
}

function placeOf(layer: LayerNode, path: string, group: string): Place {
  return {
    group,
    layer: path,
    className: layer.className,
    guessed: false,
    rest: [],
    partClass: String(layer.entry.class_name),
    partConfig: layer.config,
    config: configOf(layer),
    inner: layer.children,
    node: layer,
  };
}

/**
 * Whether an object is state of training: an optimizer begins with its count of steps, an integer; a metric holds one
 * or two numbers and is called so.
 */
function isTraining(attribute: string, node: VarsNode): boolean {
  if (TRAINING.test(attribute)) return true;
  const { variables, children } = node;
  const [first, second] = variables;
  if (!first || variables.some(({ shape }, i) => i < 2 && shape.length > 0)) return false;
  if (second && /^[IU]64$/.test(first.dtype)) return true;
  return (
    variables.length <= 2 && children.size === 0 && (METRIC.test(attribute) || METRIC.test(node.name ?? ''))
  );
}

/** Class of an object without configuration: by its place in a list, by its own name, by its parts. */
function classOfObject(node: VarsNode, attribute: string): string | undefined {
  const byName = classOfName(node.name ?? attribute) ?? classOfName(attribute);
  if (byName !== undefined) return byName;
  const parts = new Set([...node.children.keys()].map(partOf));
  if (parts.has('query_dense') && parts.has('output_dense')) return 'MultiHeadAttention';
  if (parts.has('forward_layer') && parts.has('backward_layer')) return 'Bidirectional';
  return undefined;
}

function partClassOf(part: string, node: VarsNode, attribute: string): string | undefined {
  if (PARTS.get(part) !== undefined) return 'EinsumDense';
  const name = (node.name ?? attribute).replace(/^(forward|backward)_/, '');
  return classOfName(name) ?? classOfObject(node, attribute);
}

export function cellOf(className: string): string {
  const plain = plainClass(className);
  return /^ConvLSTM\dD$/.test(plain) ? 'ConvLSTMCell' : `${plain}Cell`;
}

/** Names that Keras gives the parts of a layer, for files that do not store them. */
function partName(part: string, attribute: string, inner: LayerNode | undefined, place: Place): string {
  if (part === 'forward_layer' && inner) return `forward_${inner.name}`;
  if (part === 'backward_layer' && inner) {
    return place.inner.length > 1 ? inner.name : `backward_${inner.name}`;
  }
  if (part === 'cell') return inner?.name ?? snakeCase(cellOf(place.partClass));
  return PARTS.get(part) ?? inner?.name ?? attribute;
}

/** @throws BitnibbleError `no-model-config` where a file holds no variables */
export function requireVariables(weights: readonly KerasWeight[], file: string): void {
  if (weights.length > 0) return;
  throw new BitnibbleError(
    'no-model-config',
    `${file}: no Keras model: no attribute model_config or layer_names, and no variables as Keras 3 stores them`,
  );
}
