import type { Json } from '../../../model.js';
import type { Tensor, TensorFlow } from '../../types.js';
import { einsum } from '../attention.js';
import { positiveAxis, type Shape } from '../define.js';
import { sum } from '../sums.js';
import { float, spread, type TensorOperation } from './spec.js';

const volume = (sizes: readonly number[]) => sizes.reduce((a, b) => a * b, 1);

/** Shape of a product of matrices in the last two axes, batches spread; vectors as NumPy takes them. */
function productShape([a = [], b = []]: readonly Shape[]): Shape {
  const left = a.length === 1 ? [1, ...a] : a;
  const right = b.length === 1 ? [...b, 1] : b;
  const batch = left.length > 2 || right.length > 2 ? spread([left.slice(0, -2), right.slice(0, -2)]) : [];
  return [
    ...batch,
    ...(a.length === 1 ? [] : [left.at(-2) ?? null]),
    ...(b.length === 1 ? [] : [right.at(-1) ?? null]),
  ];
}

function product(tf: TensorFlow, x: Tensor, y: Tensor): Tensor {
  const out = productShape([x.shape, y.shape]) as number[];
  const a = x.rank === 1 ? tf.expandDims(x, 0) : x;
  const b = y.rank === 1 ? tf.expandDims(y, 1) : y;
  const [rows, inner] = a.shape.slice(-2) as [number, number];
  const columns = b.shape.at(-1) as number;
  if (b.rank === 2) {
    const flat = tf.reshape(a, [volume(a.shape.slice(0, -1)), inner]);
    return tf.reshape(tf.matMul(flat, b), out);
  }
  const batch = spread([a.shape.slice(0, -2), b.shape.slice(0, -2)]) as number[];
  const whole = (m: Tensor, size: number[]) => {
    const shape = [...batch, ...size];
    const same = m.rank === shape.length && m.shape.every((n, i) => n === shape[i]);
    return tf.reshape(same ? m : tf.broadcastTo(m, shape), [volume(batch), ...size]);
  };
  return tf.reshape(tf.matMul(whole(a, [rows, inner]), whole(b, [inner, columns])), out);
}

/** Axes of both that are summed over. */
function pairOf(axes: Json | undefined, ranks: readonly [number, number]): [number[], number[]] {
  if (typeof axes === 'number') {
    return [
      Array.from({ length: axes }, (_, i) => ranks[0] - axes + i),
      Array.from({ length: axes }, (_, i) => i),
    ];
  }
  const [a = [], b = []] = (axes as Json[]).map((list) => [list].flat().map(Number));
  return [a.map((axis) => positiveAxis(axis, ranks[0])), b.map((axis) => positiveAxis(axis, ranks[1]))];
}

function contractedShape([a = [], b = []]: readonly Shape[], axes: Json | undefined): Shape {
  const [left, right] = pairOf(axes, [a.length, b.length]);
  return [...a.filter((_, i) => !left.includes(i)), ...b.filter((_, i) => !right.includes(i))];
}

/** Sum over products along pairs of axes. */
function contracted(tf: TensorFlow, x: Tensor, y: Tensor, axes: Json | undefined): Tensor {
  const [left, right] = pairOf(axes, [x.rank, y.rank]);
  const kept = (rank: number, gone: number[]) =>
    Array.from({ length: rank }, (_, i) => i).filter((i) => !gone.includes(i));
  const [a, b] = [kept(x.rank, left), kept(y.rank, right)];
  const inner = volume(left.map((axis) => x.shape[axis] as number));
  const matrix = (t: Tensor, order: number[], shape: [number, number]) =>
    tf.reshape(tf.transpose(t, order), shape);
  const rows = matrix(x, [...a, ...left], [volume(a.map((axis) => x.shape[axis] as number)), inner]);
  const columns = matrix(y, [...right, ...b], [inner, volume(b.map((axis) => y.shape[axis] as number))]);
  return tf.reshape(tf.matMul(rows, columns), contractedShape([x.shape, y.shape], axes) as number[]);
}

