import { sizeOf } from '../shape.js';
import { axisOf, bounded, type Context, type Emit, each, numbersOf, resultShape } from './context.js';
import { refuse } from './refusal.js';
import { Tensor } from './tensor.js';
import { type Dim, type Shape, totalOf } from './values.js';

const flatten: Emit = (c) => {
  const { graph } = c;
  const x = c.inputs[0] as Tensor;
  // Keras turns such images round before it makes them flat.
  const turn = c.attributes.data_format === 'channels_first' && x.rank > 2;
  const val = turn ? x.in([0, ...x.shape.slice(2).map((_, i) => i + 2), 1]) : x.plain;
  if (x.rank === 1) return [Tensor.of(graph, graph.unsqueeze(val, [1]))];
  if (x.rank === 2) return [x];
  return [Tensor.of(graph, graph.flatten(val))];
};

/** The batch, then a shape of which one length may be left open. */
function reshaped(c: Context, target: readonly number[]): Tensor {
  const { graph } = c;
  const x = c.inputs[0] as Tensor;
  const rest = x.shape.slice(1);
  const size = totalOf(rest);
  const fixed = sizeOf(target.filter((n) => n !== -1));
  const shape: Shape = [
    x.shape[0] as Dim,
    ...target.map((n) => (n !== -1 ? n : size === null ? null : fixed === 0 ? 0 : size / fixed)),
  ];
  return Tensor.of(graph, graph.reshape(x.plain, shape));
}

/** Axes in another order: only the order is noted, and turned when somebody wants it so. */
function permuted(c: Context, order: readonly number[]): Tensor {
  const x = c.inputs[0] as Tensor;
  // Axis i of the result is axis order[i] of x: a form of x is one of the result.
  const place = x.order.map((axis) => order.indexOf(axis));
  return Tensor.of(c.graph, x.own, place);
}

/** The inputs in one type, as Keras promotes them: floats before whole numbers before truth values. */
function ofOneType({ graph, inputs }: Context): readonly Tensor[] {
  const type = (['float', 'int32'] as const).find((own) => inputs.some((x) => x.type === own));
  return inputs.map((x) =>
    type === undefined || x.type === type ? x : each(x, (val) => graph.cast(val, type)),
  );
}

const concatenation: Emit = (c) => {
  const { graph } = c;
  const first = c.inputs[0] as Tensor;
  const axis = axisOf(c.attributes.axis, first.rank);
  const { order } = first;
  const vals = ofOneType(c).map((x) => x.in(order));
  return [Tensor.of(graph, graph.concat(vals, order.indexOf(axis)), order)];
};

const repeatVector: Emit = (c) => {
  const { graph } = c;
  const x = c.inputs[0] as Tensor;
  const n = Number(c.attributes.n);
  return [Tensor.of(graph, graph.repeat(graph.unsqueeze(x.plain, [1]), [1, n, 1]))];
};

/** Where a mask is true: tokens that are not 0, or steps in which anything differs from the value that stands for nothing. */
const computeMask: Emit = (c) => {
  const { graph, attributes: a } = c;
  const x = (c.inputs[0] as Tensor).plain;
  if (a.tokens === true) return [Tensor.of(graph, graph.unary('Not', graph.binary('Equal', x, 0, 'bool')))];
  return [Tensor.of(graph, differing(c, false))];
};

function differing(c: Context, keep: boolean) {
  const { graph, attributes: a } = c;
  const x = (c.inputs[0] as Tensor).plain;
  const differs = graph.cast(
    graph.unary('Not', graph.binary('Equal', x, Number(a.mask_value), 'bool')),
    'float',
  );
  return graph.cast(graph.reduce('ReduceMax', differs, [x.shape.length - 1], keep), 'bool');
}

/** Steps in which everything is the value that stands for nothing become zeros. */
const masking: Emit = (c) => {
  const { graph } = c;
  const x = c.inputs[0] as Tensor;
  return [Tensor.of(graph, graph.binary('Mul', x.plain, graph.cast(differing(c, true), x.type)))];
};

const combineMasks: Emit = (c) => {
  const { graph } = c;
  const op = c.attributes.how === 'or' ? 'Or' : 'And';
  const [first, ...rest] = c.inputs.map((x) => graph.cast(x.plain, 'bool'));
  return [
    Tensor.of(
      graph,
      rest.reduce((a, b) => graph.binary(op, a, b), first as NonNullable<typeof first>),
    ),
  ];
};

