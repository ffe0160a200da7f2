import { expected } from '../errors.js';
import { floatToHalf, halfToFloat } from '../formats/float16.js';
import type { Difference, Kernels } from '../kernels/types.js';
import { type BlockLayout, blockLayout, sizeOf } from '../shape.js';
import { codeBytes, codingOf } from './decode.js';
import { fitAbsMax, fitMean, fitNone, scalesAbsMax, scalesMean, scalesNone } from './fit/closed.js';
import { fitHalfQuadratic, halfQuadraticPasses, scalesHalfQuadratic } from './fit/hqq.js';
import { fitLeastSquares, leastSquaresPasses, scalesLeastSquares } from './fit/lsq.js';
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

export { codingOf, dequantizeTensor, SCHEME_NAMES, SCHEMES } from './decode.js';

/** How a scheme finds its scales, and the kernels that pack its codes. */
interface Encoder {
  readonly rules: Partial<Record<ScaleRule, Rule>>;
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
  difference(
    kernels: Kernels,
    weights: Float32Array,
    codes: Uint8Array,
    scales: Float32Array,
    layout: FitContext['layout'],
  ): Difference;
}

const onePass = () => 1;
const none: Rule = { fit: fitNone, scales: scalesNone, passes: onePass };
const mean: Rule = { fit: fitMean, scales: scalesMean, passes: onePass };
const absmax: Rule = { fit: fitAbsMax, scales: scalesAbsMax, passes: onePass };
const lsq: Rule = { fit: fitLeastSquares, scales: scalesLeastSquares, passes: leastSquaresPasses };
const hqq: Rule = { fit: fitHalfQuadratic, scales: scalesHalfQuadratic, passes: halfQuadraticPasses };

/** What writing adds to the schemes of `decode.ts`. */
export const ENCODERS: Readonly<Record<SchemeName, Encoder>> = {
  binary: {
    rules: { mean, none, lsq, hqq },
    pack: (kernels, weights) => kernels.packSign(weights),
    packInto: (kernels, weights, _inverses, _layout, out) => kernels.packSignInto(weights, out),
    difference: (kernels, ...coded) => kernels.differenceSign(...coded),
  },
  int2: {
    rules: { lsq, absmax, hqq },
    pack: (kernels, weights, scales, layout) => kernels.packInt2(weights, scales.map(inverseOf), layout),
    packInto: (kernels, weights, inverses, layout, out) =>
      kernels.packInt2Into(weights, inverses, layout, out),
    difference: (kernels, ...coded) => kernels.differenceInt2(...coded),
  },
  int4: {
    rules: { absmax, lsq, hqq },
    pack: (kernels, weights, scales, layout) => kernels.packInt4(weights, scales.map(inverseOf), layout),
    packInto: (kernels, weights, inverses, layout, out) =>
      kernels.packInt4Into(weights, inverses, layout, out),
    difference: (kernels, ...coded) => kernels.differenceInt4(...coded),
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
  const layout = layoutOf(shape, coding, context);
  const { scales, codes } = fitTensor(weights, coding, { kernels, layout, context });
  return { coding, shape: [...shape], layout, codes, scales };
}

/** The blocks of a tensor; a scalar is one. @throws RangeError */
export function layoutOf(shape: readonly number[], coding: Coding, context?: string): BlockLayout {
  if (shape.length === 0) return blockLayout(shape, 'tensor', [], undefined, context);
  return blockLayout(shape, coding.granularity, coding.axes, coding.groupSize, context);
}

/**
 * How a coding finds its scales. `calibrated` ones come from a layer's inputs (`calibrateModel`): a packed file can hold
 * them, a tensor by itself cannot get them.
 * @throws RangeError
 */
export function ruleOf({ scheme, scale }: Coding, context: string): Rule {
  const rule = ENCODERS[scheme].rules[scale];
  if (!rule) throw new RangeError(expected('scale', 'a rule that needs no data', scale, context));
  return rule;
}

/** Scales as they are stored, and codes made for those. */
export function fitTensor(weights: Float32Array, coding: Coding, stats: FitContext): Fit {
  const scheme = ENCODERS[coding.scheme];
  const fit = ruleOf(coding, stats.context).fit(weights, coding.scheme, stats);
  if (coding.scaleDtype === 'F32') return fit;
  const scales = storedScales(fit.scales, coding, stats.context);
  return { scales, codes: scheme.pack(stats.kernels, weights, scales, stats.layout) };
}

/** How far the values of a quantized tensor are from its weights. */
export function differenceOf(kernels: Kernels, weights: Float32Array, tensor: QuantizedTensor): Difference {
  const { coding, codes, scales, layout } = tensor;
  return ENCODERS[coding.scheme].difference(kernels, weights, codes, scales, layout);
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

/** Bytes of codes and scales together, as stored. */
export function quantizedBytes({ shape, scales, coding }: Omit<QuantizedTensor, 'codes'>): number {
  return codeBytes(shape, coding.scheme) + scales.length * (coding.scaleDtype === 'F16' ? 2 : 4);
}
