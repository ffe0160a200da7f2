import { seenPlaces } from '../../network/operations/sequences.js';
import type { Tensor, TensorFlow } from '../types.js';
import { activate, softmax } from './activations.js';
import { type LayerSpec, type Shape, spec } from './define.js';

/** An equation with its ellipsis written out for an input of some rank. */
export function expanded(equation: string, rank: number): { left: string; right: string; out: string } {
  const [inputs = '', out = ''] = equation.replace(/\s/g, '').split('->');
  const [left = '', right = ''] = inputs.split(',');
  const used = new Set(equation);
  const free = [...'zyxwvutsrqponmlkjihgfedcba'].filter((c) => !used.has(c));
  const rest = free.slice(0, Math.max(rank - left.replace('...', '').length, 0)).join('');
  return { left: left.replace('...', rest), right, out: out.replace('...', rest) };
}

/**
 * Sum over products of two tensors by an equation such as `abc,cd->abd`, as one batched matrix product, so that it
 * runs on backends without an einsum kernel. A letter stands at most once in each part.
 */
export function einsum(tf: TensorFlow, equation: string, a: Tensor, b: Tensor): Tensor {
  const { left, right, out } = expanded(equation, a.rank);
  const size = new Map<string, number>();
  [...left].forEach((c, i) => {
    size.set(c, a.shape[i] as number);
  });
  [...right].forEach((c, i) => {
    size.set(c, b.shape[i] as number);
  });
  const both = [...left].filter((c) => right.includes(c));
  const batch = both.filter((c) => out.includes(c)).join('');
  const summed = both.filter((c) => !out.includes(c)).join('');
  const rows = [...left].filter((c) => !right.includes(c) && out.includes(c)).join('');
  const columns = [...right].filter((c) => !left.includes(c) && out.includes(c)).join('');
  const volume = (letters: string) => [...letters].reduce((n, c) => n * (size.get(c) as number), 1);
  const matrix = (x: Tensor, letters: string, order: [string, string, string]) => {
    const wanted = order.join('');
    const extra = [...letters].flatMap((c, i) => (wanted.includes(c) ? [] : [i]));
    const y = extra.length > 0 ? tf.sum(x, extra) : x;
    const kept = [...letters].filter((c) => wanted.includes(c)).join('');
    const permuted = tf.transpose(
      y,
      [...wanted].map((c) => kept.indexOf(c)),
    );
    return tf.reshape(permuted, order.map(volume)) as Tensor;
  };
  const product = tf.matMul(
    matrix(a, left, [batch, rows, summed]),
    matrix(b, right, [batch, summed, columns]),
  );
  const letters = batch + rows + columns;
  const full = tf.reshape(
    product,
    [...letters].map((c) => size.get(c) as number),
  );
  return tf.transpose(
    full,
    [...out].map((c) => letters.indexOf(c)),
  );
}

interface EinsumConfig {
  readonly equation: string;
  readonly outputShape: number | (number | null)[];
  readonly biasAxes?: string | null;
  readonly activation?: string | null;
}

/** Output shape of an EinsumDense: letters of the input keep their size, others are given, counted from the end. */
function einsumOutput(
  { equation, outputShape }: EinsumConfig,
  shape: Shape,
): { letters: string; shape: Shape } {
  const { left, out } = expanded(equation, shape.length);
  const given = typeof outputShape === 'number' ? [outputShape] : outputShape;
  const offset = out.length - given.length;
  return {
    letters: out,
    shape: [...out].map(
      (c, i) => given[i - offset] ?? (left.includes(c) ? (shape[left.indexOf(c)] ?? null) : null),
    ),
  };
}

