// Operations on tensors: functions of `keras.ops` and of TensorFlow, one or a few nodes each.
import { expandedEquation } from '../network/operations/layers.js';
import { type Place, placesOf, sliced } from '../network/operations/slices.js';
import { type Operand, operandShape, valueType } from '../network/operations/tensor-operation.js';
import type { Binary, Builder, Part, Reduction, Unary } from './builder.js';
import {
  axesOf,
  axisOf,
  bounded,
  type Context,
  ELEMENTS,
  type Emit,
  each,
  floatOf,
  resultShape,
} from './context.js';
import { unitLength } from './layers-normalizations.js';
import { refuse } from './refusal.js';
import { plainOrder, Tensor } from './tensor.js';
import type { Dim, ElementType, Val } from './values.js';

/** Tensors and constants that an operation takes, in one element type and one order. */
function operandsOf(
  c: Context,
  type?: ElementType,
): { readonly vals: Val[]; readonly order: readonly number[] } {
  const { graph } = c;
  let next = 0;
  const given = (c.attributes.operands as unknown as Operand[]).map((operand) =>
    operand === null ? (c.inputs[next++] as Tensor) : operand,
  );
  const tensors = given.filter((one): one is Tensor => one instanceof Tensor);
  const types = new Set(tensors.map((x) => x.type));
  const isWhole = (one: Operand): boolean =>
    Array.isArray(one) ? one.every(isWhole) : Number.isInteger(one);
  const areWhole = given.every((one) => one instanceof Tensor || isWhole(one));
  const own: ElementType =
    type ??
    (types.has('float') || !areWhole
      ? 'float'
      : types.has('int32') || tensors.length < given.length
        ? 'int32'
        : (tensors[0] as Tensor).type);
  const rank = Math.max(...tensors.map((x) => x.rank));
  const isAligned =
    tensors.every((x) => x.rank === rank) &&
    given.every((one) => one instanceof Tensor || !Array.isArray(one));
  const order = isAligned ? (tensors[0] as Tensor).order : plainOrder(rank);
  const vals = given.map((one) => {
    if (one instanceof Tensor) return graph.cast(isAligned ? one.in(order) : one.plain, own);
    const list = (Array.isArray(one) ? one.flat(9) : [one]) as number[];
    const constant = own === 'int32' || own === 'bool' ? own : 'float';
    return graph.constant(constant, list, operandShape(one) as number[]);
  });
  return { vals, order };
}

/** Two tensors or numbers element by element. */
const pair =
  (work: (g: Builder, x: Val, y: Val) => Val, type?: ElementType): Emit =>
  (c) => {
    const { vals, order } = operandsOf(c, type);
    const [x, y] = vals as [Val, Val];
    // Arithmetic knows no truth values: they are 0 and 1.
    const numeric = (val: Val) => (val.type === 'bool' && type !== 'bool' ? c.graph.cast(val, 'int32') : val);
    const made = work(c.graph, numeric(x), numeric(y));
    const rank = made.shape.length;
    return [Tensor.of(c.graph, made, order.length === rank ? order : plainOrder(rank))];
  };

const plainPair = (op: Binary) => pair((g, x, y) => g.binary(op, x, y));
const compared = (op: Binary) => pair((g, x, y) => g.binary(op, x, y, 'bool'));

const floorDivide = (g: Builder, x: Val, y: Val): Val =>
  g.cast(g.unary('Floor', g.binary('Div', g.cast(x, 'float'), g.cast(y, 'float'))), x.type);

const unary =
  (work: (g: Builder, x: Val) => Val): Emit =>
  (c) => [each(floatOf(c.inputs[0] as Tensor), (x) => work(c.graph, x))];

const simple = (op: Unary) => unary((g, x) => g.unary(op, x));
/** Of numbers of either type. */
const numeric =
  (op: Unary): Emit =>
  (c) => [each(c.inputs[0] as Tensor, (x) => c.graph.unary(op, x))];

