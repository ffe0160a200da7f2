import { givesZeros, headsOf, seenPlaces } from '../network/operations/sequences.js';
import { addActivation } from './activations.js';
import { type Build, type Context, product, refuse } from './context.js';
import { addCombination } from './elements.js';
import { ACTIVATIONS, addFunction } from './functions.js';
import { rowsLayer } from './layers-products.js';
import { addSum } from './layers-reductions.js';
import { makeMatmul } from './matmul.js';
import { addBroadcast } from './moves.js';
import { addConvolution } from './product.js';
import type { Program, Tensor } from './program.js';

const LINEAR = ACTIVATIONS.indexOf('linear');

interface Heads {
  readonly count: number;
  /** Heads of keys and values, each for `count / keyCount` heads of queries in a row. */
  readonly keyCount: number;
  readonly keyDim: number;
  readonly valueDim: number;
  readonly scale: number;
}

/** `scale q k'` of each head: q `[time, count keyDim]`, k `[keys, keyCount keyDim]`. @returns `[count, time, keys]` */
function addScores(
  program: Program,
  q: Tensor,
  k: Tensor,
  { count, keyCount, keyDim, scale }: Heads,
): Tensor {
  const [time, keys] = [q.shape[0] as number, k.shape[0] as number];
  const scores = program.tensor([count, time, keys]);
  const [wide, keyWide] = [count * keyDim, keyCount * keyDim];
  const group = count / keyCount;
  const multiply = makeMatmul(program, {
    ...{ rows: time, depth: keyDim, columns: keys, rowA: wide, rowB: 1, columnB: keyWide, rowOut: keys },
  });
  program.ledger.work('float', scores.size * keyDim);
  program.step([q, k], [scores], () => {
    const { at } = scores.storage;
    for (let head = 0; head < count; head++)
      multiply(
        q.storage.at + 4 * head * keyDim,
        k.storage.at + 4 * Math.floor(head / group) * keyDim,
        at + 4 * head * time * keys,
      );
    if (scale !== 1) program.kernels.activate(at, scores.size, LINEAR, scale, 0, 0, at);
  });
  return scores;
}

/**
 * Softmax over the keys that a mask leaves. One less 1e9 is nothing; rows that nothing is left of share alike, as Keras's do.
 *
 * @param isZeroed such rows give 0 instead
 */
function addShares(program: Program, scores: Tensor, mask: Tensor | undefined, isZeroed: boolean): Tensor {
  const rows = { type: 'rows', isLog: false } as const;
  if (!mask) return addActivation(program, scores, rows);
  const away = addFunction(program, mask, 'linear', 1e9, -1e9);
  const left = addCombination(program, addCombination(program, scores, mask, 'multiply'), away, 'add');
  const shares = addActivation(program, left, rows);
  return isZeroed ? addCombination(program, shares, mask, 'multiply') : shares;
}

/** Shares `[count, time, keys]` of values `[keys, keyCount valueDim]`. @returns `[time, count valueDim]` */
function addMix(program: Program, shares: Tensor, v: Tensor, { count, keyCount, valueDim }: Heads): Tensor {
  const [time, keys] = shares.shape.slice(-2) as [number, number];
  const [wide, valueWide] = [count * valueDim, keyCount * valueDim];
  const group = count / keyCount;
  const out = program.tensor([time, wide]);
  const multiply = makeMatmul(program, {
    ...{ rows: time, depth: keys, columns: valueDim, rowA: keys, rowB: valueWide, columnB: 1, rowOut: wide },
  });
  program.ledger.work('float', out.size * keys);
  program.step([shares, v], [out], () => {
    for (let head = 0; head < count; head++)
      multiply(
        shares.storage.at + 4 * head * time * keys,
        v.storage.at + 4 * Math.floor(head / group) * valueDim,
        out.storage.at + 4 * head * valueDim,
      );
  });
  return out;
}

const ROLES = ['query', 'value', 'key', 'query_mask', 'value_mask', 'key_mask', 'attention_mask'];

interface Sequences {
  readonly query: Tensor;
  readonly value: Tensor;
  readonly key: Tensor;
  /** Axes of the query and of the keys before they became one. */
  readonly axes: readonly (readonly number[])[];
  of(role: string): Tensor | undefined;
}

/** Query, value and key, axes between batch and features as one; the key is the value where it is not given. */
function sequencesOf(c: Context): Sequences {
  const { roles } = c.node;
  const odd = roles.filter((role) => !ROLES.includes(role));
  if (odd.length > 0) refuse(`inputs: ${odd.join(', ')}`);
  const of = (role: string) => c.inputs[roles.indexOf(role)];
  const [query, value] = [of('query') as Tensor, of('value') as Tensor];
  const key = of('key') ?? value;
  const { attention_axes: given } = c.attributes;
  const isPart = Array.isArray(given) && given.length !== query.shape.length - 1;
  if (isPart || query.shape.length < 2) refuse('attention over a part of the axes');
  const flat = (x: Tensor) => c.program.view(x, [product(x.shape.slice(0, -1)), x.shape.at(-1) as number]);
  const axes = [query.shape.slice(0, -1), key.shape.slice(0, -1)];
  return { query: flat(query), value: flat(value), key: flat(key), axes, of };
}

