import { addActivation } from './activations.js';
import { type Build, numberOf, product } from './context.js';
import { frameOf, outShape } from './frames.js';
import { channelsLast, convolution, isFirst, productsBy, rowsLayer, split } from './layers-products.js';
import { addConvolution, addDepthwise } from './product.js';
import type { Tensor } from './program.js';

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
    return c.program.view(made, outShape(x.shape.length, frame, columns));
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
    return c.program.view(made, outShape(x.shape.length, frame, columns));
  });
  return [rest ? addActivation(c.program, out, rest) : out];
};

/** Layers that are products with weights of any kind. */
export const PRODUCTS: Readonly<Record<string, Build>> = {
  ...productsBy(addConvolution),
  Conv3D: convolution(addConvolution),
  DepthwiseConv1D: depthwise,
  DepthwiseConv2D: depthwise,
  SeparableConv1D: separable,
  SeparableConv2D: separable,
};
