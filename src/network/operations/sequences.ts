import type { JsonObject } from '../../model.js';
import type { NetworkNode, Shape } from '../types.js';
import {
  activation,
  anything,
  axes,
  choice,
  flag,
  number,
  type Origin,
  optional,
  size,
  sizes,
} from './attributes.js';
import { type Application, biasOf, type Operation, type Operations, type WeightRole } from './operation.js';
import { kernelShape } from './spatial.js';
import { channelsOf, dataFormat, spatial, windows } from './windows.js';

/** Gates side by side in the kernels of a cell, and how many states it has. */
export const CELLS: Readonly<Record<string, { readonly gates: number; readonly states: number }>> = {
  LSTM: { gates: 4, states: 2 },
  GRU: { gates: 3, states: 1 },
  SimpleRNN: { gates: 1, states: 1 },
  ConvLSTM1D: { gates: 4, states: 2 },
  ConvLSTM2D: { gates: 4, states: 2 },
  ConvLSTM3D: { gates: 4, states: 2 },
};

/** Class of a recurrent layer, or of the one inside a Bidirectional. */
export const cellOf = ({ operation, attributes }: Pick<NetworkNode, 'operation' | 'attributes'>): string =>
  String(attributes.cell ?? operation);

/** Gates of a cell. */
export const gatesOf = (cell: string): number => CELLS[cell]?.gates ?? 1;

const isDropping = (config: JsonObject) =>
  Number(config.dropout ?? 0) > 0 || Number(config.recurrent_dropout ?? 0) > 0;

const recurrent = {
  activation: activation('tanh'),
  use_bias: flag(true),
  return_sequences: flag(false),
  return_state: flag(false),
  go_backwards: flag(false),
  stateful: flag(false),
  zero_output_for_mask: flag(false),
};

/** Output of the last step or of all, and the states behind it. */
function outputs(one: Shape, state: Shape, count: number, { attributes, shapes: [x] }: Application): Shape[] {
  const [batch = null, time = null] = x ?? [];
  const out = attributes.return_sequences === true ? [batch, time, ...one.slice(1)] : one;
  return attributes.return_state === true ? [out, ...Array<Shape>(count).fill(state)] : [out];
}

const fault = (rank: number) => (given: Application) => {
  const [x] = given.shapes;
  return x && x.length !== rank ? `an input of ${x.length} axes where it takes ${rank}` : undefined;
};

const rnn = (cell: string): Operation => {
  const { gates = 1, states = 1 } = CELLS[cell] ?? {};
  return {
    attributes: {
      units: size,
      ...recurrent,
      // Keras 1 and 2 had hard_sigmoid for a default, and files that leave it out are theirs.
      ...(gates > 1 ? { recurrent_activation: activation('sigmoid') } : {}),
      ...(cell === 'GRU' ? { reset_after: flag(false) } : {}),
    },
    shape: (given) => {
      const [x] = given.shapes;
      if (!x) return undefined;
      const one = [x[0] ?? null, Number(given.attributes.units)];
      return outputs(one, one, states, given);
    },
    fault: fault(3),
    weights: ({ attributes, shapes: [x] }) => {
      const units = Number(attributes.units);
      const isDouble = cell === 'GRU' && attributes.reset_after === true;
      const bias = isDouble ? [2, gates * units] : [gates * units];
      return [
        { role: 'kernel', shape: [x?.[2] ?? null, gates * units] },
        { role: 'recurrent_kernel', shape: [units, gates * units] },
        ...(attributes.use_bias === false ? [] : [{ role: 'bias', shape: bias }]),
      ];
    },
    isTrained: isDropping,
  };
};

