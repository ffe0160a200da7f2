import { axisOf, type Build, type Context, numbersOf, product, refuse } from './context.js';
import { addConcatenation, addPadding, addPermutation } from './moves.js';
import type { Tensor } from './program.js';

/** The same values in another shape: that of the network's own value behind the batch. */
export const reshape =
  (shapeOf: (c: Context, x: Tensor) => readonly number[]): Build =>
  (c) => {
    const [x] = c.inputs as [Tensor];
    return [c.program.view(x, shapeOf(c, x))];
  };

export const filled = (shape: readonly number[], size: number) => {
  const known = product(shape.filter((n) => n !== -1));
  return shape.map((n) => (n === -1 ? size / known : n));
};

const flatten: Build = (c) => {
  const [x] = c.inputs as [Tensor];
  const isFirst = c.attributes.data_format === 'channels_first' && x.shape.length > 1;
  // Keras turns such images round before it makes them flat.
  const order = x.shape.map((_, i) => (i + 1) % x.shape.length);
  const turned = isFirst ? addPermutation(c.program, x, order) : x;
  return [c.program.view(turned, [x.size])];
};

/** Numbers around each spatial axis as numbers around all axes of an input. */
export function around(c: Context, x: Tensor, given: unknown): { before: number[]; after: number[] } {
  const pairs = given as readonly (readonly [number, number])[];
  const isFirst = c.attributes.data_format === 'channels_first';
  const own = isFirst ? [[0, 0], ...pairs] : [...pairs, [0, 0]];
  if (own.length !== x.shape.length) refuse('a rank that does not fit');
  return { before: own.map((p) => p[0] as number), after: own.map((p) => p[1] as number) };
}

/** How a padding layer pads, for a convolution behind it to do so itself. */
export const borderOf = (c: Context) => around(c, c.inputs[0] as Tensor, c.attributes.padding);

const zeroPadding: Build = (c) => {
  const [x] = c.inputs as [Tensor];
  const { before, after } = borderOf(c);
  return [addPadding(c.program, x, before, after)];
};

export const concatenation: Build = (c) => {
  const axis = axisOf(c.attributes.axis, c.inputs[0]?.shape.length ?? 0);
  return [addConcatenation(c.program, c.inputs, axis)];
};

/** Layers that move values and compute none. */
export const SHAPES: Readonly<Record<string, Build>> = {
  Flatten: flatten,
  Reshape: reshape((c, x) => filled(numbersOf(c.attributes.target_shape), x.size)),
  Concatenate: concatenation,
  ZeroPadding1D: zeroPadding,
  ZeroPadding2D: zeroPadding,
  ZeroPadding3D: zeroPadding,
};
