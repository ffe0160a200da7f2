import { refuse } from '../export/refusal.js';
import { expandedEquation } from '../network/operations/layers.js';
import { sizeOf } from '../shape.js';
import { activationNamed } from './activations.js';
import { type Context, type Emit, each, floatOf, numbersOf, resultShape } from './context.js';
import { addRows } from './rows.js';
import { addRowsOf } from './tables.js';
import { channelsFirst, plainOrder, Tensor } from './tensor.js';
import type { Dim, Val } from './types.js';
import type { Wanted } from './weights.js';
import { isFirst, windowAttributes } from './windows.js';

/** The activation of a layer behind its product. */
const activated = (c: Context, x: Tensor): Tensor => {
  const activation = activationNamed(c.attributes.activation);
  return each(x, (val) => activation(c.graph, val, x.order));
};

const biasOf = (c: Context, name: string, bias: Float32Array | undefined): Val | undefined =>
  bias && c.graph.floats(`${name}/bias`, bias);

interface Product {
  readonly role: string;
  readonly wanted: Wanted;
  readonly filters: number;
  readonly attributes: Record<string, number | string | readonly number[] | undefined>;
  readonly op?: string;
}

/** A convolution of an input with channels first. */
function addConvolution(c: Context, x: Val, shape: readonly Dim[], p: Product, isBiased = true): Val {
  const { graph } = c;
  const tail = isBiased ? c.tail(p.role) : { factors: undefined, bias: undefined };
  // The axis of the result that the output channels are.
  const axis = p.op === 'ConvTranspose' ? 1 : 0;
  const factors = tail.factors ? { factors: { axis, values: tail.factors } } : {};
  const kernel = c.weights.value(c.id(p.role) as string, { ...p.wanted, ...factors });
  const bias = biasOf(c, c.node.layer, tail.bias);
  return graph.add(p.op ?? 'Conv', [x, kernel, bias], { shape, type: 'float' }, p.attributes);
}

/** The input with its channels first, and the output back as a tensor. */
function overChannelsFirst(c: Context, work: (x: Val, rank: number) => Val): Tensor {
  const x = floatOf(c.inputs[0] as Tensor);
  const order = isFirst(c) ? plainOrder(x.rank) : channelsFirst(x.rank);
  return Tensor.of(c.graph, work(x.in(order), x.rank - 2), order);
}

/** Shape of an output with channels first. */
function firstShape(c: Context, filters?: number): Dim[] {
  const shape = resultShape(c);
  const turned = isFirst(c) ? [...shape] : [shape[0] as Dim, shape.at(-1) as Dim, ...shape.slice(1, -1)];
  if (filters !== undefined) turned[1] = filters;
  return turned;
}

const spatialAxes = (rank: number) => Array.from({ length: rank }, (_, i) => [i]);

const convolution: Emit = (c) => {
  const filters = Number(c.attributes.filters);
  const out = overChannelsFirst(c, (x, rank) =>
    addConvolution(c, x, firstShape(c), {
      role: 'kernel',
      filters,
      // HWIO to OIHW
      wanted: { axes: [[rank + 1], [rank], ...spatialAxes(rank)] },
      attributes: { ...windowAttributes(c, x, rank), group: Number(c.attributes.groups ?? 1) },
    }),
  );
  return [activated(c, out)];
};

/** `[H, W, channels, multiplier]` as `[channels * multiplier, 1, H, W]`: as many groups as channels. */
function depthwiseProduct(c: Context, x: Val, rank: number): Product {
  const channels = x.shape[1] as number;
  const { kernel_size: size, depth_multiplier: multiplier } = c.attributes;
  const filters = channels * Number(multiplier);
  return {
    role: 'depthwise_kernel',
    filters,
    wanted: { axes: [[rank, rank + 1], [], ...spatialAxes(rank)], shape: [filters, 1, ...numbersOf(size)] },
    attributes: { ...windowAttributes(c, x, rank), group: channels },
  };
}