const transpose: Emit = (c) => {
  const { rank } = c.inputs[0] as Tensor;
  const given = c.attributes.axes;
  const order = given === null ? Array.from({ length: rank }, (_, i) => rank - 1 - i) : numbersOf(given);
  return [
    permuted(
      c,
      order.map((axis) => axisOf(axis, rank)),
    ),
  ];
};

const swapped: Emit = (c) => {
  const { rank } = c.inputs[0] as Tensor;
  const [a, b] = [axisOf(c.attributes.axis1, rank), axisOf(c.attributes.axis2, rank)];
  const order = Array.from({ length: rank }, (_, i) => (i === a ? b : i === b ? a : i));
  return [permuted(c, order)];
};

/** Layers that move values, and masks. */
export const SHAPES: Readonly<Record<string, Emit>> = {
  Flatten: flatten,
  Reshape: (c) => [reshaped(c, numbersOf(c.attributes.target_shape))],
  Permute: (c) => [permuted(c, [0, ...numbersOf(c.attributes.dims)])],
  RepeatVector: repeatVector,
  Concatenate: concatenation,
  ConcatenateMasks: concatenation,
  CombineMasks: combineMasks,
  ComputeMask: computeMask,
  Masking: masking,
  'ops.Concatenate': concatenation,
  'ops.Reshape': (c) => [reshaped(c, numbersOf(c.attributes.newshape).slice(1))],
  'ops.Transpose': transpose,
  'ops.Swapaxes': swapped,
  'ops.Squeeze': (c) => {
    const x = c.inputs[0] as Tensor;
    const given = c.attributes.axis as number[] | null;
    const axes = given
      ? given.map((axis) => axisOf(axis, x.rank))
      : x.shape.flatMap((n, i) => (n === 1 ? [i] : []));
    return [Tensor.of(c.graph, c.graph.squeeze(x.plain, axes))];
  },
  'ops.ExpandDims': (c) => {
    const x = c.inputs[0] as Tensor;
    const given = numbersOf(c.attributes.axis);
    const rank = x.rank + given.length;
    const axes = given.map((axis) => axisOf(axis, rank)).sort((a, b) => a - b);
    return [Tensor.of(c.graph, c.graph.unsqueeze(x.plain, axes))];
  },
  'ops.Repeat': (c) => {
    const { graph } = c;
    const x = (c.inputs[0] as Tensor).plain;
    const axis = axisOf(c.attributes.axis, x.shape.length);
    const n = x.shape[axis];
    if (typeof n !== 'number') return refuse('an axis of a length that is not known');
    const times = Number(c.attributes.repeats);
    const places = Array.from({ length: bounded(n * times, 'a repetition') }, (_, i) =>
      Math.floor(i / times),
    );
    return [Tensor.of(graph, graph.gather(x, graph.ints(places), axis))];
  },
  'ops.Tile': (c) => {
    const { graph } = c;
    const x = (c.inputs[0] as Tensor).plain;
    const given = numbersOf(c.attributes.repeats);
    const times = [...Array<number>(x.shape.length - given.length).fill(1), ...given];
    return [Tensor.of(graph, graph.tile(x, times))];
  },
  'ops.Flip': (c) => {
    const { graph } = c;
    const x = c.inputs[0] as Tensor;
    const given = c.attributes.axis as number[] | null;
    const axes = given ? given.map((axis) => axisOf(axis, x.rank)) : x.shape.map((_, i) => i);
    if (axes.includes(0)) return refuse('the samples of a batch turned round');
    return [
      each(x, (val) =>
        graph.slice(
          val,
          axes.map((axis) => {
            const at = x.order.indexOf(axis);
            const length = val.shape[at] as Dim;
            return { axis: at, start: -1, end: -Number.MAX_SAFE_INTEGER, step: -1, length };
          }),
        ),
      ),
    ];
  },
  'ops.Stack': (c) => {
    const { graph } = c;
    const rank = (c.inputs[0] as Tensor).rank + 1;
    const axis = axisOf(c.attributes.axis, rank);
    const vals = ofOneType(c).map((x) => graph.unsqueeze(x.plain, [axis]));
    return [Tensor.of(graph, graph.concat(vals, axis))];
  },
  'ops.Split': (c) => {
    const { graph } = c;
    const x = c.inputs[0] as Tensor;
    const axis = axisOf(c.attributes.axis, x.rank);
    const lengths = c.results.map((_, i) => resultShape(c, i)[axis]);
    if (!lengths.every((n) => typeof n === 'number')) return refuse('parts of lengths that are not known');
    const { order } = x;
    const parts = graph.split(x.own, lengths as number[], order.indexOf(axis));
    return parts.map((part) => Tensor.of(graph, part, order));
  },
};
