import { BitnibbleError } from '../errors.js';
import { floatToHalf, halfToFloat } from '../formats/float16.js';
import type { Decoder, Difference, Kernels } from '../kernels/types.js';
import { type BlockLayout, blockCount, blockLayout, blockShape, layoutSize, sizeOf } from '../shape.js';
import { codingOf, SCHEMES } from './decode.js';
import { rowsOfBlock } from './fit/closed.js';
import { inverseOf } from './fit/lsq.js';
import type { QuantizedTensor, QuantizeOptions } from './types.js';

/** Weights per slice: 4 MiB of float32. */
const SLICE_WEIGHTS = 2 ** 20;
const MAX_F32 = 3.4028234663852886e38;

/** A run of a tensor's elements, `[from, to)` in C order, that is a tensor of its own: whole bytes of codes. */
interface Slice {
  readonly from: number;
  readonly to: number;
  readonly layout: BlockLayout;
  /** The tensor's block that a block of the slice is, or is a part of. */
  blockOf(block: number): number;
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/**
 * Cuts a tensor along its outermost axis. Slices hold whole groups, so a block is in one slice or, where it spans all
 * rows, a part of it is in each.
 */
function slicesOf(layout: BlockLayout, most: number): Slice[] {
  const { outer, channels, inner, groupRows } = layout;
  const [groups] = blockShape(layout);
  // [outer, channels, inner] along outer; where that is 1 along channels; where that is 1 too along inner.
  const axis = outer > 1 ? 'outer' : channels > 1 ? 'channels' : 'inner';
  const length = layout[axis];
  const unit = layoutSize(layout) / length;
  const rowsPerStep = axis === 'outer' ? inner : axis === 'inner' ? 1 : 0;
  const byBytes = 8 / gcd(unit, 8);
  const byGroups = groups > 1 && rowsPerStep > 0 ? groupRows / gcd(rowsPerStep, groupRows) : 1;
  const least = (byBytes * byGroups) / gcd(byBytes, byGroups);
  const step = Math.max(1, Math.floor(most / unit / least)) * least;
  const slices: Slice[] = [];
  for (let start = 0; start < length; start += step) {
    const count = Math.min(step, length - start);
    const rows = rowsPerStep * count;
    const part = { ...layout, [axis]: count };
    const firstGroup = groups > 1 ? (rowsPerStep * start) / groupRows : 0;
    slices.push({
      from: start * unit,
      to: (start + count) * unit,
      layout: groups === 1 && rows > 0 ? { ...part, groupRows: rows } : part,
      blockOf:
        axis === 'channels'
          ? (block) => Math.floor(block / count) * channels + start + (block % count)
          : (block) => firstGroup * channels + block,
    });
  }
  return slices;
}

/** Whether a tensor is so large that it is better handled in slices: above 64 MiB of float32. */
export function isLarge(shape: readonly number[]): boolean {
  return sizeOf(shape) > 16 * SLICE_WEIGHTS;
}

/** Reads elements `[from, to)`; the memory may be used again for the next. */
export type ReadSlice = (from: number, to: number) => Float32Array;

/**
 * Quantizes a tensor that is too large to hold, reading it twice: for the scales, then for the codes. The result is
 * that of `quantizeTensor`, but for the last bit of scales that are means, whose sums are put together in another order.
 *
 * @param onSlice called with the weights done, of twice as many
 * @throws BitnibbleError `not-finite`; RangeError as `quantizeTensor`, and for least-squares scales
 */
export function quantizeInSlices(
  kernels: Kernels,
  read: ReadSlice,
  shape: readonly number[],
  options: QuantizeOptions,
  context = 'tensor',
  onSlice: (done: number) => void = () => undefined,
  sliceWeights = SLICE_WEIGHTS,
): { tensor: QuantizedTensor; difference: Difference } {
  const coding = codingOf(options, shape.length, context);
  if (coding.scale === 'lsq') throw new RangeError(`least-squares scales need the whole tensor (${context})`);
  const layout = blockLayout(shape, coding.granularity, coding.axes, coding.groupSize, context);
  const slices = slicesOf(layout, sliceWeights);
  const size = sizeOf(shape);
  const statistics = new Float64Array(blockCount(layout));
  for (const slice of slices) {
    const weights = read(slice.from, slice.to);
    const isBinary = coding.scheme === 'binary';
    const found = isBinary ? kernels.absSum(weights, slice.layout) : kernels.absMax(weights, slice.layout);
    requireFinite(weights, found, slice.from, context);
    for (const [i, value] of found.entries()) {
      const block = slice.blockOf(i);
      const old = statistics[block] as number;
      statistics[block] = isBinary ? old + value : Math.max(old, value);
    }
    onSlice(slice.to);
  }
  const exact = Float32Array.from(statistics, (value, block) =>
    coding.scale === 'none' ? 1 : coding.scheme === 'binary' ? value / rowsOfBlock(layout, block) : value / 7,
  );
  const isHalf = coding.scaleDtype === 'F16';
  const scales = isHalf ? halfToFloat(floatToHalf(exact)) : exact;
  if (isHalf && scales.some((scale, i) => !Number.isFinite(scale) || (scale === 0 && exact[i] !== 0))) {
    throw new RangeError(`"scaleDtype" expected F32 for scales that half precision cannot hold (${context})`);
  }
  // As packInt4WithAbsMax; for rounded scales as packInt4 with their inverses.
  const inverseAt = (block: number): number => {
    const max = statistics[block] as number;
    if (isHalf) return inverseOf(scales[block] as number);
    return max === 0 ? 0 : Math.min(Math.fround(7 / max), MAX_F32);
  };
  const perByte = 8 / SCHEMES[coding.scheme].bits;
  const codes = new Uint8Array(Math.ceil(size / perByte));
  const tensor: QuantizedTensor = { coding, shape: [...shape], layout, codes, scales };
  const decoded = new Float32Array(Math.max(0, ...slices.map(({ from, to }) => to - from)));
  let [signal, noise, maxError] = [0, 0, 0];
  for (const slice of slices) {
    const weights = read(slice.from, slice.to);
    const out = codes.subarray(slice.from / perByte, Math.ceil(slice.to / perByte));
    if (coding.scheme === 'binary') {
      kernels.packSignInto(weights, out);
    } else {
      const inverses = Float32Array.from({ length: blockCount(slice.layout) }, (_, i) =>
        inverseAt(slice.blockOf(i)),
      );
      kernels.packInt4Into(weights, inverses, slice.layout, out);
    }
    const part = kernels.difference(weights, decode(kernels, tensor, slice, decoded));
    signal += part.signal;
    noise += part.noise;
    maxError = Math.max(maxError, part.maxError);
    onSlice(size + slice.to);
  }
  return { tensor, difference: { signal, noise, maxError } };
}

function requireFinite(
  weights: Float32Array,
  statistics: Float32Array | Float64Array,
  from: number,
  context: string,
): void {
  if (statistics.every(Number.isFinite)) return;
  const at = weights.findIndex((w) => !Number.isFinite(w));
  const what =
    at < 0
      ? 'weights whose sum is finite in float32'
      : `finite weights, got ${weights[at]} at index ${from + at}`;
  throw new BitnibbleError('not-finite', `expected ${what} (${context})`);
}

/** The values of one slice, in `memory`. */
function decode(
  kernels: Decoder,
  tensor: QuantizedTensor,
  { from, to, layout, blockOf }: Slice,
  memory: Float32Array,
): Float32Array {
  const { codes, scales, coding, shape } = tensor;
  const perByte = 8 / SCHEMES[coding.scheme].bits;
  const own = Float32Array.from({ length: blockCount(layout) }, (_, i) => scales[blockOf(i)] as number);
  const part = {
    coding,
    shape,
    layout,
    codes: codes.subarray(from / perByte, Math.ceil(to / perByte)),
    scales: own,
  };
  return SCHEMES[coding.scheme].unpackInto(kernels, part, memory.subarray(0, to - from));
}

/**
 * The values that a quantized tensor stands for, in pieces of bounded size: where each begins, and its values, whose
 * memory is used again for the next.
 */
export function* decodedSlices(
  kernels: Decoder,
  tensor: QuantizedTensor,
  sliceWeights = SLICE_WEIGHTS,
): Generator<{ readonly from: number; readonly values: Float32Array }> {
  const slices = slicesOf(tensor.layout, sliceWeights);
  const memory = new Float32Array(Math.max(0, ...slices.map(({ from, to }) => to - from)));
  for (const slice of slices) {
    yield { from: slice.from, values: decode(kernels, tensor, slice, memory) };
  }
}