/** Axes to one number, in the order that the tensor has where its axes stay. */
const reduction =
  (work: (g: Builder, x: Val, axes: readonly number[], keep: boolean) => Val, isFloat = true): Emit =>
  (c) => {
    const given = c.inputs[0] as Tensor;
    const x = isFloat || given.type === 'bool' ? floatOf(given) : given;
    const axes = axesOf(c.attributes.axis, x.rank);
    const keep = c.attributes.keepdims === true;
    const { order } = x;
    const made = work(
      c.graph,
      x.own,
      axes.map((axis) => order.indexOf(axis)),
      keep,
    );
    if (keep) return [Tensor.of(c.graph, made, order)];
    const left = order.filter((axis) => !axes.includes(axis));
    const sorted = [...left].sort((a, b) => a - b);
    return [
      Tensor.of(
        c.graph,
        made,
        left.map((axis) => sorted.indexOf(axis)),
      ),
    ];
  };

const reduced = (op: Reduction, isFloat = false) =>
  reduction((g, x, axes, keep) => g.reduce(op, x, axes, keep), isFloat);

const variance = (g: Builder, x: Val, axes: readonly number[], keep: boolean): Val => {
  const less = g.binary('Sub', x, g.reduce('ReduceMean', x, axes, true));
  return g.reduce('ReduceMean', g.binary('Mul', less, less), axes, keep);
};

/** Place of the largest or smallest along one axis, the first of several. */
const place =
  (op: 'ArgMax' | 'ArgMin'): Emit =>
  (c) => {
    const { graph, attributes: a } = c;
    const x = (c.inputs[0] as Tensor).plain;
    if (a.axis === null) return refuse('the place in a whole batch');
    const axis = axisOf(a.axis, x.shape.length);
    const keep = a.keepdims === true;
    return [Tensor.of(graph, graph.place(op, x, axis, keep))];
  };

const truth =
  (op: 'ReduceMax' | 'ReduceMin'): Emit =>
  (c) => {
    const x = c.inputs[0] as Tensor;
    const { graph } = c;
    const isTrue = Tensor.of(graph, graph.cast(graph.cast(x.own, 'bool'), 'float'), x.order);
    const [made] = reduced(op)({ ...c, inputs: [isTrue] }) as [Tensor];
    return [each(made, (val) => graph.cast(val, 'bool'))];
  };

const norm: Emit = (c) => {
  const { ord, axis } = c.attributes;
  const isMatrix = Array.isArray(axis) && axis.length === 2;
  const isPlain = ord === null || ord === undefined || ord === 'fro' || ord === 'euclidean';
  if (!isPlain && (isMatrix || axis === null || (ord !== 1 && ord !== 2)))
    refuse(`ord: ${JSON.stringify(ord)}`);
  return reduced(ord === 1 ? 'ReduceL1' : 'ReduceL2', true)(c);
};

const normalize: Emit = (c) => {
  const { graph, attributes: a } = c;
  const x = floatOf(c.inputs[0] as Tensor);
  if (a.order !== 1 && a.order !== 2) refuse(`order: ${JSON.stringify(a.order)}`);
  const axis = axisOf(a.axis ?? -1, x.rank);
  return [
    each(x, (val) => {
      const op = a.order === 1 ? 'ReduceL1' : 'ReduceL2';
      const length = graph.reduce(op, val, [x.order.indexOf(axis)], true);
      return graph.binary('Div', val, graph.binary('Max', length, Number(a.epsilon ?? 1e-7)));
    }),
  ];
};

const getItem: Emit = (c) => {
  const { graph } = c;
  const x = (c.inputs[0] as Tensor).plain;
  const places = placesOf(c.attributes.key as unknown as Place[], x.shape.length);
  const parts: Part[] = [];
  const gone: number[] = [];
  const added: number[] = [];
  let axis = 0;
  let out = 0;
  const far = Number.MAX_SAFE_INTEGER;
  for (const item of places) {
    if (item === null) {
      added.push(out++);
      continue;
    }
    const n = x.shape[axis] as Dim;
    if (typeof item === 'number') {
      parts.push({ axis, start: item, end: item === -1 ? far : item + 1, length: 1 });
      gone.push(axis++);
      continue;
    }
    const step = item.step ?? 1;
    const isWhole = item.start === null && item.stop === null && step === 1;
    if (!isWhole) {
      const length = sliced(typeof n === 'number' ? n : null, item);
      const start = item.start ?? (step > 0 ? 0 : far);
      // Python's stop of a slice backwards is open where it is not given; -1 would be the last place.
      const end = item.stop ?? (step > 0 ? far : -far);
      parts.push({ axis, start, end, step, length });
    }
    axis++;
    out++;
  }
  return [Tensor.of(graph, graph.unsqueeze(graph.squeeze(graph.slice(x, parts), gone), added))];
};

