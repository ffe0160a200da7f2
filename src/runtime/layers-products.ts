import { type ActivationSpec, addActivation } from './activations.js';
import { type Build, type Context, numberOf } from './context.js';
import type { Convolution } from './convolution.js';
import { frameOf, outShape } from './frames.js';
import { addPermutation } from './moves.js';
import { convolutionBy, makeInteger } from './product-integer.js';
import type { Tensor } from './program.js';
import type { Weight } from './weights.js';

export const isFirst = (c: Context) => c.attributes.data_format === 'channels_first';

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
export function split(activation: ActivationSpec): {
  low: number;
  high: number;
  rest: ActivationSpec | undefined;
} {
  return activation.type === 'bounds'
    ? { low: activation.low, high: activation.high, rest: undefined }
    : { low: -Infinity, high: Infinity, rest: activation };
}

type AddConvolution = ReturnType<typeof convolutionBy>;

export const convolution =
  (add: AddConvolution): Build =>
  (c) => {
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
      const made = add(c.program, x, layer, c.options);
      return c.program.view(made, outShape(x.shape.length, frame, columns));
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

const dense =
  (add: AddConvolution): Build =>
  (c) => {
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
    const made = add(c.program, x, layer, c.options);
    const out = c.program.view(made, [...x.shape.slice(0, -1), columns]);
    return [rest ? addActivation(c.program, out, rest) : out];
  };

/** Layers that are products of their whole input with one matrix, which `add` computes. */
export const productsBy = (add: AddConvolution): Readonly<Record<string, Build>> => ({
  Conv1D: convolution(add),
  Conv2D: convolution(add),
  Dense: dense(add),
});

/** Those whose weights are integers. */
export const INTEGER_PRODUCTS = productsBy(convolutionBy(makeInteger));
