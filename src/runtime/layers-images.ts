import { axisOf, type Build, type Context, numberOf, numbersOf, refuse } from './context.js';
import { channelsLast } from './layers-products.js';
import { around, concatenation, filled, reshape } from './layers-shapes.js';
import { addBox, addBroadcast, addPermutation, addRepetition } from './moves.js';
import type { Tensor } from './program.js';

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

const permutation: Build = (c) => {
  const dims = numbersOf(c.attributes.dims).map((d) => d - 1);
  return [addPermutation(c.program, c.inputs[0] as Tensor, dims)];
};

/** Parts of images, images of another size, axes in another order. */
export const IMAGES: Readonly<Record<string, Build>> = {
  Permute: permutation,
  Cropping1D: cropping,
  Cropping2D: cropping,
  Cropping3D: cropping,
  UpSampling1D: upSampling,
  UpSampling2D: upSampling,
  UpSampling3D: upSampling,
  CenterCrop: centerCrop,
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