/** The axes that NumPy's `dot` sums over: the last of the first, the last but one of the second. */
const dotAxes = (rank: number): Json => [[-1], [rank === 1 ? 0 : -2]];

interface Equation {
  readonly inputs: readonly string[];
  readonly out: string;
}

/** `abc,cd->abd`; undefined where it is of another kind. */
function equationOf(text: Json | undefined): Equation | undefined {
  const [left = '', out, ...rest] = String(text).replace(/\s/g, '').split('->');
  const inputs = left.split(',');
  const isPlain = out !== undefined && rest.length === 0 && inputs.length <= 2;
  const parts = [...inputs, out ?? ''];
  const areLetters = parts.every((part) => /^[A-Za-z]*$/.test(part) && new Set(part).size === part.length);
  return isPlain && areLetters && [...(out ?? '')].every((c) => left.includes(c))
    ? { inputs, out }
    : undefined;
}

const pairwise = (
  shape: (shapes: readonly Shape[]) => Shape,
  compute: (tf: TensorFlow, x: Tensor, y: Tensor) => Tensor,
): TensorOperation => ({
  operands: 2,
  attributes: {},
  shape: (shapes) => shape(shapes),
  compute: (tf, [x, y]) => compute(tf, float(tf, x as Tensor), float(tf, y as Tensor)),
});

/** Products of matrices and their kin. */
export const products: Readonly<Record<string, TensorOperation>> = {
  matmul: pairwise(productShape, product),
  dot: pairwise(
    ([a = [], b = []]) =>
      a.length === 0 || b.length === 0 ? [...a, ...b] : contractedShape([a, b], dotAxes(b.length)),
    (tf, x, y) => (x.rank === 0 || y.rank === 0 ? tf.mul(x, y) : contracted(tf, x, y, dotAxes(y.rank))),
  ),
  inner: pairwise(
    ([a = [], b = []]) => contractedShape([a, b], [[-1], [-1]]),
    (tf, x, y) => contracted(tf, x, y, [[-1], [-1]]),
  ),
  outer: pairwise(
    (shapes) =>
      shapes.map((shape) =>
        shape.reduce<number | null>((n, s) => (n === null || s === null ? null : n * s), 1),
      ),
    (tf, x, y) => tf.matMul(tf.reshape(x, [-1, 1]), tf.reshape(y, [1, -1])),
  ),
  tensordot: {
    operands: 2,
    attributes: { axes: 2 },
    shape: (shapes, { axes }) => contractedShape(shapes, axes),
    compute: (tf, [x, y], { axes }) => contracted(tf, float(tf, x as Tensor), float(tf, y as Tensor), axes),
  },
  einsum: {
    operands: 'list',
    attributes: { subscripts: '' },
    refuse: ({ subscripts }) => (equationOf(subscripts) ? undefined : `the equation ${String(subscripts)}`),
    shape: (shapes, { subscripts }) => {
      const { inputs = [], out = '' } = equationOf(subscripts) ?? {};
      return [...out].map((c) => {
        const from = inputs.findIndex((part) => part.includes(c));
        return shapes[from]?.[inputs[from]?.indexOf(c) ?? 0] ?? null;
      });
    },
    compute: (tf, operands, { subscripts }) => {
      const { inputs = [], out = '' } = equationOf(subscripts) ?? {};
      const [x, y] = operands.map((operand) => float(tf, operand));
      if (x && y) return einsum(tf, `${inputs.join(',')}->${out}`, x, y);
      const letters = [...(inputs[0] ?? '')];
      const gone = letters.flatMap((c, i) => (out.includes(c) ? [] : [i]));
      const left = letters.filter((c) => out.includes(c));
      const summed = gone.length > 0 ? sum(tf, x as Tensor, gone) : (x as Tensor);
      return tf.transpose(
        summed,
        [...out].map((c) => left.indexOf(c)),
      );
    },
  },
};
