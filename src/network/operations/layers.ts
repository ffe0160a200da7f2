import type { JsonObject } from '../../model.js';
import type { Shape } from '../types.js';
import {
  activation,
  anything,
  axes,
  choice,
  flag,
  int,
  ints,
  number,
  optional,
  size,
  text,
} from './attributes.js';
import {
  areKnown,
  broadcast,
  fromStart,
  type Operation,
  type Operations,
  sameShape,
  vectorFault,
} from './operation.js';
import { affine, concatenated, identity, PLAIN_LAYERS, sameAs, vectors } from './plain-layers.js';
import { dataFormat } from './windows.js';

/** An equation with its ellipsis written out for an input of some rank. */
export function expandedEquation(
  equation: string,
  rank: number,
): { readonly left: string; readonly right: string; readonly out: string } {
  const [inputs = '', out = ''] = equation.replace(/\s/g, '').split('->');
  const [left = '', right = ''] = inputs.split(',');
  const used = new Set(equation);
  const free = [...'zyxwvutsrqponmlkjihgfedcba'].filter((c) => !used.has(c));
  const rest = free.slice(0, Math.max(rank - left.replace('...', '').length, 0)).join('');
  return { left: left.replace('...', rest), right, out: out.replace('...', rest) };
}

const einsumDense: Operation = {
  attributes: {
    equation: text,
    output_shape: anything,
    activation: activation(),
    bias_axes: optional(text),
  },
  shape: ({ attributes, shapes: [x] }) => {
    if (!x) return undefined;
    const { left, out } = expandedEquation(String(attributes.equation), x.length);
    const given = attributes.output_shape;
    const wanted = Array.isArray(given) ? given : [given ?? null];
    // The last axes are given, the first are those of the input.
    const from = out.length - wanted.length;
    const shape = [...out].map((letter, axis): number | null => {
      const own = axis >= from ? wanted[axis - from] : null;
      const at = left.indexOf(letter);
      return typeof own === 'number' ? own : at >= 0 ? (x[at] ?? null) : null;
    });
    return [shape];
  },
  fault: (given) => {
    const [out] = einsumDense.shape(given) ?? [];
    const { equation, bias_axes: axes } = given.attributes;
    if (!given.isKeras3 || !out || !axes) return undefined;
    const { out: letters } = expandedEquation(String(equation), given.shapes[0]?.length ?? 0);
    const places = [...String(axes)].map((letter) => letters.indexOf(letter)).filter((at) => out[at] !== 1);
    const [axis, more] = places;
    return axis === undefined || more !== undefined ? undefined : vectorFault(out, out[axis], axis);
  },
  weights: ({ attributes }) => [{ role: 'kernel' }, ...(attributes.bias_axes ? [{ role: 'bias' }] : [])],
};

const embedding: Operation = {
  attributes: { input_dim: size, output_dim: size, mask_zero: flag(false) },
  shape: ({ attributes, shapes: [x] }) => x && [[...x, Number(attributes.output_dim)]],
  weights: ({ attributes }) => [
    { role: 'embeddings', shape: [Number(attributes.input_dim), Number(attributes.output_dim)] },
  ],
};

const permute: Operation = {
  attributes: { dims: ints('a list of axes') },
  shape: ({ attributes, shapes: [x] }) =>
    x && [[x[0] ?? null, ...(attributes.dims as number[]).map((d) => x[d] ?? null)]],
  dtype: 'same',
};

const repeatVector: Operation = {
  attributes: { n: size },
  shape: ({ attributes, shapes: [x] }) => x && [[x[0] ?? null, Number(attributes.n), ...x.slice(1)]],
  dtype: 'same',
};

const dot: Operation = {
  attributes: { axes: ints('one axis or two'), normalize: flag(false) },
  shape: ({ attributes, shapes }) => {
    if (!areKnown(shapes) || shapes.length !== 2) return undefined;
    const [x, y] = shapes as [Shape, Shape];
    const given = attributes.axes as number[];
    const a = fromStart(given[0] as number, x.length);
    const b = fromStart((given[1] ?? given[0]) as number, y.length);
    const shape = [...x.filter((_, i) => i !== a), ...y.filter((_, i) => i !== b && i !== 0)];
    return [shape.length === 1 ? [...shape, 1] : shape];
  },
};

const layerNormalization: Operation = {
  attributes: {
    axis: axes(-1),
    epsilon: number(1e-3, 0),
    center: flag(true),
    scale: flag(true),
    rms_scaling: flag(false),
  },
  shape: sameShape,
  weights: vectors((a) => (a.rms_scaling === true ? ['gamma'] : affine(a))),
};

