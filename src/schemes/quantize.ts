import { expected } from '../errors.js';
import { floatToHalf, halfToFloat } from '../formats/float16.js';
import type { Kernels } from '../kernels/types.js';
import { blockLayout, sizeOf } from '../shape.js';
import { fitAbsMax, fitMean, fitNone } from './fit/closed.js';
import { fitLeastSquares } from './fit/lsq.js';
import { fitWithoutData } from './fit/without-data.js';
import { inverseOf } from './grids.js';
import type {
  Coding,
  Fit,
  FitContext,
  FitFunction,
  QuantizedTensor,
  QuantizeOptions,
  ScaleRule,
  SchemeName,
} from './types.js';

/** What each scheme is: its bits, its rules for scales (the default first), its kernels. */
interface Scheme {
  readonly bits: number;
  readonly fits: Partial<Record<ScaleRule, FitFunction>>;
  readonly defaultScale: ScaleRule;
  pack(
    kernels: Kernels,
    weights: Float32Array,
    scales: Float32Array,
    layout: FitContext['layout'],
  ): Uint8Array;
  unpackInto(
    kernels: Kernels,
    codes: Uint8Array,
    scales: Float32Array,
    layout: FitContext['layout'],
    out: Float32Array,
  ): Float32Array;
}

export const SCHEMES: Readonly<Record<SchemeName, Scheme>> = {
  binary: {
    bits: 1,
    fits: { mean: fitMean, none: fitNone, lsq: fitLeastSquares, calibrated: fitWithoutData },
    defaultScale: 'mean',
    pack: (kernels, weights) => kernels.packSign(weights),
    unpackInto: (kernels, codes, scales, layout, out) => kernels.unpackSignInto(codes, scales, layout, out),
  },
  int2: {
    bits: 2,
    fits: { lsq: fitLeastSquares, absmax: fitAbsMax, calibrated: fitWithoutData },
    defaultScale: 'lsq',
    pack: (kernels, weights, scales, layout) => kernels.packInt2(weights, scales.map(inverseOf), layout),
    unpackInto: (kernels, codes, scales, layout, out) => kernels.unpackInt2Into(codes, scales, layout, out),
  },
  int4: {
    bits: 4,
    fits: { absmax: fitAbsMax, lsq: fitLeastSquares, calibrated: fitWithoutData },
    defaultScale: 'absmax',
    pack: (kernels, weights, scales, layout) => kernels.packInt4(weights, scales.map(inverseOf), layout),
    unpackInto: (kernels, codes, scales, layout, out) => kernels.unpackInt4Into(codes, scales, layout, out),
  },
};

/** `binary, int2 or int4`, for messages. */
export const SCHEME_NAMES = Object.keys(SCHEMES)
  .join(', ')
  .replace(/, (\w+)$/, ' or $1');

/**
 * Fills in the defaults of {@link QuantizeOptions} and checks them.
 * @param rank of the tensor, for the default axis
 * @throws RangeError
 */
export function codingOf(options: QuantizeOptions, rank: number, context?: string): Coding {
  const scheme = Object.hasOwn(SCHEMES, options.scheme) ? SCHEMES[options.scheme] : undefined;
  if (!scheme) {
    throw new RangeError(expected('scheme', SCHEME_NAMES, options.scheme, context));
  }
  const granularity = options.granularity ?? 'channel';
  if (!['tensor', 'channel', 'group'].includes(granularity)) {
    throw new RangeError(expected('granularity', 'tensor, channel or group', granularity, context));
  }
  const scale = options.scale ?? scheme.defaultScale;
  if (!scheme.fits[scale]) {
    const rules = Object.keys(scheme.fits).join(', ');
    throw new RangeError(expected('scale', `one of ${rules} for scheme ${options.scheme}`, scale, context));
  }
  const scaleDtype = options.scaleDtype ?? 'F32';
  if (scaleDtype !== 'F32' && scaleDtype !== 'F16') {
    throw new RangeError(expected('scaleDtype', 'F32 or F16', scaleDtype, context));
  }
  if (granularity !== 'group' && options.groupSize !== undefined) {
    throw new RangeError(expected('groupSize', 'granularity group', granularity, context));
  }
  if (
    granularity === 'group' &&
    !(Number.isInteger(options.groupSize) && (options.groupSize as number) > 0)
  ) {
    throw new RangeError(expected('groupSize', 'an integer of at least 1', options.groupSize, context));
  }
  return {
    scheme: options.scheme,
    granularity,
    groupSize: granularity === 'group' ? options.groupSize : undefined,
    scale,
    scaleDtype,
    axes: options.axes ?? [Math.max(0, rank - 1)],
  };
}

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
  const scheme = SCHEMES[coding.scheme];
  const fit = (scheme.fits[coding.scale] as FitFunction)(weights, coding.scheme, {
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
    return { scales: half, codes: scheme.pack(kernels, weights, half, layout) };
  }
}

/**
 * The values that a quantized tensor stands for, C order.
 * @param out filled and returned where given: `product(shape)` values
 */
export function dequantizeTensor(
  kernels: Kernels,
  tensor: QuantizedTensor,
  out: Float32Array = new Float32Array(sizeOf(tensor.shape)),
): Float32Array {
  const { coding, codes, scales, layout } = tensor;
  return SCHEMES[coding.scheme].unpackInto(kernels, codes, scales, layout, out);
}

/** Bytes of codes and scales together, as stored. */
export function quantizedBytes({ codes, scales, coding }: QuantizedTensor): number {
  return codes.length + scales.length * (coding.scaleDtype === 'F16' ? 2 : 4);
}
