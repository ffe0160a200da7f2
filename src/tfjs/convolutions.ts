import type { LinearAlgebra } from '../kernels/linalg-types.js';
import { winogradKernel } from '../kernels/winograd.js';
import type { NamedAttrMap, NamedTensorInfoMap, TensorFlow, TensorInfo } from './types.js';

/** Positions of a batch below which it is not worth it to transform the kernel. */
const POSITIONS = 2048;

/** What TensorFlow.js's WebAssembly backend has for its kernels. */
interface WasmBackend {
  makeOutput(shape: readonly number[], dtype: 'float32'): TensorInfo;
  /** The values where they lie, until memory grows. */
  typedArrayFromHeap(tensor: TensorInfo): Float32Array;
}

/**
 * Convolutions by 3 x 3 on TensorFlow.js's WebAssembly backend by bitnibble's kernels while `work` runs: a quarter of the
 * multiplications, and a third of the time (`npm run bench:calibration`). Values differ in their last bits. All others are left alone,
 * and other backends.
 */
export async function withFastConvolutions<T>(
  tf: TensorFlow,
  algebra: LinearAlgebra,
  work: () => Promise<T>,
): Promise<T> {
  const backendName = tf.getBackend();
  if (backendName !== 'wasm' || algebra.backend !== 'simd') return work();
  const kernels = new WeakMap<object, Float32Array>();
  const before = ['Conv2D', 'FusedConv2D'].flatMap((name) => tf.getKernel(name, backendName) ?? []);
  for (const config of before) {
    tf.unregisterKernel(config.kernelName, backendName);
    tf.registerKernel({
      ...config,
      kernelFunc: (call) => {
        const { inputs, attrs, backend } = call;
        const own = convolve(tf, algebra, kernels, inputs, attrs ?? {}, backend as WasmBackend);
        return own ?? config.kernelFunc(call);
      },
    });
  }
  try {
    return await work();
  } finally {
    for (const config of before) {
      tf.unregisterKernel(config.kernelName, backendName);
      tf.registerKernel(config);
    }
  }
}

/** Undefined where the convolution is none of those that the kernels compute. */
function convolve(
  tf: TensorFlow,
  algebra: LinearAlgebra,
  kernels: WeakMap<object, Float32Array>,
  { x, filter, bias, preluActivationWeights }: NamedTensorInfoMap,
  attrs: NamedAttrMap,
  backend: WasmBackend,
): TensorInfo | undefined {
  const { strides, pad, dilations = 1, dataFormat = 'NHWC', dimRoundingMode, activation = 'linear' } = attrs;
  if (!x || !filter || x.dtype !== 'float32' || filter.dtype !== 'float32' || preluActivationWeights)
    return undefined;
  const [rows, columns, channels, outputs] = filter.shape as [number, number, number, number];
  const isOurs = rows === 3 && columns === 3 && channels % 4 === 0 && outputs % 8 === 0;
  if (!isOurs || dataFormat !== 'NHWC' || (activation !== 'linear' && activation !== 'relu'))
    return undefined;
  const info = tf.backend_util.computeConv2DInfo(
    x.shape as [number, number, number, number],
    [rows, columns, channels, outputs],
    ...([strides, dilations, pad, dimRoundingMode] as [number, number, 'same', 'floor']),
  );
  const { top, bottom, left, right } = info.padInfo;
  const isPlain = [info.strideHeight, info.strideWidth, info.dilationHeight, info.dilationWidth].every(
    (n) => n === 1,
  );
  const isEven = top <= 1 && [bottom, left, right].every((n) => n === top);
  const positions = info.batchSize * info.outHeight * info.outWidth;
  if (!isPlain || !isEven || positions < POSITIONS) return undefined;
  let kernel = kernels.get(filter.dataId);
  if (!kernel) {
    kernel = winogradKernel(backend.typedArrayFromHeap(filter), channels, outputs);
    kernels.set(filter.dataId, kernel);
  }
  const out = backend.makeOutput(info.outShape, 'float32');
  // Views are taken when nothing is allocated any more.
  const y = backend.typedArrayFromHeap(out);
  const offset = bias ? backend.typedArrayFromHeap(bias) : new Float32Array(outputs);
  const { batchSize: images, inHeight: height, inWidth: width } = info;
  const size = { images, height, width, channels, outputs, border: top };
  algebra.convolve(y, backend.typedArrayFromHeap(x), kernel, offset, size);
  if (activation === 'relu') for (let i = 0; i < y.length; i++) y[i] = Math.max(0, y[i] as number);
  return out;
}
