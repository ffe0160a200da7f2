import { isObject } from '../keras/config.js';
import type { JsonObject } from '../model.js';
import { type Call, type Graph, type GraphLayer, keyOf, type Ref } from './graph.js';

/**
 * Masks are followed here, once, and become inputs of the layers that use them. TensorFlow.js's own masks are not used:
 * a mask that one layer makes stays in the arguments of all layers run later, and merging layers pass a wrong one on.
 */

/** Who made a mask; `unclear` where Keras's rules would have to be computed. */
type Mask = { readonly layer: string; readonly call: number } | 'unclear' | undefined;

/** Layers whose outputs have the mask of their first input. */
const PASSING =
  /^(Activation|ReLU|LeakyReLU|PReLU|ELU|Softmax|ThresholdedReLU|Dense|Dropout|SpatialDropout[123]D|GaussianNoise|GaussianDropout|AlphaDropout|ActivityRegularization|Identity|Masking|BatchNormalization|LayerNormalization|GroupNormalization|UnitNormalization|Rescaling|Normalization|TimeDistributed|MultiHeadAttention)$/;
const MERGING = /^(Add|Subtract|Multiply|Average|Maximum|Minimum|Concatenate)$/;
const RECURRENT = /^(LSTM|GRU|SimpleRNN|Bidirectional|RNN|ConvLSTM[123]D)$/;

const isSame = (a: Mask, b: Mask) =>
  a === b || (typeof a === 'object' && typeof b === 'object' && a.layer === b.layer && a.call === b.call);

function merged(masks: readonly Mask[]): Mask {
  if (masks.every((mask) => mask === undefined)) return undefined;
  return masks.every((mask) => isSame(mask, masks[0])) ? masks[0] : 'unclear';
}

const configOf = (layer: GraphLayer): JsonObject => (isObject(layer.entry.config) ? layer.entry.config : {});

/** Name of the layer that computes the mask of an Embedding or a Masking layer. */
export const maskName = (layer: string): string => `${layer}_mask`;

/** A graph whose masks are inputs, and the layers, by name, that take one. */
export interface Masked {
  readonly graph: Graph;
  readonly masked: ReadonlySet<string>;
}

/**
 * Follows masks through a model and adds them to the calls that use them.
 *
 * @param makesMasks whether a model inside this one has masks on its outputs
 * @param problem called with a layer and a reason where a mask is used that cannot be followed
 */
