import { givesZeros, headsOf, seenPlaces } from '../network/operations/sequences.js';
import { bounded, type Context, type Emit, floatOf, known } from './context.js';
import { refuse } from './refusal.js';
import { Tensor } from './tensor.js';
import type { Dim, Val } from './values.js';

const roleOf = (c: Context, role: string): Tensor | undefined => c.inputs[c.node.roles.indexOf(role)];

/** What may be seen, as truth values that spread over `[batch, heads?, rows, columns]`; undefined: everything. */
function jointMask(
  c: Context,
  masks: readonly (Val | undefined)[],
  rows: Dim,
  columns: Dim,
): Val | undefined {
  const { graph, attributes: a } = c;
  let joint: Val | undefined;
  const add = (mask: Val) => {
    joint = joint ? graph.binary('And', joint, mask) : mask;
  };
  for (const mask of masks) if (mask) add(graph.cast(mask, 'bool'));
  // Places that all may see need no lengths that are known.
  if (seenPlaces(a, 0, 0)) {
    const [n, m] = [known(rows, 'queries'), known(columns, 'keys')];
    bounded(n * m, 'a mask of places');
    add(graph.constant('bool', seenPlaces(a, n, m) as number[], [n, m]));
  }
  return joint;
}

/**
 * Softmax over the keys that may be seen; where none may, all count alike, or nothing does (`isZeroed`). A causal mask alone leaves
 * each query a key.
 */
function attend({ graph }: Context, scores: Val, mask: Val | undefined, isZeroed: boolean): Val {
  const axis = scores.shape.length - 1;
  if (!mask) return graph.softmax(scores, axis);
  const shares = graph.softmax(graph.where(mask, scores, graph.scalar(-1e9)), axis);
  return isZeroed ? graph.where(mask, shares, graph.scalar(0)) : shares;
}

/** `softmax(Q K' / sqrt(keyDim)) V` for each head, with projections into and out of the heads. */
const multiHead: Emit = (c) => {
  const { graph, attributes: a, node } = c;
  const known3 = ['query', 'value', 'key', 'query_mask', 'value_mask', 'key_mask', 'attention_mask'];
  const strange = node.roles.find((role) => !known3.includes(role));
  if (strange) refuse(`an input ${strange}`);
  const given = floatOf(roleOf(c, 'query') as Tensor);
  const value = floatOf(roleOf(c, 'value') as Tensor);
  const key = roleOf(c, 'key') ? floatOf(roleOf(c, 'key') as Tensor) : value;
  const flat = (x: Tensor): Val => {
    if (x.rank === 3) return x.plain;
    const inner = x.shape.slice(1, -1).map((n) => known(n, 'attention over several axes'));
    return graph.reshape(x.plain, [
      x.shape[0] as Dim,
      inner.reduce((p, n) => p * n, 1),
      x.shape.at(-1) as Dim,
    ]);
  };
  const { heads, keyHeads, keyDim, valueDim } = headsOf(a);
  const project = (x: Val, role: string, count: number, dim: number, order: readonly number[]): Val => {
    const rows = c.product(x, {
      ...{ id: c.id(`${role}/kernel`) as string, name: `${node.layer}/${role}`, rows: [0], columns: [1, 2] },
      bias: c.values(`${role}/bias`),
    });
    const [batch, time] = rows.shape as [Dim, Dim];
    if (count === heads) return graph.transpose(graph.reshape(rows, [batch, time, heads, dim]), order);
    const own = graph.repeat(graph.reshape(rows, [batch, time, count, 1, dim]), [1, 1, 1, heads / count, 1]);
    return graph.transpose(graph.reshape(own, [batch, time, heads, dim]), order);
  };
  const [xq, xv, xk] = [flat(given), flat(value), flat(key)];
  const q = project(xq, 'query', heads, keyDim, [0, 2, 1, 3]);
  const k = project(xk, 'key', keyHeads, keyDim, [0, 2, 3, 1]);
  const v = project(xv, 'value', keyHeads, valueDim, [0, 2, 1, 3]);
  const scores = graph.binary('Mul', graph.matmul(q, k), 1 / Math.sqrt(keyDim));
  const masks = [
    maskOf(c, 'query_mask', [1, 3]),
    ...['value_mask', 'key_mask'].map((role) => maskOf(c, role, [1, 2])),
    attentionMask(c),
  ];
  const mask = jointMask(c, masks, xq.shape[1] as Dim, xv.shape[1] as Dim);
  const mayBeNone = masks.some((own) => own !== undefined);
  const shares = attend(c, scores, mask, mayBeNone && givesZeros(a, given.shape.length - 2));
  const given1 = graph.transpose(graph.matmul(shares, v), [0, 2, 1, 3]);
  const mixed =
    a.use_gate === true
      ? graph.binary(
          'Mul',
          given1,
          graph.unary('Sigmoid', project(xq, 'gate', heads, valueDim, [0, 1, 2, 3])),
        )
      : given1;
  const joined = graph.reshape(mixed, [mixed.shape[0] as Dim, mixed.shape[1] as Dim, heads * valueDim]);
  const out = c.product(joined, {
    ...{ id: c.id('attention_output/kernel') as string, name: `${node.layer}/attention_output` },
    ...{ rows: [0, 1], columns: [2], bias: c.values('attention_output/bias') },
  });
  const width = out.shape.at(-1) as Dim;
  const result = given.rank === 3 ? out : graph.reshape(out, [...given.shape.slice(0, -1), width]);
  const made = Tensor.of(graph, result);
  if (a.return_attention_scores !== true) return [made];
  if (given.rank !== 3) refuse('scores of attention over several axes');
  return [made, Tensor.of(graph, shares)];
};

