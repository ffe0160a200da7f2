import type { Tensor, Tensor4D, TensorFlow } from '../types.js';
import { softmax } from './activations.js';
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

type Pair = readonly [number, number];

/** Amounts before and after on each spatial axis: a number, one per axis, or a pair per axis. */
function pairs(value: number | readonly (number | Pair)[], rank: number): Pair[] {
  if (typeof value === 'number') return Array(rank).fill([value, value]) as Pair[];
  if (rank === 1 && value.length === 2 && value.every((n) => typeof n === 'number'))
    return [value as unknown as Pair];
  return value.map((n) => (typeof n === 'number' ? [n, n] : n));
}

interface EdgeConfig extends DataFormat {
  readonly padding?: number | readonly (number | Pair)[];
  readonly cropping?: number | readonly (number | Pair)[];
}

function zeroPadding(rank: number): LayerSpec<EdgeConfig> {
  const amounts = (config: EdgeConfig) => pairs(config.padding ?? 1, rank);
  return {
    className: `ZeroPadding${rank}D`,
    outputShape: (config, [shape = []]) =>
      spatialShape(
        config,
        shape,
        (n, axis) => n + (amounts(config)[axis] ?? [0, 0]).reduce((a, b) => a + b, 0),
      ),
    call({ tf, config, inputs }) {
      const inner = amounts(config).map(([a, b]) => [a, b] as [number, number]);
      const zero: [number, number] = [0, 0];
      return tf.pad(inputs[0] as Tensor, isFirst(config) ? [zero, zero, ...inner] : [zero, ...inner, zero]);
    },
  };
}

function cropping(rank: number): LayerSpec<EdgeConfig> {
  const amounts = (config: EdgeConfig) => pairs(config.cropping ?? 1, rank);
  return {
    className: `Cropping${rank}D`,
    outputShape: (config, [shape = []]) =>
      spatialShape(
        config,
        shape,
        (n, axis) => n - (amounts(config)[axis] ?? [0, 0]).reduce((a, b) => a + b, 0),
      ),
    call({ tf, config, inputs }) {
      const x = inputs[0] as Tensor;
      const from = isFirst(config) ? 2 : 1;
      const begin = x.shape.map(() => 0);
      const size = [...x.shape];
      amounts(config).forEach(([before, after], axis) => {
        begin[from + axis] = before;
        size[from + axis] = (x.shape[from + axis] as number) - before - after;
      });
      return tf.slice(x, begin, size);
    },
  };
}

interface UpConfig extends DataFormat {
  readonly size?: number | number[];
  readonly interpolation?: string;
}

/** Bilinear as Keras means it: pixel centers at half-integers. */
function resized(
  tf: TensorFlow,
  x: Tensor,
  size: [number, number],
  interpolation: string | undefined,
): Tensor {
  return interpolation === 'nearest'
    ? tf.image.resizeNearestNeighbor(x as Tensor4D, size, false, true)
    : tf.image.resizeBilinear(x as Tensor4D, size, false, true);
}

/** UpSampling of any rank; TensorFlow.js's bilinear one aligns pixels otherwise than Keras. */
function upSampling(rank: number): LayerSpec<UpConfig> {
  return {
    className: `UpSampling${rank}D`,
    outputShape(config, [shape = []]) {
      const times = perAxis(config.size, rank, 2);
      return spatialShape(config, shape, (n, axis) => n * (times[axis] ?? 1));
    },
    call({ tf, config, inputs }) {
      const times = perAxis(config.size, rank, 2);
      let x = channelsLast(tf, inputs[0] as Tensor, config);
      if (config.interpolation === 'bilinear') {
        const size = [1, 2].map((axis) => (x.shape[axis] as number) * (times[axis - 1] ?? 1)) as [
          number,
          number,
        ];
        return channelsBack(tf, resized(tf, x, size, 'bilinear'), config);
      }
      for (const [axis, count] of times.entries()) {
        // Each position `count` times in a row: [before, n, 1, after] -> [before, n, count, after] -> [before, n * count, after]
        const shape = x.shape;
        const n = shape[axis + 1] as number;
        const before = shape.slice(0, axis + 1).reduce((a, b) => a * b, 1);
        const after = shape.slice(axis + 2).reduce((a, b) => a * b, 1);
        const repeated = tf.tile(tf.reshape(x, [before, n, 1, after]), [1, 1, count, 1]);
        x = tf.reshape(repeated, [...shape.slice(0, axis + 1), n * count, ...shape.slice(axis + 2)]);
      }
      return channelsBack(tf, x, config);
    },
  };
}

interface ResizingConfig extends DataFormat {
  readonly height: number;
  readonly width: number;
  readonly interpolation?: string;
}

const resizing: LayerSpec<ResizingConfig> = {
  className: 'Resizing',
  outputShape: (config, [shape = []]) =>
    spatialShape(config, shape, (_, axis) => (axis === 0 ? config.height : config.width)),
  call({ tf, config, inputs }) {
    const x = tf.cast(channelsLast(tf, inputs[0] as Tensor, config), 'float32');
    return channelsBack(tf, resized(tf, x, [config.height, config.width], config.interpolation), config);
  },
};