const groupNormalization: Operation = {
  attributes: {
    groups: int(32),
    axis: int(-1),
    epsilon: number(1e-3, 0),
    center: flag(true),
    scale: flag(true),
  },
  shape: sameShape,
  weights: vectors(affine),
};

const normalization: Operation = {
  attributes: {
    axis: (value, origin) => (value === undefined ? [-1] : axes(null)(value, origin)),
    mean: anything,
    variance: anything,
    invert: flag(false),
  },
  shape: sameShape,
  weights: ({ attributes }) =>
    (attributes.mean ?? null) !== null
      ? []
      : [{ role: 'mean' }, { role: 'variance' }, { role: 'count', isUnused: true }],
};

const prelu: Operation = {
  attributes: { shared_axes: optional(ints('a list of axes')) },
  shape: sameShape,
  weights: ({ attributes, shapes: [x] }) => {
    const shared = (attributes.shared_axes ?? []) as number[];
    return [{ role: 'alpha', shape: x?.slice(1).map((n, i) => (shared.includes(i + 1) ? 1 : n)) }];
  },
};

/** `alpha` of Keras 2 is `negative_slope` of Keras 3. */
const leakyRelu: Operation = {
  attributes: { negative_slope: optional(number(0.3)), alpha: optional(number(0.3)) },
  shape: sameShape,
};

/** The slope of a LeakyReLU, whatever Keras calls it. */
export const slopeOf = (attributes: JsonObject): number =>
  Number(attributes.negative_slope ?? attributes.alpha ?? 0.3);

/** Layers of the core: products, shapes, merges, normalizations, activations, and those that do nothing in inference. */
export const LAYERS: Operations = {
  ...PLAIN_LAYERS,
  EinsumDense: einsumDense,
  Embedding: embedding,
  Permute: permute,
  RepeatVector: repeatVector,
  Dot: dot,
  LeakyReLU: leakyRelu,
  ELU: sameAs({ alpha: number(1) }),
  PReLU: prelu,
  ThresholdedReLU: sameAs({ theta: number(1) }),
  LayerNormalization: layerNormalization,
  GroupNormalization: groupNormalization,
  RMSNormalization: {
    attributes: { axis: axes(-1), epsilon: number(1e-6, 0) },
    shape: sameShape,
    weights: vectors(() => ['scale']),
  },
  UnitNormalization: sameAs({ axis: axes(-1) }),
  Normalization: normalization,
  Masking: sameAs({ mask_value: number(0) }),
  RandomCrop: {
    ...identity(),
    attributes: { height: anything, width: anything, isKeras3: (_, { isKeras3 }) => isKeras3 },
    fault: ({ attributes }) =>
      attributes.isKeras3 === true ? undefined : 'Keras 2 resizes images with it outside of training',
    isTrained: () => true,
  },
  AutoContrast: {
    attributes: { value_range: anything, data_format: dataFormat },
    shape: sameShape,
  },
  Equalization: {
    ...identity(),
    attributes: { '*': anything },
    fault: () => 'its values depend on the other images of a batch',
  },
  // Layers that Keras 3.15.1 leaves out in `predict`, each seen to give its input there.
  ...Object.fromEntries(
    [
      'RandomFlip',
      'RandomRotation',
      'RandomZoom',
      'RandomTranslation',
      'RandomContrast',
      'RandomBrightness',
      'RandomShear',
      'RandomHue',
      'RandomSaturation',
      'RandomSharpness',
      'RandomColorJitter',
      'RandomColorDegeneration',
      'RandomGrayscale',
      'RandomPosterization',
      'RandomInvert',
      'RandomErasing',
      'RandomElasticTransform',
      'RandomGaussianBlur',
      'RandomPerspective',
      'RandomHeight',
      'RandomWidth',
      'Solarization',
      'MaxNumBoundingBoxes',
      'AugMix',
      'CutMix',
      'MixUp',
      'RandAugment',
    ].map((name) => [name, { ...identity({ isTrained: () => true }), attributes: { '*': anything } }]),
  ),
};

/** Masks as values: made by a layer, or out of others. See `masks.ts`. */
export const MASKS: Operations = {
  ComputeMask: {
    attributes: { tokens: flag(true), mask_value: number(0) },
    shape: ({ attributes, shapes: [x] }) => x && [attributes.tokens === true ? x : x.slice(0, -1)],
    dtype: 'bool',
  },
  ConcatenateMasks: {
    attributes: { axis: int(-1) },
    shape: ({ attributes, shapes }) =>
      areKnown(shapes) ? [concatenated(shapes, Number(attributes.axis))] : undefined,
    dtype: 'bool',
  },
  CombineMasks: {
    attributes: { how: choice(['or', 'and'], 'or') },
    shape: ({ shapes }) => (areKnown(shapes) ? [broadcast(shapes)] : undefined),
    dtype: 'bool',
  },
};