const cast: Emit = (c) => {
  const type = ELEMENTS[valueType(c.attributes.dtype)] ?? refuse(`dtype: ${String(c.attributes.dtype)}`);
  return [each(c.inputs[0] as Tensor, (x) => c.graph.cast(x, type))];
};

/** 0 or 1 wherever the tensor has a number: `x < x` is false whatever x is. */
const filled =
  (isOne: boolean): Emit =>
  (c) => {
    const { graph, attributes } = c;
    const dtype = attributes.dtype === null ? undefined : valueType(attributes.dtype);
    return [
      each(c.inputs[0] as Tensor, (x) => {
        const own = graph.cast(x, 'float');
        const never = graph.binary('Less', own, own, 'bool');
        return graph.cast(
          isOne ? graph.unary('Not', never) : never,
          dtype ? (ELEMENTS[dtype] as ElementType) : x.type,
        );
      }),
    ];
  };

const where: Emit = (c) => {
  const { graph } = c;
  const [condition, ...rest] = c.attributes.operands as unknown as Operand[];
  if (condition !== null) return refuse('a condition that is no tensor');
  const isTrue = graph.cast((c.inputs[0] as Tensor).plain, 'bool');
  const inputs = c.inputs.slice(1).map((x) => Tensor.of(graph, x.plain));
  const own = { ...c, inputs, attributes: { operands: rest as never } };
  const constants = rest.map((one) => {
    const list = (Array.isArray(one) ? one.flat(9) : [one]) as number[];
    return graph.constant('float', list, operandShape(one) as number[]);
  });
  const [x, y] = inputs.length > 0 ? operandsOf(own, 'float').vals : constants;
  return [Tensor.of(graph, graph.where(isTrue, x as Val, y as Val))];
};

const product: Emit = (c) => {
  const [x, y] = c.inputs.map((one) => floatOf(one).plain);
  if (!x || !y) return refuse('a product with a constant');
  return [Tensor.of(c.graph, c.graph.matmul(x, y))];
};

const einsum: Emit = (c) => {
  const [x, y] = c.inputs.map((one) => floatOf(one).plain);
  if (!x || !y || c.inputs.length !== 2) return refuse('an equation of a constant');
  const { left, right, out } = expandedEquation(String(c.attributes.subscripts), x.shape.length);
  const shape = resultShape(c);
  const equation = `${left},${right}->${out}`;
  return [Tensor.of(c.graph, c.graph.einsum(equation, x, y, shape))];
};

const oneHot: Emit = (c) => {
  const { graph } = c;
  const x = (c.inputs[0] as Tensor).plain;
  const depth = bounded(Number(c.attributes.num_classes), 'classes');
  const classes = graph.constant(
    'int32',
    Array.from({ length: depth }, (_, i) => i),
  );
  const indices = graph.unsqueeze(graph.cast(x, 'int32'), [x.shape.length]);
  return [Tensor.of(graph, graph.cast(graph.binary('Equal', indices, classes, 'bool'), 'float'))];
};

const glu: Emit = (c) => {
  const { graph } = c;
  const x = floatOf(c.inputs[0] as Tensor);
  const axis = axisOf(c.attributes.axis, x.rank);
  const half = Number(x.shape[axis]) / 2;
  const [a, b] = graph.split(x.plain, [half, half], axis) as [Val, Val];
  return [Tensor.of(graph, graph.binary('Mul', a, graph.unary('Sigmoid', b)))];
};

const ops = (table: Record<string, Emit>) =>
  Object.fromEntries(Object.entries(table).map(([name, emit]) => [`ops.${name}`, emit]));

