import type { Json } from '../../../model.js';
import type { Tensor, TensorFlow } from '../../types.js';
import { softmax } from '../activations.js';
import { positiveAxis, type Shape } from '../define.js';
import { mean, moments, sum } from '../sums.js';
import {
  type Attributes,
  axesOf,
  float,
  floating,
  numberOf,
  type TensorOperation,
  truth,
  unary,
} from './spec.js';

function reducedShape(shape: Shape, axis: Json | undefined, keepdims: Json | undefined): Shape {
  const axes = axesOf(axis, shape.length);
  if (keepdims === true) return shape.map((n, i) => (axes.includes(i) ? 1 : n));
  return shape.filter((_, i) => !axes.includes(i));
}

type Reduce = (tf: TensorFlow, x: Tensor, axes: number[], keep: boolean) => Tensor;

/** Axes to one number: `axis` one, a list or null for all, `keepdims`. */
const reduction = (compute: Reduce, attributes: Attributes = {}): TensorOperation => ({
  operands: 1,
  attributes: { axis: null, keepdims: false, ...attributes },
  refuse: ({ initial, weights, dtype }) => {
    if ((initial ?? null) !== null) return 'the argument initial';
    if ((weights ?? null) !== null) return 'the argument weights';
    return (dtype ?? null) !== null ? 'the argument dtype' : undefined;
  },
  shape: ([shape = []], { axis, keepdims }) => reducedShape(shape, axis, keepdims),
  compute: (tf, [x], { axis, keepdims }) =>
    compute(tf, x as Tensor, axesOf(axis, (x as Tensor).rank), keepdims === true),
});

/** Mean squared difference from the mean. */
const variance: Reduce = (tf, x, axes, keep) => {
  const { variance: kept } = moments(tf, float(tf, x), axes);
  return keep ? kept : tf.reshape(kept, reducedShape(x.shape, axes, false) as number[]);
};

const logSumExp: Reduce = (tf, x, axes, keep) => {
  const values = float(tf, x);
  const top = tf.max(values, axes, true);
  const total = tf.add(top, tf.log(sum(tf, tf.exp(tf.sub(values, top)), axes, true)));
  return keep ? total : tf.reshape(total, reducedShape(x.shape, axes, false) as number[]);
};

/** Place of the largest or smallest along one axis, or in the flattened tensor. */
const place = (find: (tf: TensorFlow, x: Tensor, axis: number) => Tensor): TensorOperation =>
  reduction((tf, x, axes, keep) => {
    const isWhole = axes.length === x.rank;
    const found = isWhole && x.rank !== 1 ? find(tf, tf.reshape(x, [-1]), 0) : find(tf, x, axes[0] ?? 0);
    return keep ? tf.reshape(found, reducedShape(x.shape, axes, true) as number[]) : found;
  });

/** A norm of vectors, and of matrices the Frobenius norm. */
const norm: Reduce = (tf, x, axes, keep) => tf.sqrt(sum(tf, tf.square(float(tf, x)), axes, keep));

/** Why a norm of this order is not computed. */
function refusedOrder(order: Json | undefined, axis: Json | undefined): string | undefined {
  const isMatrix = Array.isArray(axis) && axis.length === 2;
  const isKnown =
    order === null || order === undefined || order === 'fro' || (!isMatrix && (order === 1 || order === 2));
  if (!isKnown) return `the order ${JSON.stringify(order)}`;
  return order !== null && order !== undefined && (axis === null || axis === undefined)
    ? 'an order without an axis'
    : undefined;
}

const cumulative = (compute: (tf: TensorFlow, x: Tensor, axis: number) => Tensor): TensorOperation => ({
  operands: 1,
  attributes: { axis: null, dtype: null },
  refuse: ({ dtype }) => ((dtype ?? null) !== null ? 'the argument dtype' : undefined),
  shape: ([shape = []], { axis }) =>
    typeof axis === 'number'
      ? [...shape]
      : [shape.reduce<number | null>((n, size) => (n === null || size === null ? null : n * size), 1)],
  compute: (tf, [x], { axis }) =>
    typeof axis === 'number'
      ? compute(tf, x as Tensor, positiveAxis(axis, (x as Tensor).rank))
      : compute(tf, tf.reshape(x as Tensor, [-1]), 0),
});