const einsumDense: LayerSpec<EinsumConfig> = {
  className: 'EinsumDense',
  weights(config, [shape = []]) {
    const { left, right } = expanded(config.equation, shape.length);
    const output = einsumOutput(config, shape);
    const dim = (c: string) =>
      (output.letters.includes(c) ? output.shape[output.letters.indexOf(c)] : shape[left.indexOf(c)]) ?? null;
    const from = Math.min(...[...(config.biasAxes ?? '')].map((c) => output.letters.indexOf(c)));
    const bias = [...output.letters].slice(from).map((c) => (config.biasAxes?.includes(c) ? dim(c) : 1));
    return [['kernel', [...right].map(dim)], ...(config.biasAxes ? [['bias', bias] as const] : [])];
  },
  outputShape: (config, [shape = []]) => einsumOutput(config, shape).shape,
  call({ tf, config, inputs, has, weight }) {
    const y = einsum(tf, config.equation, inputs[0] as Tensor, weight('kernel'));
    return activate(tf, config.activation, has('bias') ? tf.add(y, weight('bias')) : y);
  },
};

export interface MultiHeadConfig {
  readonly numHeads: number;
  /** Heads of keys and values, where they are fewer: each serves as many heads of queries in a row. */
  readonly keyHeads?: number | null;
  readonly keyDim: number;
  readonly valueDim?: number | null;
  readonly useBias?: boolean;
  readonly outputShape?: number[] | number | null;
  /** `[1, 2, ...]`: attention is over all axes between batch and features together. */
  readonly attentionAxes?: number[] | null;
  /** What each input is: `query`, `value`, `key`, `queryMask`, ...: Keras's argument names in camel case. */
  readonly roles: readonly string[];
  readonly useCausalMask?: boolean;
  /** Keys that are as far away as that, or farther, are not seen. */
  readonly slidingWindow?: number | null;
  /** Whether the heads' outputs are multiplied by `sigmoid` of a projection of the query. */
  readonly useGate?: boolean;
  readonly returnAttentionScores?: boolean;
  /** Whether a query that may attend to nothing gives 0 instead of the mean of all values. */
  readonly zeroMasked?: boolean;
}

const widthOf = (config: MultiHeadConfig, query: Shape): number | null =>
  (Array.isArray(config.outputShape) ? config.outputShape[0] : config.outputShape) ?? query.at(-1) ?? null;

const roleOf = <T>(config: { roles: readonly string[] }, values: readonly T[], role: string): T | undefined =>
  values[config.roles.indexOf(role)];

/** `[batch, T, S]` of ones and zeros out of masks of queries, keys and values, a given one and the causal one. */
function jointMask(
  tf: TensorFlow,
  masks: readonly (Tensor | undefined)[],
  [rows, columns]: readonly [number, number],
  { useCausalMask, slidingWindow }: Pick<MultiHeadConfig, 'useCausalMask' | 'slidingWindow'>,
) {
  let joint: Tensor | undefined;
  for (const mask of masks) {
    if (mask) joint = joint ? tf.mul(joint, tf.cast(mask, 'float32')) : tf.cast(mask, 'float32');
  }
  const places = { use_causal_mask: useCausalMask === true, sliding_window: slidingWindow };
  const seen = seenPlaces(places, rows, columns);
  if (seen) {
    const own = tf.tensor(seen, [1, rows, columns], 'float32');
    joint = joint ? tf.mul(joint, own) : own;
  }
  return joint;
}

/** Softmax over keys where the mask is 1. */
function attend(tf: TensorFlow, scores: Tensor, mask: Tensor | undefined, zeroMasked = false): Tensor {
  if (!mask) return softmax(tf, scores);
  // A difference of 1e9 leaves exp at 0 and keeps rows without any key uniform, as Keras's constants do.
  const shares = softmax(tf, tf.add(tf.mul(scores, mask), tf.mul(tf.sub(mask, 1), 1e9)));
  return zeroMasked ? tf.mul(shares, mask) : shares;
}

