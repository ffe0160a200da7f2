import type { Decoder, Difference, Kernels } from '../kernels/types.js';
import { type BlockLayout, blockCount, blockLayout, blockShape, layoutSize, sizeOf } from '../shape.js';
import { codeBytes, codingOf, SCHEMES } from './decode.js';
import { inverseOf } from './grids.js';
import { ENCODERS, fitTensor, ruleOf, storedScales } from './quantize.js';
import type { EachPiece, QuantizedTensor, QuantizeOptions } from './types.js';

/** Weights per slice: 4 MiB of float32. */
const SLICE_WEIGHTS = 2 ** 20;
/** Weights of a tensor that is still handled whole: 16 MiB. */
const WHOLE = 2 ** 22;
/** Weights of the largest slice: 64 MiB. */
const LARGE = 2 ** 24;

/** A run of a tensor's elements, `[from, to)` in C order, that is a tensor of its own: whole bytes of codes. */
interface Slice {
  readonly from: number;
  readonly to: number;
  readonly layout: BlockLayout;
  /** Of an array with an element for each block of the tensor: those of the slice's blocks, a view where they follow each other. */
  own(all: Float32Array): Float32Array;
  /** Writes elements of the slice's blocks to an array for those of the tensor. */
  place(own: Float32Array, all: Float32Array): void;
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

function lcm(a: number, b: number): number {
  return (a / gcd(a, b)) * b;
}

/** [outer, channels, inner] along outer; where that is 1 along channels; where that is 1 too along inner. */
function axisOf({ outer, channels }: BlockLayout): 'outer' | 'channels' | 'inner' {
  return outer > 1 ? 'outer' : channels > 1 ? 'channels' : 'inner';
}

/** Whether a block is a part of every slice; else each slice holds whole blocks. */
function isSpanned(layout: BlockLayout): boolean {
  return blockShape(layout)[0] === 1 && axisOf(layout) !== 'channels';
}

/**
 * Cuts a tensor along its outermost axis. Slices hold whole groups, so a block is in one slice or, where it spans all
 * rows, a part of it is in each.
 *
 * Cuts lie where `Kernels.absSum` says, so that sums over slices have the bits of sums over the whole; unless a slice
 * would then be as large as what is not sliced at all (64 rows of 262,145 channels).
 */
function slicesOf(layout: BlockLayout, most: number): Slice[] {
  const { channels, inner, groupRows } = layout;
  const [groups] = blockShape(layout);
  const axis = axisOf(layout);
  const length = layout[axis];
  const unit = layoutSize(layout) / length;
  const rowsPerStep = axis === 'outer' ? inner : axis === 'inner' ? 1 : 0;
  const byBytes = 8 / gcd(unit, 8);
  const byGroups = groups > 1 && rowsPerStep > 0 ? groupRows / gcd(rowsPerStep, groupRows) : 1;
  const isMatrix = inner === 1 && channels > 1;
  const bySums = isMatrix ? (isSpanned(layout) ? 64 : 1) : 1024 / gcd(unit, 1024);
  const needed = lcm(byBytes, byGroups);
  const exact = lcm(needed, bySums);
  const least = exact * unit <= LARGE ? exact : needed;
  const step = Math.max(1, Math.floor(most / unit / least)) * least;
  const slices: Slice[] = [];
  for (let start = 0; start < length; start += step) {
    const count = Math.min(step, length - start);
    const rows = rowsPerStep * count;
    const part = { ...layout, [axis]: count };
    const own = groups === 1 && rows > 0 ? { ...part, groupRows: rows } : part;
    const blocks = blockCount(own);
    // Runs of blocks that follow each other, in the slice and in the tensor.
    const [run, pitch] = axis === 'channels' ? [count, channels] : [blocks, 0];
    const first =
      axis === 'channels' ? start : groups > 1 ? ((rowsPerStep * start) / groupRows) * channels : 0;
    slices.push({
      from: start * unit,
      to: (start + count) * unit,
      layout: own,
      own(all) {
        if (run === blocks) return all.subarray(first, first + run);
        return Float32Array.from(
          { length: blocks },
          (_, i) => all[first + Math.floor(i / run) * pitch + (i % run)] as number,
        );
      },
      place(values, all) {
        for (let i = 0, at = first; i < blocks; i += run, at += pitch)
          all.set(values.subarray(i, i + run), at);
      },
    });
  }
  return slices;
}

/** Whether a tensor is so large that it is better handled in slices: above 16 MiB of float32. */
export function isLarge(shape: readonly number[]): boolean {
  return sizeOf(shape) > WHOLE;
}

/** Reads elements `[from, to)`, into `memory` of that length or elsewhere; either may be used again for the next. */
export type ReadSlice = (from: number, to: number, memory: Float32Array<ArrayBuffer>) => Float32Array;

/** A tensor whose codes went elsewhere. */
export type CodedTensor = Omit<QuantizedTensor, 'codes'>;

/** Takes codes of a tensor, and the first of its bytes that they are; the memory may be used again for the next. */
export type WriteCodes = (codes: Uint8Array, at: number) => void;

/** {@link codeInSlices}, with the codes. */
export function quantizeInSlices(
  kernels: Kernels,
  read: ReadSlice,
  shape: readonly number[],
  options: QuantizeOptions,
  context = 'tensor',
  onSlice: (share: number) => void = () => undefined,
  sliceWeights = SLICE_WEIGHTS,
): { tensor: QuantizedTensor; difference: Difference } {
  let codes = new Uint8Array(0);
  const write: WriteCodes = (part, at) => {
    if (codes.length === 0) codes = new Uint8Array(codeBytes(shape, options.scheme));
    codes.set(part, at);
  };
  const { tensor, difference } = codeInSlices(
    kernels,
    read,
    shape,
    options,
    write,
    context,
    onSlice,
    sliceWeights,
  );
  return { tensor: { ...tensor, codes }, difference };
}

/**
 * Quantizes a tensor that is too large to hold. Where slices hold whole blocks, each is read once; where a block spans
 * them all, they are read once for each pass of the rule for scales (1, for least squares 5, half-quadratic 28), and once for the codes.
 *
 * The result is that of `quantizeTensor`, but for the last bit of sums where 64 rows are more than 64 MiB.
 *
 * @param write is given the codes of each slice
 * @param onSlice called with the share of the work done, 0 to 1
 * @throws BitnibbleError `not-finite`; RangeError as `quantizeTensor`
 */
export function codeInSlices(
  kernels: Kernels,
  read: ReadSlice,
  shape: readonly number[],
  options: QuantizeOptions,
  write: WriteCodes,
  context = 'tensor',
  onSlice: (share: number) => void = () => undefined,
  sliceWeights = SLICE_WEIGHTS,
): { tensor: CodedTensor; difference: Difference } {
  const coding = codingOf(options, shape.length, context);
  const layout = blockLayout(shape, coding.granularity, coding.axes, coding.groupSize, context);
  const slices = slicesOf(layout, sliceWeights);
  const size = sizeOf(shape);
  const { bits } = SCHEMES[coding.scheme];
  const { packInto, difference } = ENCODERS[coding.scheme];
  const rule = ruleOf(coding, context);
  const scales = new Float32Array(blockCount(layout));
  const largest = Math.max(0, ...slices.map(({ from, to }) => to - from));
  const lent = kernels.lend(largest, Math.ceil((largest * bits) / 8));
  const weightsOf = ({ from, to }: Slice) => read(from, to, lent.weights.subarray(0, to - from));

  let packSlice = (weights: Float32Array, slice: Slice): Uint8Array => {
    const stats = { kernels, layout: slice.layout, context, first: slice.from };
    const fit = fitTensor(weights, coding, stats);
    slice.place(fit.scales, scales);
    return fit.codes;
  };
  let pass = 0;
  let passes = 1;
  if (isSpanned(layout)) {
    passes += rule.passes(coding.scheme, scales.length);
    const each: EachPiece = (visit) => {
      for (const slice of slices) {
        visit(weightsOf(slice), slice.layout, slice.from);
        onSlice(Math.min(pass + slice.to / size, passes - 1) / passes);
      }
      pass++;
    };
    const found = rule.scales(each, coding.scheme, { kernels, layout, context });
    scales.set(storedScales(found.scales, coding, context));
    const given = coding.scaleDtype === 'F32' ? found.inverses : undefined;
    const inverses = given ?? scales.map(inverseOf);
    packSlice = (weights, { layout: piece }) => {
      const codes = lent.codes.subarray(0, Math.ceil((weights.length * bits) / 8));
      return packInto(kernels, weights, inverses, piece, codes);
    };
  }

  let [signal, noise, maxError] = [0, 0, 0];
  for (const slice of slices) {
    const weights = weightsOf(slice);
    const codes = packSlice(weights, slice);
    write(codes, (slice.from * bits) / 8);
    const part = difference(kernels, weights, codes, slice.own(scales), slice.layout);
    signal += part.signal;
    noise += part.noise;
    maxError = Math.max(maxError, part.maxError);
    onSlice((passes - 1 + slice.to / size) / passes);
  }
  return { tensor: { coding, shape: [...shape], layout, scales }, difference: { signal, noise, maxError } };
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
  const { bits, unpackInto } = SCHEMES[tensor.coding.scheme];
  for (const { from, to, layout, own } of slices) {
    const codes = tensor.codes.subarray((from * bits) / 8, Math.ceil((to * bits) / 8));
    const values = unpackInto(kernels, codes, own(tensor.scales), layout, memory.subarray(0, to - from));
    yield { from, values };
  }
}
