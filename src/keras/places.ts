import type { JsonObject, WeightInfo } from '../model.js';
import type { LayerNode } from './config.js';
import { namesOf, plainClass, snakeCase } from './variables.js';
import { cellOf, nextName } from './vars-model.js';

/** Where Keras 3 stores the variables of one object: a layer without parts, or a part of one. */
export interface Place {
  /** Its group, without `vars`: `layers/dense`, `layers/lstm/cell`. */
  readonly path: string;
  /** The object's own name, where the configuration has it. */
  readonly name: string | undefined;
  /** Class of the object itself. */
  readonly className: string;
  /** The class is Keras's own, and none of another package by the same name. */
  readonly isKeras: boolean;
  /** Class of the wrapper that holds the layer itself, where one does. */
  readonly wrapper?: string;
  /** Name of the layer of the architecture that it is, or is a part of. */
  readonly layerName: string;
  /** Path of the layer of the architecture that owns it, as in {@link WeightInfo.layer}. */
  readonly layer: string;
  /** The object's own configuration, as it stands in the architecture; of a part of attention, that of the attention layer. */
  readonly config: JsonObject;
  /** The part of an attention layer: `query`, `key`, ...; undefined for others. */
  readonly part?: string;
  /** Its weights, in the order of its variables. */
  readonly weights: readonly WeightInfo[];
}

const RECURRENT = /^(LSTM|GRU|SimpleRNN|ConvLSTM\dD)$/;
/** Attributes of attention layers: properties where the class has some, which Keras visits first. */
const ATTENTION: ReadonlyMap<string, string> = new Map([
  ['MultiHeadAttention', ''],
  ['GroupedQueryAttention', '_'],
  ['GroupQueryAttention', '_'],
]);
const PARTS = [
  ['query_dense', 'query'],
  ['key_dense', 'key'],
  ['gate_dense', 'gate'],
  ['value_dense', 'value'],
  ['output_dense', 'attention_output'],
] as const;

/** The class that configurations call by another name than its own, which its variables are stored under. */
const classNamed = (name: string) => (name === 'GroupQueryAttention' ? 'GroupedQueryAttention' : name);

/** An object without variables of its own, which has a group with its name. */
export type StoredObject = Pick<Place, 'path' | 'name'>;

/** An object before weights are given to it. */
type Spot = Omit<Place, 'layer' | 'weights'>;

const childrenPath = (path: string, name: string) => (path === '' ? name : `${path}/${name}`);

/** The objects of one layer: itself and its parts, in the order of its weights. */
function* spots(node: LayerNode, path: string): Generator<Spot> {
  const { config, name } = node;
  const className = String(node.entry.class_name);
  const plain = plainClass(className);
  const [first, second] = node.children;
  const isKeras = /^keras(\.src)?\.layers(\.|$)/.test(String(node.entry.module));
  const all = { config, isKeras, layerName: name };
  const own = { ...all, path, name, className };
  const prefix = ATTENTION.get(plain);
  if (prefix !== undefined) {
    yield own;
    for (const [attribute, part] of PARTS) {
      if (part === 'gate' && config.use_gate !== true) continue;
      // The gate is no property of any class.
      const at = part === 'gate' ? `_${attribute}` : prefix + attribute;
      yield { ...all, path: `${path}/${at}`, name: part, className: 'EinsumDense', part };
    }
  } else if (plain === 'Bidirectional' && first) {
    yield own;
    yield* spots(first, `${path}/forward_layer`);
    yield* spots(second ?? first, `${path}/backward_layer`);
  } else if (RECURRENT.test(plain)) {
    yield own;
    yield { ...all, path: `${path}/cell`, name: undefined, className: cellOf(plain) };
  } else if (plain === 'RNN' && first) {
    yield own;
    yield* spots(first, `${path}/cell`);
  } else if (first && config.layer !== undefined) {
    for (const spot of spots(first, `${path}/layer`)) yield { ...spot, wrapper: plain };
    yield own;
  } else yield own;
}

/**
 * Where Keras 3 stores each weight of a model, from the architecture alone: `layers/CLASS_N/vars/I`, layers in the order
 * of the architecture and counted by class. Source: `_save_state` and `_save_container_state` of Keras 3.15.
 *
 * A weight goes to the first object of its layer that has a variable of its name and lacks a weight for it, which is the
 * order in which Keras lists them.
 *
 * @returns the places that have weights, in Keras's order; objects without, such as models inside the model; and
 *   the weights that Keras 3 has no place for
 */
export function placesOf(
  layers: readonly LayerNode[],
  weights: readonly WeightInfo[],
): { places: Place[]; objects: StoredObject[]; homeless: WeightInfo[] } {
  const byLayer = new Map<string, WeightInfo[]>();
  for (const weight of weights) {
    const group = byLayer.get(weight.layer);
    if (group) group.push(weight);
    else byLayer.set(weight.layer, [weight]);
  }
  const places: Place[] = [];
  const objects: StoredObject[] = [];
  const visit = (list: readonly LayerNode[], path: string, prefix: string) => {
    const counts = new Map<string, number>();
    for (const node of list) {
      const auto = nextName(counts, snakeCase(classNamed(String(node.entry.class_name))));
      visitLayer(node, childrenPath(path, `layers/${auto}`), prefix + node.name);
    }
  };
  const visitLayer = (node: LayerNode, path: string, layer: string) => {
    const [inner] = node.children;
    const model = node.isModel ? node : inner?.isModel ? inner : undefined;
    if (model) {
      const at = node.isModel ? path : `${path}/layer`;
      objects.push({ path: at, name: model.name });
      visit(model.children, at, `${layer}/`);
    }
    const left = byLayer.get(layer);
    if (node.isModel || left === undefined) return;
    for (const spot of spots(node, path)) {
      const names = namesOf(spot.className, spot.config) ?? [];
      const own = names.flatMap((name) => {
        const at = left.findIndex((weight) => weight.name === name);
        return at < 0 ? [] : left.splice(at, 1);
      });
      if (own.length > 0) places.push({ ...spot, layer, weights: own });
      else objects.push({ path: spot.path, name: spot.name });
    }
  };
  visit(layers, '', '');
  return { places, objects, homeless: [...byLayer.values()].flat() };
}
