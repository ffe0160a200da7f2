import { floatOf, numbersOf } from '../export/context.js';
import { ranks } from '../export/layers-images.js';
import { refuse } from '../export/refusal.js';
import { Tensor } from '../export/tensor.js';
import type { Val } from '../export/values.js';
import type { Context, Emit } from './context.js';
import { asRows, overImages } from './layers-products.js';
import { lengthsOf } from './store.js';
import { asImage, lastOrder, outLengths, strideOptions, type Windows, windowsOf } from './windows.js';

type Pool = 'MAX_POOL_2D' | 'AVERAGE_POOL_2D';

function pool(c: Context, op: Pool, x: Val, w: Windows): Val {
  const lengths = lengthsOf(x);
  const shape = [lengths[0] as number, ...outLengths(x, w), lengths.at(-1) as number];
  return c.graph.add(op, [x], shape, {
    ...strideOptions(w),
    filter_height: w.size[0] as number,
    filter_width: w.size[1] as number,
  });
}

/** Windows over volumes: over rows and columns of each slice, then over the slices. */
function poolVolume(c: Context, op: Pool, x: Val, w: Windows): Val {
  const { graph } = c;
  const part = (from: number, to: number): Windows => ({
    size: w.size.slice(from, to),
    strides: w.strides.slice(from, to),
    dilations: w.dilations.slice(from, to),
    padding: w.padding,
  });
  const [batch, depth, height, width, channels] = lengthsOf(x) as [number, number, number, number, number];
  const slices = pool(c, op, graph.reshape(x, [batch * depth, height, width, channels]), part(1, 3));
  const [, h, wide] = lengthsOf(slices) as [number, number, number, number];
  const columns = graph.reshape(slices, [batch, depth, h * wide, channels]);
  const own = { size: [w.size[0] as number, 1], strides: [w.strides[0] as number, 1] };
  const pooled = pool(c, op, columns, { ...own, dilations: [1, 1], padding: w.padding });
  return graph.reshape(pooled, [batch, lengthsOf(pooled)[1] as number, h, wide, channels]);
}

const pooling =
  (op: Pool): Emit =>
  (c) => {
    const w = windowsOf(c);
    return [
      overImages(c, (x, rank) =>
        rank === 3 ? poolVolume(c, op, x, w) : asRows(c, x, rank, (image) => pool(c, op, image, asImage(w))),
      ),
    ];
  };

/** Images of another size, pixels at half-integers as in Keras. */
function resize(c: Context, how: unknown, x: Val, lengths: readonly number[]): Val {
  if (how !== 'nearest' && how !== 'bilinear') refuse(`interpolation: ${String(how)}`);
  const [batch, , , channels] = lengthsOf(x) as [number, number, number, number];
  const op = how === 'nearest' ? 'RESIZE_NEAREST_NEIGHBOR' : 'RESIZE_BILINEAR';
  const shape = [batch, ...lengths, channels];
  return c.graph.add(op, [x, c.graph.ints(lengths)], shape, { half_pixel_centers: true });
}

/** Pixels as often as they are wanted: an axis of length 1 behind each, made longer. */
function repeated(c: Context, x: Val, times: readonly number[]): Val {
  return times.reduce((val, n, i) => {
    if (n === 1) return val;
    const lengths = lengthsOf(val);
    const axis = i + 1;
    const wide = c.graph.unsqueeze(val, [axis + 1]);
    const many = c.graph.tile(
      wide,
      wide.shape.map((_, at) => (at === axis + 1 ? n : 1)),
    );
    return c.graph.reshape(
      many,
      lengths.map((length, at) => (at === axis ? length * n : length)),
    );
  }, x);
}

const upSampling: Emit = (c) => {
  const size = numbersOf(c.attributes.size);
  const how = c.attributes.interpolation ?? 'nearest';
  const given = c.inputs[0] as Tensor;
  const x = how === 'nearest' && given.rank !== 4 ? given : floatOf(given);
  const order = lastOrder(c, x.rank);
  const val = x.in(order);
  const lengths = lengthsOf(val)
    .slice(1, -1)
    .map((n, i) => n * (size[i] as number));
  const made = x.rank === 4 ? resize(c, how, val, lengths) : repeated(c, val, size);
  return [Tensor.of(c.graph, made, order)];
};

const resizing: Emit = (c) => {
  const { height, width, interpolation } = c.attributes;
  const x = floatOf(c.inputs[0] as Tensor);
  if (x.rank !== 4) refuse('images without a batch');
  const order = lastOrder(c, x.rank);
  return [Tensor.of(c.graph, resize(c, interpolation, x.in(order), [Number(height), Number(width)]), order)];
};

/** Windows over images, and images of another size. */
export const IMAGES: Readonly<Record<string, Emit>> = {
  ...ranks((n) => `MaxPooling${n}D`, pooling('MAX_POOL_2D')),
  ...ranks((n) => `AveragePooling${n}D`, pooling('AVERAGE_POOL_2D')),
  ...ranks((n) => `UpSampling${n}D`, upSampling),
  Resizing: resizing,
};
