import { expandedEquation } from '../network/operations/layers.js';
import { sizeOf } from '../shape.js';
import { activationNamed } from './activations.js';
import { type Context, type Emit, each, floatOf, numbersOf, resultShape } from './context.js';
import { refuse } from './refusal.js';
import { Tensor } from './tensor.js';
import type { Val } from './values.js';

/** The activation of a layer behind its product. */
export const activated = (c: Context, x: Tensor): Tensor => {
  const activation = activationNamed(c.attributes.activation);
  return each(x, (val) => activation(c.graph, val, x.order));
};

const dense: Emit = (c) => {
  const x = floatOf(c.inputs[0] as Tensor).plain;
  const tail = c.tail('kernel');
  const made = c.product(x, {
    id: c.id('kernel') as string,
    name: c.node.layer,
    rows: [0],
    columns: [1],
    rowOrder: c.rowOrder,
    ...tail,
  });
  return [activated(c, Tensor.of(c.graph, made))];
};

/** Rows of a table by their numbers. */
const embedding: Emit = (c) => {
  const ids = c.inputs[0] as Tensor;
  const indices = ids.type === 'float' ? c.graph.cast(ids.plain, 'int32') : ids.plain;
  return [Tensor.of(c.graph, c.rowsOf(c.id('embeddings') as string, indices))];
};

const einsumDense: Emit = (c) => {
  const { attributes: a, graph } = c;
  const x = floatOf(c.inputs[0] as Tensor);
  const { left, right, out } = expandedEquation(String(a.equation), x.rank);
  const summed = [...right].filter((letter) => left.includes(letter) && !out.includes(letter)).join('');
  const made = [...right].filter((letter) => out.includes(letter)).join('');
  const id = c.id('kernel') as string;
  const shape = resultShape(c);
  const isRows =
    summed !== '' &&
    made !== '' &&
    right.length === summed.length + made.length &&
    left.endsWith(summed) &&
    out.endsWith(made) &&
    left.slice(0, left.length - summed.length) === out.slice(0, out.length - made.length) &&
    [...made].every((letter) => !left.includes(letter));
  let result: Val;
  if (isRows) {
    const axesOf = (letters: string) => [...letters].map((letter) => right.indexOf(letter));
    const depth = x.shape.slice(x.rank - summed.length);
    const flat =
      summed.length === 1
        ? x.plain
        : graph.reshape(x.plain, [...x.shape.slice(0, x.rank - summed.length), sizeOf(depth as number[])]);
    const rows = c.product(flat, { id, name: c.node.layer, rows: axesOf(summed), columns: axesOf(made) });
    result = graph.reshape(rows, shape);
  } else {
    const equation = `${left},${right}->${out}`;
    result = graph.einsum(equation, x.plain, c.weights.value(id), shape);
  }
  const bias = c.id('bias');
  if (bias) result = graph.binary('Add', result, c.weights.value(bias));
  return [activated(c, Tensor.of(graph, result))];
};

/** Sums over an axis of each of two tensors, sample by sample. */
const dot: Emit = (c) => {
  const { graph } = c;
  const given = numbersOf(c.attributes.axes);
  const inputs = c.inputs.map((x) => floatOf(x));
  const [x, y] = inputs as [Tensor, Tensor];
  const at = inputs.map((own, i) => {
    const axis = given[i] ?? (given[0] as number);
    const from = axis < 0 ? axis + own.rank : axis;
    return from > 0 ? from : refuse('a sum over samples');
  });
  const [vx, vy] = inputs.map((own, i) => {
    if (c.attributes.normalize !== true) return own.plain;
    const square = graph.binary('Mul', own.plain, own.plain);
    const sum = graph.reduce('ReduceSum', square, [at[i] as number], true);
    const length = graph.unary('Sqrt', graph.binary('Max', sum, 1e-12));
    return graph.binary('Div', own.plain, length);
  }) as [Val, Val];
  const letters = [...'cdefgh'];
  const name = (own: Tensor, axis: number) =>
    Array.from({ length: own.rank }, (_, i) =>
      i === 0 ? 'a' : i === axis ? 'b' : (letters.shift() as string),
    );
  const [left, right] = [name(x, at[0] as number), name(y, at[1] as number)];
  const out = [...left.filter((l) => l !== 'b'), ...right.filter((l) => l !== 'b' && l !== 'a')];
  const equation = `${left.join('')},${right.join('')}->${out.join('')}`;
  const shape = [
    ...x.shape.filter((_, i) => i !== at[0]),
    ...y.shape.filter((_, i) => i !== 0 && i !== at[1]),
  ];
  const made = graph.einsum(equation, vx, vy, shape);
  return [Tensor.of(graph, made.shape.length === 1 ? graph.unsqueeze(made, [1]) : made)];
};

/** Products of rows, and tables of them. */
export const PRODUCTS: Readonly<Record<string, Emit>> = {
  Dense: dense,
  EinsumDense: einsumDense,
  Embedding: embedding,
  Dot: dot,
};

/** Layers of convolutions by what makes them in a format. */
export const convolutions = <C>(of: {
  readonly plain: Emit<C>;
  readonly transposed: Emit<C>;
  readonly depthwise: Emit<C>;
  readonly separable: Emit<C>;
}): Readonly<Record<string, Emit<C>>> => ({
  ...{ Conv1D: of.plain, Conv2D: of.plain, Conv3D: of.plain },
  ...{ Conv1DTranspose: of.transposed, Conv2DTranspose: of.transposed, Conv3DTranspose: of.transposed },
  ...{ DepthwiseConv1D: of.depthwise, DepthwiseConv2D: of.depthwise },
  ...{ SeparableConv1D: of.separable, SeparableConv2D: of.separable },
});
