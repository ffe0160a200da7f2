import { expected } from '../errors.js';
import { floatToHalf, halfToFloat } from '../formats/float16.js';
import type { Kernels } from '../kernels/types.js';
import { blockLayout, sizeOf } from '../shape.js';
import { fitAbsMax, fitMean, fitNone, scalesAbsMax, scalesMean, scalesNone } from './fit/closed.js';
import { fitLeastSquares, leastSquaresPasses, scalesLeastSquares } from './fit/lsq.js';
import { calibrated } from './fit/without-data.js';
import { inverseOf } from './grids.js';
import type {
  Coding,
  Fit,
  FitContext,
  QuantizedTensor,
  QuantizeOptions,
  Rule,
  ScaleRule,
  SchemeName,
} from './types.js';

/** What each scheme is: its bits, its rules for scales (the default first), its kernels. */
interface Scheme {
  readonly bits: number;
  readonly rules: Partial<Record<ScaleRule, Rule>>;
  readonly defaultScale: ScaleRule;
  pack(
    kernels: Kernels,
    weights: Float32Array,
    scales: Float32Array,
    layout: FitContext['layout'],
  ): Uint8Array;
  packInto(
    kernels: Kernels,
    weights: Float32Array,
    inverses: Float32Array,
    layout: FitContext['layout'],
    out: Uint8Array,
  ): Uint8Array;
  unpackInto(
    kernels: Kernels,
    codes: Uint8Array,
    scales: Float32Array,
    layout: FitContext['layout'],
    out: Float32Array,
  ): Float32Array;
}

const onePass = () => 1;
const none: Rule = { fit: fitNone, scales: scalesNone, passes: onePass };
const mean: Rule = { fit: fitMean, scales: scalesMean, passes: onePass };
const absmax: Rule = { fit: fitAbsMax, scales: scalesAbsMax, passes: onePass };
const lsq: Rule = { fit: fitLeastSquares, scales: scalesLeastSquares, passes: leastSquaresPasses };

export const SCHEMES: Readonly<Record<SchemeName, Scheme>> = {
  binary: {
    bits: 1,
    rules: { mean, none, lsq, calibrated },
    defaultScale: 'mean',
    pack: (kernels, weights) => kernels.packSign(weights),
    packInto: (kernels, weights, _inverses, _layout, out) => kernels.packSignInto(weights, out),
    unpackInto: (kernels, codes, scales, layout, out) => kernels.unpackSignInto(codes, scales, layout, out),
  },
  int2: {
    bits: 2,
    rules: { lsq, absmax, calibrated },
    defaultScale: 'lsq',
    pack: (kernels, weights, scales, layout) => kernels.packInt2(weights, scales.map(inverseOf), layout),
    packInto: (kernels, weights, inverses, layout, out) =>
      kernels.packInt2Into(weights, inverses, layout, out),
    unpackInto: (kernels, codes, scales, layout, out) => kernels.unpackInt2Into(codes, scales, layout, out),
  },
  int4: {
    bits: 4,
    rules: { absmax, lsq, calibrated },
    defaultScale: 'absmax',
    pack: (kernels, weights, scales, layout) => kernels.packInt4(weights, scales.map(inverseOf), layout),
    packInto: (kernels, weights, inverses, layout, out) =>
      kernels.packInt4Into(weights, inverses, layout, out),
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
  if (!scheme.rules[scale]) {
    const rules = Object.keys(scheme.rules).join(', ');
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
  const { scales, codes } = fitTensor(weights, coding, { kernels, layout, context });
  return { coding, shape: [...shape], layout, codes, scales };
}

/** Scales as they are stored, and codes made for those. */
export function fitTensor(weights: Float32Array, coding: Coding, stats: FitContext): Fit {
  const scheme = SCHEMES[coding.scheme];
  const fit = (scheme.rules[coding.scale] as Rule).fit(weights, coding.scheme, stats);
  if (coding.scaleDtype === 'F32') return fit;
  const scales = storedScales(fit.scales, coding, stats.context);
  return { scales, codes: scheme.pack(stats.kernels, weights, scales, stats.layout) };
}

/** Scales rounded to what they are stored as. @throws RangeError for scales that half precision cannot hold */
export function storedScales(
  scales: Float32Array,
  { scaleDtype }: Pick<Coding, 'scaleDtype'>,
  context: string,
): Float32Array {
  if (scaleDtype === 'F32') return scales;
  const half = halfToFloat(floatToHalf(scales));
  const lost = half.findIndex((scale, i) => !Number.isFinite(scale) || (scale === 0 && scales[i] !== 0));
  if (lost >= 0) {
    throw new RangeError(expected('scaleDtype', `F32 for the scale ${scales[lost]}`, 'F16', context));
  }
  return half;
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
