import { type ActivationSpec, addActivation } from './activations.js';
import { type Build, type Context, numberOf, numbersOf, product, refuse } from './context.js';
import { addPermutation } from './moves.js';
import { addConvolution, addDepthwise, type Convolution } from './product.js';
import type { Program, Tensor } from './program.js';
import { isCoded, paddedToEight, turnCodes, type Weight } from './weights.js';

const isFirst = (c: Context) => c.attributes.data_format === 'channels_first';

/** Runs `build` on an input whose channels come last, and puts them back where they were. */
export function channelsLast(c: Context, build: (x: Tensor) => Tensor): Tensor {
  const [x] = c.inputs as [Tensor];
  if (!isFirst(c)) return build(x);
  const rank = x.shape.length;
  const inner = Array.from({ length: rank - 1 }, (_, i) => i);
  const turned = addPermutation(c.program, x, [...inner.map((i) => i + 1), 0]);
  const out = build(turned);
  if (out.shape.length !== rank) return out;
  return addPermutation(c.program, out, [rank - 1, ...inner]);
}

/** Bounds of a product, and what is left to do behind it. */
function split(activation: ActivationSpec): { low: number; high: number; rest: ActivationSpec | undefined } {
  return activation.type === 'bounds'
    ? { low: activation.low, high: activation.high, rest: undefined }
    : { low: -Infinity, high: Infinity, rest: activation };
}

/** An axis of windows: zeros before, and how many windows there are. */
function windowsOf(
  n: number,
  [before, after]: readonly [number, number],
  kernel: number,
  stride: number,
  dilation: number,
  padding: unknown,
): { readonly before: number; readonly count: number } {
  const reach = (kernel - 1) * dilation + 1;
  const length = n + before + after;
  if (padding === 'same') {
    const count = Math.ceil(length / stride);
    const total = Math.max((count - 1) * stride + reach - length, 0);
    return { before: before + (total >> 1), count };
  }
  const extra = padding === 'causal' ? reach - 1 : 0;
  return { before: before + extra, count: Math.max(Math.floor((length + extra - reach) / stride) + 1, 0) };
}

/** Numbers of one or two axes as two: the axis that is missing comes first. */
const two = (values: readonly number[], missing: number): [number, number] =>
  values.length === 2 ? (values as [number, number]) : [missing, values[0] as number];

interface Frame {
  readonly image: readonly [number, number, number];
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly dilations: readonly [number, number];
  readonly top: number;
  readonly left: number;
  readonly out: readonly [number, number];
}

/** How windows lie over an image, or over a sequence as an image of one row. */
export function frameOf(c: Context, x: Tensor): Frame {
  const { attributes: a } = c;
  const inner = x.shape.slice(0, -1);
  if (inner.length > 2) refuse('three axes of windows');
  const image = [...two(inner, 1), x.shape.at(-1) as number] as const;
  const size = numbersOf(a.kernel_size ?? a.pool_size);
  const kernel = two(size, 1);
  const strides = two(numbersOf(a.strides ?? size), 1);
  const dilations = two(a.dilation_rate ? numbersOf(a.dilation_rate) : size.map(() => 1), 1);
  const before = two(c.border?.before.slice(0, inner.length) ?? inner.map(() => 0), 0);
  const after = two(c.border?.after.slice(0, inner.length) ?? inner.map(() => 0), 0);
  const [v, h] = ([0, 1] as const).map((i) =>
    windowsOf(
      ...([image[i], [before[i], after[i]], kernel[i], strides[i], dilations[i]] as const),
      inner.length === 1 && i === 0 ? 'valid' : a.padding,
    ),
  ) as [{ before: number; count: number }, { before: number; count: number }];
  return { image, kernel, strides, dilations, top: v.before, left: h.before, out: [v.count, h.count] };
}

/** A convolution's output as Keras has it: a sequence without the row. */
const outShape = (x: Tensor, frame: Frame, columns: number): number[] =>
  x.shape.length === 3 ? [...frame.out, columns] : [frame.out[1], columns];

