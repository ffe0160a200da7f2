import type { Json } from '../model.js';
import { broadcast } from '../network/operations/operation.js';
import { type Place, placesOf, windowOf } from '../network/operations/slices.js';
import { type Operand, operandShape } from '../network/operations/tensor-operation.js';
import { axisOf, type Build, type Context, numberOf, numbersOf, refuse } from './context.js';
import { addCombination } from './elements.js';
import { addFunction } from './functions.js';
import {
  addBox,
  addBroadcast,
  addConcatenation,
  addPadding,
  addPermutation,
  addRepetition,
} from './moves.js';
import type { Program, Tensor } from './program.js';
import type { CombinationKind } from './record.js';

/** Operands in order, numbers among them. */
function operandsOf(c: Context): Tensor[] {
  let next = 0;
  return (c.attributes.operands as unknown as Operand[]).map((operand) => {
    if (operand === null) return c.inputs[next++] as Tensor;
    const list = Array.isArray(operand) ? (operand.flat(9) as number[]) : [Number(operand)];
    const shape = operandShape(operand);
    // With an axis for the batch it is the same for every sample.
    const own = shape.length > first(c).shape.length ? shape.slice(1) : shape;
    return c.program.constant(Float32Array.from(list), own as number[]);
  });
}

/** `x op y`, where either may be a number or a list of numbers. */
const binary =
  (kind: CombinationKind, isTurned = false): Build =>
  (c) => {
    const [x, y] = operandsOf(c) as [Tensor, Tensor];
    return [isTurned ? addCombination(c.program, y, x, kind) : addCombination(c.program, x, y, kind)];
  };

/** The same of what is true and false. */
const logical =
  (kind: CombinationKind): Build =>
  (c) => {
    const [x, y] = operandsOf(c).map((tensor) => addFunction(c.program, tensor, 'truth')) as [Tensor, Tensor];
    return [addCombination(c.program, x, y, kind)];
  };

const first = (c: Context): Tensor => c.inputs[0] as Tensor;

/** `x` where it is positive, a slope times `x` elsewhere. */
const prelu: Build = (c) => {
  const [x] = c.inputs as [Tensor];
  const shared = c.attributes.shared_axes === null ? [] : numbersOf(c.attributes.shared_axes);
  const shape = x.shape.map((n, i) => (shared.includes(i + 1) ? 1 : n));
  const alpha = c.program.constant(c.values('alpha') as Float32Array, shape);
  return [addCombination(c.program, x, alpha, 'prelu')];
};

/** Whole powers, and roots. */
const power: Build = (c) => {
  const { program } = c;
  const [given, exponent] = c.attributes.operands as [unknown, unknown];
  const x = first(c);
  if (given !== null || typeof exponent !== 'number') refuse('an exponent that is no number');
  switch (exponent) {
    case 0.5:
      return [addFunction(program, x, 'sqrt')];
    case -0.5:
      return [addFunction(program, x, 'rsqrt')];
    case -1:
      return [addFunction(program, x, 'reciprocal')];
    case 1:
      return [x];
    case 2:
      return [addFunction(program, x, 'square')];
    case 3:
      return [addCombination(program, addFunction(program, x, 'square'), x, 'multiply')];
    case 4:
      return [addFunction(program, addFunction(program, x, 'square'), 'square')];
    default:
      return refuse(`exponent: ${exponent}`);
  }
};

/** 1 where x is 0, else 0. */
const addNot = (program: Program, x: Tensor): Tensor =>
  addCombination(program, x, program.constant(Float32Array.of(0), []), 'equal');

const where: Build = (c) => {
  const { program } = c;
  const [condition, x, y] = operandsOf(c) as [Tensor, Tensor, Tensor];
  const isNot = addNot(program, condition);
  const shape = broadcast([condition.shape, x.shape, y.shape]) as number[];
  const wide = (tensor: Tensor) => addBroadcast(program, tensor, shape);
  // What is not taken becomes 0, whatever it was.
  const left = addCombination(program, wide(x), condition, 'keep');
  const right = addCombination(program, wide(y), isNot, 'keep');
  return [addCombination(program, left, right, 'add')];
};

