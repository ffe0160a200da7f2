// How Keras 1, 2 and 3 write the graph of a model: entries of layers, their calls, references to tensors.
import { isObject, type Json, type JsonObject } from '../model.js';
import { classOf, withoutKeras } from './config.js';
import { entriesOf, historyOf, isModel, kerasTensor, nameOf, type Ref } from './entries.js';
import { fromOpLambda, isOpLambda } from './op-lambda.js';
import { operationOf } from './operations/index.js';

export { entriesOf, historyOf, isModel, kerasTensor, nameOf, type Ref } from './entries.js';

/** A reference with its place in a dictionary of tensors, where it is in one. */
export interface KeyedRef extends Ref {
  readonly key?: string;
}

/** One call of a layer: where its inputs come from and what they are to it. */
export interface Call {
  readonly inputs: readonly KeyedRef[];
  /** `x`, `state`, `mask`, or the name of an argument of attention. */
  readonly roles: readonly string[];
  /** Arguments that are no tensors and change the result. */
  readonly flags: JsonObject;
  /** What about the call cannot be run. */
  readonly problems: readonly string[];
  /** Called with `training=True`, which counts in Keras 2: Keras 3 overrides it in `predict`. */
  readonly isTraining: boolean;
}

/** A layer of a model and its calls. */
export interface GraphLayer {
  readonly name: string;
  readonly entry: JsonObject;
  readonly isModel: boolean;
  readonly calls: readonly Call[];
}

/** The layers of one model, models inside it whole. */
export interface Graph {
  readonly layers: readonly GraphLayer[];
  readonly inputs: readonly KeyedRef[];
  readonly outputs: readonly KeyedRef[];
}

/** Classes of operations on tensors begin so: `ops.Add` is not the layer `Add`. */
export const OPERATION = 'ops.';

/** What an operation is called with: a number, a list, ...; `{ tensor: i }` stands for its input `i`. */
export const TENSOR = 'tensor';

const ATTENTION = ['query', 'value', 'key', 'query_mask', 'value_mask', 'key_mask', 'attention_mask'];
const ATTENTION_LISTS = ['query', 'value', 'key'];
/** Whether an input is a mask of another one: of the first, or of the one that is named. */
export const isMaskRole = (role: string): boolean => /^((query|value|key)_)?mask$/.test(role);

const FLAGS = new Set(['use_causal_mask', 'return_attention_scores']);
const RECURRENT = /^(LSTM|GRU|SimpleRNN|Bidirectional|ConvLSTM\dD|RNN)/;

/** The model that an entry is, or that wrappers hold. */
export function modelIn(entry: JsonObject): JsonObject | undefined {
  let inner = entry;
  for (;;) {
    if (isModel(inner)) return inner;
    const held = isObject(inner.config) ? inner.config.layer : undefined;
    if (!isObject(held)) return undefined;
    inner = held;
  }
}

/** Tensors in any nesting of lists and dictionaries, in order. */
export function tensorsIn(value: Json | undefined, isKeras2: boolean, key?: string): KeyedRef[] {
  const ref = (isKeras2 ? historyOf(value) : undefined) ?? kerasTensor(value);
  if (ref) return [key === undefined ? ref : { ...ref, key }];
  if (Array.isArray(value)) return value.flatMap((item) => tensorsIn(item, isKeras2, key));
  if (!isObject(value)) return [];
  // Keras counts the tensors of a dictionary in the order of their names, whatever order it is written in.
  const sorted = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.flatMap(([name, item]) => tensorsIn(item, isKeras2, name));
}

const isGiven = (value: Json) => value !== null && value !== false;

/**
 * A call out of positional and keyword arguments. Keras 3 writes the masks that it made of itself as it writes those that are given
 * by hand: operations on tensors, which it then takes as arguments. What is not written follows its rules: `masks.ts`.
 */