/** What a query may see of the keys, 1 or 0: `[time, keys]`, or more axes where the layer was given some. */
function addMask(c: Context, s: Sequences, roles: readonly string[]): Tensor | undefined {
  const { program } = c;
  const [time, keys] = [s.query.shape[0] as number, s.key.shape[0] as number];
  const masks = roles.flatMap((role): Tensor[] => {
    const mask = s.of(role);
    if (!mask) return [];
    if (role === 'attention_mask')
      return mask.shape.length < 2 ? refuse('attention_mask of one axis') : [mask];
    return [program.view(mask, role === 'query_mask' ? [time, 1] : [1, keys])];
  });
  const seen = seenPlaces(c.attributes, time, keys);
  if (seen) masks.push(program.constant(Float32Array.from(seen), [time, keys]));
  const [first, ...rest] = masks;
  if (!first) return undefined;
  // Every mask as wide as the scores.
  const wide = addBroadcast(program, first, [...first.shape.slice(0, -2), time, keys]);
  return rest.reduce((all, mask) => addCombination(program, all, mask, 'multiply'), wide);
}

const multiHead: Build = (c) => {
  const { attributes: a, program } = c;
  const s = sequencesOf(c);
  const { heads: count, keyHeads: keyCount, keyDim, valueDim } = headsOf(a);
  const project = (x: Tensor, role: string, columns: number): Tensor => {
    const [rows, channels] = x.shape as [number, number];
    const values = () => c.values(`${role}/kernel`) as Float32Array;
    const layer = rowsLayer(
      ...([`${c.node.layer}/${role}`, rows, channels, columns, c.weight(`${role}/kernel`), values] as const),
      { bias: c.values(`${role}/bias`) },
    );
    return program.view(addConvolution(program, x, layer, c.options), [rows, columns]);
  };
  const q = project(s.query, 'query', count * keyDim);
  const k = project(s.key, 'key', keyCount * keyDim);
  const v = project(s.value, 'value', keyCount * valueDim);
  const heads = { count, keyCount, keyDim, valueDim, scale: 1 / Math.sqrt(keyDim) };
  const mask = addMask(c, s, ['query_mask', 'value_mask', 'key_mask', 'attention_mask']);
  const shares = addShares(
    program,
    addScores(program, q, k, heads),
    mask,
    givesZeros(a, s.axes[0]?.length ?? 1),
  );
  const mixed = addMix(program, shares, v, heads);
  const gate = a.use_gate === true ? project(s.query, 'gate', count * valueDim) : undefined;
  const out = gate
    ? addCombination(program, mixed, addFunction(program, gate, 'sigmoid'), 'multiply')
    : mixed;
  const own = Array.isArray(a.output_shape) ? a.output_shape[0] : a.output_shape;
  const width = typeof own === 'number' ? own : (s.query.shape[1] as number);
  const result = program.view(project(out, 'attention_output', width), [...(s.axes[0] as number[]), width]);
  if (a.return_attention_scores !== true) return [result];
  return [result, program.view(shares, [count, ...s.axes.flat()])];
};

/** Attention without projections: only masks of the values change what is seen. */
const plain =
  (scoresOf: (c: Context, s: Sequences, scale: Float32Array | undefined) => Tensor): Build =>
  (c) => {
    const { program } = c;
    const s = sequencesOf(c);
    if (s.axes.some((axes) => axes.length !== 1)) refuse('attention over more than one axis');
    const scale = c.attributes.use_scale === true ? c.values('scale') : undefined;
    const shares = addShares(program, scoresOf(c, s, scale), addMask(c, s, ['value_mask']), false);
    const [time, keys] = shares.shape.slice(-2) as [number, number];
    const valueDim = s.value.shape[1] as number;
    const mixed = addMix(program, shares, s.value, { count: 1, keyCount: 1, keyDim: 1, valueDim, scale: 1 });
    const mask = s.of('query_mask');
    const out = mask ? addCombination(program, mixed, program.view(mask, [time, 1]), 'multiply') : mixed;
    return c.attributes.return_attention_scores === true ? [out, program.view(shares, [time, keys])] : [out];
  };

const attention = plain(({ program }, { query, key }, scale) => {
  const keyDim = key.shape[1] as number;
  return addScores(program, query, key, {
    count: 1,
    keyCount: 1,
    keyDim,
    valueDim: 1,
    scale: scale?.[0] ?? 1,
  });
});

/** `sum(scale tanh(q + k))` */
const additive = plain(({ program }, { query, key }, scale) => {
  const [time, depth] = query.shape as [number, number];
  const keys = key.shape[0] as number;
  const [q, k] = [program.view(query, [time, 1, depth]), program.view(key, [1, keys, depth])];
  const sums = addFunction(program, addCombination(program, q, k, 'add'), 'tanh');
  const scaled = scale ? addCombination(program, sums, program.constant(scale, [depth]), 'multiply') : sums;
  return program.view(addSum(program, scaled, [2], false), [1, time, keys]);
});

/** Attention of sequences. */
export const ATTENTION: Readonly<Record<string, Build>> = {
  MultiHeadAttention: multiHead,
  GroupQueryAttention: multiHead,
  Attention: attention,
  AdditiveAttention: additive,
};
