import { arrange, arrangeCodes } from '../export/arrange.js';
import { addActivation } from './activations.js';
import { type Build, type Context, numbersOf, product, refuse } from './context.js';
import { channelsLast, rowsLayer } from './layers-products.js';
import { addPadded, stridesOf } from './moves.js';
import { addConvolution } from './product.js';
import type { Tensor } from './program.js';
import { isCoded, paddedToEight, type Weight } from './weights.js';

/** A matrix on its side. */
const TURNED = { axes: [[1], [0]] };

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
    ...{ bits, codes: arrangeCodes(codes, bits, [columns, channels], TURNED), scales: own },
    layout: { outer: channels, channels: columns, inner: 1, groupRows },
  };
}

/** How long the output of an axis is, and how many come before what is kept: half of what the reach is longer. */
function extentOf(c: Context, n: number, axis: number): { readonly length: number; readonly before: number } {
  const { kernel_size, strides, dilation_rate, output_padding: more, padding } = c.attributes;
  const at = (list: unknown) => numbersOf(list)[axis] as number;
  const [k, s] = [(at(kernel_size) - 1) * at(dilation_rate) + 1, at(strides)];
  const isSame = padding === 'same';
  const length =
    more === null || more === undefined
      ? n * s + (isSame ? 0 : Math.max(k - s, 0))
      : (n - 1) * s + k - 2 * (isSame ? k >> 1 : 0) + at(more);
  return { length, before: isSame ? Math.max((n - 1) * s + k - length, 0) >> 1 : 0 };
}

/** Every pixel times every tap, then all that meet at an output added: see `scatter`. */
function addTransposed(c: Context, x: Tensor, filters: number, bias: Float32Array | undefined): Tensor {
  const { attributes: a, program } = c;
  const inner = x.shape.slice(0, -1);
  const channels = x.shape.at(-1) as number;
  const two = (given: unknown, missing: number) =>
    [...Array<number>(2 - inner.length).fill(missing), ...numbersOf(given)] as [number, number];
  const kernel = two(a.kernel_size, 1);
  const extents = inner.map((n, axis) => extentOf(c, n, axis));
  const [v, h] = [
    ...Array(2 - inner.length).fill({ length: 1, before: 0 }),
    ...extents,
  ] as typeof extents as [ReturnType<typeof extentOf>, ReturnType<typeof extentOf>];
  const [height, width] = two(inner, 1);
  const taps = product(kernel);
  const columns = taps * filters;
  const own = c.weight('kernel');
  const weight = program.once(own, 'turned', () => turnedWeight(own, taps, filters, channels));
  const values = () => arrange(c.values('kernel') as Float32Array, [columns, channels], TURNED);
  const layer = rowsLayer(
    c.node.layer,
    height * width,
    channels,
    columns,
    weight ?? new Float32Array(0),
    values,
  );
  const products = addConvolution(program, x, layer, c.options);
  const made = program.tensor([v.length, h.length, filters]);
  const added = program.put(paddedToEight(bias, filters));
  program.step([products], [made], () =>
    program.kernels.scatter(
      ...([products.storage.at, height, width, filters, ...kernel] as const),
      ...([...two(a.strides, 1), ...two(a.dilation_rate, 1)] as [number, number, number, number]),
      ...([v.before, h.before, v.length, h.length, added, made.storage.at] as const),
    ),
  );
  return program.view(made, inner.length === 2 ? made.shape : [h.length, filters]);
}

/** Over planes: zeros between the inputs, then a convolution with the taps from last to first, in float32. */
function addTransposedPlanes(c: Context, x: Tensor, filters: number, bias: Float32Array | undefined): Tensor {
  const { attributes: a, program } = c;
  const inner = x.shape.slice(0, -1);
  const channels = x.shape.at(-1) as number;
  const [kernel, strides, dilations] = [a.kernel_size, a.strides, a.dilation_rate].map(numbersOf) as [
    readonly number[],
    readonly number[],
    readonly number[],
  ];
  const taps = product(kernel);
  // Taps from last to first, inputs before outputs.
  const places = Array.from({ length: taps }, (_, i) => taps - 1 - i);
  const flipped = { axes: [[0], [2], [1]], pick: { axis: 0, places } };
  const shape = [...inner.map((n, axis) => (n - 1) * (strides[axis] as number) + 1), channels];
  const apart = stridesOf(shape).map((stride, axis) => stride * (strides[axis] ?? 1));
  const image = addPadded(program, x, shape, apart);
  const extents = inner.map((n, axis) => extentOf(c, n, axis));
  const before = extents.map(
    (extent, axis) => ((kernel[axis] as number) - 1) * (dilations[axis] as number) - extent.before,
  );
  const at = <T>(list: readonly T[]) => list.slice(1) as unknown as readonly [T, T];
  return addConvolution(
    program,
    image,
    {
      ...{ name: c.node.layer, image: shape.slice(1) as [number, number, number], kernel: at(kernel) },
      ...{ strides: [1, 1], dilations: at(dilations), top: before[1] as number, left: before[2] as number },
      out: at(extents.map(({ length }) => length)),
      planes: {
        ...{ depth: shape[0] as number, out: extents[0]?.length as number, front: before[0] as number },
        ...{ kernel: kernel[0] as number, stride: 1, dilation: dilations[0] as number },
      },
      ...{ groups: 1, columns: filters, weight: new Float32Array(0), bias, low: -Infinity, high: Infinity },
      values: () => arrange(c.values('kernel') as Float32Array, [taps, filters, channels], flipped),
    },
    c.options,
  );
}

const transposed: Build = (c) => {
  const filters = Number(c.attributes.filters);
  const tail = c.tail(filters);
  if (tail.factors) refuse('a folded normalization');
  const out = channelsLast(c, (x) =>
    (x.shape.length === 4 ? addTransposedPlanes : addTransposed)(c, x, filters, tail.bias),
  );
  return [addActivation(c.program, out, tail.activation)];
};

/** Transposed convolutions. */
export const TRANSPOSED: Readonly<Record<string, Build>> = {
  Conv1DTranspose: transposed,
  Conv2DTranspose: transposed,
  Conv3DTranspose: transposed,
};
