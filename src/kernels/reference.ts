/**
 * The definition of every bit that the kernels produce: scalar, and as plain as it can be.
 * The SIMD backend equals it byte for byte; nothing here is shared with it but the checks of arguments.
 *
 * **Order of sums** (float32 sums depend on it). A sum over a block is
 *
 * - *columns* (`inner` is 1, several channels): float32 partial sums over at most 64 consecutive rows, counted from the
 *   block's first row; each partial is added to a float64 total, in row order.
 * - *runs* (all else): the block's elements that lie side by side in memory, cut also where the index in the tensor is a
 *   multiple of 1024. In such a piece, 16 float32 lanes, lane = index in the piece mod 16; the lanes are added in
 *   float64 by halves (l and l + 8, then l + 4, l + 2, l + 1), and pieces to a float64 total in memory order.
 *
 * A float32 partial can reach Infinity where |w| comes near 2^122; the sum is then Infinity, here and in SIMD.
 */

import { type BlockLayout, layoutSize } from '../shape.js';
import {
  checkBytes,
  checkCodes,
  checkCoding,
  checkFloats,
  checkLayout,
  checkMaxima,
  checkProjection,
  checkRoom,
  checkSink,
  checkSums,
  codeBytes,
} from './check.js';
import type { Decoder, FloatSink, Kernels, Projection } from './types.js';

const f32 = Math.fround;
const MAX_FLOAT32 = (2 - 2 ** -23) * 2 ** 127;

/** Rows of a partial sum of a column. */
const PARTIAL_ROWS = 64;
/** Lanes, and longest piece, of a sum of a run. */
const LANES = 16;
const PIECE = 1024;

/** Block of element `e`: see {@link BlockLayout}. */
function blockOf(e: number, { channels, inner, groupRows }: BlockLayout): number {
  const channel = Math.floor(e / inner) % channels;
  const row = Math.floor(e / (inner * channels)) * inner + (e % inner);
  return Math.floor(row / groupRows) * channels + channel;
}

/** Round half to even. */
function rne(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest === 0.5) return floor % 2 === 0 ? floor : floor + 1;
  return rest < 0.5 ? floor : floor + 1;
}

/** `clamp(rne(f32(w * inverse)), -8, 7)`; a NaN product gives -8. */
function int4Code(w: number, inverse: number): number {
  const x = f32(w * inverse);
  if (!(x > -8)) return -8;
  return x < 7 ? rne(x) : 7;
}

/** `clamp(floor(f32(w * inverse)), -2, 1)`; a NaN product gives -2. */
function int2Code(w: number, inverse: number): number {
  const x = f32(w * inverse);
  if (!(x > -2)) return -2;
  return x < 1 ? Math.floor(x) : 1;
}

/** `min(f32(7 / absMax), largest float32)`; 0 where absMax is 0. */
function inverseOf(absMax: number): number {
  if (absMax === 0) return 0;
  return Math.min(f32(7 / absMax), MAX_FLOAT32);
}

/** Adds float32 terms by halves in float64. */
function addLanes(lanes: Float32Array): number {
  let sums = Array.from(lanes);
  while (sums.length > 1) {
    const half = sums.length / 2;
    sums = sums.slice(0, half).map((s, l) => s + sums[l + half]!);
  }
  return sums[0]!;
}

/** Adds `sum(term(element, block))` of every block to `sums`, in the order above. */
function blockSums(
  layout: BlockLayout,
  sums: Float64Array,
  term: (e: number, block: number) => number,
): Float64Array {
  const { outer, channels, inner, groupRows } = layout;
  const size = layoutSize(layout);
  if (inner === 1 && channels > 1) {
    for (let block = 0; block < sums.length; block++) {
      const channel = block % channels;
      const first = Math.floor(block / channels) * groupRows;
      const rows = Math.min(groupRows, outer - first);
      for (let from = 0; from < rows; from += PARTIAL_ROWS) {
        let partial = 0;
        for (let row = from; row < Math.min(rows, from + PARTIAL_ROWS); row++) {
          partial = f32(partial + f32(term((first + row) * channels + channel, block)));
        }
        sums[block]! += partial;
      }
    }
  } else {
    for (let from = 0, to = 0; from < size; from = to) {
      const block = blockOf(from, layout);
      const lanes = new Float32Array(LANES);
      do {
        lanes[(to - from) % LANES]! += f32(term(to, block));
        to++;
      } while (to < size && to % PIECE !== 0 && blockOf(to, layout) === block);
      sums[block]! += addLanes(lanes);
    }
  }
  return oneNaN(sums);
}

