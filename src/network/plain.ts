// The short way to read a network: layers of a few classes, each called once on tensors before it, as Keras 2 and 3 write
// them. Whatever is not that, right or wrong, is left to `read.ts`, which gives the same network.
import { isObject, type Json, type JsonObject, type ModelInfo, type WeightInfo } from '../model.js';
import { classOf, dtypeName, isForeign, isKerasModel, trainingOf, unknownType } from './config.js';
import { entriesOf, historyOf, isModel, kerasTensor, nameOf, type Ref } from './entries.js';
import { takeAttributes } from './operations/attributes.js';
import { plainOperation } from './operations/plain-layers.js';
import { integerType, outputType, valueType } from './operations/tensor-operation.js';
import type { Network, NetworkNode, Port, Shape, Value } from './types.js';
import { isKeras1, versionOf } from './version.js';
import { byRole, shapeFault, weightsByLayer } from './weights.js';

/** Thrown and caught here: the model is not plain. */
class Other extends Error {}

function other(): never {
  throw new Other();
}

/** The layer whose one output is meant. */
const sourceOf = (ref: Ref | undefined): string =>
  ref?.call === 0 && ref.tensor === 0 ? ref.layer : other();

/** Keyword arguments of a call that change nothing: none is given. */
const saysNothing = (kwargs: Json | undefined): boolean =>
  kwargs === undefined ||
  (isObject(kwargs) && Object.values(kwargs).every((value) => value === null || value === false));

/** `[layer, 0, 0]`, perhaps with keyword arguments. */
const writtenBefore = (value: Json | undefined): string =>
  Array.isArray(value) && saysNothing(value[3]) ? sourceOf(historyOf(value)) : other();

/** Tensors of Keras 3, or lists of them. */
const tensorsIn = (value: Json): string[] =>
  Array.isArray(value) ? value.flatMap(tensorsIn) : [sourceOf(kerasTensor(value))];

/** The layers that a layer's only call takes. */
function inputsOf(nodes: Json | undefined): string[] {
  const [node, ...more] = Array.isArray(nodes) ? nodes : other();
  if (more.length > 0) other();
  if (Array.isArray(node)) return node.map(writtenBefore);
  return isObject(node) && Array.isArray(node.args) && saysNothing(node.kwargs)
    ? node.args.flatMap(tensorsIn)
    : other();
}

/** One reference, or a list of them. */
const endpoints = (value: Json | undefined): string[] =>
  Array.isArray(value) && Array.isArray(value[0]) ? value.map(writtenBefore) : [writtenBefore(value)];

interface Chained {
  readonly entry: JsonObject;
  readonly inputs: () => readonly string[];
}

/**
 * The network of a model that is plain; undefined for any other, for those too that cannot be run.
 *
 * @param weights of the model in the order in which its layers store them
 */
export function readPlain(model: ModelInfo, weights: readonly WeightInfo[]): Network | undefined {
  try {
    return networkOf(model, weights);
  } catch (error) {
    if (error instanceof Other) return undefined;
    throw error;
  }
}

function networkOf(model: ModelInfo, weights: readonly WeightInfo[]): Network {
  const { architecture } = model;
  if (!architecture || model.backend === 'theano' || isKeras1(model) || !isModel(architecture)) other();
  const { config, class_name: kind } = architecture as JsonObject;
  if (!isKerasModel(architecture as JsonObject)) other();
  const isKeras3 = versionOf(model) >= 3;
  const layers = new Map<string, Chained>();
  let last = '';
  const entries = entriesOf(architecture as JsonObject);
  for (const [i, entry] of entries.entries()) {
    const name = nameOf(entry, `layer_${i}`);
    const before = last;
    if (layers.has(name)) other();
    layers.set(name, {
      entry,
      inputs: kind === 'Sequential' ? () => [before] : () => inputsOf(entry.inbound_nodes),
    });
    last = name;
  }
  const own = isObject(config) ? config : {};
  const isChain = kind === 'Sequential';
  const starts = isChain ? [...layers.keys()].slice(0, 1) : endpoints(own.input_layers);
  const ends = isChain ? [last] : endpoints(own.output_layers);
  const needed = neededOf(layers, starts, ends);

  const values: Value[] = [];
  const made = new Map<string, number>();
  const inputs = starts.map((name): Port => {
    const value = made.size;
    const entry = layers.get(name)?.entry ?? other();
    values.push(inputOf(entry));
    if (made.has(name)) other();
    made.set(name, value);
    return { name, value };
  });
  const byLayer = weightsByLayer(weights);
  const nodes: NetworkNode[] = [];
  for (const [layer, { entry, inputs: sources }] of layers) {
    if (!needed.has(layer) || made.has(layer)) continue;
    const from = sources().map((name) => made.get(name) ?? other());
    const given = from.map((value) => values[value] as Value);
    const found = weights.length > 0 ? (byLayer.get(layer) ?? []) : undefined;
    const { node, value } = nodeOf(entry, isKeras3, given, found);
    nodes.push({ ...node, inputs: from, outputs: [values.length], layer });
    made.set(layer, values.length);
    values.push(value);
  }
  if (new Set(ends).size !== ends.length || nodes.length === 0) other();
  const outputs = ends.map((name): Port => ({ name, value: made.get(name) ?? other() }));
  return { name: nameOf(architecture as JsonObject, 'model'), values, nodes, inputs, outputs, problems: [] };
}

