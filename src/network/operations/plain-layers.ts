// Layers that networks of convolutions have; those over windows are in windows.ts.
import type { JsonObject } from '../../model.js';
import type { Shape } from '../types.js';
import { activation, anything, axes, flag, int, number, optional, size, statedAxes } from './attributes.js';
import {
  areKnown,
  biasOf,
  broadcast,
  broadcastFault,
  fromStart,
  joinFault,
  type Operation,
  type Operations,
  product,
  sameShape,
  type WeightRole,
} from './operation.js';
import { reshape } from './reshape.js';
import { dataFormat, PLAIN_WINDOWS } from './windows.js';

const last = (shape: Shape | undefined): number | null => shape?.at(-1) ?? null;

const dense: Operation = {
  attributes: { units: size, activation: activation(), use_bias: flag(true) },
  shape: ({ attributes, shapes: [x] }) => x && [[...x.slice(0, -1), Number(attributes.units)]],
  fault: ({ shapes: [x] }) => (x && x.length < 2 ? `an input of ${x.length} axes` : undefined),
  weights: ({ attributes, shapes: [x] }) => [
    { role: 'kernel', shape: [last(x), Number(attributes.units)] },
    ...biasOf(attributes, Number(attributes.units)),
  ],
};

const flatten: Operation = {
  attributes: { data_format: dataFormat },
  shape: ({ shapes: [x] }) => x && [[x[0] ?? null, product(x.slice(1))]],
  dtype: 'same',
};

const merge: Operation = {
  attributes: {},
  shape: ({ shapes }) => (areKnown(shapes) ? [broadcast(shapes)] : undefined),
  fault: ({ shapes }) =>
    shapes.length < 2 ? `${shapes.length} inputs where it takes at least two` : broadcastFault(shapes),
};

/** Shapes joined along an axis. */
export function concatenated(shapes: readonly Shape[], axis: number): Shape {
  const [first = []] = shapes;
  const at = fromStart(axis, first.length);
  const sum = shapes
    .map((shape) => shape[at])
    .reduce<number | null>((a, b) => (a === null || b == null ? null : a + b), 0);
  return first.map((n, i) =>
    i === at ? sum : (n ?? shapes.map((shape) => shape[i]).find((m) => typeof m === 'number') ?? null),
  );
}

const concatenate: Operation = {
  attributes: { axis: int(-1) },
  shape: ({ attributes, shapes }) =>
    areKnown(shapes) ? [concatenated(shapes, Number(attributes.axis))] : undefined,
  fault: ({ attributes, shapes }) => joinFault(shapes, Number(attributes.axis)),
  dtype: 'same',
};

export const sameAs = (attributes: Operation['attributes'] = {}): Operation => ({
  attributes,
  shape: sameShape,
});

export const identity = (more: Partial<Operation> = {}): Operation => ({
  attributes: {},
  shape: sameShape,
  dtype: 'same',
  isIdentity: true,
  weights: 'any',
  ...more,
});

const isRated = (config: JsonObject) =>
  Number(config.rate ?? config.p ?? config.stddev ?? config.sigma ?? config.dropout ?? 1) > 0;
const noise = identity({ isTrained: isRated });

export const vectors =
  (names: (attributes: JsonObject) => readonly string[]): Operation['weights'] =>
  ({ attributes, shapes: [x] }): readonly WeightRole[] => {
    const given = attributes.axis;
    const list = (Array.isArray(given) ? given : [given ?? -1]) as number[];
    const shape = x && list.map((axis) => x[fromStart(axis, x.length)] ?? null);
    return names(attributes).map((role) => ({ role, shape }));
  };

export const affine = ({ scale, center }: JsonObject) => [
  ...(scale === false ? [] : ['gamma']),
  ...(center === false ? [] : ['beta']),
];

const batchNormalization: Operation = {
  attributes: {
    axis: (value, origin) => {
      const found = axes(-1)(value, origin);
      return Array.isArray(found) && found.length === 1 ? (found[0] as number) : found;
    },
    epsilon: number(1e-3, 0),
    center: flag(true),
    scale: flag(true),
    // Keras 1: the statistics of each sample, or of the batch.
    mode: anything,
    renorm: flag(false),
  },
  shape: sameShape,
  fault: ({ attributes: { axis, mode }, shapes: [x] }) => {
    if (mode) return `mode: ${String(mode)}`;
    if (Array.isArray(axis)) return `axis: ${JSON.stringify(axis)}`;
    const at = x && fromStart(Number(axis), x.length);
    return x && (at === undefined || at < 1 || at >= x.length)
      ? `axis ${String(axis)} of an input of ${x.length} axes`
      : undefined;
  },
  weights: (given) => {
    const roles = vectors((a) => [...affine(a), 'moving_mean', 'moving_variance']);
    const own = typeof roles === 'function' ? roles(given) : [];
    const renorm = given.attributes.renorm === true ? ['moving_stddev', 'renorm_mean', 'renorm_stddev'] : [];
    return [...own, ...renorm.map((role): WeightRole => ({ role, isUnused: true }))];
  },
  isTrained: () => true,
};

/** Layers of the core that most networks are made of. */
export const PLAIN_LAYERS: Operations = {
  Dense: dense,
  Flatten: flatten,
  Reshape: reshape,
  Add: merge,
  Subtract: {
    ...merge,
    fault: ({ shapes }) =>
      shapes.length === 2 ? broadcastFault(shapes) : `${shapes.length} inputs where it takes two`,
  },
  Multiply: merge,
  Average: merge,
  Maximum: merge,
  Minimum: merge,
  Concatenate: concatenate,
  Activation: sameAs({ activation: activation() }),
  ReLU: sameAs({
    max_value: optional(number(0, 0)),
    negative_slope: number(0),
    threshold: number(0),
  }),
  Softmax: sameAs({ axis: statedAxes }),
  BatchNormalization: batchNormalization,
  Rescaling: sameAs({ scale: anything, offset: anything }),
  Dropout: noise,
  SpatialDropout1D: noise,
  SpatialDropout2D: noise,
  SpatialDropout3D: noise,
  GaussianNoise: noise,
  GaussianDropout: noise,
  AlphaDropout: noise,
  ActivityRegularization: identity(),
  Identity: identity(),
};

const ROWS: Operations = { ...PLAIN_LAYERS, ...PLAIN_WINDOWS };

/** The row of a layer that networks of convolutions are made of; undefined for others. */
export const plainOperation = (name: string): Operation | undefined =>
  Object.hasOwn(ROWS, name) ? ROWS[name] : undefined;