/** NaN has many bit patterns: results hold the canonical one. */
function oneNaN<T extends Float32Array | Float64Array>(values: T): T {
  for (let i = 0; i < values.length; i++) if (Number.isNaN(values[i])) values[i] = Number.NaN;
  return values;
}

function absMax(weights: Float32Array, layout: BlockLayout, given?: Float32Array): Float32Array {
  checkFloats('weights', weights);
  checkLayout(layout, weights);
  const max = checkMaxima(given, layout);
  for (let e = 0; e < weights.length; e++) {
    const block = blockOf(e, layout);
    max[block] = Math.max(max[block]!, Math.abs(weights[e]!)); // NaN if one of them is
  }
  return oneNaN(max);
}

function absSum(weights: Float32Array, layout: BlockLayout, sums?: Float64Array): Float64Array {
  checkFloats('weights', weights);
  checkLayout(layout, weights);
  return blockSums(layout, checkSums(sums, layout), (e) => Math.abs(weights[e]!));
}

function packSignInto(weights: Float32Array, out: Uint8Array): Uint8Array {
  checkFloats('weights', weights);
  checkBytes('out', out);
  const bytes = codeBytes(weights.length, 1);
  checkRoom('out', out, bytes, 'bytes');
  out.fill(0, 0, bytes);
  for (let e = 0; e < weights.length; e++) {
    if (weights[e]! > 0) out[e >>> 3]! |= 1 << (e & 7);
  }
  return out;
}

/** Values to where the caller wants them; half precision rounds to even. */
function into<T extends FloatSink>(out: T, values: Float32Array): T {
  checkSink('out', out, values.length);
  out.set(values, 0);
  return out;
}

function unpackSign(codes: Uint8Array, scales: Float32Array, layout: BlockLayout): Float32Array {
  checkCodes(codes, 1, scales, layout);
  const size = layoutSize(layout);
  const out = new Float32Array(size);
  for (let e = 0; e < size; e++) {
    const bit = (codes[e >>> 3]! >>> (e & 7)) & 1;
    out[e] = scales[blockOf(e, layout)]! * (2 * bit - 1);
  }
  return out;
}

function packInt4Into(weights: Float32Array, inverses: Float32Array, layout: BlockLayout, out: Uint8Array) {
  checkCoding(weights, inverses, layout);
  checkBytes('out', out);
  const bytes = codeBytes(weights.length, 4);
  checkRoom('out', out, bytes, 'bytes');
  out.fill(0, 0, bytes);
  for (let e = 0; e < weights.length; e++) {
    const q = int4Code(weights[e]!, inverses[blockOf(e, layout)]!);
    out[e >>> 1]! |= (q & 15) << (e % 2 === 0 ? 0 : 4);
  }
  return out;
}

function unpackInt4(codes: Uint8Array, scales: Float32Array, layout: BlockLayout): Float32Array {
  checkCodes(codes, 4, scales, layout);
  const size = layoutSize(layout);
  const out = new Float32Array(size);
  for (let e = 0; e < size; e++) {
    const nibble = (codes[e >>> 1]! >>> (e % 2 === 0 ? 0 : 4)) & 15;
    const q = nibble < 8 ? nibble : nibble - 16;
    out[e] = q * scales[blockOf(e, layout)]!;
  }
  return out;
}

function packInt2Into(weights: Float32Array, inverses: Float32Array, layout: BlockLayout, out: Uint8Array) {
  checkCoding(weights, inverses, layout);
  checkBytes('out', out);
  const bytes = codeBytes(weights.length, 2);
  checkRoom('out', out, bytes, 'bytes');
  out.fill(0, 0, bytes);
  for (let e = 0; e < weights.length; e++) {
    const q = int2Code(weights[e]!, inverses[blockOf(e, layout)]!);
    out[e >>> 2]! |= (q & 3) << (2 * (e & 3));
  }
  return out;
}

function unpackInt2(codes: Uint8Array, scales: Float32Array, layout: BlockLayout): Float32Array {
  checkCodes(codes, 2, scales, layout);
  const size = layoutSize(layout);
  const out = new Float32Array(size);
  for (let e = 0; e < size; e++) {
    const pair = (codes[e >>> 2]! >>> (2 * (e & 3))) & 3;
    const q = pair < 2 ? pair : pair - 4;
    out[e] = (q + 0.5) * scales[blockOf(e, layout)]!;
  }
  return out;
}

