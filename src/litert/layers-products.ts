import { floatOf, numbersOf, type Rows } from '../export/context.js';
import { activated, convolutions } from '../export/layers-products.js';
import { refuse } from '../export/refusal.js';
import { Tensor } from '../export/tensor.js';
import type { Val } from '../export/values.js';
import type { Wanted } from '../export/weights.js';
import { sizeOf } from '../shape.js';
import type { Context, Emit } from './context.js';
import { lengthsOf } from './store.js';
import {
  asImage,
  causal,
  dilationOptions,
  lastOrder,
  outLengths,
  strideOptions,
  VALID,
  type Windows,
  windowsOf,
} from './windows.js';

/** The input with its channels last, and the output back as a tensor. */
export function overImages(c: Context, work: (x: Val, rank: number) => Val): Tensor {
  const x = floatOf(c.inputs[0] as Tensor);
  const order = lastOrder(c, x.rank);
  return Tensor.of(c.graph, work(x.in(order), x.rank - 2), order);
}

/** A sequence as an image of one row, and back. */
export function asRows(c: Context, x: Val, rank: number, work: (x: Val) => Val): Val {
  if (rank !== 1) return work(x);
  return c.graph.squeeze(work(c.graph.unsqueeze(x, [1])), [1]);
}

interface Product {
  readonly role: string;
  readonly wanted: Wanted;
  /** The axis of the kernel that the output channels are. */
  readonly axis: number;
  readonly filters: number;
}

/** LiteRT's convolutions want a bias. */
export const noBias = (c: Context, filters: number): Val =>
  c.graph.constant('float', Array<number>(filters).fill(0));

/** Kernel and bias of a convolution, and of a normalization behind it. */
function operands(c: Context, p: Product, isBiased = true): [kernel: Val, bias: Val] {
  const tail = isBiased ? c.tail(p.role) : { factors: undefined, bias: undefined };
  const factors = tail.factors ? { factors: { axis: p.axis, values: tail.factors } } : {};
  const kernel = c.weights.value(c.id(p.role) as string, { ...p.wanted, ...factors });
  const bias = tail.bias && c.graph.floats(`${c.node.layer}/bias`, tail.bias);
  return [kernel, bias ?? noBias(c, p.filters)];
}

const spatialAxes = (rank: number) => Array.from({ length: rank }, (_, i) => i);

/** Axes of a window in a kernel; a sequence's has a row. */
const windowAxes = (rank: number) => [...(rank === 1 ? [[]] : []), ...spatialAxes(rank).map((i) => [i])];

/** How the kernel of a convolution lies: HWIO turned to OHWI; over volumes DHWIO, as Keras has it. */
export const kernelAxes = (rank: number): { readonly wanted: Wanted; readonly axis: number } =>
  rank === 3
    ? { wanted: { axes: spatialAxes(5).map((i) => [i]) }, axis: 4 }
    : { wanted: { axes: [[rank + 1], ...windowAxes(rank), [rank]] }, axis: 0 };

/** A convolution of an input with channels last. */
export function convolve(c: Context, x: Val, rank: number, w: Windows, kernel: Val, bias: Val): Val {
  const { graph } = c;
  const filters = lengthsOf(bias)[0] as number;
  if (rank === 3) {
    const shape = [lengthsOf(x)[0] as number, ...outLengths(x, w), filters];
    const [d, h, width] = w.strides as [number, number, number];
    const [dd, dh, dw] = w.dilations as [number, number, number];
    return graph.add('CONV_3D', [x, kernel, bias], shape, {
      ...{ padding: w.padding, stride_d: d, stride_h: h, stride_w: width },
      ...{ dilation_d_factor: dd, dilation_h_factor: dh, dilation_w_factor: dw },
    });
  }
  return asRows(c, x, rank, (image) => {
    const own = asImage(w);
    const shape = [lengthsOf(image)[0] as number, ...outLengths(image, own), filters];
    return graph.add('CONV_2D', [image, kernel, bias], shape, {
      ...strideOptions(own),
      ...dilationOptions(own),
    });
  });
}

const convolution: Emit = (c) => {
  const w = windowsOf(c);
  const filters = Number(c.attributes.filters);
  const out = overImages(c, (x, rank) => {
    if (rank === 3 && Number(c.attributes.groups ?? 1) !== 1) refuse('groups of a convolution over volumes');
    const [kernel, bias] = operands(c, { role: 'kernel', ...kernelAxes(rank), filters });
    return convolve(c, causal(c, x, w), rank, w, kernel, bias);
  });
  return [activated(c, out)];
};

