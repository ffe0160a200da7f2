import { expected } from '../errors.js';
import { toFloat32 } from '../formats/dtypes.js';
import type { QuantizableModel } from '../model.js';
import type { QuantizedModel } from '../packed/quantized-model.js';
import { decodedSlices } from '../schemes/slices.js';
import { type BlockLayout, blockCount } from '../shape.js';

/** The weights of a tensor, counted in bins, and the levels that they were rounded to. */
export interface LevelHistogram {
  /** What `from`, `to` and levels are measured in: the scale of each weight's own block, or 1. */
  readonly unit: 'scale' | 'weight';
  /** The bins cover `[from, to]` in equal widths; `from = -to`, and every weight lies within. */
  readonly from: number;
  readonly to: number;
  /** Weights in each bin. */
  readonly counts: readonly number[];
  /** Levels in use, ascending, and how many weights were rounded to each. */
  readonly levels: readonly { readonly value: number; readonly count: number }[];
  /** Weights counted: the sum of `counts`, and of the counts of the levels. */
  readonly weights: number;
  /** Blocks of the tensor, and so scales. */
  readonly blocks: number;
  /** Where it is of one block: that block's scale. */
  readonly scale?: number;
}

/** Which bins a histogram has. */
export interface LevelHistogramOptions {
  /** Default 96. */
  readonly bins?: number;
  /** One block alone, in the order of the scales; default: all. */
  readonly block?: number;
}

/** No scheme has levels beyond -8 and 8, half a level apart or more. */
const HIGHEST = 16;

/**
 * Counts the weights of one quantized tensor and the levels that they became. Tensors of one block, and single blocks,
 * are counted as they are; with more blocks each weight is divided by its own block's scale, so that the levels of all
 * blocks fall on each other. (A block of scale 0 holds zeros alone and counts at 0.)
 *
 * @param model what was quantized; the tensor is read from it twice, large ones slice by slice
 * @throws RangeError for a weight that was kept, a block that is not there, less than one bin
 */
export function levelHistogram(
  model: QuantizableModel,
  quantized: QuantizedModel,
  id: string,
  { bins = 96, block }: LevelHistogramOptions = {},
): LevelHistogram {
  const weight = quantized.weight(id);
  const context = `tensor ${id} of ${quantized.file}`;
  if (weight.kind !== 'quantized') throw new RangeError(`expected a quantized weight (${context})`);
  if (!Number.isInteger(bins) || bins < 1)
    throw new RangeError(expected('bins', 'an integer of at least 1', bins));
  const { tensor, dtype } = weight;
  const { layout, scales } = tensor;
  const blocks = blockCount(layout);
  if (block !== undefined && !(Number.isInteger(block) && block >= 0 && block < blocks)) {
    throw new RangeError(expected('block', `an integer from 0 to ${blocks - 1}`, block, context));
  }
  const only = block ?? (blocks === 1 ? 0 : undefined);
  const inverses = Float64Array.from(scales, (scale) => (scale === 0 ? 0 : 1 / scale));
  // What a weight is multiplied by; NaN leaves it out.
  const factors = inverses.map((inverse, own) =>
    only === undefined ? inverse : own === only ? 1 : Number.NaN,
  );

  function* slices() {
    for (const { from, values } of decodedSlices(quantized.kernels, tensor)) {
      const weights = toFloat32(model.readBytes(id, [from, from + values.length]), dtype);
      yield { weights, values, factor: factorsOf(layout, factors, from, values.length) };
    }
  }

  let to = 0;
  for (const { weights, values, factor } of slices()) {
    for (let i = 0; i < values.length; i++) {
      const reach = Math.max(Math.abs(weights[i] as number), Math.abs(values[i] as number));
      const scaled = reach * (factor[i] as number);
      if (scaled > to) to = scaled;
    }
  }
  if (to === 0) to = 1;

  const counts = new Float64Array(bins);
  // Twice a level is a whole number in every scheme; `v / scale` is off it by roundings alone.
  const perLevel = 2 * (only === undefined ? 1 : (inverses[only] as number));
  const levels = new Float64Array(2 * HIGHEST + 1);
  const perBin = bins / (2 * to);
  for (const { weights, values, factor } of slices()) {
    for (let i = 0; i < values.length; i++) {
      const unit = factor[i] as number;
      if (Number.isNaN(unit)) continue;
      const bin = Math.min(bins - 1, Math.floor(((weights[i] as number) * unit + to) * perBin));
      counts[bin] = (counts[bin] as number) + 1;
      const level = Math.round((values[i] as number) * unit * perLevel) + HIGHEST;
      levels[level] = (levels[level] as number) + 1;
    }
  }
  const size = only === undefined ? 1 : (scales[only] as number);
  return {
    unit: only === undefined ? 'scale' : 'weight',
    from: -to,
    to,
    counts: [...counts],
    levels: [...levels]
      .map((count, i) => ({ value: ((i - HIGHEST) / 2) * size, count }))
      .filter(({ count }) => count > 0),
    weights: counts.reduce((sum, count) => sum + count, 0),
    blocks,
    ...(only === undefined ? {} : { scale: scales[only] as number }),
  };
}

/** `values[block]` of each of `length` elements from `from` on; `block = floor((o * inner + i) / groupRows) * channels + c`. */
function factorsOf(
  { channels, inner, groupRows }: BlockLayout,
  values: Float64Array,
  from: number,
  length: number,
): Float64Array {
  const out = new Float64Array(length);
  if (values.length === 1) return out.fill(values[0] as number);
  let i = from % inner;
  let c = Math.floor(from / inner) % channels;
  let row = Math.floor(from / (inner * channels)) * inner;
  for (let at = 0; at < length; at++) {
    out[at] = values[Math.floor((row + i) / groupRows) * channels + c] as number;
    if (++i === inner) {
      i = 0;
      if (++c === channels) {
        c = 0;
        row += inner;
      }
    }
  }
  return out;
}