/** Slices, places, new axes. */
const getItem: Build = (c) => {
  const x = first(c);
  const [, ...places] = placesOf(c.attributes.key as unknown as Place[], x.shape.length + 1);
  const [start, step, taken, shape]: [number[], number[], number[], number[]] = [[], [], [], []];
  for (const place of places) {
    if (place === null) {
      shape.push(1);
      continue;
    }
    const n = x.shape[start.length] as number;
    if (typeof place === 'number') {
      start.push(place < 0 ? place + n : place);
      step.push(1);
      taken.push(1);
      continue;
    }
    const { from, by, count } = windowOf(n, place);
    start.push(from);
    step.push(by);
    taken.push(count);
    shape.push(count);
  }
  return [c.program.view(addBox(c.program, x, start, taken, step), shape)];
};

const stack: Build = (c) => {
  const { program } = c;
  const shape = first(c).shape;
  const axis = axisOf(c.attributes.axis, shape.length + 1);
  const own = [...shape.slice(0, axis), 1, ...shape.slice(axis)];
  return [
    addConcatenation(
      program,
      c.inputs.map((x) => program.view(x, own)),
      axis,
    ),
  ];
};

const expandDims: Build = (c) => {
  const x = first(c);
  const axes = numbersOf(c.attributes.axis);
  const rank = x.shape.length + axes.length;
  const at = axes.map((axis) => axisOf(axis, rank));
  let next = 0;
  const shape = Array.from({ length: rank }, (_, i) => (at.includes(i) ? 1 : (x.shape[next++] as number)));
  return [c.program.view(x, shape)];
};

const squeeze: Build = (c) => {
  const x = first(c);
  const given = c.attributes.axis === null ? undefined : numbersOf(c.attributes.axis);
  const axes = given?.map((axis) => axisOf(axis, x.shape.length));
  const shape = x.shape.filter((n, i) => (axes ? !axes.includes(i) : n !== 1));
  return [c.program.view(x, shape)];
};

const swapAxes: Build = (c) => {
  const x = first(c);
  const [a, b] = [c.attributes.axis1, c.attributes.axis2].map((axis) => axisOf(axis, x.shape.length)) as [
    number,
    number,
  ];
  const order = x.shape.map((_, i) => (i === a ? b : i === b ? a : i));
  return [addPermutation(c.program, x, order)];
};

const flip: Build = (c) => {
  const x = first(c);
  if (c.attributes.axis === null) refuse('samples of a batch moved');
  const axes = numbersOf(c.attributes.axis).map((axis) => axisOf(axis, x.shape.length));
  const start = x.shape.map((n, i) => (axes.includes(i) ? n - 1 : 0));
  const step = x.shape.map((_, i) => (axes.includes(i) ? -1 : 1));
  return [addBox(c.program, x, start, x.shape, step)];
};

/** Every element along an axis so many times. */
const repeat: Build = (c) => {
  const x = first(c);
  const axis = axisOf(c.attributes.axis, x.shape.length);
  const times = numberOf(c.attributes.repeats);
  return [
    addRepetition(
      c.program,
      x,
      x.shape.map((_, i) => (i === axis ? times : 1)),
    ),
  ];
};

const tile: Build = (c) => {
  const { program } = c;
  const x = first(c);
  const given = numbersOf(c.attributes.repeats);
  const times = x.shape.map((_, i) => given[given.length - x.shape.length + i] ?? 1);
  const apart = program.view(
    x,
    x.shape.flatMap((n) => [1, n]),
  );
  const wide = addBroadcast(
    program,
    apart,
    x.shape.flatMap((n, i) => [times[i] as number, n]),
  );
  return [
    program.view(
      wide,
      x.shape.map((n, i) => n * (times[i] as number)),
    ),
  ];
};

const pad: Build = (c) => {
  const [, ...pairs] = c.attributes.pad_width as unknown as readonly (readonly [number, number])[];
  const [before, after] = [pairs.map((pair) => pair[0]), pairs.map((pair) => pair[1])];
  return [addPadding(c.program, first(c), before, after, Number(c.attributes.constant_values))];
};

