import type { Tensor, TensorFlow } from '../types.js';
import { type Context, type LayerSpec, positiveAxis, spec, type WeightSpec } from './define.js';
import { mean, moments, sum } from './sums.js';

interface NormConfig {
  readonly axis?: number | number[];
  readonly epsilon?: number;
  readonly center?: boolean;
  readonly scale?: boolean;
  readonly rmsScaling?: boolean;
  readonly groups?: number;
  readonly invert?: boolean;
  readonly mean?: number | number[] | null;
  readonly variance?: number | number[] | null;
}

const axesOf = (
  axis: number | readonly number[] | null | undefined,
  rank: number,
  fallback: number[],
): number[] =>
  (axis === undefined || axis === null ? fallback : typeof axis === 'number' ? [axis] : [...axis])
    .map((a) => positiveAxis(a, rank))
    .sort((a, b) => a - b);

/** A tensor over some axes, shaped to spread over all. */
function along(tf: TensorFlow, value: Tensor, shape: readonly number[], axes: readonly number[]): Tensor {
  return tf.reshape(
    value,
    shape.map((n, i) => (axes.includes(i) ? n : 1)),
  );
}

function scaleAndOffset(config: NormConfig, shape: readonly (number | null | undefined)[]): WeightSpec[] {
  return [
    ...(config.scale === false ? [] : [['gamma', shape] as const]),
    ...(config.center === false ? [] : [['beta', shape] as const]),
  ];
}

/** `(x - mean) / sqrt(variance + epsilon) * gamma + beta` */
function normalized(
  { tf, config, has, weight }: Context<NormConfig>,
  x: Tensor,
  mean: Tensor | 0,
  variance: Tensor,
  spread: (value: Tensor) => Tensor,
): Tensor {
  let factor = tf.rsqrt(tf.add(variance, config.epsilon ?? 1e-3));
  if (has('gamma')) factor = tf.mul(factor, spread(weight('gamma')));
  const y = tf.mul(mean === 0 ? x : tf.sub(x, mean), factor);
  return has('beta') ? tf.add(y, spread(weight('beta'))) : y;
}

/** BatchNormalization for any rank and axis; TensorFlow.js's stops at rank 4 and its CPU kernel needs the last axis. */
const batch: LayerSpec<NormConfig> = {
  className: 'BatchNormalization',
  weights(config, [shape = []]) {
    const dims = axesOf(config.axis, shape.length, [shape.length - 1]).map((axis) => shape[axis]);
    return [...scaleAndOffset(config, dims), ['moving_mean', dims, false], ['moving_variance', dims, false]];
  },
  call(context) {
    const { tf, config, inputs, weight } = context;
    const x = inputs[0] as Tensor;
    const axes = axesOf(config.axis, x.rank, [x.rank - 1]);
    const spread = (value: Tensor) => along(tf, value, x.shape, axes);
    return normalized(context, x, spread(weight('moving_mean')), spread(weight('moving_variance')), spread);
  },
};

/** LayerNormalization for any rank, with `rms_scaling`, which leaves the mean in: `x / sqrt(var(x) + epsilon) * gamma`. */
const layer: LayerSpec<NormConfig> = {
  className: 'LayerNormalization',
  weights(config, [shape = []]) {
    const dims = axesOf(config.axis, shape.length, [shape.length - 1]).map((axis) => shape[axis]);
    return config.rmsScaling ? [['gamma', dims]] : scaleAndOffset(config, dims);
  },
  call(context) {
    const { tf, config, inputs } = context;
    const x = inputs[0] as Tensor;
    const axes = axesOf(config.axis, x.rank, [x.rank - 1]);
    const { mean: center, variance } = moments(tf, x, axes);
    return normalized(context, x, config.rmsScaling ? 0 : center, variance, (value) =>
      along(tf, value, x.shape, axes),
    );
  },
};