/** `softmax(Q K' / sqrt(keyDim)) V` per head, with projections into and out of the heads. */
const multiHead: LayerSpec<MultiHeadConfig> = {
  className: 'MultiHeadAttention',
  weights(config, shapes) {
    const { numHeads, keyDim, useBias } = config;
    const keyHeads = config.keyHeads ?? numHeads;
    const valueDim = config.valueDim ?? keyDim;
    const query = roleOf(config, shapes, 'query') ?? [];
    const value = roleOf(config, shapes, 'value') ?? [];
    const key = roleOf(config, shapes, 'key') ?? value;
    const width = widthOf(config, query);
    const axes = query.length - 2;
    if (config.attentionAxes && config.attentionAxes.length !== axes) {
      throw new RangeError(`"attention_axes" expected all ${axes} axes, got [${config.attentionAxes}]`);
    }
    const dense = (name: string, kernel: (number | null)[], bias: (number | null)[]) => [
      [`${name}/kernel`, kernel] as const,
      ...(useBias === false ? [] : [[`${name}/bias`, bias] as const]),
    ];
    return [
      ...dense('query', [query.at(-1) ?? null, numHeads, keyDim], [numHeads, keyDim]),
      ...dense('key', [key.at(-1) ?? null, keyHeads, keyDim], [keyHeads, keyDim]),
      ...(config.useGate
        ? dense('gate', [query.at(-1) ?? null, numHeads, valueDim], [numHeads, valueDim])
        : []),
      ...dense('value', [value.at(-1) ?? null, keyHeads, valueDim], [keyHeads, valueDim]),
      ...dense('attention_output', [numHeads, valueDim, width], [width]),
    ];
  },
  outputShape(config, shapes) {
    const query = roleOf(config, shapes, 'query') ?? [];
    const value = roleOf(config, shapes, 'value') ?? [];
    const output = [...query.slice(0, -1), widthOf(config, query)];
    if (!config.returnAttentionScores) return output;
    return [output, [query[0] ?? null, config.numHeads, query[1] ?? null, value[1] ?? null]];
  },
  call({ tf, config, inputs, has, weight }) {
    const given = roleOf(config, inputs, 'query') as Tensor;
    const { mixed, shares } = mixHeads(tf, config, inputs, (name) => (has(name) ? weight(name) : undefined));
    const kernel = weight('attention_output/kernel');
    const width = kernel.shape.at(-1) as number;
    const product = einsum(tf, 'bnth,nho->bto', mixed, kernel);
    const y = has('attention_output/bias')
      ? tf.add(product, tf.reshape(weight('attention_output/bias'), [width]))
      : product;
    const output = given.rank === 3 ? y : tf.reshape(y, [...given.shape.slice(0, -1), width]);
    return config.returnAttentionScores ? [output, shares] : output;
  },
};

/** All axes between batch and features as one. */
export const flatRows = (tf: TensorFlow, x: Tensor): Tensor =>
  x.rank === 3 ? x : tf.reshape(x, [x.shape[0] as number, -1, x.shape.at(-1) as number]);

/**
 * What each head makes of the values, `[batch, heads, queries, valueDim]`, before the projection out of the heads, and the shares
 * `[batch, heads, queries, keys]` by which it does.
 *
 * @param weight by its name; undefined where there is none
 */
