import { axisOf, type Build, type Context, numberOf, numbersOf, product, refuse } from './context.js';
import { channelsLast } from './layers-products.js';
import {
  addBox,
  addBroadcast,
  addConcatenation,
  addPadding,
  addPermutation,
  addRepetition,
} from './moves.js';
import type { Tensor } from './program.js';

/** The same values in another shape: that of the network's own value behind the batch. */
const reshape =
  (shapeOf: (c: Context, x: Tensor) => readonly number[]): Build =>
  (c) => {
    const [x] = c.inputs as [Tensor];
    return [c.program.view(x, shapeOf(c, x))];
  };

const filled = (shape: readonly number[], size: number) => {
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
function around(c: Context, x: Tensor, given: unknown): { before: number[]; after: number[] } {
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

const cropping: Build = (c) => {
  const [x] = c.inputs as [Tensor];
  const { before, after } = around(c, x, c.attributes.cropping);
  const shape = x.shape.map((n, i) => n - (before[i] as number) - (after[i] as number));
  return [addBox(c.program, x, before, shape)];
};

function addInterpolation(c: Context, x: Tensor, rows: number, across: number): Tensor {
  const [height, width, channels] = x.shape as [number, number, number];
  const out = c.program.tensor([rows, across, channels]);
  c.program.shareRange(out, x);
  c.program.step([x], [out], () =>
    c.program.kernels.interpolate(
      ...([x.storage.at, height, width, channels, rows, across, out.storage.at] as const),
    ),
  );
  return out;
}

const upSampling: Build = (c) => {
  const times = numbersOf(c.attributes.size);
  const how = c.attributes.interpolation ?? 'nearest';
  if (how !== 'nearest' && how !== 'bilinear') refuse(`interpolation: ${String(how)}`);
  return [
    channelsLast(c, (x) => {
      if (how === 'nearest') return addRepetition(c.program, x, [...times, 1]);
      const [height, width] = x.shape as [number, number];
      return addInterpolation(c, x, height * (times[0] as number), width * (times[1] as number));
    }),
  ];
};

const resizing: Build = (c) => {
  if (c.attributes.interpolation !== 'bilinear')
    refuse(`interpolation: ${String(c.attributes.interpolation)}`);
  const [rows, across] = [numberOf(c.attributes.height), numberOf(c.attributes.width)];
  return [channelsLast(c, (x) => addInterpolation(c, x, rows, across))];
};

/** The middle of an image. */
const centerCrop: Build = (c) => [
  channelsLast(c, (x) => {
    const [height, width, channels] = x.shape as [number, number, number];
    const [rows, across] = [numberOf(c.attributes.height), numberOf(c.attributes.width)];
    if (rows > height || across > width) refuse(`${rows} x ${across} pixels of ${height} x ${width}`);
    return addBox(c.program, x, [(height - rows) >> 1, (width - across) >> 1, 0], [rows, across, channels]);
  }),
];

const concatenation: Build = (c) => {
  const axis = axisOf(c.attributes.axis, c.inputs[0]?.shape.length ?? 0);
  return [addConcatenation(c.program, c.inputs, axis)];
};

const permutation: Build = (c) => {
  const dims = numbersOf(c.attributes.dims).map((d) => d - 1);
  return [addPermutation(c.program, c.inputs[0] as Tensor, dims)];
};

/** Layers that move values and compute none, and interpolation. */
export const SHAPES: Readonly<Record<string, Build>> = {
  Flatten: flatten,
  Reshape: reshape((c, x) => filled(numbersOf(c.attributes.target_shape), x.size)),
  Permute: permutation,
  Concatenate: concatenation,
  ZeroPadding1D: zeroPadding,
  ZeroPadding2D: zeroPadding,
  ZeroPadding3D: zeroPadding,
  Cropping1D: cropping,
  Cropping2D: cropping,
  Cropping3D: cropping,
  UpSampling1D: upSampling,
  UpSampling2D: upSampling,
  UpSampling3D: upSampling,
  CenterCrop: centerCrop,
  ConcatenateMasks: concatenation,
  Resizing: resizing,
  'ops.Concatenate': concatenation,
  'ops.Reshape': reshape((c, x) => filled(numbersOf(c.attributes.newshape).slice(1), x.size)),
  RepeatVector: (c) => {
    const [x] = c.inputs as [Tensor];
    const shape = [numberOf(c.attributes.n), x.size];
    return [addBroadcast(c.program, c.program.view(x, [1, x.size]), shape)];
  },
  'ops.Transpose': (c) => {
    const [x] = c.inputs as [Tensor];
    const given = c.attributes.axes === null ? undefined : numbersOf(c.attributes.axes);
    if (given?.[0] !== 0) refuse('samples of a batch moved');
    return [
      addPermutation(
        c.program,
        x,
        given.slice(1).map((axis) => axisOf(axis, x.shape.length)),
      ),
    ];
  },
};