const convLstm = (rank: number): Operation => ({
  attributes: {
    filters: size,
    kernel_size: sizes(rank),
    strides: sizes(rank, 1),
    padding: choice(['valid', 'same'], 'valid'),
    data_format: dataFormat,
    dilation_rate: sizes(rank, 1),
    recurrent_activation: activation('hard_sigmoid'),
    ...recurrent,
  },
  shape: (given) => {
    const { attributes, shapes } = given;
    const [x] = shapes;
    if (!x) return undefined;
    const { kernel_size: kernel, strides, dilation_rate: dilation, padding, filters } = attributes;
    const at = (value: unknown, axis: number) => (value as number[])[axis] as number;
    const one = spatial(
      [x[0] ?? null, ...x.slice(2)],
      attributes,
      rank,
      (n, axis) => windows(n, at(kernel, axis), at(strides, axis), at(dilation, axis), padding),
      Number(filters),
    );
    return one && outputs(one, one, 2, given);
  },
  fault: fault(rank + 3),
  weights: ({ attributes, shapes: [x] }) => {
    const filters = Number(attributes.filters);
    const channels = x ? channelsOf(attributes, [x[0] ?? null, ...x.slice(2)]) : null;
    return [
      { role: 'kernel', shape: kernelShape(attributes.kernel_size, channels, 4 * filters) },
      { role: 'recurrent_kernel', shape: kernelShape(attributes.kernel_size, filters, 4 * filters) },
      ...biasOf(attributes, 4 * filters),
    ];
  },
  isTrained: isDropping,
});

const shapeOf = ({ shapes, roles }: Application, role: string): Shape | undefined =>
  shapes[roles.indexOf(role)];

/** `attention_axes` other than 1, 2, ... in a row from the first behind the batch. */
function axesFault(given: unknown): string | undefined {
  return Array.isArray(given) && given.some((axis, i) => axis !== i + 1)
    ? `attention_axes: ${JSON.stringify(given)}`
    : undefined;
}

/**
 * Whether a `MultiHeadAttention` gives zeros to queries that masks leave no key. Keras 3's Softmax layer does that; its fused
 * product gives the mean of all values, and it takes that for sequences of one axis, without dropout and without scores to give.
 *
 * @param axes between batch and features of the query
 */
export const givesZeros = (attributes: Readonly<Record<string, unknown>>, axes: number): boolean =>
  attributes.zero_masked === true &&
  (Number(attributes.dropout ?? 0) > 0 || attributes.return_attention_scores === true || axes !== 1);

/** What attention is always called with. */
const CALLED = ['query', 'value'];

/** The heads of an attention layer with projections. */
export interface Heads {
  /** Heads of the queries, and of the output. */
  readonly heads: number;
  /** Heads of the keys and values: each serves `heads / keyHeads` heads of the queries, in a row. */
  readonly keyHeads: number;
  readonly keyDim: number;
  readonly valueDim: number;
  /** The kernels' roles begin with them, in the order in which Keras lists them. */
  readonly parts: readonly ('query' | 'key' | 'gate' | 'value' | 'attention_output')[];
  /** A query at i sees the keys at j where `|i - j| < window`. */
  readonly window: number | undefined;
}

/**
 * The heads of a `MultiHeadAttention` or a `GroupQueryAttention` (Ainslie et al. 2023, arXiv 2305.13245, section 2.2). With `use_gate`
 * what the heads give is multiplied by `sigmoid(query W + b)` before the last projection (Qiu et al. 2025, arXiv 2505.06708, section 2.2).
 */
export function headsOf(attributes: Readonly<Record<string, unknown>>): Heads {
  const { num_heads, num_query_heads, num_key_value_heads, key_dim, head_dim, value_dim } = attributes;
  const heads = Number(num_heads ?? num_query_heads);
  const keyDim = Number(key_dim ?? head_dim);
  const window = attributes.sliding_window;
  return {
    ...{
      heads,
      keyDim,
      keyHeads: Number(num_key_value_heads ?? heads),
      valueDim: Number(value_dim ?? keyDim),
    },
    parts: [
      ...(['query', 'key'] as const),
      ...(attributes.use_gate === true ? (['gate'] as const) : []),
      ...(['value', 'attention_output'] as const),
    ],
    window: typeof window === 'number' ? window : undefined,
  };
}

