import type { JsonObject } from '../../model.js';
import type { Shape } from '../types.js';
import {
  type Attribute,
  activation,
  choice,
  flag,
  int,
  optionalSizes,
  pairs,
  size,
  sizes,
} from './attributes.js';
import { type Application, biasOf, type Operation, type Operations } from './operation.js';

export const dataFormat: Attribute = choice(['channels_last', 'channels_first'], 'channels_last');

const isFirst = (attributes: JsonObject) => attributes.data_format === 'channels_first';

/** Length of the channel axis. */
export const channelsOf = (attributes: JsonObject, shape: Shape | undefined): number | null =>
  (isFirst(attributes) ? shape?.[1] : shape?.at(-1)) ?? null;

/** Number of windows along an axis: `ceil(n / stride)` with padding, else `floor((n - reach) / stride) + 1`. */
export function windows(
  n: number,
  kernel: number,
  stride: number,
  dilation: number,
  padding: unknown,
): number {
  if (padding === 'same') return Math.ceil(n / stride);
  const reach = padding === 'causal' ? 1 : (kernel - 1) * dilation + 1;
  return Math.max(Math.floor((n - reach) / stride) + 1, 0);
}

/** A shape with its spatial axes changed, and its channels where given; undefined where its rank is not `rank + 2`. */
export function spatial(
  input: Shape | undefined,
  attributes: JsonObject,
  rank: number,
  change: (n: number, axis: number) => number,
  channels?: number | null,
): Shape | undefined {
  if (input?.length !== rank + 2) return undefined;
  const first = isFirst(attributes);
  const from = first ? 2 : 1;
  const kept = channels === undefined ? channelsOf(attributes, input) : channels;
  const inner = input.slice(from, from + rank).map((n, axis) => (n === null ? null : change(n, axis)));
  const batch = input[0] ?? null;
  return first ? [batch, kept, ...inner] : [batch, ...inner, kept];
}

export const list = (value: unknown) => value as readonly number[];
export const one = (shape: Shape | undefined) => shape && [shape];

const slide =
  ({ kernel_size, pool_size, strides, dilation_rate, padding }: JsonObject) =>
  (n: number, axis: number) =>
    windows(
      n,
      list(kernel_size ?? pool_size)[axis] as number,
      list(strides)[axis] as number,
      list(dilation_rate ?? [])[axis] ?? 1,
      padding,
    );

export const rankFault =
  (rank: number) =>
  ({ shapes: [first] }: Application): string | undefined =>
    first && first.length !== rank + 2
      ? `an input of ${first.length} axes where it takes ${rank + 2}`
      : undefined;

/** An input too small for one window, which Keras refuses too. */
const windowFault =
  (rank: number) =>
  (given: Application): string | undefined => {
    const wrong = rankFault(rank)(given);
    if (wrong) return wrong;
    const shape = spatial(given.shapes[0], given.attributes, rank, slide(given.attributes));
    const inner = shape && (isFirst(given.attributes) ? shape.slice(2) : shape.slice(1, -1));
    return inner?.includes(0)
      ? `an input of shape [${given.shapes[0]}] is smaller than its window`
      : undefined;
  };

export const common = (rank: number): Record<string, Attribute> => ({
  kernel_size: sizes(rank),
  strides: sizes(rank, 1),
  padding: choice(rank === 1 ? ['valid', 'same', 'causal'] : ['valid', 'same'], 'valid'),
  data_format: dataFormat,
  dilation_rate: sizes(rank, 1),
  activation: activation(),
  use_bias: flag(true),
});

const divided = (n: number | null, by: unknown) => (n === null ? null : n / Number(by));

const conv = (rank: number): Operation => ({
  attributes: { filters: size, ...common(rank), groups: int(1) },
  shape: ({ attributes, shapes: [x] }) =>
    one(spatial(x, attributes, rank, slide(attributes), Number(attributes.filters))),
  fault: (given) => {
    const { groups, filters } = given.attributes;
    const channels = channelsOf(given.attributes, given.shapes[0]);
    if (
      Number(groups) < 1 ||
      Number(filters) % Number(groups) !== 0 ||
      (channels ?? 0) % Number(groups) !== 0
    )
      return `groups: ${String(groups)} of ${String(channels)} channels and ${String(filters)} filters`;
    return windowFault(rank)(given);
  },
  weights: ({ attributes, shapes: [x] }) => [
    {
      role: 'kernel',
      shape: [
        ...list(attributes.kernel_size),
        divided(channelsOf(attributes, x), attributes.groups),
        Number(attributes.filters),
      ],
    },
    ...biasOf(attributes, Number(attributes.filters)),
  ],
});

