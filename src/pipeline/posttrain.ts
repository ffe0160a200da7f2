import type { LayerWeights } from '../keras/save.js';
import type { Kernels } from '../kernels/types.js';
import { quantizeTensor } from '../schemes/quantize.js';
import type { QuantizedTensor, QuantizeOptions } from '../schemes/types.js';

/** A layer whose weights were replaced. */
export type WithWeights<W> = Omit<LayerWeights, 'weights'> & { readonly weights: readonly W[] };
type LayerWeight = LayerWeights['weights'][number];

/**
 * Every weight of every layer to its sign, biases too: `np.where(w > 0, 1, -1).astype(int8)`.
 * Zero, negative zero and NaN become -1.
 */
export function postTrainBinarization(
  layers: readonly LayerWeights[],
): WithWeights<Omit<LayerWeight, 'values'> & { readonly values: Int8Array }>[] {
  return layers.map((layer) => ({
    ...layer,
    weights: layer.weights.map(({ id, name, shape, values }) => ({
      id,
      name,
      shape,
      values: Int8Array.from(values, (w) => (w > 0 ? 1 : -1)),
    })),
  }));
}

/**
 * Every weight of every layer to symmetric int4, codes in [-8, 7] packed two to a byte; biases too.
 * `options` choose granularity and scales; by default one scale per column of the last axis, `amax / 7`.
 * Vectors get one scale each.
 *
 * @throws BitnibbleError `not-finite`
 */
export function postTrainQuantization(
  layers: readonly LayerWeights[],
  kernels: Kernels,
  options: Omit<QuantizeOptions, 'scheme' | 'axes'> = {},
): WithWeights<Omit<LayerWeight, 'values'> & { readonly tensor: QuantizedTensor }>[] {
  const optionsFor = (shape: readonly number[]): QuantizeOptions =>
    shape.length < 2
      ? { scheme: 'int4', granularity: 'tensor', scale: options.scale }
      : { ...options, scheme: 'int4' };
  return layers.map((layer) => ({
    ...layer,
    weights: layer.weights.map(({ id, name, shape, values }) => ({
      id,
      name,
      shape,
      tensor: quantizeTensor(kernels, values, shape, optionsFor(shape), `tensor ${id}`),
    })),
  }));
}