const depthwise: Emit = (c) => {
  const out = overChannelsFirst(c, (x, rank) =>
    addConvolution(c, x, firstShape(c), depthwiseProduct(c, x, rank)),
  );
  return [activated(c, out)];
};

const separable: Emit = (c) => {
  const out = overChannelsFirst(c, (x, rank) => {
    const first = depthwiseProduct(c, x, rank);
    const middle = addConvolution(c, x, firstShape(c, first.filters), first, false);
    return addConvolution(c, middle, firstShape(c), {
      role: 'pointwise_kernel',
      filters: Number(c.attributes.filters),
      wanted: { axes: [[rank + 1], [rank], ...spatialAxes(rank)] },
      attributes: {},
    });
  });
  return [activated(c, out)];
};

/**
 * A transposed convolution: `stride (n - 1) + reach` places, of which Keras leaves out `reach - stride` with padding, half of
 * them before, and to which it adds zeros where a stride is longer than a kernel.
 */
const transposed: Emit = (c) => {
  const { attributes: a } = c;
  const out = overChannelsFirst(c, (x, rank) => {
    const kernel = numbersOf(a.kernel_size);
    const strides = numbersOf(a.strides);
    const dilations = numbersOf(a.dilation_rate);
    const more = a.output_padding === null ? undefined : numbersOf(a.output_padding);
    const ends = kernel.map((k, i) => {
      const stride = strides[i] as number;
      const reach = (k - 1) * (dilations[i] as number) + 1;
      // What is cut off both ends together, as a convolution with padding from the output to the input would add it.
      const isSame = a.padding === 'same';
      const wanted = isSame ? 2 * (reach >> 1) : 0;
      const total = more
        ? wanted - (more[i] as number)
        : isSame
          ? reach - stride
          : Math.min(reach - stride, 0);
      const cut = Math.max(total, 0);
      return { before: cut >> 1, after: cut - (cut >> 1), added: Math.max(-total, 0) };
    });
    return addConvolution(c, x, firstShape(c), {
      op: 'ConvTranspose',
      role: 'kernel',
      filters: Number(a.filters),
      // H W out in to in out H W
      wanted: { axes: [[rank + 1], [rank], ...spatialAxes(rank)] },
      attributes: {
        kernel_shape: kernel,
        strides,
        dilations,
        pads: [...ends.map((e) => e.before), ...ends.map((e) => e.after)],
        output_padding: ends.map((e) => e.added),
      },
    });
  });
  return [activated(c, out)];
};

const dense: Emit = (c) => {
  const x = floatOf(c.inputs[0] as Tensor).plain;
  const tail = c.tail('kernel');
  const made = addRows(c, x, {
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
  return [Tensor.of(c.graph, addRowsOf(c, c.id('embeddings') as string, indices))];
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
    const rows = addRows(c, flat, { id, name: c.node.layer, rows: axesOf(summed), columns: axesOf(made) });
    result = graph.reshape(rows, shape);
  } else {
    const equation = `${left},${right}->${out}`;
    result = graph.add('Einsum', [x.plain, c.weights.value(id)], { shape, type: 'float' }, { equation });
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
  const made = graph.add('Einsum', [vx, vy], { shape, type: 'float' }, { equation });
  return [Tensor.of(graph, made.shape.length === 1 ? graph.unsqueeze(made, [1]) : made)];
};

/** Layers that are products. */
export const PRODUCTS: Readonly<Record<string, Emit>> = {
  Conv1D: convolution,
  Conv2D: convolution,
  Conv3D: convolution,
  Conv1DTranspose: transposed,
  Conv2DTranspose: transposed,
  Conv3DTranspose: transposed,
  DepthwiseConv1D: depthwise,
  DepthwiseConv2D: depthwise,
  SeparableConv1D: separable,
  SeparableConv2D: separable,
  Dense: dense,
  EinsumDense: einsumDense,
  Embedding: embedding,
  Dot: dot,
};
