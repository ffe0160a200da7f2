import { expected } from '../errors.js';
import { floatToHalf, halfToFloat } from '../formats/float16.js';
import type { Kernels } from '../kernels/types.js';
import { blockLayout, sizeOf } from '../shape.js';
import { codingOf } from './decode.js';
import { fitAbsMax, fitMean, fitNone } from './fit/closed.js';
import { fitLeastSquares, inverseOf } from './fit/lsq.js';
import type {
  Fit,
  FitContext,
  FitFunction,
  QuantizedTensor,
  QuantizeOptions,
  ScaleRule,
  SchemeName,
} from './types.js';

export { codingOf, dequantizeTensor, SCHEMES } from './decode.js';

/** How a scheme finds its scales, and the kernel that packs its codes. */
interface Encoder {
  readonly fits: Partial<Record<ScaleRule, FitFunction>>;
  pack(
    kernels: Kernels,
    weights: Float32Array,
    scales: Float32Array,
    layout: FitContext['layout'],
  ): Uint8Array;
}

const ENCODERS: Readonly<Record<SchemeName, Encoder>> = {
  binary: {
    fits: { mean: fitMean, none: fitNone, lsq: fitLeastSquares },
    pack: (kernels, weights) => kernels.packSign(weights),
  },
  int4: {
    fits: { absmax: fitAbsMax, lsq: fitLeastSquares },
    pack: (kernels, weights, scales, layout) => kernels.packInt4(weights, scales.map(inverseOf), layout),
  },
};

/**
 * Quantizes one tensor.
 *
 * @param weights values in C order of `shape`
 * @param context names the tensor in errors
 * @throws BitnibbleError `not-finite`; RangeError for options, shapes and scales that half precision cannot hold
 */
export function quantizeTensor(
  kernels: Kernels,
  weights: Float32Array,
  shape: readonly number[],
  options: QuantizeOptions,
  context = 'tensor',
): QuantizedTensor {
  if (!(weights instanceof Float32Array)) {
    throw new TypeError(expected('weights', 'a Float32Array', typeof weights, context));
  }
  if (weights.length !== sizeOf(shape)) {
    throw new RangeError(
      expected('weights', `${sizeOf(shape)} values for shape [${shape}]`, weights.length, context),
    );
  }
  const coding = codingOf(options, shape.length, context);
  const axes = shape.length === 0 ? [] : coding.axes;
  const layout = blockLayout(
    shape,
    shape.length === 0 ? 'tensor' : coding.granularity,
    axes,
    coding.groupSize,
    context,
  );
  const encoder = ENCODERS[coding.scheme];
  const fit = (encoder.fits[coding.scale] as FitFunction)(weights, coding.scheme, {
    kernels,
    layout,
    context,
  });
  const { scales, codes } = coding.scaleDtype === 'F16' ? withHalfScales(fit) : fit;
  return { coding, shape: [...shape], layout, codes, scales };

  function withHalfScales({ scales: exact }: Fit): Fit {
    const half = halfToFloat(floatToHalf(exact));
    const lost = half.findIndex((scale, i) => !Number.isFinite(scale) || (scale === 0 && exact[i] !== 0));
    if (lost >= 0) {
      throw new RangeError(expected('scaleDtype', `F32 for the scale ${exact[lost]}`, 'F16', context));
    }
    return { scales: half, codes: encoder.pack(kernels, weights, half, layout) };
  }
}

/** Bytes of codes and scales together, as stored. */
export function quantizedBytes({ codes, scales, coding }: QuantizedTensor): number {
  return codes.length + scales.length * (coding.scaleDtype === 'F16' ? 2 : 4);
}
