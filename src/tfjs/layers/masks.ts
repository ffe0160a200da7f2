import type { Tensor } from '../types.js';
import { type LayerSpec, positiveAxis, spec } from './define.js';

/** Masks `[batch, time]` of ones and zeros joined along an axis. */
const concatenateMasks: LayerSpec<{ readonly axis: number }> = {
  className: 'ConcatenateMasks',
  outputShape: ({ axis }, shapes) => {
    const [first = []] = shapes;
    const at = positiveAxis(axis, first.length);
    return first.map((n, i) =>
      i === at
        ? shapes.reduce<number | null>((sum, shape) => {
            const own = shape[at] ?? null;
            return sum === null || own === null ? null : sum + own;
          }, 0)
        : n,
    );
  },
  call: ({ tf, config, inputs }) => tf.concat([...inputs], config.axis),
};

/** A step counts where one of the masks says so (`or`), or all of them (`and`). */
const combineMasks: LayerSpec<{ readonly how: 'or' | 'and' }> = {
  className: 'CombineMasks',
  call: ({ tf, config, inputs }) =>
    inputs.reduce((a: Tensor, b: Tensor) => (config.how === 'or' ? tf.maximum(a, b) : tf.minimum(a, b))),
};

/** Masks out of other masks. */
export const maskLayers: readonly LayerSpec[] = [spec(concatenateMasks), spec(combineMasks)];
