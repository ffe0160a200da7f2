// Windows over images: LiteRT counts zeros of `same` padding as Keras does, and knows no other padding.
import { isFirst, numbersOf } from '../export/context.js';
import { channelsLast, type Order, plainOrder } from '../export/tensor.js';
import type { Val } from '../export/values.js';
import { windows } from '../network/operations/windows.js';
import type { Context } from './context.js';
import { lengthsOf } from './store.js';

/** `Padding` */
export const SAME = 0;
export const VALID = 1;

/** The order in which an image has its channels last. */
export const lastOrder = (c: Context, rank: number): Order =>
  isFirst(c) ? channelsLast(rank) : plainOrder(rank);

/** Windows of a layer over its image. */
export interface Windows {
  readonly size: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly padding: number;
}

export function windowsOf({ attributes: a }: Context): Windows {
  const size = numbersOf(a.kernel_size ?? a.pool_size);
  return {
    size,
    strides: numbersOf(a.strides ?? size),
    dilations: numbersOf(a.dilation_rate ?? size.map(() => 1)),
    padding: a.padding === 'same' ? SAME : VALID,
  };
}

/** An image with the zeros before it that causal padding means. */
export function causal(c: Context, x: Val, { size, dilations }: Windows): Val {
  if (c.attributes.padding !== 'causal') return x;
  const before = ((size[0] as number) - 1) * (dilations[0] as number);
  return c.graph.pad(x, [{ axis: 1, pair: [before, 0] }]);
}

/** Lengths between batch and channels once windows have gone over them. */
export function outLengths(x: Val, { size, strides, dilations, padding }: Windows): number[] {
  return lengthsOf(x)
    .slice(1, -1)
    .map((n, i) => {
      const [k, stride, d] = [size[i], strides[i], dilations[i]] as [number, number, number];
      return windows(n, k, stride, d, padding === SAME ? 'same' : 'valid');
    });
}

/** One window as one of two axes: the rows of a sequence are one. */
export const asImage = ({ size, strides, dilations, padding }: Windows): Windows => {
  const two = (list: readonly number[], own = 1) => (list.length === 1 ? [own, list[0] as number] : list);
  return { size: two(size), strides: two(strides), dilations: two(dilations), padding };
};

/** Options of strides. */
export const strideOptions = ({ strides, padding }: Windows) => ({
  padding,
  stride_h: strides[0] as number,
  stride_w: strides[1] as number,
});

/** Options of dilations. */
export const dilationOptions = ({ dilations }: Windows) => ({
  dilation_h_factor: dilations[0] as number,
  dilation_w_factor: dilations[1] as number,
});