/** Operations that take axes together, and those that share out along them. */
export const reductions: Readonly<Record<string, TensorOperation>> = {
  sum: reduction((tf, x, axes, keep) => sum(tf, x.dtype === 'bool' ? tf.cast(x, 'int32') : x, axes, keep)),
  mean: reduction(mean),
  average: reduction(mean, { weights: null }),
  prod: reduction((tf, x, axes, keep) => tf.prod(x, axes, keep), { dtype: null }),
  max: reduction((tf, x, axes, keep) => tf.max(x, axes, keep), { initial: null }),
  amax: reduction((tf, x, axes, keep) => tf.max(x, axes, keep)),
  min: reduction((tf, x, axes, keep) => tf.min(x, axes, keep), { initial: null }),
  amin: reduction((tf, x, axes, keep) => tf.min(x, axes, keep)),
  ptp: reduction((tf, x, axes, keep) => tf.sub(tf.max(x, axes, keep), tf.min(x, axes, keep))),
  var: reduction(variance),
  std: reduction((tf, x, axes, keep) => tf.sqrt(variance(tf, x, axes, keep))),
  any: reduction((tf, x, axes, keep) => tf.any(truth(tf, x), axes, keep)),
  all: reduction((tf, x, axes, keep) => tf.all(truth(tf, x), axes, keep)),
  countNonzero: reduction((tf, x, axes, keep) => tf.sum(tf.cast(truth(tf, x), 'int32'), axes, keep)),
  logsumexp: reduction(logSumExp),
  argmax: place((tf, x, axis) => tf.argMax(x, axis)),
  argmin: place((tf, x, axis) => tf.argMin(x, axis)),
  norm: {
    ...reduction(norm),
    attributes: { ord: null, axis: null, keepdims: false },
    refuse: ({ ord, axis }) => refusedOrder(ord, axis),
    compute: (tf, [x], { ord, axis, keepdims }) => {
      const [values, axes] = [float(tf, x as Tensor), axesOf(axis, (x as Tensor).rank)];
      return ord === 1
        ? sum(tf, tf.abs(values), axes, keepdims === true)
        : norm(tf, values, axes, keepdims === true);
    },
  },
  /** `x / max(norm(x), epsilon)` */
  normalize: {
    ...floating(
      (tf, x, { axis, order, epsilon }) => {
        const axes = axesOf(axis ?? -1, x.rank);
        const length = order === 1 ? sum(tf, tf.abs(x), axes, true) : norm(tf, x, axes, true);
        return tf.div(x, tf.maximum(length, numberOf(epsilon, 1e-7)));
      },
      { axis: -1, order: 2, epsilon: null },
    ),
    refuse: ({ order }) => (order === 1 || order === 2 ? undefined : `the order ${JSON.stringify(order)}`),
  },
  softmax: floating((tf, x, { axis }) => softmax(tf, x, axesOf(axis, x.rank)), { axis: -1 }),
  logSoftmax: floating(
    (tf, x, { axis }) => {
      const axes = axesOf(axis, x.rank);
      return tf.sub(x, logSumExp(tf, x, axes, true));
    },
    { axis: -1 },
  ),
  /** The first half along an axis times the sigmoid of the second. */
  glu: {
    ...unary((_, x) => x, { axis: -1 }),
    shape: ([shape = []], { axis }) => {
      const at = positiveAxis(numberOf(axis, -1), shape.length);
      return shape.map((n, i) => (i === at && n !== null ? n / 2 : n));
    },
    compute: (tf, [x], { axis }) => {
      const at = positiveAxis(numberOf(axis, -1), (x as Tensor).rank);
      const [a, b] = tf.split(x as Tensor, 2, at) as [Tensor, Tensor];
      return tf.mul(a, tf.sigmoid(b));
    },
  },
  cumsum: cumulative((tf, x, axis) => tf.cumsum(x, axis)),
  cumprod: cumulative((tf, x, axis) => tf.cumprod(x, axis)),
};
