import { type Attribute, anything, choice, flag, int, optional, pairs, size, sizes } from './attributes.js';
import { type Application, biasOf, type Operation, type Operations, type WeightRole } from './operation.js';
import {
  channelsOf,
  common,
  dataFormat,
  list,
  one,
  PLAIN_WINDOWS,
  rankFault,
  ranks,
  spatial,
} from './windows.js';

const transposed = (rank: number): Operation => ({
  attributes: {
    filters: size,
    ...common(rank),
    output_padding: optional(sizesFromZero(rank)),
    // Keras 1 was told what Keras 2 computes.
    output_shape: anything,
  },
  shape: ({ attributes, shapes: [x] }) => {
    const {
      kernel_size: kernel,
      strides,
      dilation_rate: dilation,
      padding,
      output_padding: more,
    } = attributes;
    return one(
      spatial(
        x,
        attributes,
        rank,
        (n, axis) => {
          const k = ((list(kernel)[axis] as number) - 1) * (list(dilation)[axis] as number) + 1;
          const s = list(strides)[axis] as number;
          if (more === null || more === undefined)
            return n * s + (padding === 'same' ? 0 : Math.max(k - s, 0));
          const pad = padding === 'same' ? Math.floor(k / 2) : 0;
          return (n - 1) * s + k - 2 * pad + (list(more)[axis] as number);
        },
        Number(attributes.filters),
      ),
    );
  },
  fault: (given) => {
    const { output_shape: wanted } = given.attributes;
    const [shape] = transposedShape(rank, given) ?? [];
    if (
      Array.isArray(wanted) &&
      wanted.some((n, axis) => axis > 0 && n !== null && shape?.[axis] != null && shape[axis] !== n)
    )
      return `output_shape: ${JSON.stringify(wanted)}`;
    return rankFault(rank)(given);
  },
  weights: ({ attributes, shapes: [x] }) => [
    {
      role: 'kernel',
      shape: [...list(attributes.kernel_size), Number(attributes.filters), channelsOf(attributes, x)],
    },
    ...biasOf(attributes, Number(attributes.filters)),
  ],
});

const transposedShape = (rank: number, given: Application) => transposed(rank).shape(given);

function sizesFromZero(rank: number): Attribute {
  return (value, origin) => {
    const items = Array.isArray(value) ? value : Array<typeof value>(rank).fill(value);
    const read = items.map((item) => int(0)(item, origin));
    return read as number[];
  };
}

const upSampling = (rank: number): Operation => ({
  attributes: {
    size: sizes(rank, 2),
    data_format: dataFormat,
    ...(rank === 2 ? { interpolation: choice(INTERPOLATIONS, 'nearest') } : {}),
  },
  shape: ({ attributes, shapes: [x] }) => {
    const times = list(attributes.size);
    return one(spatial(x, attributes, rank, (n, axis) => n * (times[axis] as number)));
  },
  fault: rankFault(rank),
  dtype: 'same',
});

const INTERPOLATIONS = [
  'nearest',
  'bilinear',
  'bicubic',
  'lanczos3',
  'lanczos5',
  'area',
  'mitchellcubic',
  'gaussian',
];

const cropping = (rank: number): Operation => ({
  attributes: { cropping: pairs(rank, rank === 2 ? 0 : 1), data_format: dataFormat },
  shape: ({ attributes, shapes: [x] }) => {
    const crops = attributes.cropping as unknown as readonly (readonly [number, number])[];
    return one(
      spatial(x, attributes, rank, (n, axis) =>
        Math.max(n - (crops[axis]?.[0] ?? 0) - (crops[axis]?.[1] ?? 0), 0),
      ),
    );
  },
  fault: rankFault(rank),
  dtype: 'same',
});

const resized: Operation['shape'] = ({ attributes, shapes: [x] }) =>
  one(spatial(x, attributes, 2, (_, axis) => Number(axis === 0 ? attributes.height : attributes.width)));

/** Weights of a convolution: used by ConvLSTM as well. */
export const kernelShape = (kernel: unknown, inputs: number | null, outputs: number): WeightRole['shape'] => [
  ...list(kernel),
  inputs,
  outputs,
];

/** Layers over windows and along the axes between batch and channels. */
export const SPATIAL: Operations = {
  ...PLAIN_WINDOWS,
  ...ranks((n) => `Conv${n}DTranspose`, [1, 2, 3], transposed),
  ...ranks((n) => `UpSampling${n}D`, [1, 2, 3], upSampling),
  ...ranks((n) => `Cropping${n}D`, [1, 2, 3], cropping),
  Resizing: {
    attributes: {
      height: size,
      width: size,
      interpolation: choice(INTERPOLATIONS, 'bilinear'),
      crop_to_aspect_ratio: flag(false),
      pad_to_aspect_ratio: flag(false),
      antialias: flag(false),
      fill_mode: anything,
      fill_value: anything,
      data_format: dataFormat,
    },
    shape: resized,
    fault: ({ attributes: a }) =>
      a.crop_to_aspect_ratio || a.pad_to_aspect_ratio || a.antialias
        ? 'cropping, padding or antialiasing'
        : undefined,
  },
  CenterCrop: {
    attributes: { height: size, width: size, data_format: dataFormat },
    shape: resized,
    fault: (given) => {
      const [cut] = resized(given) ?? [];
      const isSmaller = cut?.some(
        (n, axis) => (given.shapes[0]?.[axis] ?? Number.POSITIVE_INFINITY) < (n ?? 0),
      );
      return isSmaller
        ? 'an image that is smaller than what is cut out of it, which Keras resizes'
        : undefined;
    },
  },
};