/** Layers that the outputs need, and the inputs. */
function neededOf(layers: ReadonlyMap<string, Chained>, starts: readonly string[], ends: readonly string[]) {
  const needed = new Set(starts);
  const queue = [...ends];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    if (needed.has(name)) continue;
    needed.add(name);
    queue.push(...(layers.get(name) ?? other()).inputs());
  }
  return needed;
}

function inputOf({ class_name: className, config, inbound_nodes: nodes }: JsonObject): Value {
  const isCalled = Array.isArray(nodes) && nodes.length > 0;
  if (className !== 'InputLayer' || !isObject(config) || isCalled) return other();
  const given = config.batch_shape ?? config.batch_input_shape;
  const shape: Shape = Array.isArray(given) ? given.map((n) => (typeof n === 'number' ? n : null)) : other();
  if (shape.some((n) => n !== null && !(Number.isSafeInteger(n) && n > 0))) other();
  const name = dtypeName(config.dtype);
  const dtype = valueType(name);
  if (dtype === 'string') other();
  const integer = integerType(name);
  return { shape, dtype, ...(integer ? { integer } : {}) };
}

/** What a layer computes of its inputs. @param found its weights, where the model has any */
function nodeOf(
  entry: JsonObject,
  isKeras3: boolean,
  given: readonly Value[],
  found: readonly WeightInfo[] | undefined,
): { readonly node: Omit<NetworkNode, 'inputs' | 'outputs' | 'layer'>; readonly value: Value } {
  const className = classOf(entry);
  const name = className.replace(/^(keras|builtins)>/, '');
  const operation = plainOperation(name);
  const config = isObject(entry.config) ? entry.config : other();
  // Keras 3 writes `x + y` as an entry of the class Add as well; it cannot be trained.
  if (!operation || isModel(entry) || (isKeras3 && !('trainable' in config)) || given.length === 0)
    return other();
  const { attributes, wrong } = takeAttributes(operation.attributes, config, { isKeras3 });
  // What others make of whole numbers is not known here.
  if (name !== 'Rescaling' && given.some(({ integer }) => integer)) other();
  if (integerType(dtypeName(config.dtype))) other();
  if (wrong.size > 0 || isForeign(config) || unknownType(config.dtype) !== undefined) other();
  const roles = given.map(() => 'x');
  const application = { attributes, shapes: given.map(({ shape }) => shape), roles, isKeras3 };
  if (operation.fault?.(application) !== undefined) other();
  const [shape] = operation.shape(application) ?? other();
  const types = given.map(({ dtype }) => dtype);
  const dtype = outputType(operation, attributes, types);
  const ids: Record<string, string> = {};
  if (found && operation.weights !== 'any') {
    for (const { weight, role, shape: wanted } of byRole(operation.weights?.(application) ?? [], found) ??
      other()) {
      if (shapeFault(weight, wanted)) other();
      ids[role] = weight.id;
    }
  }
  const training = trainingOf(config);
  return {
    node: { operation: name, attributes, roles, weights: ids, className, steps: 0, training },
    value: { shape, dtype },
  };
}
