import { isObject } from '../keras/config.js';
import type { Json, JsonObject } from '../model.js';

/** Output `tensor` of call `call` of a layer. */
export interface Ref {
  readonly layer: string;
  readonly call: number;
  readonly tensor: number;
}

/** One call of a layer: where its inputs come from and what they are to it. */
export interface Call {
  readonly inputs: readonly Ref[];
  /** `x`, `state`, or the name of an argument of attention. */
  readonly roles: readonly string[];
  /** Arguments that are no tensors and change the result. */
  readonly flags: JsonObject;
  /** What about the call cannot be run. */
  readonly problems: readonly string[];
}

/** A layer of a model and its calls. */
export interface GraphLayer {
  readonly name: string;
  readonly entry: JsonObject;
  readonly isModel: boolean;
  readonly calls: Call[];
}

export interface Graph {
  readonly layers: readonly GraphLayer[];
  readonly inputs: readonly Ref[];
  readonly outputs: readonly Ref[];
}

/** Classes of operations on tensors begin so: `keras.ops.Add` is not the layer `Add`. */
export const OPERATION = 'keras.ops.';

const ATTENTION = ['query', 'value', 'key', 'query_mask', 'value_mask', 'key_mask', 'attention_mask'];
const ATTENTION_LISTS = ['query', 'value', 'key'];
const FLAGS = new Set(['use_causal_mask', 'return_attention_scores']);

/** A Keras 3 tensor, `{ class_name: '__keras_tensor__', config: { keras_history } }`. */
function kerasTensor(value: Json | undefined): Ref | undefined {
  if (!isObject(value) || value.class_name !== '__keras_tensor__' || !isObject(value.config))
    return undefined;
  return history(value.config.keras_history);
}

/** `[layer, call, tensor]`, perhaps with keyword arguments behind. */
function history(value: Json | undefined): Ref | undefined {
  if (!Array.isArray(value) || typeof value[0] !== 'string' || typeof value[1] !== 'number') return undefined;
  return { layer: value[0], call: value[1], tensor: typeof value[2] === 'number' ? value[2] : 0 };
}

/** Tensors in any nesting of lists and objects, in order. */
function tensorsIn(value: Json | undefined, isKeras2: boolean): Ref[] {
  const ref = isKeras2 ? history(value) : kerasTensor(value);
  if (ref) return [ref];
  if (Array.isArray(value)) return value.flatMap((item) => tensorsIn(item, isKeras2));
  return isObject(value) ? Object.values(value).flatMap((item) => tensorsIn(item, isKeras2)) : [];
}

/** Inputs or outputs of a model: one reference or any nesting of them. */
export function endpoints(value: Json | undefined): Ref[] {
  return tensorsIn(value, true);
}

/** A call out of positional and keyword arguments. Masks are not taken from here: see `masks.ts`. */
function callOf(
  className: string,
  args: readonly Json[],
  kwargs: JsonObject,
  isKeras2: boolean,
  isAutomatic: IsAutomatic,
): Call {
  const problems: string[] = [];
  const problem = (reason: string) => problems.push(reason);
  const inputs: Ref[] = [];
  const roles: string[] = [];
  const flags: JsonObject = {};
  const add = (refs: readonly Ref[], role: string) => {
    inputs.push(...refs);
    roles.push(...refs.map(() => role));
  };
  if (className.startsWith(OPERATION)) {
    const given = Object.values(kwargs).filter((value) => value !== null);
    const known = args.every((arg) => typeof arg === 'number' || kerasTensor(arg) !== undefined);
    if (given.length > 0 || !known) problem('arguments other than tensors and numbers');
    add(tensorsIn([...args], false), 'x');
    return {
      inputs,
      roles,
      flags: { operands: args.map((arg) => (typeof arg === 'number' ? arg : null)) },
      problems,
    };
  }
  const isMultiHead = /^(MultiHeadAttention|GroupedQueryAttention)$/.test(className);
  const isAttention = /^(Additive)?Attention$/.test(className);
  if (isMultiHead) {
    args.forEach((arg, i) => {
      add(tensorsIn(arg, isKeras2), ATTENTION[i] ?? 'x');
    });
  } else if (isAttention) {
    args
      .flatMap((arg) => tensorsIn(arg, isKeras2))
      .forEach((ref, i) => {
        add([ref], ATTENTION_LISTS[i] ?? 'x');
      });
  } else {
    add(
      args.flatMap((arg) => tensorsIn(arg, isKeras2)),
      'x',
    );
    const scalars = args.filter((arg) => typeof arg === 'number');
    if (scalars.length > 0) problem('numbers as arguments');
  }
  for (const [key, value] of Object.entries(kwargs)) {
    if (key === 'training') {
      // Keras 3 overrides it in predict(), Keras 2 does not.
      if (value === true && isKeras2 && /Dropout|Noise|BatchNormalization/.test(className))
        problem('a call with training=True');
      continue;
    }
    if (FLAGS.has(key)) {
      if (value === true) flags[key] = true;
      continue;
    }
    const refs = tensorsIn(value, isKeras2);
    if (refs.length === 0 && (value === null || value === false)) continue;
    if (/^((query|value|key)_)?mask$/.test(key)) {
      if (!refs.every(isAutomatic)) problem(`the argument ${key}`);
    } else if (key === 'initial_state' && refs.length > 0) add(refs, 'state');
    else if (isMultiHead && ATTENTION.includes(key)) add(refs, key);
    else if (refs.length > 0 && inputs.length === 0) add(refs, 'x');
    else problem(`the argument ${key}`);
  }
  return { inputs, roles, flags, problems };
}

