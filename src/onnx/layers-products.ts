import { floatOf, isFirst, numbersOf, resultShape } from '../export/context.js';
import { activated, convolutions } from '../export/layers-products.js';
import { channelsFirst, plainOrder, Tensor } from '../export/tensor.js';
import type { Dim, Val } from '../export/values.js';
import type { Wanted } from '../export/weights.js';
import type { Context, Emit } from './context.js';
import { windowAttributes } from './windows.js';

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

/** Convolutions. */
export const PRODUCTS = convolutions({ plain: convolution, transposed, depthwise, separable });