export function withMasks(
  graph: Graph,
  makesMasks: (model: GraphLayer) => boolean,
  problem: (layer: GraphLayer, reason: string) => void,
): Masked {
  const masks = new Map<string, Mask>();
  const used = new Map<string, Set<number>>();
  const masked = new Set<string>();
  const calls = new Map<GraphLayer, Call[]>(graph.layers.map((layer) => [layer, [...layer.calls]]));
  const maskOf = (ref: Ref | undefined): Mask => (ref ? masks.get(keyOf(ref)) : undefined);
  const refOf = ({ layer, call }: Exclude<Mask, 'unclear' | undefined>): Ref => {
    used.set(layer, (used.get(layer) ?? new Set()).add(call));
    return { layer: maskName(layer), call, tensor: 0 };
  };

  const visit = (layer: GraphLayer, index: number): void => {
    const call = layer.calls[index] as Call;
    const className = String(layer.entry.class_name);
    const config = configOf(layer);
    const own = call.inputs.map(maskOf);
    const first = own[0];
    let result: Mask;
    const consume = (roles: readonly [Mask, string][]) => {
      const inputs = [...call.inputs];
      const names = [...call.roles];
      for (const [mask, role] of roles) {
        if (mask === undefined) continue;
        if (mask === 'unclear') {
          problem(layer, 'a mask merged from several others');
          continue;
        }
        inputs.push(refOf(mask));
        names.push(role);
        masked.add(layer.name);
      }
      calls.get(layer)?.splice(index, 1, { ...call, inputs, roles: names });
    };
    if (layer.isModel) {
      if (own.some((mask) => mask !== undefined))
        problem(layer, 'a mask that goes into a model inside the model');
      result = makesMasks(layer) ? 'unclear' : undefined;
    } else if ((className === 'Embedding' && config.mask_zero === true) || className === 'Masking') {
      result = { layer: layer.name, call: index };
    } else if (RECURRENT.test(className)) {
      consume([[first, 'mask']]);
      const inner = isObject(config.layer) && isObject(config.layer.config) ? config.layer.config : config;
      result = inner.return_sequences === true ? first : undefined;
    } else if (className === 'GlobalAveragePooling1D') {
      consume([[first, 'mask']]);
    } else if (/^(MultiHeadAttention|Attention|AdditiveAttention)$/.test(className)) {
      consume(
        call.roles.flatMap((role, i): [Mask, string][] => {
          const isMasked =
            role === 'query' || role === 'value' || (role === 'key' && className === 'MultiHeadAttention');
          return isMasked ? [[own[i], `${role}_mask`]] : [];
        }),
      );
      result = first;
      // Keras 3 takes the mask off the tensors that attention was given, for layers that run later.
      if (className === 'MultiHeadAttention') {
        for (const ref of call.inputs) if (maskOf(ref) !== undefined) masks.set(keyOf(ref), 'unclear');
      }
    } else if (className === 'TimeDistributed' && first !== undefined && isObject(config.layer)) {
      if (RECURRENT.test(String(config.layer.class_name))) problem(layer, 'a mask inside TimeDistributed');
      result = first;
    } else if (className === 'Softmax' && first !== undefined) {
      consume([['unclear', 'mask']]);
    } else if (PASSING.test(className)) {
      result = first;
    } else if (MERGING.test(className)) {
      result = merged(own);
    }
    if (result !== undefined)
      for (let t = 0; t < 8; t++) masks.set(keyOf({ layer: layer.name, call: index, tensor: t }), result);
  };

  inOrder(graph, visit);
  if (used.size === 0)
    return {
      graph: { ...graph, layers: graph.layers.map((layer) => ({ ...layer, calls: calls.get(layer) ?? [] })) },
      masked,
    };
  const layers = graph.layers.flatMap((layer): GraphLayer[] => {
    const converted = { ...layer, calls: calls.get(layer) ?? [] };
    if (!used.has(layer.name)) return [converted];
    const config = configOf(layer);
    const name = maskName(layer.name);
    const tokens = layer.entry.class_name === 'Embedding';
    const maskConfig: JsonObject = { name, tokens, mask_value: config.mask_value ?? 0 };
    const entry: JsonObject = { class_name: 'ComputeMask', name, config: maskConfig };
    return [converted, { name, entry, isModel: false, calls: layer.calls }];
  });
  return { graph: { ...graph, layers }, masked };
}

/** Visits every call after the calls that its inputs come from. */
function inOrder(graph: Graph, visit: (layer: GraphLayer, call: number) => void): void {
  const byName = new Map(graph.layers.map((layer) => [layer.name, layer]));
  const done = new Set<string>();
  for (const start of graph.layers) {
    for (let i = 0; i < start.calls.length; i++) {
      const stack: [GraphLayer, number][] = [[start, i]];
      while (stack.length > 0) {
        const [layer, call] = stack.at(-1) as [GraphLayer, number];
        const key = `${layer.name}\n${call}`;
        const missing = done.has(key)
          ? undefined
          : layer.calls[call]?.inputs.find(
              (ref) =>
                byName.has(ref.layer) &&
                (byName.get(ref.layer)?.calls.length ?? 0) > ref.call &&
                !done.has(`${ref.layer}\n${ref.call}`),
            );
        if (missing && stack.length < 100_000) {
          stack.push([byName.get(missing.layer) as GraphLayer, missing.call]);
          continue;
        }
        stack.pop();
        if (!done.has(key)) {
          done.add(key);
          visit(layer, call);
        }
      }
    }
  }
}