const convolution: Build = (c) => {
  const columns = numberOf(c.attributes.filters);
  const tail = c.tail(columns);
  const { rest, ...range } = split(tail.activation);
  const out = channelsLast(c, (x) => {
    const frame = frameOf(c, x);
    const layer: Convolution = {
      ...frame,
      ...range,
      name: c.node.layer,
      groups: numberOf(c.attributes.groups ?? 1),
      columns,
      weight: c.weight('kernel'),
      values: () => c.values('kernel') as Float32Array,
      factors: tail.factors,
      bias: tail.bias,
    };
    const made = addConvolution(c.program, x, layer, c.options);
    return c.program.view(made, outShape(x, frame, columns));
  });
  return [rest ? addActivation(c.program, out, rest) : out];
};

/** A product of rows `[rows, channels]` with a matrix: a convolution of one pixel. */
export function rowsLayer(
  name: string,
  rows: number,
  channels: number,
  columns: number,
  weight: Weight,
  values: () => Float32Array,
  more: Partial<Convolution> = {},
): Convolution {
  return {
    ...{ name, image: [1, rows, channels], kernel: [1, 1], strides: [1, 1], dilations: [1, 1] },
    ...{ top: 0, left: 0, out: [1, rows], groups: 1, columns, weight, values },
    ...{ low: -Infinity, high: Infinity },
    ...more,
  };
}

const dense: Build = (c) => {
  const [x] = c.inputs as [Tensor];
  const columns = numberOf(c.attributes.units);
  const channels = x.shape.at(-1) as number;
  const tail = c.tail(columns);
  const { rest, ...range } = split(tail.activation);
  const layer = rowsLayer(
    ...([c.node.layer, x.size / channels, channels, columns, c.weight('kernel')] as const),
    ...([() => c.values('kernel') as Float32Array] as const),
    { ...range, factors: tail.factors, bias: tail.bias },
  );
  const made = addConvolution(c.program, x, layer, c.options);
  const out = c.program.view(made, [...x.shape.slice(0, -1), columns]);
  return [rest ? addActivation(c.program, out, rest) : out];
};

const depthwise: Build = (c) => {
  const [first] = c.inputs as [Tensor];
  const channels = isFirst(c) ? (first.shape[0] as number) : (first.shape.at(-1) as number);
  const columns = channels * numberOf(c.attributes.depth_multiplier);
  const tail = c.tail(columns);
  const { rest, ...range } = split(tail.activation);
  const out = channelsLast(c, (x) => {
    const frame = frameOf(c, x);
    const made = addDepthwise(c.program, x, {
      ...frame,
      ...range,
      ...{ name: c.node.layer, groups: channels, columns, weight: c.weight('depthwise_kernel') },
      values: () => c.values('depthwise_kernel') as Float32Array,
      ...{ factors: tail.factors, bias: tail.bias },
    });
    return c.program.view(made, outShape(x, frame, columns));
  });
  return [rest ? addActivation(c.program, out, rest) : out];
};

const separable: Build = (c) => {
  const columns = numberOf(c.attributes.filters);
  const tail = c.tail(columns);
  const { rest, ...range } = split(tail.activation);
  const out = channelsLast(c, (x) => {
    const frame = frameOf(c, x);
    const wide = (x.shape.at(-1) as number) * numberOf(c.attributes.depth_multiplier);
    const middle = addDepthwise(c.program, x, {
      ...frame,
      ...{ name: c.node.layer, groups: frame.image[2], columns: wide, low: -Infinity, high: Infinity },
      ...{ weight: c.weight('depthwise_kernel'), factors: undefined, bias: undefined },
      values: () => c.values('depthwise_kernel') as Float32Array,
    });
    const layer = rowsLayer(
      ...([c.node.layer, product(frame.out), wide, columns, c.weight('pointwise_kernel')] as const),
      ...([() => c.values('pointwise_kernel') as Float32Array] as const),
      { ...range, factors: tail.factors, bias: tail.bias },
    );
    const made = addConvolution(c.program, middle, layer, c.options);
    return c.program.view(made, outShape(x, frame, columns));
  });
  return [rest ? addActivation(c.program, out, rest) : out];
};

