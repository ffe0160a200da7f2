import { addActivation, element } from './activations.js';
import { type Build, product } from './context.js';
import { addCombination } from './elements.js';
import { frameOf, outShape } from './frames.js';
import { channelsLast } from './layers-products.js';
import { addPooled } from './pooled.js';
import type { Tensor } from './program.js';
import type { CombinationKind } from './record.js';

const pooling =
  (isMax: boolean): Build =>
  (c) => [
    channelsLast(c, (x) => {
      const { program } = c;
      const frame = frameOf(c, x);
      const { image, kernel, strides, top, left, out, planes: p } = frame;
      const made = program.tensor(outShape(x.shape.length, frame, image[2]));
      // No output is larger than the largest input.
      if (!c.border) program.shareRange(made, x);
      const how = isMax ? 1 : 0;
      const pool = (from: number, to: number) =>
        program.kernels.pool(
          ...([from, ...image, ...kernel, ...strides, top, left, ...out, how, to] as const),
        );
      if (!p) {
        program.step([x], [made], () => pool(x.storage.at, made.storage.at));
        return made;
      }
      // Each plane, then planes: a mean of means, since a window has as many pixels in each of its planes.
      const pixels = product(out) * image[2];
      const flat = program.tensor([p.depth, pixels]);
      program.step([x], [flat], () => {
        for (let i = 0; i < p.depth; i++)
          pool(x.storage.at + 4 * i * product(image), flat.storage.at + 4 * i * pixels);
      });
      program.step([flat], [made], () =>
        program.kernels.pool(
          ...([flat.storage.at, p.depth, 1, pixels, p.kernel, 1, p.stride, 1, p.front, 0, p.out, 1] as const),
          ...([how, made.storage.at] as const),
        ),
      );
      return made;
    }),
  ];

/** Over all windows of an input without a mask. */
export const globalPooling =
  (isMax: boolean): Build =>
  (c) => [
    channelsLast(c, (x) => {
      const axes = x.shape.slice(0, -1).map((_, i) => i);
      const made = addPooled(c.program, x, axes, c.attributes.keepdims === true, isMax);
      c.program.shareRange(made, x);
      return made;
    }),
  ];

const merging =
  (kind: CombinationKind, isMean = false): Build =>
  (c) => {
    const [first, ...rest] = c.inputs as [Tensor, ...Tensor[]];
    const isTurned = (x: Tensor, y: Tensor) => x.size < y.size && kind !== 'subtract' && kind !== 'divide';
    const sum = rest.reduce(
      (x, y) => addCombination(c.program, ...(isTurned(x, y) ? ([y, x] as const) : ([x, y] as const)), kind),
      first,
    );
    if (isMean) return [addActivation(c.program, sum, element('linear', 1 / c.inputs.length, 0))];
    return [addActivation(c.program, sum, c.tail(0).activation)];
  };

/** Layers without products: windows, and sums of several inputs. */
export const SIMPLE: Readonly<Record<string, Build>> = {
  MaxPooling1D: pooling(true),
  MaxPooling2D: pooling(true),
  MaxPooling3D: pooling(true),
  AveragePooling1D: pooling(false),
  AveragePooling2D: pooling(false),
  AveragePooling3D: pooling(false),
  GlobalMaxPooling1D: globalPooling(true),
  GlobalMaxPooling2D: globalPooling(true),
  GlobalMaxPooling3D: globalPooling(true),
  GlobalAveragePooling1D: globalPooling(false),
  GlobalAveragePooling2D: globalPooling(false),
  GlobalAveragePooling3D: globalPooling(false),
  Add: merging('add'),
  Subtract: merging('subtract'),
  Multiply: merging('multiply'),
  Maximum: merging('maximum'),
  Minimum: merging('minimum'),
  Average: merging('add', true),
};