function packSign(weights: Float32Array): Uint8Array {
  checkFloats('weights', weights);
  return packSignInto(weights, new Uint8Array(codeBytes(weights.length, 1)));
}

function packInt4(weights: Float32Array, inverses: Float32Array, layout: BlockLayout): Uint8Array {
  checkFloats('weights', weights);
  return packInt4Into(weights, inverses, layout, new Uint8Array(codeBytes(weights.length, 4)));
}

function packInt2(weights: Float32Array, inverses: Float32Array, layout: BlockLayout): Uint8Array {
  checkFloats('weights', weights);
  return packInt2Into(weights, inverses, layout, new Uint8Array(codeBytes(weights.length, 2)));
}

/** Sums of `w l` and `l^2` over the blocks, `l` the level of a weight's code. */
function project(
  weights: Float32Array,
  inverses: Float32Array,
  layout: BlockLayout,
  sums: Projection | undefined,
  level: (w: number, inverse: number) => number,
): Projection {
  checkCoding(weights, inverses, layout);
  const { wq, qq } = checkProjection(sums, layout);
  const at = (e: number, block: number) => level(weights[e]!, inverses[block]!);
  return {
    wq: blockSums(layout, wq, (e, block) => weights[e]! * at(e, block)),
    qq: blockSums(layout, qq, (e, block) => at(e, block) ** 2),
  };
}

function differing(unpack: Decoder['unpackInt4']): Kernels['differenceInt4'] {
  return (weights, codes, scales, layout) => {
    checkFloats('weights', weights);
    checkLayout(layout, weights);
    return referenceKernels.difference(weights, unpack(codes, scales, layout));
  };
}

/** The scalar backend. */
export const referenceKernels: Kernels = {
  backend: 'reference',
  lend: (weights, codes) => ({ weights: new Float32Array(weights), codes: new Uint8Array(codes) }),
  absMax,
  absSum,
  packSign,
  packSignInto,
  packSignWithAbsSum(weights, layout) {
    const sums = absSum(weights, layout);
    return { codes: packSign(weights), absSum: sums };
  },
  unpackSign,
  unpackSignInto: (codes, scales, layout, out) => into(out, unpackSign(codes, scales, layout)),
  packInt4,
  packInt4Into,
  packInt4WithAbsMax(weights, layout) {
    const max = absMax(weights, layout);
    return { codes: packInt4(weights, max.map(inverseOf), layout), absMax: max };
  },
  packInt4WithAbsMaxInto(weights, layout, out) {
    const max = absMax(weights, layout);
    return { codes: packInt4Into(weights, max.map(inverseOf), layout, out), absMax: max };
  },
  unpackInt4,
  unpackInt4Into: (codes, scales, layout, out) => into(out, unpackInt4(codes, scales, layout)),
  projectInt4: (weights, inverses, layout, sums) => project(weights, inverses, layout, sums, int4Code),
  packInt2,
  packInt2Into,
  unpackInt2,
  unpackInt2Into: (codes, scales, layout, out) => into(out, unpackInt2(codes, scales, layout)),
  projectInt2: (weights, inverses, layout, sums) =>
    project(weights, inverses, layout, sums, (w, inverse) => int2Code(w, inverse) + 0.5),
  /**
   * Float64 throughout, where products of float32 are exact and nothing overflows: eight lanes, lane = index mod 8,
   * added by halves (l and l + 4, then l + 2, l + 1). `maxError` is NaN where the noise is.
   */
  difference(weights, decoded) {
    checkFloats('weights', weights);
    checkFloats('decoded', decoded, weights.length);
    const signal = new Float64Array(8);
    const noise = new Float64Array(8);
    let maxError = 0;
    for (let e = 0; e < weights.length; e++) {
      const w = weights[e]!;
      const error = w - decoded[e]!;
      signal[e % 8]! += w * w;
      noise[e % 8]! += error * error;
      if (Math.abs(error) > maxError) maxError = Math.abs(error);
    }
    const add = (s: Float64Array) => s[0]! + s[4]! + (s[2]! + s[6]!) + (s[1]! + s[5]! + (s[3]! + s[7]!));
    const total = add(noise);
    return { signal: add(signal), noise: total, maxError: Number.isNaN(total) ? Number.NaN : maxError };
  },
  differenceSign: differing(unpackSign),
  differenceInt2: differing(unpackInt2),
  differenceInt4: differing(unpackInt4),
};