const depthwise = (rank: number): Operation => ({
  attributes: { ...common(rank), depth_multiplier: int(1) },
  shape: ({ attributes, shapes: [x] }) => {
    const channels = channelsOf(attributes, x);
    const out = channels === null ? null : channels * Number(attributes.depth_multiplier);
    return one(spatial(x, attributes, rank, slide(attributes), out));
  },
  fault: windowFault(rank),
  weights: ({ attributes, shapes: [x] }) => {
    const channels = channelsOf(attributes, x);
    const multiplier = Number(attributes.depth_multiplier);
    return [
      { role: 'depthwise_kernel', shape: [...list(attributes.kernel_size), channels, multiplier] },
      ...biasOf(attributes, channels === null ? null : channels * multiplier),
    ];
  },
});

const separable = (rank: number): Operation => ({
  attributes: { filters: size, ...common(rank), depth_multiplier: int(1), groups: int(1) },
  shape: ({ attributes, shapes: [x] }) =>
    one(spatial(x, attributes, rank, slide(attributes), Number(attributes.filters))),
  fault: (given) =>
    given.attributes.groups === 1 ? windowFault(rank)(given) : `groups: ${String(given.attributes.groups)}`,
  weights: ({ attributes, shapes: [x] }) => {
    const channels = channelsOf(attributes, x);
    const multiplier = Number(attributes.depth_multiplier);
    const ones = Array<number>(rank).fill(1);
    return [
      { role: 'depthwise_kernel', shape: [...list(attributes.kernel_size), channels, multiplier] },
      {
        role: 'pointwise_kernel',
        shape: [...ones, channels === null ? null : channels * multiplier, Number(attributes.filters)],
      },
      ...biasOf(attributes, Number(attributes.filters)),
    ];
  },
});

const pooling = (rank: number): Operation => ({
  attributes: {
    pool_size: sizes(rank, 2),
    strides: optionalSizes(rank),
    padding: choice(['valid', 'same'], 'valid'),
    data_format: dataFormat,
  },
  shape: ({ attributes, shapes: [x] }) => {
    const strides = attributes.strides ?? attributes.pool_size ?? null;
    return one(spatial(x, attributes, rank, slide({ ...attributes, strides })));
  },
  fault: (given) => {
    const { attributes } = given;
    const strides = attributes.strides ?? attributes.pool_size ?? null;
    return windowFault(rank)({ ...given, attributes: { ...attributes, strides } });
  },
  dtype: 'same',
});

const globalPooling = (rank: number): Operation => ({
  attributes: { data_format: dataFormat, keepdims: flag(false) },
  shape: ({ attributes, shapes: [x] }) => {
    if (x?.length !== rank + 2) return undefined;
    const batch = x[0] ?? null;
    if (attributes.keepdims !== true) return [[batch, channelsOf(attributes, x)]];
    return one(spatial(x, attributes, rank, () => 1));
  },
  fault: rankFault(rank),
});

const zeroPadding = (rank: number): Operation => ({
  attributes: { padding: pairs(rank, 1), data_format: dataFormat },
  shape: ({ attributes, shapes: [x] }) => {
    const pads = attributes.padding as unknown as readonly (readonly [number, number])[];
    return one(
      spatial(x, attributes, rank, (n, axis) => n + (pads[axis]?.[0] ?? 0) + (pads[axis]?.[1] ?? 0)),
    );
  },
  fault: rankFault(rank),
  dtype: 'same',
});

export const ranks = (
  name: (rank: number) => string,
  wanted: readonly number[],
  make: (rank: number) => Operation,
) => Object.fromEntries(wanted.map((rank) => [name(rank), make(rank)]));

/** Layers over windows that most networks of convolutions are made of. */
export const PLAIN_WINDOWS: Operations = {
  ...ranks((n) => `Conv${n}D`, [1, 2, 3], conv),
  ...ranks((n) => `DepthwiseConv${n}D`, [1, 2], depthwise),
  ...ranks((n) => `SeparableConv${n}D`, [1, 2], separable),
  ...ranks((n) => `MaxPooling${n}D`, [1, 2, 3], pooling),
  ...ranks((n) => `AveragePooling${n}D`, [1, 2, 3], pooling),
  ...ranks((n) => `GlobalMaxPooling${n}D`, [1, 2, 3], globalPooling),
  ...ranks((n) => `GlobalAveragePooling${n}D`, [1, 2, 3], globalPooling),
  ...ranks((n) => `ZeroPadding${n}D`, [1, 2, 3], zeroPadding),
};
