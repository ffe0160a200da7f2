import type { Tensor, Tensor4D, Tensor5D } from '../types.js';
import {
  channelsBack,
  channelsLast,
  type DataFormat,
  isFirst,
  type LayerSpec,
  perAxis,
  type Shape,
  spatialShape,
  spec,
} from './define.js';
import { mean, sum } from './sums.js';
import { seen } from './windows.js';

interface GlobalPoolingConfig extends DataFormat {
  readonly keepdims?: boolean;
  /** Whether the second input is a mask `[batch, time]`. */
  readonly masked?: boolean;
}

/** Global pooling of any rank, with `keepdims`, and GlobalAveragePooling1D with a mask. */
function globalPooling(kind: 'Average' | 'Max', rank: number): LayerSpec<GlobalPoolingConfig> {
  return {
    className: `Global${kind}Pooling${rank}D`,
    outputShape(config, [shape = []]) {
      const channels = (isFirst(config) ? shape[1] : shape.at(-1)) ?? null;
      return config.keepdims ? spatialShape(config, shape, () => 1) : [shape[0] ?? null, channels];
    },
    call({ tf, config, inputs }) {
      const x = inputs[0] as Tensor;
      const axes = Array.from({ length: rank }, (_, i) => i + (isFirst(config) ? 2 : 1));
      const keep = config.keepdims === true;
      if (!config.masked) return kind === 'Max' ? tf.max(x, axes, keep) : mean(tf, x, axes, keep);
      const mask = tf.expandDims(inputs[1] as Tensor, isFirst(config) ? 1 : 2);
      return tf.div(sum(tf, tf.mul(x, mask), axes, keep), sum(tf, mask, axes, keep));
    },
  };
}

interface PoolingConfig extends DataFormat {
  readonly poolSize?: number | number[];
  readonly strides?: number | number[] | null;
  readonly padding?: 'same' | 'valid';
}

/** Shape of what pooling gives. */
function pooledShape(config: PoolingConfig, shape: Shape, rank: number): Shape {
  const size = perAxis(config.poolSize, rank, 2);
  const strides = config.strides == null ? size : perAxis(config.strides, rank, 1);
  return spatialShape(config, shape, (n, axis) => {
    const [k = 1, s = 1] = [size[axis], strides[axis]];
    return config.padding === 'same' ? Math.ceil(n / s) : Math.floor((n - k) / s) + 1;
  });
}

/** Pooling along time with channels first, which TensorFlow.js's class takes for last. */
function pooling1d(kind: 'Average' | 'Max'): LayerSpec<PoolingConfig> {
  return {
    className: `${kind}Pooling1D`,
    outputShape: (config, [shape = []]) => pooledShape(config, shape, 1),
    call({ tf, config, inputs }) {
      const x = tf.expandDims(channelsLast(tf, inputs[0] as Tensor, config), 1) as Tensor4D;
      const [size = 2] = perAxis(config.poolSize, 1, 2);
      const [stride = size] = config.strides == null ? [] : perAxis(config.strides, 1, 1);
      const pad = config.padding === 'same' ? 'same' : 'valid';
      const pool = kind === 'Max' ? tf.maxPool : tf.avgPool;
      return channelsBack(tf, tf.squeeze(pool(x, [1, size], [1, stride], pad), [1]), config);
    },
  };
}

type Triple = [number, number, number];

function windowsOf(config: PoolingConfig) {
  const sizes = perAxis(config.poolSize, 3, 2) as Triple;
  const strides = (config.strides == null ? sizes : perAxis(config.strides, 3, 1)) as Triple;
  return { sizes, strides, pad: config.padding === 'same' ? ('same' as const) : ('valid' as const) };
}

/** Means of windows that are shorter than their stride, which TensorFlow.js shifts. */
const averagePooling3d: LayerSpec<PoolingConfig> = {
  className: 'AveragePooling3D',
  outputShape: (config, [shape = []]) => pooledShape(config, shape, 3),
  call({ tf, config, inputs }) {
    const { sizes, strides, pad } = windowsOf(config);
    const x = seen(tf, channelsLast(tf, inputs[0] as Tensor, config), sizes, strides, pad);
    return channelsBack(tf, tf.avgPool3d(x as Tensor5D, sizes, strides, pad), config);
  },
};

/** Largest of windows over rows and columns, then over depth; the WebAssembly backend's own kernel is wrong (tfjs 4.22). */
const maxPooling3d: LayerSpec<PoolingConfig> = {
  className: 'MaxPooling3D',
  outputShape: (config, [shape = []]) => pooledShape(config, shape, 3),
  call({ tf, config, inputs }) {
    const { sizes, strides, pad } = windowsOf(config);
    const [kd, kh, kw] = sizes;
    const [sd, sh, sw] = strides;
    const x = seen(tf, channelsLast(tf, inputs[0] as Tensor, config), sizes, strides, pad);
    const [batch, depth, height, width, channels] = x.shape as [number, number, number, number, number];
    const frames = tf.reshape(x, [batch * depth, height, width, channels]) as Tensor4D;
    const flat = tf.maxPool(frames, [kh, kw], [sh, sw], pad);
    const [, rows, columns] = flat.shape;
    const deep = tf.maxPool(
      tf.reshape(flat, [batch, depth, rows * columns, channels]) as Tensor4D,
      [kd, 1],
      [sd, 1],
      pad,
    );
    return channelsBack(tf, tf.reshape(deep, [batch, deep.shape[1], rows, columns, channels]), config);
  },
};

/** Pooling beyond that of TensorFlow.js. */
export const poolingLayers: readonly LayerSpec[] = [
  ...[1, 2, 3].flatMap((rank) => [spec(globalPooling('Average', rank)), spec(globalPooling('Max', rank))]),
  spec(pooling1d('Average')),
  spec(pooling1d('Max')),
  spec(averagePooling3d),
  spec(maxPooling3d),
];