const centerCrop: LayerSpec<ResizingConfig> = {
  className: 'CenterCrop',
  outputShape: resizing.outputShape,
  call({ tf, config, inputs }) {
    const x = inputs[0] as Tensor;
    const from = isFirst(config) ? 2 : 1;
    const begin = x.shape.map(() => 0);
    const size = [...x.shape];
    [config.height, config.width].forEach((n, axis) => {
      const extra = (x.shape[from + axis] as number) - n;
      if (extra < 0)
        throw new RangeError(`CenterCrop expected an image of at least ${config.height} x ${config.width}`);
      begin[from + axis] = Math.floor(extra / 2);
      size[from + axis] = n;
    });
    return tf.slice(x, begin, size);
  },
};

/** `f(x) = max_value` above it, `x` from the threshold on, `negative_slope (x - threshold)` below. */
const relu: LayerSpec<{
  maxValue?: number | null;
  negativeSlope?: number | null;
  threshold?: number | null;
}> = {
  className: 'ReLU',
  call({ tf, config, inputs }) {
    const x = inputs[0] as Tensor;
    const threshold = config.threshold ?? 0;
    const slope = config.negativeSlope ?? 0;
    const above = tf.cast(threshold === 0 ? tf.greater(x, 0) : tf.greaterEqual(x, threshold), 'float32');
    const upper = config.maxValue == null ? x : tf.minimum(x, config.maxValue);
    const kept = tf.mul(upper, above);
    return slope === 0 ? kept : tf.add(kept, tf.mul(tf.mul(tf.sub(x, threshold), slope), tf.sub(1, above)));
  },
};

/** `alpha (exp(x) - 1)` below 0 */
const elu: LayerSpec<{ alpha?: number }> = {
  className: 'ELU',
  call({ tf, config, inputs }) {
    const x = inputs[0] as Tensor;
    return tf.add(tf.relu(x), tf.mul(config.alpha ?? 1, tf.expm1(tf.minimum(x, 0))));
  },
};

/** `max(x, 0) + alpha min(x, 0)`, whichever axes share their slopes. */
const prelu: LayerSpec<{ sharedAxes?: readonly number[] | null }> = {
  className: 'PReLU',
  weights: ({ sharedAxes }, [shape]) => [
    ['alpha', (shape as Shape).slice(1).map((n, i) => (sharedAxes?.includes(i + 1) ? 1 : n))],
  ],
  call({ tf, inputs, weight }) {
    const x = inputs[0] as Tensor;
    return tf.add(tf.maximum(x, 0), tf.mul(weight('alpha'), tf.minimum(x, 0)));
  },
};

const softmaxLayer: LayerSpec<{ axis?: number | number[] }> = {
  className: 'Softmax',
  call: ({ tf, config, inputs }) => softmax(tf, inputs[0] as Tensor, config.axis ?? -1),
};

/** Inputs of fewer axes get axes of length 1 after the batch, as Keras's merging layers do. */
const subtract: LayerSpec = {
  className: 'Subtract',
  outputShape(_, shapes) {
    const [a = [], b = []] = widened(shapes);
    return a.map((n, i) => (n === 1 ? (b[i] ?? null) : b[i] === 1 ? n : (n ?? b[i] ?? null)));
  },
  call({ tf, inputs }) {
    const shapes = widened(inputs.map(({ shape }) => shape));
    const [a, b] = inputs.map((x, i) => tf.reshape(x, shapes[i] as number[]));
    return tf.sub(a as Tensor, b as Tensor);
  },
};

function widened(shapes: readonly Shape[]): Shape[] {
  const rank = Math.max(...shapes.map(({ length }) => length));
  return shapes.map(([batch = null, ...rest]) => [
    batch,
    ...(Array(rank - 1 - rest.length).fill(1) as number[]),
    ...rest,
  ]);
}

interface MaskConfig {
  readonly maskValue?: number;
}

/** Steps in which every feature has the mask value become 0. Masks themselves travel as inputs: see {@link computeMask}. */
const masking: LayerSpec<MaskConfig> = {
  className: 'Masking',
  call({ tf, config, inputs }) {
    const x = inputs[0] as Tensor;
    return tf.mul(x, tf.cast(tf.any(tf.notEqual(x, config.maskValue ?? 0), -1, true), x.dtype));
  },
};

/** The mask of an Embedding (tokens other than 0) or of a Masking layer, `[batch, time]` of ones and zeros. */
const computeMask: LayerSpec<MaskConfig & { readonly tokens?: boolean }> = {
  className: 'ComputeMask',
  outputShape: (config, [shape = []]) => (config.tokens ? [...shape] : shape.slice(0, -1)),
  call({ tf, config, inputs }) {
    const x = inputs[0] as Tensor;
    const differs = tf.notEqual(x, config.tokens ? 0 : (config.maskValue ?? 0));
    return tf.cast(config.tokens ? differs : tf.any(differs, -1), 'float32');
  },
};

/** Shapes, edges and element-wise layers beyond those of TensorFlow.js. */
export const shapingLayers: readonly LayerSpec[] = [
  ...[1, 3].flatMap((rank) => [spec(zeroPadding(rank)), spec(cropping(rank))]),
  ...[1, 2, 3].map((rank) => spec(upSampling(rank))),
  spec(resizing),
  spec(centerCrop),
  spec(relu),
  spec(elu),
  spec(prelu),
  spec(softmaxLayer),
  spec(subtract),
  spec(masking),
  spec(computeMask),
];
