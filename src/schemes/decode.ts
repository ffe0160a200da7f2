import { expected } from '../errors.js';
import type { Decoder, FloatSink } from '../kernels/types.js';
import { type BlockLayout, sizeOf } from '../shape.js';
import { type DecodeTarget, fillTarget, holds, sinkOf } from './target.js';
import type { Coding, QuantizedTensor, QuantizeOptions, ScaleRule, SchemeName } from './types.js';

/** What reading has to know of a scheme; `quantize.ts` has what writing adds. */
interface Scheme {
  readonly bits: number;
  /** Largest magnitude of a level. */
  readonly largest: number;
  /** Rules for scales, the default first. */
  readonly scales: readonly ScaleRule[];
  unpackInto<T extends FloatSink>(
    kernels: Decoder,
    codes: Uint8Array,
    scales: Float32Array,
    layout: BlockLayout,
    out: T,
  ): T;
}

export const SCHEMES: Readonly<Record<SchemeName, Scheme>> = {
  binary: {
    bits: 1,
    largest: 1,
    scales: ['mean', 'none', 'lsq', 'hqq', 'calibrated'],
    unpackInto: (kernels, codes, scales, layout, out) => kernels.unpackSignInto(codes, scales, layout, out),
  },
  int2: {
    bits: 2,
    largest: 1.5,
    scales: ['lsq', 'absmax', 'hqq', 'calibrated'],
    unpackInto: (kernels, codes, scales, layout, out) => kernels.unpackInt2Into(codes, scales, layout, out),
  },
  int4: {
    bits: 4,
    largest: 8,
    scales: ['absmax', 'lsq', 'hqq', 'calibrated'],
    unpackInto: (kernels, codes, scales, layout, out) => kernels.unpackInt4Into(codes, scales, layout, out),
  },
};

/** Bytes of the codes of a tensor. */
export const codeBytes = (shape: readonly number[], scheme: SchemeName): number =>
  Math.ceil((sizeOf(shape) * SCHEMES[scheme].bits) / 8);

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
  // A list of one name would do as a key.
  const isKnown = typeof options.scheme === 'string' && Object.hasOwn(SCHEMES, options.scheme);
  const scheme = isKnown ? SCHEMES[options.scheme] : undefined;
  if (!scheme) {
    throw new RangeError(expected('scheme', SCHEME_NAMES, options.scheme, context));
  }
  const granularity = options.granularity ?? 'channel';
  if (!['tensor', 'channel', 'group'].includes(granularity)) {
    throw new RangeError(expected('granularity', 'tensor, channel or group', granularity, context));
  }
  const scale = options.scale ?? (scheme.scales[0] as ScaleRule);
  if (!scheme.scales.includes(scale)) {
    const rules = scheme.scales.filter((rule) => rule !== 'calibrated').join(', ');
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

/** The values that a quantized tensor stands for, C order. */
export function dequantizeTensor(kernels: Decoder, tensor: QuantizedTensor): Float32Array;
/**
 * The values that a quantized tensor stands for, C order, in memory of the caller.
 *
 * @param out filled and returned, `product(shape)` values: float32, or half precision rounded half to even
 * @param context names the tensor in errors
 * @throws RangeError for too short an `out`, and for a value that half precision cannot hold
 */
export function dequantizeTensor<T extends DecodeTarget>(
  kernels: Decoder,
  tensor: QuantizedTensor,
  out: T,
  context?: string,
): T;
export function dequantizeTensor(
  kernels: Decoder,
  tensor: QuantizedTensor,
  out: DecodeTarget = new Float32Array(sizeOf(tensor.shape)),
  context = 'tensor',
): DecodeTarget {
  const { codes, scales, layout } = tensor;
  const scheme = SCHEMES[tensor.coding.scheme];
  if (holds(out, tensor.scales, scheme.largest))
    scheme.unpackInto(kernels, codes, scales, layout, sinkOf(out));
  else fillTarget(dequantizeTensor(kernels, tensor), out, context);
  return out;
}