/** Whether a tensor is a mask that Keras made by itself, out of those of Embedding and Masking layers. */
export type IsAutomatic = (ref: Ref) => boolean;

/** Calls of a layer in the notation of Keras 2, `[[layer, node, tensor, kwargs], ...]`, or 3, `{ args, kwargs }`. */
export function callsOf(className: string, nodes: Json | undefined, isAutomatic: IsAutomatic): Call[] {
  if (!Array.isArray(nodes)) return [];
  return nodes.map((node) => {
    if (isObject(node)) {
      const args = Array.isArray(node.args) ? node.args : [];
      return callOf(className, args, isObject(node.kwargs) ? node.kwargs : {}, false, isAutomatic);
    }
    const list =
      Array.isArray(node) && typeof node[0] === 'string' ? [node] : Array.isArray(node) ? node : [];
    const last = (list[0] as Json[] | undefined)?.[3];
    const isRnn = /^(LSTM|GRU|SimpleRNN|Bidirectional|ConvLSTM\dD|RNN)/.test(className);
    const [first, ...rest] = list;
    if (!isRnn || rest.length === 0)
      return callOf(className, list, isObject(last) ? last : {}, true, isAutomatic);
    // tf.keras writes initial states behind the input.
    const call = callOf(
      className,
      first === undefined ? [] : [first],
      isObject(last) ? last : {},
      true,
      isAutomatic,
    );
    const states = rest.flatMap((item) => endpoints(item));
    return {
      ...call,
      inputs: [...call.inputs, ...states],
      roles: [...call.roles, ...states.map(() => 'state')],
    };
  });
}

export const keyOf = ({ layer, call, tensor }: Ref): string => `${layer}\n${call}\n${tensor}`;

/** Only what outputs need: Keras 3 lists the operations behind masks as layers. Inputs always stay. */
export function liveCalls(graph: Graph): ReadonlyMap<string, ReadonlySet<number>> {
  const byName = new Map(graph.layers.map((layer) => [layer.name, layer]));
  const live = new Map<string, Set<number>>();
  const queue = [...graph.outputs, ...graph.inputs];
  for (let ref = queue.pop(); ref; ref = queue.pop()) {
    const calls = live.get(ref.layer) ?? new Set<number>();
    live.set(ref.layer, calls);
    if (calls.has(ref.call)) continue;
    calls.add(ref.call);
    queue.push(...(byName.get(ref.layer)?.calls[ref.call]?.inputs ?? []));
  }
  return live;
}

/**
 * Gives a call that takes one tensor twice, `attention(x, x)`, a copy of it the second time: TensorFlow.js counts how
 * often a tensor is still needed, counts such a call once, and would free the tensor too early.
 */
export function withoutRepeats(graph: Graph): Graph {
  const copies: GraphLayer[] = [];
  const layers = graph.layers.map((layer): GraphLayer => {
    const calls = layer.calls.map((call): Call => {
      const seen = new Set<string>();
      const inputs = call.inputs.map((ref): Ref => {
        const key = keyOf(ref);
        if (!seen.has(key)) {
          seen.add(key);
          return ref;
        }
        const name = `${ref.layer}_copy${copies.length}`;
        const entry: JsonObject = {
          class_name: 'Activation',
          config: { name, activation: 'linear', dtype: 'float32' },
        };
        copies.push({
          name,
          entry,
          isModel: false,
          calls: [{ inputs: [ref], roles: ['x'], flags: {}, problems: [] }],
        });
        return { layer: name, call: 0, tensor: 0 };
      });
      return { ...call, inputs };
    });
    return { ...layer, calls };
  });
  return copies.length === 0 ? graph : { ...graph, layers: [...layers, ...copies] };
}

/** Calls that are looked at to find their order; where layers are listed in theirs, each is looked at once. */
const MAX_LOOKS = 2_000_000;

/**
 * The order in which TensorFlow.js will make the calls of every layer: it goes over the layers again and again and
 * makes each call whose inputs are there. It numbers calls as it makes them, so a shared layer whose second call is
 * ready first would be wired wrongly; with calls listed in this order it is not.
 *
 * @returns per layer: old numbers of its calls in their new order; undefined where one needs an output that is not
 *   there, or calls stand too far from their order
 */
export function callOrder(layers: readonly GraphLayer[]): Map<string, number[]> | undefined {
  const order = new Map(layers.map(({ name }) => [name, [] as number[]]));
  const states = new Map(
    layers.map(({ name, calls }) => [name, calls.map((_, index) => ({ name, index, isMade: false }))]),
  );
  const never = { isMade: false };
  // Each input is looked up once: a layer without calls is an input of the model and there from the start.
  let waiting = layers.flatMap(({ name, calls }) =>
    calls.map(({ inputs }, i) => ({
      own: states.get(name)?.[i] ?? { name, index: i, isMade: false },
      needs: inputs.flatMap((ref) => {
        const target = states.get(ref.layer);
        return target?.length === 0 ? [] : [target?.[ref.call] ?? never];
      }),
    })),
  );
  let looks = 0;
  while (waiting.length > 0) {
    looks += waiting.length;
    const left = waiting.filter(({ own, needs }) => {
      if (!needs.every(({ isMade }) => isMade)) return true;
      own.isMade = true;
      order.get(own.name)?.push(own.index);
      return false;
    });
    if (left.length === waiting.length || looks > MAX_LOOKS) return undefined;
    waiting = left;
  }
  return order;
}
