import { type Context, numbersOf } from '../export/context.js';
import { refuse } from '../export/refusal.js';
import type { Val } from '../export/values.js';
import { windows } from '../network/operations/windows.js';

/**
 * Sizes, strides and padding of windows over an input with channels first. With `same` padding the zeros are counted where
 * the image's size is known or does not matter; else ONNX counts them, in the same way.
 */
export function windowAttributes(
  c: Context,
  x: Val,
  rank: number,
): Record<string, readonly number[] | string | undefined> {
  const { attributes: a } = c;
  const size = numbersOf(a.kernel_size ?? a.pool_size);
  const strides = numbersOf(a.strides ?? size);
  const dilations = numbersOf(a.dilation_rate ?? size.map(() => 1));
  const common = {
    kernel_shape: size,
    strides,
    dilations: dilations.some((n) => n !== 1) ? dilations : undefined,
  };
  const inner = x.shape.slice(2);
  const none = Array<number>(2 * rank).fill(0);
  if (a.padding === 'causal') {
    const before = ((size[0] as number) - 1) * (dilations[0] as number);
    return { ...common, pads: [before, 0] };
  }
  if (a.padding === 'same') {
    const totals = inner.map((n, i) => {
      const [stride, k, d] = [strides[i], size[i], dilations[i]] as [number, number, number];
      // One window for each pixel: as many zeros whatever the length.
      if (stride === 1) return (k - 1) * d;
      if (typeof n !== 'number') return undefined;
      const count = windows(n, k, stride, d, 'same');
      return Math.max((count - 1) * stride + (k - 1) * d + 1 - n, 0);
    });
    if (!totals.every((total) => total !== undefined)) {
      // ONNX Runtime counts no zeros for kernels with gaps.
      if (common.dilations) refuse('padding "same" of a dilated kernel with strides over an unknown length');
      return { ...common, auto_pad: 'SAME_UPPER' };
    }
    return { ...common, pads: [...totals.map((n) => n >> 1), ...totals.map((n) => n - (n >> 1))] };
  }
  const border = c.border;
  return { ...common, pads: border ? [...border.map((p) => p[0]), ...border.map((p) => p[1])] : none };
}