const split: Build = (c) => {
  const { program, attributes: a, node } = c;
  const x = first(c);
  const axis = axisOf(a.axis, x.shape.length);
  const n = x.shape[axis] as number;
  const given = (a.sizes ?? a.indices_or_sections) as Json;
  const count = node.outputs.length;
  const cuts =
    typeof given === 'number'
      ? Array.from({ length: count }, (_, i) => (i * n) / count)
      : a.sizes === null
        ? [0, ...numbersOf(given)]
        : numbersOf(given).map((_, i) =>
            numbersOf(given)
              .slice(0, i)
              .reduce((sum, length) => sum + length, 0),
          );
  return cuts.map((from, i) => {
    const start = x.shape.map((_, own) => (own === axis ? from : 0));
    const shape = x.shape.map((own, at) => (at === axis ? (cuts[i + 1] ?? n) - from : own));
    return addBox(program, x, start, shape);
  });
};

/** To whole numbers towards 0, to truths, and to floats as it is. */
const cast: Build = (c) => {
  const { program } = c;
  const x = first(c);
  const dtype = String(c.attributes.dtype);
  if (dtype === 'bool') return [addFunction(program, x, 'truth')];
  if (dtype.startsWith('float') || dtype === 'bfloat16') return [x];
  const whole = addFunction(program, addFunction(program, x, 'abs'), 'floor');
  return [addCombination(program, whole, addFunction(program, x, 'sign'), 'multiply')];
};

/** One number wherever the tensor has one. */
const filled =
  (value: number): Build =>
  (c) => {
    const { program } = c;
    return [addBroadcast(program, program.constant(Float32Array.of(value), []), first(c).shape)];
  };

const oneHot: Build = (c) => {
  const { program } = c;
  const x = first(c);
  const n = numberOf(c.attributes.num_classes);
  const classes = program.constant(
    Float32Array.from({ length: n }, (_, i) => i),
    [n],
  );
  const wide = addBroadcast(program, program.view(x, [...x.shape, 1]), [...x.shape, n]);
  return [addCombination(program, wide, classes, 'equal')];
};

/** Operations on tensors, and a function with a slope for each element. */
export const TENSOR_OPERATIONS: Readonly<Record<string, Build>> = {
  PReLU: prelu,
  'ops.Add': binary('add'),
  'ops.Subtract': binary('subtract'),
  'ops.Multiply': binary('multiply'),
  'ops.Divide': binary('divide'),
  'ops.TrueDivide': binary('divide'),
  'ops.Maximum': binary('maximum'),
  'ops.Minimum': binary('minimum'),
  'ops.Greater': binary('greater'),
  'ops.GreaterEqual': binary('greater_equal'),
  'ops.Less': binary('greater', true),
  'ops.LessEqual': binary('greater_equal', true),
  'ops.Equal': binary('equal'),
  'ops.NotEqual': binary('not_equal'),
  'ops.LogicalAnd': logical('minimum'),
  'ops.LogicalOr': logical('maximum'),
  'ops.LogicalXor': logical('not_equal'),
  'ops.LogicalNot': (c) => [addNot(c.program, first(c))],
  'ops.SquaredDifference': (c) => {
    const [x, y] = operandsOf(c) as [Tensor, Tensor];
    return [addFunction(c.program, addCombination(c.program, x, y, 'subtract'), 'square')];
  },
  'ops.Power': power,
  'ops.Where': where,
  'ops.GetItem': getItem,
  'ops.Stack': stack,
  'ops.ExpandDims': expandDims,
  'ops.Squeeze': squeeze,
  'ops.Swapaxes': swapAxes,
  'ops.Flip': flip,
  'ops.Repeat': repeat,
  'ops.Tile': tile,
  'ops.Pad': pad,
  'ops.Split': split,
  'ops.Cast': cast,
  'ops.ZerosLike': filled(0),
  'ops.OnesLike': filled(1),
  'ops.OneHot': oneHot,
};
