import type { Json, JsonObject } from '../model.js';
import type { Shape } from '../network/types.js';

const listOf = (value: Json | undefined, rank: number, fallback: number): number[] => {
  const list = (Array.isArray(value) ? value : [value ?? fallback]).map(Number);
  return Array.from({ length: rank }, (_, axis) => list[list.length === 1 ? 0 : axis] ?? fallback);
};

/**
 * Whether a window with padding "same" may leave inputs behind the last window, `(ceil(n / s) - 1) s + k < n` along an
 * axis of n inputs. TensorFlow.js 4.22 takes the padding, which is then negative, for what it is: its WebAssembly backend
 * convolves nothing at all (kernels of one tap are spared), and windows over three axes are shifted on all backends.
 *
 * @param sizes the key that holds the sizes of the window, `kernel_size` or `pool_size`
 */
export function mayOverrun(
  config: JsonObject,
  rank: number,
  sizes: 'kernel_size' | 'pool_size' = 'kernel_size',
): boolean {
  if (config.padding !== 'same') return false;
  const fallback = sizes === 'pool_size' ? 2 : 1;
  const size = listOf(config[sizes], rank, fallback);
  const rate = listOf(config.dilation_rate, rank, 1);
  const strides = config.strides ?? (sizes === 'pool_size' ? config[sizes] : undefined);
  const stride = listOf(strides, rank, fallback);
  // An input of m strides exists for every kernel that is shorter than the stride.
  const reach = size.map((k, axis) => (k - 1) * (rate[axis] as number) + 1);
  if (rank < 3 && sizes === 'kernel_size' && reach.every((k) => k === 1)) return false;
  return reach.some((k, axis) => k < (stride[axis] as number));
}

/** So many equal numbers the WebAssembly backend adds one by one with a relative error of 1e-5; of 4096 it makes 5e-5. */
const MOST_ADDED = 1024;

/** Whether more numbers are averaged than the WebAssembly backend can add one by one, or it is not known how many. */
export function addsMany(className: string, config: JsonObject, input: Shape | undefined): boolean {
  if (!className.startsWith('GlobalAverage')) return false;
  if (!input) return true;
  const inner = config.data_format === 'channels_first' ? input.slice(2) : input.slice(1, -1);
  const count = inner.reduce<number>((n, size) => n * (size ?? Number.POSITIVE_INFINITY), 1);
  return count > MOST_ADDED;
}

/** The same of the squares that a LayerNormalization adds up. */
export function normalizesMany(axis: Json | undefined, shape: Shape): boolean {
  const axes = (Array.isArray(axis) ? axis : [axis ?? -1]).map(Number);
  const count = axes.reduce(
    (n, a) => n * (shape[a < 0 ? a + shape.length : a] ?? Number.POSITIVE_INFINITY),
    1,
  );
  return count > 4 * MOST_ADDED;
}