/** What a query at a place may see of the keys, 1 or 0, `[queries, keys]` in row-major order; undefined: all of them. */
export function seenPlaces(
  attributes: Readonly<Record<string, unknown>>,
  queries: number,
  keys: number,
): number[] | undefined {
  const isCausal = attributes.use_causal_mask === true || attributes.causal === true;
  const { window } = headsOf(attributes);
  if (!isCausal && window === undefined) return undefined;
  return Array.from({ length: queries * keys }, (_, at) => {
    const [i, j] = [Math.floor(at / keys), at % keys];
    return (isCausal && j > i) || (window !== undefined && Math.abs(i - j) >= window) ? 0 : 1;
  });
}

const projected = {
  // Keras 3 gives zeros where no key may be seen, but for its fused product.
  zero_masked: (_: unknown, { isKeras3 }: Origin) => isKeras3,
  dropout: number(0),
  use_gate: flag(false),
  sliding_window: optional(size),
  use_causal_mask: flag(false),
  return_attention_scores: flag(false),
};

const multiHead: Operation = {
  attributes: {
    num_heads: size,
    key_dim: size,
    value_dim: optional(size),
    use_bias: flag(true),
    output_shape: anything,
    attention_axes: axes(null),
    ...projected,
  },
  shape: (given) => {
    const query = shapeOf(given, 'query');
    const keys = shapeOf(given, 'key') ?? shapeOf(given, 'value');
    if (!query) return undefined;
    const { output_shape: wanted } = given.attributes;
    const own = Array.isArray(wanted)
      ? (wanted as number[])
      : typeof wanted === 'number'
        ? [wanted]
        : undefined;
    const out = own ? [...query.slice(0, -1), ...own] : query;
    if (given.attributes.return_attention_scores !== true) return [out];
    const lengths = [...query.slice(1, -1), ...(keys ?? query).slice(1, -1)];
    return [out, [query[0] ?? null, headsOf(given.attributes).heads, ...lengths]];
  },
  fault: ({ attributes: a, roles, shapes }) => {
    const missing = CALLED.find((role) => !roles.includes(role));
    if (missing) return `a call without ${missing}`;
    if (Array.isArray(a.output_shape) && a.output_shape.length > 1) return 'an output_shape of several axes';
    if (a.sliding_window !== null && (shapes[roles.indexOf('query')]?.length ?? 3) !== 3)
      return 'a sliding window over several axes';
    return axesFault(a.attention_axes);
  },
  weights: (given) => {
    const { heads: h, keyHeads, keyDim: k, valueDim: v, parts } = headsOf(given.attributes);
    const query = shapeOf(given, 'query');
    const value = shapeOf(given, 'value');
    const key = shapeOf(given, 'key') ?? value;
    const out = multiHead.shape(given)?.[0]?.at(-1) ?? null;
    const part = (name: string, kernel: Shape, bias: Shape): WeightRole[] => [
      { role: `${name}/kernel`, shape: kernel },
      ...(given.attributes.use_bias === false ? [] : [{ role: `${name}/bias`, shape: bias }]),
    ];
    const into = (name: string, own: Shape | undefined, count: number, dim: number) =>
      part(name, [own?.at(-1) ?? null, count, dim], [count, dim]);
    const all = {
      query: into('query', query, h, k),
      key: into('key', key, keyHeads, k),
      gate: into('gate', query, h, v),
      value: into('value', value, keyHeads, v),
      attention_output: part('attention_output', [h, v, out], [out]),
    };
    return parts.flatMap((name) => all[name]);
  },
  isTrained: isDropping,
};

/** As `MultiHeadAttention`, with fewer heads of keys and values, and sequences of one axis. */
const groupQuery: Operation = {
  ...multiHead,
  attributes: {
    head_dim: size,
    num_query_heads: size,
    num_key_value_heads: size,
    use_bias: flag(true),
    ...projected,
  },
  fault: (given) => {
    const { heads, keyHeads } = headsOf(given.attributes);
    if (heads % keyHeads !== 0) return `${heads} query heads, ${keyHeads} heads of keys and values`;
    const odd = CALLED.find((role) => (shapeOf(given, role)?.length ?? 3) !== 3);
    return odd ? `a ${odd} of several axes` : multiHead.fault?.(given);
  },
};

