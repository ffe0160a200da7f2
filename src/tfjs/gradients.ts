import { sum } from './layers/sums.js';
import type { NamedAttrMap, NamedTensorInfoMap, Tensor, Tensor4D, TensorFlow, TensorInfo } from './types.js';

/** How a convolution slides: sizes and places of `[height, width]`. */
interface Sliding {
  readonly strides: readonly [number, number];
  /** Zeros before the first row and column. */
  readonly before: readonly [number, number];
  readonly filter: readonly [number, number];
  readonly input: readonly [number, number];
  readonly output: readonly [number, number];
}

type Kernel = (tf: TensorFlow, inputs: Inputs, attrs: NamedAttrMap) => Tensor;

/** Those that the kernel's name asks for. */
type Inputs = Readonly<Record<'x' | 'dy' | 'filter', Tensor4D>>;

/**
 * Gradients of convolutions that a backend of TensorFlow.js lacks, made of what it has, so that models can be trained on it:
 * its WebAssembly backend has none for filters, nor any for depthwise convolutions. What the backend has itself is left alone.
 */
export function addConvolutionGradients(tf: TensorFlow): void {
  const backendName = tf.getBackend();
  for (const [kernelName, kernel] of Object.entries(KERNELS)) {
    if (tf.getKernel(kernelName, backendName)) continue;
    const kernelFunc = ({
      inputs,
      attrs,
    }: {
      inputs: NamedTensorInfoMap;
      attrs?: NamedAttrMap;
    }): TensorInfo => tf.tidy(() => kernel(tf, inputs as unknown as Inputs, attrs ?? {}));
    tf.registerKernel({ kernelName, backendName, kernelFunc });
  }
}

/**
 * Gradients of activations for tfjs-node while `work` runs. Its kernel `Step`, of which TensorFlow.js makes the gradient of ReLU, fills
 * two tensors in JavaScript; a comparison has the same values:
 *
 *     max(0, x):      dx = dy [x > 0]
 *     min(b, max(a, x)):  dx = dy [a <= x <= b]
 */
export async function withShortGradients<T>(tf: TensorFlow, work: () => Promise<T>): Promise<T> {
  if (tf.getBackend() !== 'tensorflow') return work();
  const before = SHORT_GRADIENTS.map(({ kernelName }) => tf.getGradient(kernelName));
  for (const { kernelName, isPassing } of SHORT_GRADIENTS)
    tf.registerGradient({
      kernelName,
      inputsToSave: ['x'],
      gradFunc: (dy, [x], attrs) => ({
        x: () => tf.mul(dy as Tensor, tf.cast(isPassing(tf, x as Tensor, attrs), 'float32')),
      }),
    });
  try {
    return await work();
  } finally {
    for (const config of before) if (config) tf.registerGradient(config);
  }
}

const SHORT_GRADIENTS: readonly {
  readonly kernelName: string;
  readonly isPassing: (tf: TensorFlow, x: Tensor, attrs: NamedAttrMap) => Tensor;
}[] = [
  { kernelName: 'Relu', isPassing: (tf, x) => tf.greater(x, 0) },
  { kernelName: 'Relu6', isPassing: (tf, x) => tf.logicalAnd(tf.greater(x, 0), tf.lessEqual(x, 6)) },
  {
    kernelName: 'ClipByValue',
    isPassing: (tf, x, { clipValueMin, clipValueMax }) =>
      tf.logicalAnd(tf.greaterEqual(x, clipValueMin as number), tf.lessEqual(x, clipValueMax as number)),
  },
];

