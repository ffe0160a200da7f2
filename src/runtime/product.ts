import type { Convolution } from './convolution.js';
import { makeDepthwise, makeFloat } from './product-float.js';
import { addProduct, convolutionBy, integerProduct, type Make } from './product-integer.js';
import type { Program, Tensor } from './program.js';

export type { Convolution, Product, ProductOptions } from './convolution.js';
export { makeDepthwise } from './product-float.js';
export { addProduct } from './product-integer.js';

/** {@link Make} for weights of any kind: integers where they are stored so, else float32. */
export const makeConvolution: Make = (program, layer, options) =>
  integerProduct(program, layer, options) ?? makeFloat(program, layer);

export const addConvolution = convolutionBy(makeConvolution);

/** Adds a depthwise convolution: weights `[tall, wide, channels, multiplier]`, `columns = channels * multiplier`. */
export function addDepthwise(program: Program, x: Tensor, layer: Convolution): Tensor {
  return addProduct(program, x, makeDepthwise(program, layer), [...layer.out, layer.columns]);
}
