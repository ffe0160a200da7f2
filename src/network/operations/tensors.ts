import type { Shape } from '../types.js';
import {
  type Attribute,
  anything,
  axes,
  Fault,
  flag,
  int,
  number,
  optional,
  statedAxes,
  text,
} from './attributes.js';
import { expandedEquation } from './layers.js';
import {
  type Application,
  areKnown,
  broadcast,
  broadcastFault,
  fromStart,
  joinedType,
  type Operation,
  type Operations,
  vectorFault,
} from './operation.js';
import {
  batchFault,
  type Form,
  type Operand,
  operandShape,
  operandShapes,
  type TensorOperation,
} from './tensor-operation.js';
import { TENSOR_SHAPES } from './tensor-shapes.js';

const elementwise = (
  form: Form,
  attributes: Operation['attributes'] = {},
  dtype: Operation['dtype'] = 'same',
) => ({
  form,
  attributes,
  dtype,
  shape: (given: Application) => {
    const shapes = operandShapes(given);
    return areKnown(shapes) ? [broadcast(shapes)] : undefined;
  },
  fault: (given: Application) => batchFault(given) ?? broadcastFault(operandShapes(given)),
});

const unary = (attributes: Operation['attributes'] = {}) => elementwise('one', attributes, 'float32');
const binary = () => elementwise('two');
/** Sums, which Keras 3 has a way of its own for where the second is a vector of numbers. */
const sum: TensorOperation = {
  ...binary(),
  fault: (given) => {
    const wrong = binary().fault(given);
    const [first, second] = given.attributes.operands as Operand[];
    if (wrong !== undefined || !given.isKeras3 || first !== null || !Array.isArray(second)) return wrong;
    const [x] = given.shapes;
    const numbers = operandShape(second);
    const long = numbers.flatMap((n, axis) => (n === 1 ? [] : [axis]));
    if (!x || long.length !== 1) return undefined;
    return vectorFault(x, numbers[long[0] as number], (long[0] as number) + x.length - numbers.length);
  },
};
/** Quotients and angles, which are no whole numbers. */
const divided = () => elementwise('two', {}, 'float32');
const compared = () => elementwise('two', {}, 'bool');

/** A shape without some of its axes, or with 1 in their place. */
function reduced(shape: Shape, given: unknown, keep: unknown): Shape {
  const at = Array.isArray(given)
    ? given.map((axis) => fromStart(Number(axis), shape.length))
    : shape.map((_, axis) => axis);
  return shape.flatMap((n, axis) => (at.includes(axis) ? (keep === true ? [1] : []) : [n]));
}

/** Why axes may not be taken together: the samples of a batch are among them. */
const batchSum = ({ attributes: a, shapes: [x] }: Application): string | undefined => {
  const isBatch =
    a.axis === null || (a.axis as number[]).some((axis) => axis === 0 || axis === -(x?.length ?? 0));
  return isBatch ? 'a sum over the samples of a batch' : undefined;
};

const reduction = (
  more: Operation['attributes'] = {},
  dtype: Operation['dtype'] = 'same',
): TensorOperation => ({
  form: 'one',
  attributes: { axis: axes(null), keepdims: flag(false), ...more },
  dtype,
  shape: ({ attributes: a, shapes: [x] }) => x && [reduced(x, a.axis, a.keepdims)],
  fault: batchSum,
});

/** Truth values are added and multiplied as 0 and 1. */
const counted: Operation['dtype'] = (types) => (joinedType(types) === 'bool' ? 'int32' : joinedType(types));

/** Only what is not given by the operation itself. */
const onlyNone =
  (what: string): Attribute =>
  (value) =>
    value === null || value === undefined ? null : new Fault(what);

const axis: Attribute = int(-1);
/** An axis, the last one unless stated: without any, Keras takes all samples together. */
const statedAxis: Attribute = (value, origin) =>
  value === null ? new Fault('an axis') : axis(value, origin);

const matmul = (x: Shape, y: Shape): Shape => {
  const batch = broadcast([x.slice(0, -2), y.slice(0, -2)].filter((s) => s.length > 0).concat([[]]));
  return [...batch, ...(x.length > 1 ? [x.at(-2) ?? null] : []), ...(y.length > 1 ? [y.at(-1) ?? null] : [])];
};

const axisOrNone: Attribute = optional(int(0));

/** Place of the largest or smallest along one axis; without one, in all samples together. */
const place: TensorOperation = {
  ...reduction({ axis: axisOrNone }, 'int32'),
  shape: ({ attributes: a, shapes: [x] }) => x && [reduced(x, a.axis === null ? null : [a.axis], a.keepdims)],
  fault: () => undefined,
};

