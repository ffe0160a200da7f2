import { addActivation } from './activations.js';
import { axisOf, type Build, type Context, refuse } from './context.js';
import { addCombination } from './elements.js';
import { addFunction } from './functions.js';
import { addPooled, turned } from './pooled.js';
import type { Program, Tensor } from './program.js';
import { COMBINATIONS, type CombinationKind } from './record.js';

/** One element after the other taken together over axes. */
function addFold(
  program: Program,
  x: Tensor,
  axes: readonly number[],
  keep: boolean,
  how: CombinationKind,
): Tensor {
  const { first, shape, count } = turned(program, x, axes, keep);
  const out = program.tensor(shape);
  const n = out.size;
  const kind = COMBINATIONS.indexOf(how);
  program.step([first], [out], () => {
    const { kernels } = program;
    const [from, to] = [first.storage.at, out.storage.at];
    kernels.move(from, to, 1, 1, 1, 4 * n, 0, 0, 0, 0, 0, 0);
    for (let i = 1; i < count; i++) kernels.combine(to, from + 4 * n * i, n, n, kind, to);
  });
  return out;
}

/** Sum over axes, one element after the other. */
export const addSum = (program: Program, x: Tensor, axes: readonly number[], keep: boolean): Tensor =>
  addFold(program, x, axes, keep, 'add');

type Reduce = (program: Program, x: Tensor, axes: readonly number[], keep: boolean) => Tensor;

/** `mean((x - mean)^2)`, the mean kept for what follows. */
export function addMoments(program: Program, x: Tensor, axes: readonly number[], keep: boolean) {
  const mean = addPooled(program, x, axes, true, false);
  const centered = addCombination(program, x, mean, 'subtract');
  const variance = addPooled(program, addFunction(program, centered, 'square'), axes, keep, false);
  return { centered, variance };
}

const variance: Reduce = (program, x, axes, keep) => addMoments(program, x, axes, keep).variance;
const root: Reduce = (program, x, axes, keep) =>
  addFunction(program, addSum(program, addFunction(program, x, 'square'), axes, keep), 'sqrt');

const logSumExp: Reduce = (program, x, axes, keep) => {
  const most = addPooled(program, x, axes, true, true);
  const less = addFunction(program, addCombination(program, x, most, 'subtract'), 'exponential');
  const total = addFunction(program, addSum(program, less, axes, true), 'log');
  const out = addCombination(program, total, most, 'add');
  return keep ? out : program.view(out, turned(program, x, axes, false).shape);
};

/** Axes of Keras; none of them is the batch. */
const axesOf = (c: Context, x: Tensor): readonly number[] => {
  const { axis } = c.attributes;
  const list = Array.isArray(axis) ? axis : [axis];
  return list.map((own) => axisOf(own, x.shape.length));
};

const reduction =
  (reduce: Reduce): Build =>
  (c) => {
    const [x] = c.inputs as [Tensor];
    return [reduce(c.program, x, axesOf(c, x), c.attributes.keepdims === true)];
  };

const fold = (kind: CombinationKind): Build => reduction((...given) => addFold(...given, kind));
const truth =
  (kind: CombinationKind): Reduce =>
  (program, x, axes, keep) =>
    addFold(program, addFunction(program, x, 'truth'), axes, keep, kind);

/** Place of the largest or smallest along an axis, the first of several; NaN is neither where there is a number. */
const place =
  (isMost: boolean): Build =>
  (c) => {
    const { program } = c;
    const [x] = c.inputs as [Tensor];
    const { first, shape, count } = turned(program, x, axesOf(c, x), c.attributes.keepdims === true);
    const out = program.tensor(shape);
    const n = out.size;
    program.step([first], [out], () => {
      const { floats } = program;
      const [from, to] = [first.storage.at >> 2, out.storage.at >> 2];
      for (let i = 0; i < n; i++) {
        let best = 0;
        for (let k = 1; k < count; k++) {
          const [own, other] = [floats[from + k * n + i] as number, floats[from + best * n + i] as number];
          const isFirst = Number.isNaN(other) && !Number.isNaN(own);
          if (isFirst || (isMost ? own > other : own < other)) best = k;
        }
        floats[to + i] = best;
      }
    });
    return [out];
  };

const norm: Build = (c) => {
  const { ord } = c.attributes;
  const [x] = c.inputs as [Tensor];
  const axes = axesOf(c, x);
  const isLength = ord === null || ord === 'euclidean' || ord === 'fro' || (ord === 2 && axes.length === 1);
  if (!isLength && !(ord === 1 && axes.length === 1)) refuse(`ord: ${JSON.stringify(ord)}`);
  const keep = c.attributes.keepdims === true;
  if (isLength) return [root(c.program, x, axes, keep)];
  return [addSum(c.program, addFunction(c.program, x, 'abs'), axes, keep)];
};

/** `x / max(norm(x), least)` along axes. */
export function addUnit(
  program: Program,
  x: Tensor,
  axes: readonly number[],
  least: number,
  order = 2,
): Tensor {
  if (order !== 1 && order !== 2) refuse(`order: ${order}`);
  const length =
    order === 2 ? root(program, x, axes, true) : addSum(program, addFunction(program, x, 'abs'), axes, true);
  const bound = addActivation(program, length, { type: 'bounds', low: least, high: Infinity });
  return addCombination(program, x, bound, 'divide');
}

/** `x / sqrt(max(sum(x x), epsilon))` along axes. */
function addUnitOfSquares(program: Program, x: Tensor, axes: readonly number[], epsilon: number): Tensor {
  const sum = addSum(program, addFunction(program, x, 'square'), axes, true);
  const bound = addActivation(program, sum, { type: 'bounds', low: epsilon, high: Infinity });
  return addCombination(program, x, addFunction(program, bound, 'sqrt'), 'divide');
}

const unit: Build = (c) => {
  const { attributes: a, program } = c;
  const [x] = c.inputs as [Tensor];
  return [addUnit(program, x, axesOf(c, x), Number(a.epsilon ?? 1e-7), Number(a.order ?? 2))];
};

const unitOfSquares =
  (epsilonOf: (c: Context) => number): Build =>
  (c) => {
    const [x] = c.inputs as [Tensor];
    const axes = c.attributes.axis === null ? x.shape.map((_, i) => i) : axesOf(c, x);
    return [addUnitOfSquares(c.program, x, axes, epsilonOf(c))];
  };

/** Operations that take axes together, and that share out along them. */
export const REDUCTIONS: Readonly<Record<string, Build>> = {
  'ops.Mean': reduction((...given) => addPooled(...given, false)),
  'ops.Sum': reduction(addSum),
  'ops.Max': reduction((...given) => addPooled(...given, true)),
  'ops.Amax': reduction((...given) => addPooled(...given, true)),
  'ops.Min': fold('minimum'),
  'ops.Amin': fold('minimum'),
  'ops.Prod': fold('multiply'),
  'ops.Any': reduction(truth('maximum')),
  'ops.All': reduction(truth('minimum')),
  'ops.Var': reduction(variance),
  'ops.Std': reduction((program, ...given) => addFunction(program, variance(program, ...given), 'sqrt')),
  'ops.Logsumexp': reduction(logSumExp),
  'ops.Argmax': place(true),
  'ops.Argmin': place(false),
  'ops.Norm': norm,
  'ops.Normalize': unit,
  'ops.L2Normalize': unitOfSquares((c) => Number(c.attributes.epsilon)),
  UnitNormalization: unitOfSquares(() => 1e-12),
};