export function mixHeads(
  tf: TensorFlow,
  config: MultiHeadConfig,
  inputs: readonly Tensor[],
  weight: (name: string) => Tensor | undefined,
): { readonly mixed: Tensor; readonly shares: Tensor } {
  const input = (role: string) => roleOf(config, inputs, role);
  const query = flatRows(tf, input('query') as Tensor);
  const value = flatRows(tf, input('value') as Tensor);
  const key = flatRows(tf, input('key') ?? value);
  const project = (name: string, equation: string, x: Tensor, bias: number[]) => {
    const y = einsum(tf, equation, x, weight(`${name}/kernel`) as Tensor);
    const own = weight(`${name}/bias`);
    return own ? tf.add(y, tf.reshape(own, bias)) : y;
  };
  const { numHeads, keyDim } = config;
  const valueDim = config.valueDim ?? keyDim;
  const keyHeads = config.keyHeads ?? numHeads;
  const q = project('query', 'btd,dnh->bnth', query, [numHeads, 1, keyDim]);
  const shared = (x: Tensor): Tensor => {
    const [batch, , columns, size] = x.shape as [number, number, number, number];
    if (keyHeads === numHeads) return x;
    const own = tf.tile(tf.reshape(x, [batch, keyHeads, 1, columns * size]), [1, 1, numHeads / keyHeads, 1]);
    return tf.reshape(own, [batch, numHeads, columns, size]);
  };
  const k = shared(project('key', 'bsd,dnh->bnsh', key, [keyHeads, 1, keyDim]));
  const v = shared(project('value', 'bsd,dnh->bnsh', value, [keyHeads, 1, valueDim]));
  const rows = query.shape[1] as number;
  const columns = value.shape[1] as number;
  const queryMask = input('queryMask');
  const keyMasks = [input('valueMask'), input('keyMask')].map((mask) => mask && tf.expandDims(mask, 1));
  const masks = [queryMask && tf.expandDims(queryMask, 2), ...keyMasks, input('attentionMask')].map((mask) =>
    mask?.rank === 3 ? tf.expandDims(mask, 1) : mask,
  );
  const mask = jointMask(tf, masks, [rows, columns], config);
  const scores = tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(keyDim));
  const shares = attend(tf, scores, mask, config.zeroMasked);
  const mixed = tf.matMul(shares, v);
  if (!config.useGate) return { mixed, shares };
  const gate = tf.sigmoid(project('gate', 'btd,dnh->bnth', query, [numHeads, 1, valueDim]));
  return { mixed: tf.mul(mixed, gate), shares };
}

interface AttentionConfig {
  readonly useScale?: boolean;
  readonly roles: readonly string[];
  readonly useCausalMask?: boolean;
  readonly returnAttentionScores?: boolean;
}

function plainOutput(config: AttentionConfig, shapes: readonly Shape[]): Shape | Shape[] {
  const query = roleOf(config, shapes, 'query') ?? [];
  const value = roleOf(config, shapes, 'value') ?? [];
  const output = [...query.slice(0, -1), value.at(-1) ?? null];
  return config.returnAttentionScores
    ? [output, [query[0] ?? null, query[1] ?? null, value[1] ?? null]]
    : output;
}

/** Attention: scores `scale Q K'`; AdditiveAttention: `sum(scale tanh(Q + K))`. Only value masks change what is attended to. */
const plainAttention = (className: 'Attention' | 'AdditiveAttention'): LayerSpec<AttentionConfig> => ({
  className,
  weights(config, shapes) {
    if (!config.useScale) return [];
    return [['scale', className === 'Attention' ? [] : [roleOf(config, shapes, 'query')?.at(-1)]]];
  },
  outputShape: plainOutput,
  call({ tf, config, inputs, has, weight }) {
    const input = (role: string) => roleOf(config, inputs, role);
    const query = input('query') as Tensor;
    const value = input('value') as Tensor;
    const key = input('key') ?? value;
    let scores: Tensor;
    if (className === 'Attention') {
      const dots = tf.matMul(query, key, false, true);
      scores = has('scale') ? tf.mul(dots, weight('scale')) : dots;
    } else {
      const sums = tf.tanh(tf.add(tf.expandDims(query, 2), tf.expandDims(key, 1)));
      scores = tf.sum(has('scale') ? tf.mul(sums, weight('scale')) : sums, -1);
    }
    const valueMask = input('valueMask');
    const rows = [query.shape[1] as number, value.shape[1] as number] as [number, number];
    const mask = jointMask(tf, [valueMask && tf.expandDims(valueMask, 1)], rows, config);
    const shares = attend(tf, scores, mask);
    const queryMask = input('queryMask');
    const mixed = tf.matMul(shares, value);
    const output = queryMask ? tf.mul(mixed, tf.expandDims(queryMask, 2)) : mixed;
    return config.returnAttentionScores ? [output, shares] : output;
  },
});

/** EinsumDense and attention, of which TensorFlow.js has none. */
export const attentionLayers: readonly LayerSpec[] = [
  spec(einsumDense),
  spec(multiHead),
  spec(plainAttention('Attention')),
  spec(plainAttention('AdditiveAttention')),
];