/** Weights `[taps, filters, channels]` as a matrix `[channels, taps * filters]`. */
function turnedWeight(weight: Weight, taps: number, filters: number, channels: number): Weight | undefined {
  if (!isCoded(weight)) return undefined;
  const { bits, codes, scales, layout } = weight;
  const columns = taps * filters;
  const isWhole = layout.channels === 1 && layout.groupRows >= layout.outer * layout.inner;
  const isOwn = layout.channels === filters && layout.inner === channels;
  // Groups that end inside a tap's channels have scales of their own for each tap; others go over taps.
  const isGrouped = isOwn && channels % layout.groupRows === 0;
  const isPerFilter = isOwn && layout.groupRows >= taps * channels;
  if (!isWhole && !isGrouped && !isPerFilter) return undefined;
  const groupRows = isGrouped ? layout.groupRows : channels;
  const groups = channels / groupRows;
  const own = new Float32Array(groups * columns);
  for (let g = 0; g < groups; g++)
    for (let n = 0; n < columns; n++) {
      const [tap, filter] = [Math.floor(n / filters), n % filters];
      const at = isWhole ? 0 : isGrouped ? (tap * groups + g) * filters + filter : filter;
      own[g * columns + n] = scales[at] as number;
    }
  return {
    ...{ bits, codes: turnCodes(codes, bits, channels, columns), scales: own },
    layout: { outer: channels, channels: columns, inner: 1, groupRows },
  };
}

/** `[columns, rows]` as `[rows, columns]`. */
export function turnedValues(values: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let k = 0; k < rows; k++)
    for (let n = 0; n < columns; n++) out[k * columns + n] = values[n * rows + k] as number;
  return out;
}

/** Every pixel times every tap, then all that meet at an output added: see `scatter`. */
const transposed: Build = (c) => {
  const filters = numberOf(c.attributes.filters);
  const tail = c.tail(filters);
  if (tail.factors) refuse('a folded normalization');
  const out = channelsLast(c, (x) => {
    const { attributes: a, program } = c;
    const inner = x.shape.slice(0, -1);
    if (inner.length > 2) refuse('three axes of windows');
    const channels = x.shape.at(-1) as number;
    const kernel = two(numbersOf(a.kernel_size), 1);
    const strides = two(numbersOf(a.strides), 1);
    const dilations = two(numbersOf(a.dilation_rate), 1);
    const more = a.output_padding ? two(numbersOf(a.output_padding), 0) : undefined;
    const [height, width] = two(inner, 1);
    const extent = (n: number, i: 0 | 1) => {
      const [k, s] = [(kernel[i] - 1) * dilations[i] + 1, strides[i]];
      const full = (n - 1) * s + k;
      if (inner.length === 1 && i === 0) return { length: 1, before: 0 };
      if (more === undefined) {
        const length = n * s + (a.padding === 'same' ? 0 : Math.max(k - s, 0));
        return { length, before: a.padding === 'same' ? Math.max(k - s, 0) >> 1 : 0 };
      }
      const pad = a.padding === 'same' ? k >> 1 : 0;
      return { length: full - 2 * pad + more[i], before: pad };
    };
    const [v, h] = [extent(height, 0), extent(width, 1)];
    const taps = product(kernel);
    const columns = taps * filters;
    const weight = turnedWeight(c.weight('kernel'), taps, filters, channels);
    const values = () => turnedValues(c.values('kernel') as Float32Array, channels, columns);
    const layer = rowsLayer(
      ...([c.node.layer, height * width, channels, columns, weight ?? new Float32Array(0), values] as const),
    );
    const products = addConvolution(program, x, layer, c.options);
    const made = program.tensor([v.length, h.length, filters]);
    const bias = program.put(paddedToEight(tail.bias, filters));
    program.step([products], [made], () =>
      program.kernels.scatter(
        ...([products.storage.at, height, width, filters, ...kernel, ...strides, ...dilations] as const),
        ...([v.before, h.before, v.length, h.length, bias, made.storage.at] as const),
      ),
    );
    return program.view(made, inner.length === 2 ? made.shape : [h.length, filters]);
  });
  return [addActivation(c.program, out, tail.activation)];
};