/** Operations on tensors, by Keras 3's names in `keras.ops`; TensorFlow's in functional models of tf.keras are these too. */
export const TENSOR_TABLE: Readonly<Record<string, TensorOperation>> = {
  Add: sum,
  ...Object.fromEntries(
    ['Subtract', 'Multiply', 'FloorDivide', 'Mod', 'Maximum', 'Minimum', 'Power', 'SquaredDifference'].map(
      (name) => [name, binary()],
    ),
  ),
  ...Object.fromEntries(['Divide', 'TrueDivide', 'Arctan2'].map((name) => [name, divided()])),
  ...Object.fromEntries(
    [
      'Greater',
      'GreaterEqual',
      'Less',
      'LessEqual',
      'Equal',
      'NotEqual',
      'LogicalAnd',
      'LogicalOr',
      'LogicalXor',
    ].map((name) => [name, compared()]),
  ),
  LogicalNot: elementwise('one', {}, 'bool'),
  ...Object.fromEntries(
    ['Negative', 'Absolute', 'Abs', 'Sign', 'Square', 'Round'].map((name) => [name, elementwise('one')]),
  ),
  ...Object.fromEntries(
    [
      'Floor',
      'Ceil',
      'Sqrt',
      'Rsqrt',
      'Exp',
      'Expm1',
      'Log',
      'Log1p',
      'Log2',
      'Log10',
      'Sin',
      'Cos',
      'Tan',
      'Sinh',
      'Cosh',
      'Tanh',
      'Arcsin',
      'Arccos',
      'Arctan',
      'Arcsinh',
      'Arccosh',
      'Arctanh',
      'Erf',
      'Reciprocal',
      'Relu',
      'Relu6',
      'Sigmoid',
      'Softplus',
      'Softsign',
      'LogSigmoid',
      'HardSigmoid',
      'HardSilu',
      'Selu',
      'Mish',
      'TanhShrink',
      'HardTanh',
      'SparsePlus',
      'SparseSigmoid',
      'Exponential',
    ].map((name) => [name, unary()]),
  ),
  Silu: unary({ beta: number(1) }),
  SoftShrink: unary({ threshold: number(0.5) }),
  HardShrink: unary({ threshold: number(0.5) }),
  Threshold: unary({ threshold: number(0), default_value: number(0) }),
  Squareplus: unary({ b: number(4) }),
  LeakyRelu: unary({ negative_slope: number(0.2) }),
  ReLU: unary({ negative_slope: number(0), max_value: optional(number(0, 0)), threshold: number(0) }),
  Elu: unary({ alpha: number(1) }),
  Celu: unary({ alpha: number(1) }),
  Gelu: unary({ approximate: flag(true) }),
  Clip: elementwise('one', { x_min: optional(number(0)), x_max: optional(number(0)) }),
  Softmax: unary({ axis: statedAxes }),
  LogSoftmax: unary({ axis: statedAxes }),
  Glu: {
    form: 'one',
    attributes: { axis },
    shape: ({ attributes: a, shapes: [x] }) => {
      const at = x && fromStart(Number(a.axis), x.length);
      return x && [x.map((n, i) => (i === at && n !== null ? n / 2 : n))];
    },
  },
  Normalize: unary({ axis: statedAxis, order: number(2), epsilon: optional(number(0)) }),
  L2Normalize: { ...unary({ axis: axes(null), epsilon: number(1e-12) }), fault: batchSum },
  Mean: reduction({}, 'float32'),
  Sum: reduction({}, counted),
  Prod: reduction({ dtype: anything }, counted),
  Max: reduction({ initial: onlyNone('none') }),
  Min: reduction({ initial: onlyNone('none') }),
  Amax: reduction(),
  Amin: reduction(),
  Any: reduction({}, 'bool'),
  All: reduction({}, 'bool'),
  Var: reduction({}, 'float32'),
  Std: reduction({}, 'float32'),
  Logsumexp: reduction({}, 'float32'),
  Norm: reduction({ ord: anything }, 'float32'),
  Argmax: place,
  Argmin: place,
  Where: {
    ...elementwise('three'),
    // The condition is none of the values.
    dtype: ([, ...types]) => joinedType(types),
  },
  ...TENSOR_SHAPES,
  Matmul: {
    form: 'two',
    attributes: {},
    dtype: 'same',
    shape: (given) => {
      const [x, y] = operandShapes(given);
      return x && y && [matmul(x, y)];
    },
    fault: (given) => {
      const ranks = given.shapes.map((shape) => shape?.length ?? 3);
      const [first] = given.attributes.operands as Operand[];
      // The batch is no axis of the matrices: of the left one it is no row where numbers stand at the right.
      const least = first === null && ranks.length === 1 ? 2 : 3;
      return (
        batchFault(given) ??
        (Math.min(...ranks) < least ? 'a product over the samples of a batch' : undefined)
      );
    },
  },
  Einsum: {
    form: 'list',
    attributes: { subscripts: text },
    dtype: 'float32',
    shape: ({ attributes: a, shapes }) => {
      if (!areKnown(shapes) || shapes.length !== 2) return undefined;
      const { left, right, out } = expandedEquation(String(a.subscripts), (shapes[0] as Shape).length);
      return [
        [...out].map((letter) => {
          const at = left.indexOf(letter);
          return (at >= 0 ? shapes[0]?.[at] : shapes[1]?.[right.indexOf(letter)]) ?? null;
        }),
      ];
    },
    fault: ({ attributes: a, shapes }) => {
      if (shapes.length !== 2) return `${shapes.length} operands`;
      const { left, right, out } = expandedEquation(String(a.subscripts), shapes[0]?.length ?? 0);
      const isBatch = left[0] === right[0] && left[0] === out[0];
      return shapes[0] && !isBatch
        ? `subscripts: ${String(a.subscripts)}, which mix samples of a batch`
        : undefined;
    },
  },
  OneHot: {
    form: 'one',
    attributes: { num_classes: int(0), axis, dtype: anything, sparse: flag(false) },
    shape: ({ attributes: a, shapes: [x] }) => x && [[...x, Number(a.num_classes)]],
    fault: ({ attributes: a }) =>
      a.axis === -1 && a.sparse === false ? undefined : `axis: ${String(a.axis)}`,
  },
};

export const TENSORS: Operations = Object.fromEntries(
  Object.entries(TENSOR_TABLE).map(([name, { form: _, places: __, ...operation }]) => [
    `ops.${name}`,
    { ...operation, attributes: { operands: anything, ...operation.attributes } },
  ]),
);