const attention = (className: string): Operation => ({
  attributes: {
    use_scale: flag(className === 'AdditiveAttention'),
    ...(className === 'Attention' ? { score_mode: choice(['dot', 'concat'], 'dot') } : {}),
    causal: flag(false),
    use_causal_mask: flag(false),
    return_attention_scores: flag(false),
  },
  shape: (given) => {
    const query = shapeOf(given, 'query');
    const value = shapeOf(given, 'value');
    if (!query || !value) return undefined;
    const out = [...query.slice(0, -1), value.at(-1) ?? null];
    const scores = [...query.slice(0, -1), value.at(-2) ?? null];
    return given.attributes.return_attention_scores === true ? [out, scores] : [out];
  },
  fault: ({ attributes: a, roles }) => {
    const missing = CALLED.find((role) => !roles.includes(role));
    if (missing) return `a call without ${missing}`;
    return a.score_mode === 'concat' ? 'score_mode: concat' : undefined;
  },
  weights: ({ attributes, shapes: [query] }) =>
    attributes.use_scale === true
      ? [{ role: 'scale', shape: className === 'Attention' ? [] : [query?.at(-1) ?? null] }]
      : [],
  isTrained: isDropping,
});

/** Recurrent layers and attention. */
export const SEQUENCES: Operations = {
  LSTM: rnn('LSTM'),
  GRU: rnn('GRU'),
  SimpleRNN: rnn('SimpleRNN'),
  ConvLSTM1D: convLstm(1),
  ConvLSTM2D: convLstm(2),
  ConvLSTM3D: convLstm(3),
  MultiHeadAttention: multiHead,
  GroupQueryAttention: groupQuery,
  Attention: attention('Attention'),
  AdditiveAttention: attention('AdditiveAttention'),
};

const MERGE_MODES = ['concat', 'sum', 'mul', 'ave'] as const;

/** The outputs of two directions as `merge_mode` joins them: with null there are both. */
export const mergedWays = <T>(
  mode: unknown,
  forward: T,
  backward: T,
  how: Readonly<Record<(typeof MERGE_MODES)[number], () => T>>,
): T[] => (mode === null ? [forward, backward] : [how[mode as keyof typeof how]()]);

/** A table with the same for every recurrent layer, in both directions too. */
export const everyRecurrent = <T>(one: T): Record<string, T> =>
  Object.fromEntries([...Object.keys(CELLS), 'Bidirectional'].map((name) => [name, one]));

/** A recurrent layer in both directions: `merge_mode` null gives both outputs. */
export function bidirectional(cell: string): Operation | undefined {
  const one = SEQUENCES[cell];
  if (!one || !(cell in CELLS)) return undefined;
  return {
    ...one,
    attributes: {
      ...one.attributes,
      merge_mode: (value, origin) =>
        value === undefined ? 'concat' : value === null ? null : choice(MERGE_MODES, 'concat')(value, origin),
    },
    shape: (given) => {
      const shapes = one.shape(given);
      if (!shapes) return undefined;
      const [out, ...states] = shapes as [Shape, ...Shape[]];
      const { merge_mode: mode } = given.attributes;
      // Keras joins the last axes, whichever the channels are.
      const wide = [...out.slice(0, -1), out.at(-1) == null ? null : 2 * Number(out.at(-1))];
      const first = mode === null ? [out, out] : [mode === 'concat' ? wide : out];
      return [...first, ...states, ...states];
    },
    weights: (given) => {
      const own = typeof one.weights === 'function' ? one.weights(given) : [];
      return ['forward', 'backward'].flatMap((way) =>
        own.map((weight) => ({ ...weight, role: `${way}/${weight.role}` })),
      );
    },
  };
}

/** Arguments of a call that are attributes of the operation. */
export const CALL_FLAGS = ['use_causal_mask', 'return_attention_scores'] as const;