const embedding: Build = (c) => {
  const { program } = c;
  const [x] = c.inputs as [Tensor];
  const rows = numberOf(c.attributes.input_dim);
  const n = numberOf(c.attributes.output_dim);
  const weight = c.weight('embeddings');
  const out = program.tensor([...x.shape, n]);
  const look = isCoded(weight) ? codedRows(program, weight, rows, n) : undefined;
  const table = look ? 0 : program.put(c.values('embeddings') as Float32Array);
  const one = (row: number, to: number) => {
    if (look) look(row, to);
    else program.kernels.move(table + 4 * n * row, to, 1, 1, 1, 4 * n, 0, 0, 0, 0, 0, 0);
  };
  program.step([x], [out], () => {
    for (let i = 0; i < x.size; i++) {
      const row = program.floats[(x.storage.at >> 2) + i] as number;
      if (!(row >= 0 && row < rows && Number.isInteger(row)))
        throw new RangeError(`"${c.node.layer}" expected integers from 0 to ${rows - 1}, got ${row}`);
      one(row, out.storage.at + 4 * n * i);
    }
  });
  return [out];
};

/** Rows of packed codes with one scale each, or one for all; undefined where scales lie otherwise. */
function codedRows(program: Program, weight: Weight, rows: number, n: number) {
  if (!isCoded(weight)) return undefined;
  const { bits, codes, scales, layout } = weight;
  const isWhole = layout.channels === 1 && layout.groupRows >= rows * n;
  const isRow = layout.channels === rows && layout.inner === n && layout.outer === 1 && layout.groupRows >= n;
  if (!isWhole && !isRow) return undefined;
  const at = program.put(codes);
  const unit = bits === 2 ? 0.5 : 1;
  return (row: number, to: number) => {
    const scale = (scales[isWhole ? 0 : row] as number) * unit;
    program.kernels.decodeRow(at, bits, row * n, n, scale, to);
  };
}

/** Letters of an equation that is one product of rows: free axes, axes summed over, axes made. */
const einsumDense: Build = (c) => {
  const { attributes: a, program } = c;
  const [x] = c.inputs as [Tensor];
  const parts = /^(\S*?),(\S*?)->(\S*)$/.exec(String(a.equation).replace(/\s/g, ''));
  const [, left = '', right = '', out = ''] = parts ?? [];
  const plain = left.replace('...', '');
  const summed = [...right].filter((letter) => !out.includes(letter)).join('');
  const made = [...right].filter((letter) => out.includes(letter)).join('');
  const isRows =
    right === summed + made &&
    plain.endsWith(summed) &&
    out.replace('...', '').endsWith(made) &&
    left.slice(0, left.length - summed.length) === out.slice(0, out.length - made.length);
  if (!isRows || summed === '' || made === '') refuse(`equation: ${String(a.equation)}`);
  const given = Array.isArray(a.output_shape) ? numbersOf(a.output_shape) : [numberOf(a.output_shape)];
  const columnsShape = given.slice(given.length - made.length);
  if (columnsShape.some((n) => !Number.isInteger(n))) refuse('an output_shape that is not known');
  const depth = product(x.shape.slice(x.shape.length - summed.length));
  const columns = product(columnsShape);
  const bias = c.values('bias');
  if (bias && String(a.bias_axes).length < made.length) refuse(`bias_axes: ${String(a.bias_axes)}`);
  const layer = rowsLayer(
    ...([c.node.layer, x.size / depth, depth, columns, c.weight('kernel')] as const),
    ...([() => c.values('kernel') as Float32Array, { bias }] as const),
  );
  const result = addConvolution(program, x, layer, c.options);
  const shape = [...x.shape.slice(0, x.shape.length - summed.length), ...columnsShape];
  return [addActivation(program, program.view(result, shape), c.tail(columns).activation)];
};

/** Layers that are products with weights. */
export const PRODUCTS: Readonly<Record<string, Build>> = {
  Conv1D: convolution,
  Conv2D: convolution,
  Dense: dense,
  EinsumDense: einsumDense,
  DepthwiseConv1D: depthwise,
  DepthwiseConv2D: depthwise,
  SeparableConv1D: separable,
  SeparableConv2D: separable,
  Conv1DTranspose: transposed,
  Conv2DTranspose: transposed,
  Embedding: embedding,
};