/** `[H, W, channels, multiplier]` as `[1, H, W, channels * multiplier]` */
function depthwiseProduct(c: Context, x: Val, rank: number, w: Windows, isBiased: boolean): Val {
  const channels = lengthsOf(x).at(-1) as number;
  const multiplier = Number(c.attributes.depth_multiplier);
  const filters = channels * multiplier;
  const wanted = { axes: [[], ...windowAxes(rank), [rank, rank + 1]] };
  const [kernel, bias] = operands(c, { role: 'depthwise_kernel', wanted, axis: 3, filters }, isBiased);
  return asRows(c, causal(c, x, w), rank, (image) => {
    const own = asImage(w);
    const shape = [lengthsOf(image)[0] as number, ...outLengths(image, own), filters];
    return c.graph.add('DEPTHWISE_CONV_2D', [image, kernel, bias], shape, {
      ...strideOptions(own),
      ...dilationOptions(own),
      depth_multiplier: multiplier,
    });
  });
}

const depthwise: Emit = (c) => [
  activated(
    c,
    overImages(c, (x, rank) => depthwiseProduct(c, x, rank, windowsOf(c), true)),
  ),
];

const separable: Emit = (c) => {
  const filters = Number(c.attributes.filters);
  const out = overImages(c, (x, rank) => {
    const ones = spatialAxes(rank).map(() => 1);
    const point = { size: ones, strides: ones, dilations: ones, padding: VALID };
    const middle = depthwiseProduct(c, x, rank, windowsOf(c), false);
    const [kernel, bias] = operands(c, { role: 'pointwise_kernel', ...kernelAxes(rank), filters });
    return convolve(c, middle, rank, point, kernel, bias);
  });
  return [activated(c, out)];
};

/**
 * A transposed convolution: `stride (n - 1) + reach` places, of which Keras leaves out `reach - stride` with padding, half of
 * them before. LiteRT has the same rule, and finds what is left out by the length of the output.
 */
const transposed: Emit = (c) => {
  const { attributes: a, graph } = c;
  const filters = Number(a.filters);
  const w = windowsOf(c);
  const more = a.output_padding === null ? undefined : numbersOf(a.output_padding);
  const out = overImages(c, (x, rank) => {
    if (w.dilations.some((d) => d !== 1)) refuse('a dilation of a transposed convolution');
    const lengths = lengthsOf(x)
      .slice(1, -1)
      .map((n, i) => {
        const [k, stride] = [w.size[i], w.strides[i]] as [number, number];
        if (more)
          return stride * (n - 1) + k - (a.padding === 'same' ? 2 * (k >> 1) : 0) + (more[i] as number);
        return a.padding === 'same' ? stride * n : stride * (n - 1) + Math.max(k, stride);
      });
    const [batch] = lengthsOf(x) as [number];
    if (rank === 3) {
      // D H W out in, as Keras has it.
      const wanted = { axes: spatialAxes(5).map((i) => [i]) };
      const [kernel, bias] = operands(c, { role: 'kernel', wanted, axis: 3, filters });
      const shape = [batch, ...lengths, filters];
      const [d, h, width] = w.strides as [number, number, number];
      const options = { padding: w.padding, stride_d: d, stride_h: h, stride_w: width };
      return graph.add('CONV_3D_TRANSPOSE', [graph.ints(shape), kernel, x, bias], shape, options, 'float');
    }
    // H W out in to out H W in
    const wanted = { axes: [[rank], ...windowAxes(rank), [rank + 1]] };
    const [kernel, bias] = operands(c, { role: 'kernel', wanted, axis: 0, filters });
    return asRows(c, x, rank, (image) => {
      const shape = [batch, ...(rank === 1 ? [1] : []), ...lengths, filters];
      const options = strideOptions(asImage(w));
      return graph.add('TRANSPOSE_CONV', [graph.ints(shape), kernel, image, bias], shape, options, 'float');
    });
  });
  return [activated(c, out)];
};

/** FULLY_CONNECTED: a kernel `[out, in]`. */
export function addRows(c: Context, x: Val, p: Rows): Val {
  const { graph, weights } = c;
  const source = weights.infoOf(p.id).shape;
  const n = sizeOf(p.columns.map((axis) => source[axis] as number));
  const factors = p.factors ? { factors: { axis: 0, values: p.factors } } : {};
  const pick = p.rowOrder ? { pick: { axis: p.rows[0] as number, places: p.rowOrder } } : {};
  const matrix = weights.value(p.id, { axes: [p.columns, p.rows], ...pick, ...factors });
  const bias = p.bias && graph.floats(`${p.name}/bias`, p.bias);
  const lengths = lengthsOf(x);
  const shape = [...lengths.slice(0, -1), n];
  return graph.add('FULLY_CONNECTED', [x, matrix, bias], shape, { keep_num_dims: lengths.length !== 2 });
}

/** Rows of a table, which is whole in memory. */
export const addRowsOf = (c: Context, id: string, indices: Val): Val =>
  c.graph.gather(c.weights.value(id), indices, 0);

/** Convolutions. */
export const PRODUCTS = convolutions({ plain: convolution, transposed, depthwise, separable });