function callOf(className: string, args: readonly Json[], kwargs: JsonObject, isKeras2: boolean): Call {
  const problems: string[] = [];
  const problem = (reason: string) => problems.push(reason);
  const inputs: KeyedRef[] = [];
  const roles: string[] = [];
  const flags: JsonObject = {};
  let isTraining = false;
  const add = (refs: readonly KeyedRef[], role: string) => {
    inputs.push(...refs);
    roles.push(...refs.map(() => role));
  };
  if (className.startsWith(OPERATION)) {
    // Arguments stay as they are written, tensors in them numbered.
    const numbered = (value: Json): Json => {
      const ref = kerasTensor(value);
      if (ref) {
        add([ref], 'x');
        return { [TENSOR]: inputs.length - 1 };
      }
      if (Array.isArray(value)) return value.map(numbered);
      return value;
    };
    const positional = args.map(numbered);
    const named = Object.fromEntries(
      Object.entries(kwargs).flatMap(([key, value]) => (isGiven(value) ? [[key, numbered(value)]] : [])),
    );
    return { inputs, roles, flags: { args: positional, kwargs: named }, problems, isTraining };
  }
  const isMultiHead = /^(MultiHeadAttention|Group(ed)?QueryAttention)$/.test(className);
  const isAttention = /^(Additive)?Attention$/.test(className);
  if (isMultiHead) {
    args.forEach((arg, i) => {
      add(tensorsIn(arg, isKeras2), ATTENTION[i] ?? 'x');
    });
  } else if (isAttention) {
    const refs = args.flatMap((arg) => tensorsIn(arg, isKeras2));
    refs.forEach((ref, i) => {
      add([ref], ATTENTION_LISTS[i] ?? 'x');
    });
  } else {
    // tf.keras writes initial states behind the input, Keras 3 as further arguments.
    const isRecurrent = RECURRENT.test(className);
    args.forEach((arg, i) => {
      add(tensorsIn(arg, isKeras2), isRecurrent && i > 0 ? 'state' : 'x');
    });
    if (args.some((arg) => typeof arg === 'number')) problem('numbers as arguments');
  }
  for (const [key, value] of Object.entries(kwargs)) {
    if (key === 'training') {
      if (isKeras2 && isGiven(value) && value !== 0) isTraining = true;
      continue;
    }
    if (FLAGS.has(key)) {
      if (value === true) flags[key] = true;
      continue;
    }
    const refs = tensorsIn(value, isKeras2);
    if (refs.length === 0 && !isGiven(value)) continue;
    if (isMaskRole(key)) {
      // Attention has a list of them, in the order of its inputs; a tensor of Keras 2 is a list as well.
      const isOne = !Array.isArray(value) || (isKeras2 && historyOf(value) !== undefined);
      (isOne ? [value] : value).forEach((own, i) => {
        const role = ATTENTION_LISTS[i];
        add(tensorsIn(own, isKeras2), isAttention && role ? `${role}_mask` : key);
      });
    } else if (key === 'initial_state' && refs.length > 0) add(refs, 'state');
    else if (isMultiHead && ATTENTION.includes(key)) add(refs, key);
    else if (refs.length > 0 && inputs.length === 0) add(refs, 'x');
    else problem(`the argument ${key}`);
  }
  return { inputs, roles, flags, problems, isTraining };
}

/** Calls of a layer in the notation of Keras 2, `[[layer, node, tensor, kwargs], ...]`, or 3, `{ args, kwargs }`. */
function callsOf(className: string, nodes: Json | undefined): Call[] {
  if (!Array.isArray(nodes)) return [];
  return nodes.map((node) => {
    if (isObject(node) && Array.isArray(node.args))
      return callOf(className, node.args, isObject(node.kwargs) ? node.kwargs : {}, false);
    // Keras 2 writes a dictionary of tensors as one, a single tensor without the list around it.
    const list = isObject(node) || typeof (node as Json[])?.[0] === 'string' ? [node] : node;
    if (!Array.isArray(list)) return callOf(className, [], {}, true);
    const [first = null] = isObject(node) ? Object.values(node) : list;
    const last = Array.isArray(first) ? first[3] : undefined;
    return callOf(className, list, isObject(last) ? last : {}, true);
  });
}

/** Inputs or outputs of a model: one reference, or any nesting of them. */
function endpoints(value: Json | undefined): KeyedRef[] {
  return tensorsIn(value, true);
}

/**
 * Whether an entry of Keras 3 is an operation, `x + y` or one behind a mask: it cannot be trained, and has no dtype as layers
 * have, but where that is what it is about (`Cast`).
 */
function isBare({ config, class_name: given }: JsonObject): boolean {
  if (!isObject(config) || 'trainable' in config || given === 'InputLayer') return false;
  const name = String(given);
  return (
    !('dtype' in config) || (operationOf(name) === undefined && operationOf(OPERATION + name) !== undefined)
  );
}

/**
 * The layers of a model's entry, their calls, its inputs and outputs, in the notation of any Keras. A Sequential model is a
 * chain.
 *
 * @param isKeras3 of the writer, which counts the calls of inner models and lists operations otherwise
 */
export function readGraph(entry: JsonObject, isKeras3: boolean): Graph {
  const list = entriesOf(entry);
  const config: JsonObject = isObject(entry.config) ? entry.config : {};
  return entry.class_name === 'Sequential' ? chain(list) : functional(list, config, isKeras3);
}