/** A mask `[batch, time]` with axes of length 1 more. */
function maskOf(c: Context, role: string, axes: readonly number[]): Val | undefined {
  const mask = roleOf(c, role);
  return mask && c.graph.unsqueeze(mask.plain, axes);
}

/** A mask `[batch, rows, columns]`, the same for all heads, or one with heads of its own. */
function attentionMask(c: Context): Val | undefined {
  const mask = roleOf(c, 'attention_mask');
  if (!mask) return undefined;
  return mask.rank === 3 ? c.graph.unsqueeze(mask.plain, [1]) : mask.plain;
}

/** Attention: scores `scale Q K'`; AdditiveAttention: `sum(scale tanh(Q + K))`. Only value masks change what is attended to. */
const plainAttention =
  (isAdditive: boolean): Emit =>
  (c) => {
    const { graph, attributes: a } = c;
    const query = floatOf(roleOf(c, 'query') as Tensor).plain;
    const value = floatOf(roleOf(c, 'value') as Tensor).plain;
    const given = roleOf(c, 'key');
    const key = given ? floatOf(given).plain : value;
    if (query.shape.length !== 3 || value.shape.length !== 3) refuse('attention over more than one axis');
    const id = c.id('scale');
    const scale = id && c.weights.value(id);
    let scores: Val;
    if (isAdditive) {
      const sum = graph.binary('Add', graph.unsqueeze(query, [2]), graph.unsqueeze(key, [1]));
      const bent = graph.unary('Tanh', sum);
      scores = graph.reduce('ReduceSum', scale ? graph.binary('Mul', bent, scale) : bent, [3], false);
    } else {
      const products = graph.matmul(query, graph.transpose(key, [0, 2, 1]));
      scores = scale ? graph.binary('Mul', products, scale) : products;
    }
    const mask = jointMask(c, [maskOf(c, 'value_mask', [1])], query.shape[1] as Dim, value.shape[1] as Dim);
    const shares = attend(c, scores, mask, false);
    const mixed = graph.matmul(shares, value);
    const queryMask = roleOf(c, 'query_mask');
    const output = queryMask
      ? graph.where(graph.unsqueeze(graph.cast(queryMask.plain, 'bool'), [2]), mixed, graph.scalar(0))
      : mixed;
    const made = Tensor.of(graph, output);
    return a.return_attention_scores === true ? [made, Tensor.of(graph, shares)] : [made];
  };

/** Attention of sequences. */
export const ATTENTION: Readonly<Record<string, Emit>> = {
  MultiHeadAttention: multiHead,
  GroupQueryAttention: multiHead,
  Attention: plainAttention(false),
  AdditiveAttention: plainAttention(true),
};