/** Operations of `keras.ops`. */
export const TENSORS: Readonly<Record<string, Emit>> = ops({
  Add: plainPair('Add'),
  Subtract: plainPair('Sub'),
  Multiply: plainPair('Mul'),
  Maximum: plainPair('Max'),
  Minimum: plainPair('Min'),
  Power: plainPair('Pow'),
  Divide: pair((g, x, y) => g.binary('Div', x, y), 'float'),
  TrueDivide: pair((g, x, y) => g.binary('Div', x, y), 'float'),
  FloorDivide: pair(floorDivide),
  Mod: pair((g, x, y) => g.binary('Sub', x, g.binary('Mul', floorDivide(g, x, y), y))),
  SquaredDifference: pair((g, x, y) => {
    const less = g.binary('Sub', x, y);
    return g.binary('Mul', less, less);
  }),
  Greater: compared('Greater'),
  GreaterEqual: compared('GreaterOrEqual'),
  Less: compared('Less'),
  LessEqual: compared('LessOrEqual'),
  Equal: compared('Equal'),
  NotEqual: pair((g, x, y) => g.unary('Not', g.binary('Equal', x, y, 'bool'))),
  LogicalAnd: pair((g, x, y) => g.binary('And', x, y), 'bool'),
  LogicalOr: pair((g, x, y) => g.binary('Or', x, y), 'bool'),
  LogicalXor: pair((g, x, y) => g.binary('Xor', x, y), 'bool'),
  LogicalNot: (c) => [each(c.inputs[0] as Tensor, (x) => c.graph.unary('Not', c.graph.cast(x, 'bool')))],
  Negative: numeric('Neg'),
  Absolute: numeric('Abs'),
  Abs: numeric('Abs'),
  Sign: numeric('Sign'),
  Square: (c) => [each(c.inputs[0] as Tensor, (x) => c.graph.binary('Mul', x, x))],
  Floor: simple('Floor'),
  Ceil: simple('Ceil'),
  Round: simple('Round'),
  Sqrt: simple('Sqrt'),
  Rsqrt: unary((g, x) => g.binary('Div', g.scalar(1), g.unary('Sqrt', x))),
  Reciprocal: simple('Reciprocal'),
  Expm1: unary((g, x) => g.binary('Sub', g.unary('Exp', x), 1)),
  Log: simple('Log'),
  Log1p: unary((g, x) => g.unary('Log', g.binary('Add', x, 1))),
  Log2: unary((g, x) => g.binary('Div', g.unary('Log', x), Math.LN2)),
  Log10: unary((g, x) => g.binary('Div', g.unary('Log', x), Math.LN10)),
  Sin: simple('Sin'),
  Cos: simple('Cos'),
  Tan: simple('Tan'),
  Sinh: simple('Sinh'),
  Cosh: simple('Cosh'),
  Arcsin: simple('Asin'),
  Arccos: simple('Acos'),
  Arctan: simple('Atan'),
  Arcsinh: simple('Asinh'),
  Arccosh: simple('Acosh'),
  Arctanh: simple('Atanh'),
  Erf: simple('Erf'),
  Clip: (c) => [
    each(c.inputs[0] as Tensor, (x) => {
      const { x_min: low, x_max: high } = c.attributes;
      return c.graph.clip(
        x,
        (low ?? undefined) as number | undefined,
        (high ?? undefined) as number | undefined,
      );
    }),
  ],
  Glu: glu,
  Normalize: normalize,
  L2Normalize: (c) => {
    const x = floatOf(c.inputs[0] as Tensor);
    return [unitLength(c.graph, x, axesOf(c.attributes.axis, x.rank), Number(c.attributes.epsilon))];
  },
  Mean: reduced('ReduceMean', true),
  Sum: reduced('ReduceSum'),
  Prod: reduced('ReduceProd'),
  Max: reduced('ReduceMax'),
  Amax: reduced('ReduceMax'),
  Min: reduced('ReduceMin'),
  Amin: reduced('ReduceMin'),
  Any: truth('ReduceMax'),
  All: truth('ReduceMin'),
  Var: reduction(variance),
  Std: reduction((g, x, axes, keep) => g.unary('Sqrt', variance(g, x, axes, keep))),
  Logsumexp: reduced('ReduceLogSumExp', true),
  Norm: norm,
  Argmax: place('ArgMax'),
  Argmin: place('ArgMin'),
  Where: where,
  Matmul: product,
  Einsum: einsum,
  OneHot: oneHot,
  Cast: cast,
  ZerosLike: filled(false),
  OnesLike: filled(true),
  GetItem: getItem,
  Pad: (c) => {
    const pairs = c.attributes.pad_width as unknown as readonly (readonly [number, number])[];
    const x = c.inputs[0] as Tensor;
    const ends = pairs.map((own, axis) => ({ axis: x.order.indexOf(axis), pair: own }));
    return [each(x, (val) => c.graph.pad(val, ends, Number(c.attributes.constant_values)))];
  },
});