function chain(list: readonly JsonObject[]): Graph {
  let previous: Ref | undefined;
  const layers = list.map((entry, i): GraphLayer => {
    const name = nameOf(entry, `layer_${i}`);
    const inputs = previous ? [previous] : [];
    const isInput = entry.class_name === 'InputLayer';
    previous = { layer: name, call: 0, tensor: 0 };
    const call: Call = { inputs, roles: inputs.map(() => 'x'), flags: {}, problems: [], isTraining: false };
    return { name, entry, isModel: isModel(entry), calls: isInput ? [] : [call] };
  });
  const [start] = layers;
  const inputs = start ? [{ layer: start.name, call: 0, tensor: 0 }] : [];
  return { layers, inputs, outputs: previous ? [previous] : [] };
}

/** Whether the calls of a model inside a model are counted from 1: it has a call of its own, by which it was made. */
function countsFromOne(entry: JsonObject): boolean {
  if (entry.class_name !== 'Sequential') return true;
  // tf.keras gives a Sequential such a call where it was made with the shape of its input.
  const [first] = entriesOf(entry);
  const config = isObject(first?.config) ? first.config : {};
  return first?.class_name === 'InputLayer' || 'batch_input_shape' in config;
}

/**
 * What is taken off the numbers of calls of an inner model: 1 or 0. The numbers that refer to it tell where they can: of `n`
 * calls, one numbered 0 is counted from 0, one numbered `n` from 1.
 */
function shiftOf(entry: JsonObject, calls: number, numbers: readonly number[]): number {
  if (numbers.includes(0)) return 0;
  return numbers.includes(calls) || countsFromOne(entry) ? 1 : 0;
}

function functional(list: readonly JsonObject[], config: JsonObject, isKeras3: boolean): Graph {
  const byName = new Map(list.map((entry, i) => [nameOf(entry, `layer_${i}`), entry]));
  const ownName = (entry: JsonObject) => withoutKeras(classOf(entry));
  const isOperation = (entry: JsonObject) =>
    isKeras3 && !isModel(entry) && isBare(entry) && !ownName(entry).includes('>');
  const layers = [...byName].map(([name, given]): GraphLayer => {
    const lambda = isOpLambda(given);
    const entry = isOperation(given)
      ? { ...given, class_name: OPERATION + ownName(given) }
      : lambda
        ? fromOpLambda(given)
        : given;
    const calls = callsOf(String(entry.class_name), entry.inbound_nodes);
    return { name, entry, isModel: isModel(entry), calls };
  });
  const outputs = endpoints(config.output_layers);
  const numbered = numberedCalls(layers, outputs, isKeras3);
  return {
    layers: layers.map((layer) => ({
      ...layer,
      calls: layer.calls.map((call) => ({ ...call, inputs: call.inputs.map(numbered.inside) })),
    })),
    inputs: endpoints(config.input_layers),
    outputs: outputs.map(numbered.outside),
  };
}

/**
 * The number of a call as the outputs of a model have it, out of that which calls inside the model have: Keras 3 counts the
 * outputs of functional models from 1, and calls inside a model from 0.
 */
export function outputNumber(entry: JsonObject | undefined, call: number, isKeras3: boolean): number {
  return isKeras3 && entry && isModel(entry) && entry.class_name !== 'Sequential' ? call + 1 : call;
}

/** References with the calls of inner models counted from 0, whatever the notation. */
function numberedCalls(layers: readonly GraphLayer[], outputs: readonly KeyedRef[], isKeras3: boolean) {
  const models = new Map(layers.filter((layer) => layer.isModel).map((layer) => [layer.name, layer]));
  const numbers = new Map<string, number[]>([...models.keys()].map((name) => [name, []]));
  const inside = layers.flatMap(({ calls }) => calls.flatMap(({ inputs }) => inputs));
  for (const { layer, call } of isKeras3 ? [] : [...inside, ...outputs]) numbers.get(layer)?.push(call);
  const shifts = new Map(
    [...models].map(([name, { entry, calls }]) => [
      name,
      isKeras3 ? 0 : shiftOf(entry, calls.length, numbers.get(name) ?? []),
    ]),
  );
  const shifted = (ref: KeyedRef, by: number): KeyedRef => {
    if (by === 0) return ref;
    const { length } = models.get(ref.layer)?.calls ?? [];
    // Number 0 less one is Python's last call.
    return { ...ref, call: ref.call === 0 ? Math.max(length - 1, 0) : ref.call - by };
  };
  return {
    inside: (ref: KeyedRef) => shifted(ref, shifts.get(ref.layer) ?? 0),
    outside: (ref: KeyedRef) =>
      shifted(
        ref,
        isKeras3 ? outputNumber(models.get(ref.layer)?.entry, 0, isKeras3) : (shifts.get(ref.layer) ?? 0),
      ),
  };
}