const KERNELS: Readonly<Record<string, Kernel>> = {
  /**
   * A convolution of `x` by `dy`, samples and channels of `x` changing places, the stride as dilation:
   *
   *     dw[i, j, c, k] = sum over n, y, x of  x[n, s y + i, s x + j, c] dy[n, y, x, k]
   */
  Conv2DBackpropFilter(tf, { x, dy }, attrs) {
    const sliding = slidingOf(tf, x.shape, dy.shape, attrs, attrs.filterShape);
    const grid = tf.conv2d(
      tf.transpose(padded(tf, x, sliding), [3, 1, 2, 0]) as Tensor4D,
      tf.transpose(dy, [1, 2, 0, 3]) as Tensor4D,
      1,
      'valid',
      'NHWC',
      [...sliding.strides],
    );
    return tf.transpose(grid, [1, 2, 0, 3]);
  },

  /** A filter's tap sees a shifted, thinned copy of `x`; channel `c` of `x` meets `dy` of channels `c M` to `c M + M - 1`. */
  DepthwiseConv2dNativeBackpropFilter(tf, { x, dy }, attrs) {
    const sliding = slidingOf(tf, x.shape, dy.shape, attrs, attrs.filterShape);
    const [high, wide, channels, multiplier] = attrs.filterShape as [number, number, number, number];
    const [height, width] = sliding.output;
    const [down, right] = sliding.strides;
    const whole = padded(tf, x, sliding);
    const taps: Tensor[] = [];
    const grown = tf.reshape(dy, [-1, channels, multiplier]);
    for (let i = 0; i < high; i++) {
      for (let j = 0; j < wide; j++) {
        const seen = tf.stridedSlice(
          whole,
          [0, i, j, 0],
          [x.shape[0], i + (height - 1) * down + 1, j + (width - 1) * right + 1, channels],
          [1, down, right, 1],
        );
        taps.push(sum(tf, tf.mul(tf.reshape(seen, [-1, channels, 1]), grown), 0));
      }
    }
    return tf.reshape(tf.stack(taps), [high, wide, channels, multiplier]);
  },

  /** A depthwise convolution of `dy`, zeros between its elements for the stride, by the filter turned by half a circle. */
  DepthwiseConv2dNativeBackpropInput(tf, { dy, filter }, attrs) {
    const shape = attrs.inputShape as [number, number, number, number];
    const sliding = slidingOf(tf, shape, dy.shape, attrs, filter.shape);
    const [high, wide, channels, multiplier] = filter.shape;
    const turned = tf.reshape(tf.reverse(filter, [0, 1]), [high, wide, channels * multiplier, 1]);
    const spread = tf.pad4d(dilated(tf, dy, sliding.strides), [
      [0, 0],
      aroundOutput(sliding, 0),
      aroundOutput(sliding, 1),
      [0, 0],
    ]);
    const all = tf.depthwiseConv2d(spread, turned as Tensor4D, 1, 'valid');
    const cropped = tf.slice4d(
      all,
      [0, sliding.before[0], sliding.before[1], 0],
      [-1, shape[1], shape[2], -1],
    );
    return tf.sum(tf.reshape(cropped, [...shape, multiplier]), 4);
  },
};

function slidingOf(
  tf: TensorFlow,
  input: readonly number[],
  output: readonly number[],
  attrs: NamedAttrMap,
  filterShape: unknown,
): Sliding {
  const [high, wide] = filterShape as [number, number];
  const strides = [attrs.strides].flat() as number[];
  const [down, right = down] = strides as [number, number?];
  const { padInfo } = tf.backend_util.computeConv2DInfo(
    input as [number, number, number, number],
    // Only sizes matter, so one channel in and out stands for both kinds of convolution.
    [high, wide, input[3] as number, 1],
    [down, right],
    1,
    attrs.pad as 'same' | 'valid' | number,
    attrs.dimRoundingMode as 'floor' | 'round' | 'ceil',
  );
  return {
    strides: [down, right],
    before: [padInfo.top, padInfo.left],
    filter: [high, wide],
    input: [input[1] as number, input[2] as number],
    output: [output[1] as number, output[2] as number],
  };
}

/** Rows or columns that some filter's tap sees. */
const reach = ({ filter, output, strides }: Sliding, axis: 0 | 1) =>
  (output[axis] - 1) * strides[axis] + filter[axis];

/** `x` with zeros around it, cropped to what filters see. */
function padded(tf: TensorFlow, x: Tensor4D, sliding: Sliding): Tensor4D {
  const [top, left] = sliding.before;
  const [height, width] = [reach(sliding, 0), reach(sliding, 1)];
  const after = (axis: 0 | 1, seen: number) => Math.max(0, seen - sliding.before[axis] - sliding.input[axis]);
  const whole = tf.pad4d(x, [
    [0, 0],
    [top, after(0, height)],
    [left, after(1, width)],
    [0, 0],
  ]);
  return tf.slice4d(whole, [0, 0, 0, 0], [-1, height, width, -1]);
}

/** Zeros around the spread `dy`, so that every element of the padded input has a whole filter of them. */
function aroundOutput(sliding: Sliding, axis: 0 | 1): [number, number] {
  const most = sliding.filter[axis] - 1;
  const unseen = sliding.before[axis] + sliding.input[axis] - reach(sliding, axis);
  return [most, most + Math.max(0, unseen)];
}

/** `dy` with `stride - 1` zeros between its rows and columns. */
function dilated(tf: TensorFlow, dy: Tensor4D, [down, right]: readonly [number, number]): Tensor4D {
  if (down === 1 && right === 1) return dy;
  const [n, height, width, channels] = dy.shape;
  const spaced = tf.pad(tf.reshape(dy, [n, height, 1, width, 1, channels]), [
    [0, 0],
    [0, 0],
    [0, down - 1],
    [0, 0],
    [0, right - 1],
    [0, 0],
  ]);
  const grid = tf.reshape(spaced, [n, height * down, width * right, channels]) as Tensor4D;
  return tf.slice4d(grid, [0, 0, 0, 0], [n, (height - 1) * down + 1, (width - 1) * right + 1, channels]);
}