/** `x / sqrt(mean(x^2) + epsilon) * scale` */
const rms: LayerSpec<NormConfig> = {
  className: 'RMSNormalization',
  weights(config, [shape = []]) {
    return [['scale', axesOf(config.axis, shape.length, [shape.length - 1]).map((axis) => shape[axis])]];
  },
  call({ tf, config, inputs, weight }) {
    const x = inputs[0] as Tensor;
    const axes = axesOf(config.axis, x.rank, [x.rank - 1]);
    const factor = tf.rsqrt(tf.add(mean(tf, tf.square(x), axes, true), config.epsilon ?? 1e-6));
    return tf.mul(tf.mul(x, factor), along(tf, weight('scale'), x.shape, axes));
  },
};

/** Mean and variance of each sample over a group of channels and all other axes. */
const group: LayerSpec<NormConfig> = {
  className: 'GroupNormalization',
  weights(config, [shape = []]) {
    return scaleAndOffset(
      config,
      axesOf(config.axis, shape.length, [shape.length - 1]).map((axis) => shape[axis]),
    );
  },
  call(context) {
    const { tf, config, inputs } = context;
    const x = inputs[0] as Tensor;
    const axis = axesOf(config.axis, x.rank, [x.rank - 1])[0] as number;
    const channels = x.shape[axis] as number;
    const groups = config.groups === -1 ? channels : (config.groups ?? 32);
    const shape = [...x.shape.slice(0, axis), groups, channels / groups, ...x.shape.slice(axis + 1)];
    const reduced = shape.map((_, i) => i).filter((i) => i !== 0 && i !== axis);
    const grouped = tf.reshape(x, shape);
    const { mean: center, variance } = moments(tf, grouped, reduced);
    const spread = (value: Tensor) =>
      tf.reshape(
        value,
        shape.map((n, i) => (i === axis || i === axis + 1 ? n : 1)),
      );
    return tf.reshape(normalized(context, grouped, center, variance, spread), x.shape);
  },
};

/** `x / sqrt(max(sum(x^2), 1e-12))` */
const unit: LayerSpec<NormConfig> = {
  className: 'UnitNormalization',
  call({ tf, config, inputs }) {
    const x = inputs[0] as Tensor;
    const axes = axesOf(config.axis, x.rank, [x.rank - 1]);
    return tf.mul(x, tf.rsqrt(tf.maximum(sum(tf, tf.square(x), axes, true), 1e-12)));
  },
};

/** `(x - mean) / max(sqrt(variance), 1e-7)` with learned or given statistics, or its inverse. */
const statistics: LayerSpec<NormConfig> = {
  className: 'Normalization',
  weights(config, [shape = []]) {
    if (config.mean !== undefined && config.mean !== null) return [];
    const dims = keptAxes(config, shape.length).map((axis) => shape[axis]);
    return [
      ['mean', dims, false],
      ['variance', dims, false],
    ];
  },
  call({ tf, config, inputs, has, weight }) {
    const x = tf.cast(inputs[0] as Tensor, 'float32');
    const axes = keptAxes(config, x.rank);
    const value = (name: 'mean' | 'variance') => {
      if (has(name)) return along(tf, weight(name), x.shape, axes);
      const given = tf.tensor(config[name] ?? 0);
      const isPerAxis = given.size === axes.reduce((size, axis) => size * (x.shape[axis] as number), 1);
      return given.size > 1 && isPerAxis
        ? along(tf, given, x.shape, axes)
        : given.size === 1
          ? tf.reshape(given, [])
          : given;
    };
    const deviation = tf.maximum(tf.sqrt(value('variance')), 1e-7);
    return config.invert
      ? tf.add(value('mean'), tf.mul(x, deviation))
      : tf.div(tf.sub(x, value('mean')), deviation);
  },
};

/** `axis: None` means one mean for everything; `[]` stands for it. */
const keptAxes = (config: NormConfig, rank: number): number[] => axesOf(config.axis, rank, []);

/** Normalizations beyond those of TensorFlow.js. */
export const normalizationLayers: readonly LayerSpec[] = [batch, layer, rms, group, unit, statistics].map(
  (s) => spec(s),
);
