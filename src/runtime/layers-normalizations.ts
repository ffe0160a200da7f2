import { addActivation } from './activations.js';
import { axisOf, type Build, type Context, numberOf, numbersOf, refuse } from './context.js';
import { addCombination } from './elements.js';
import { addFunction } from './functions.js';
import { addAffine } from './layers-affine.js';
import { addMoments } from './layers-reductions.js';
import { addPermutation } from './moves.js';
import type { Tensor } from './program.js';
import { paddedToEight } from './weights.js';

const lastAxis = (c: Context, axis: unknown): void => {
  const [x] = c.inputs as [Tensor];
  const list = Array.isArray(axis) ? axis : [axis];
  if (list.length !== 1 || axisOf(list[0], x.shape.length) !== x.shape.length - 1)
    refuse(`axis: ${JSON.stringify(axis)}`);
};

/** Statistics for each channel, or for all; `invert` takes them back. */
const normalization: Build = (c) => {
  const { axis, invert } = c.attributes;
  const [x] = c.inputs as [Tensor];
  const n = x.shape.at(-1) as number;
  const given = (name: string) => {
    const own = c.attributes[name] ?? null;
    const list = own === null ? c.values(name) : Float32Array.from([own].flat(9) as number[]);
    if (!list) refuse('statistics that are not there');
    if (list.length === 1) return new Float32Array(n).fill(list[0] as number);
    lastAxis(c, axis);
    return list.length === n ? list : refuse('statistics of another shape than the last axis');
  };
  const [mean, variance] = [given('mean'), given('variance')];
  const deviation = variance.map((v) => Math.max(Math.sqrt(v), 1e-7));
  const scale = invert === true ? deviation : deviation.map((d) => 1 / d);
  const shift = mean.map((m, i) => (invert === true ? m : -m * (scale[i] as number)));
  return [addAffine(c.program, x, scale, shift)];
};

/** Factors and offsets for each channel; one for all is an activation. */
const rescaling: Build = (c) => {
  const [x] = c.inputs as [Tensor];
  const n = x.shape.at(-1) as number;
  const vector = (given: unknown) => {
    const list = (Array.isArray(given) ? given.flat(9) : [given]) as number[];
    if (list.length !== 1 && list.length !== n) refuse(`${list.length} factors of ${n} channels`);
    return Float32Array.from({ length: n }, (_, i) => list[i % list.length] as number);
  };
  return [addAffine(c.program, x, vector(c.attributes.scale), vector(c.attributes.offset ?? 0))];
};

/** Softmax along one axis other than the last. */
const softmax: Build = (c) => {
  const [x] = c.inputs as [Tensor];
  const rank = x.shape.length;
  const axes = numbersOf(c.attributes.axis);
  if (axes.length !== 1) refuse(`axis: [${axes}]`);
  const axis = axisOf(axes[0], rank);
  const order = Array.from({ length: rank }, (_, i) => (i === axis ? rank - 1 : i === rank - 1 ? axis : i));
  const turned = addPermutation(c.program, x, order);
  const out = addActivation(c.program, turned, {
    type: 'rows',
    isLog: c.node.operation === 'ops.LogSoftmax',
  });
  return [addPermutation(c.program, out, order)];
};

/** Rows of the last axis: less their mean, over their deviation. */
function addRows(
  c: Context,
  x: Tensor,
  n: number,
  gamma: Float32Array,
  beta: Float32Array,
  isCentered: boolean,
) {
  const { program } = c;
  const out = program.tensor(x.shape);
  const [g, b] = [program.put(paddedToEight(gamma, n)), program.put(paddedToEight(beta, n))];
  const epsilon = numberOf(c.attributes.epsilon);
  program.step([x], [out], () =>
    program.kernels.normalize(
      ...([x.storage.at, x.size / n, n, g, b, epsilon, isCentered ? 1 : 0, out.storage.at] as const),
    ),
  );
  return out;
}

/** A vector for some axes of a shape, 1 along the others. */
function along(c: Context, values: Float32Array, shape: readonly number[], axes: readonly number[]): Tensor {
  return c.program.constant(
    values,
    shape.map((n, i) => (axes.includes(i) ? n : 1)),
  );
}

/** Less their mean, over their deviation, both taken over `axes`. */
function addStandardized(c: Context, x: Tensor, axes: readonly number[], isCentered: boolean): Tensor {
  const { program } = c;
  const { centered, variance } = addMoments(program, x, axes, true);
  const shifted = addFunction(program, variance, 'linear', 1, numberOf(c.attributes.epsilon));
  return addCombination(
    program,
    isCentered ? centered : x,
    addFunction(program, shifted, 'rsqrt'),
    'multiply',
  );
}

function addScaled(c: Context, x: Tensor, axes: readonly number[]): Tensor {
  const [gamma, beta] = [c.values('gamma'), c.values('beta')];
  const scaled = gamma ? addCombination(c.program, x, along(c, gamma, x.shape, axes), 'multiply') : x;
  return beta ? addCombination(c.program, scaled, along(c, beta, x.shape, axes), 'add') : scaled;
}

const layerNormalization: Build = (c) => {
  const [x] = c.inputs as [Tensor];
  const axes = [c.attributes.axis].flat().map((axis) => axisOf(axis, x.shape.length));
  const isRms = c.attributes.rms_scaling === true;
  if (isRms || axes.length !== 1 || axes[0] !== x.shape.length - 1) {
    // Weights lie in the order of the axes that are given.
    if (axes.some((axis, i) => i > 0 && axis < (axes[i - 1] as number))) refuse(`axis: [${axes}]`);
    return [addScaled(c, addStandardized(c, x, axes, !isRms), axes)];
  }
  const n = x.shape.at(-1) as number;
  const gamma = c.values('gamma') ?? new Float32Array(n).fill(1);
  return [addRows(c, x, n, gamma, c.values('beta') ?? new Float32Array(n), true)];
};

/** Over a group of channels and all other axes. */
const groupNormalization: Build = (c) => {
  const { program, attributes: a } = c;
  const [x] = c.inputs as [Tensor];
  const axis = axisOf(a.axis, x.shape.length);
  const channels = x.shape[axis] as number;
  const groups = numberOf(a.groups) === -1 ? channels : numberOf(a.groups);
  if (!(groups > 0) || channels % groups !== 0) refuse(`${groups} groups of ${channels} channels`);
  const split = [...x.shape.slice(0, axis), groups, channels / groups, ...x.shape.slice(axis + 1)];
  const others = split.map((_, i) => i).filter((i) => i !== axis);
  const out = addStandardized(c, program.view(x, split), others, true);
  return [addScaled(c, program.view(out, x.shape), [axis])];
};

const rmsNormalization: Build = (c) => {
  lastAxis(c, c.attributes.axis);
  const [x] = c.inputs as [Tensor];
  const n = x.shape.at(-1) as number;
  return [addRows(c, x, n, c.values('scale') as Float32Array, new Float32Array(n), false)];
};

/** Factors and offsets along the channels, normalizations of channels and rows. */
export const NORMALIZATIONS: Readonly<Record<string, Build>> = {
  Rescaling: rescaling,
  Softmax: softmax,
  'ops.Softmax': softmax,
  'ops.LogSoftmax': softmax,
  Normalization: normalization,
  LayerNormalization: layerNormalization,
  GroupNormalization: groupNormalization,
  RMSNormalization: rmsNormalization,
};
