import type { TypedArray } from '../../tfjs/types.js';

/** Where the values of a tensor lie. */
export interface ValueRange {
  readonly min: number;
  /** The smallest value with at least 1 % (99 %) of the values at or below it. */
  readonly low: number;
  readonly high: number;
  readonly max: number;
  /** Share of values that are zero. */
  readonly zeros: number;
  /** Values counted: finite ones. */
  readonly values: number;
  /** Values that are NaN or infinite. */
  readonly notFinite: number;
}

const SIGN = 0x80000000;

/** Bits of a float32 in the order of the numbers: positive ones above negative ones, those turned round. */
const keyOf = (bits: number) => (bits & SIGN ? ~bits : bits | SIGN) >>> 0;
const bitsOf = (key: number) => (key & SIGN ? key & ~SIGN : ~key) >>> 0;

function numberOf(key: number): number {
  const memory = new DataView(new ArrayBuffer(4));
  memory.setUint32(0, bitsOf(key));
  // -0 is 0.
  return memory.getFloat32(0) || 0;
}

/**
 * Extremes, exact quantiles and the share of zeros of float32 values that come in pieces, read twice: a radix select over
 * the upper and the lower 16 bits of their ordered keys. The quantile `p` of `n` values is the one of rank `ceil(p n)`.
 *
 * @param pieces gives the same pieces each time it is called; NaN and infinities are counted apart
 * @param share of the values below the lower quantile, and above the upper one
 * @returns undefined where no value is finite
 */
export function rangeOf(pieces: () => Iterable<TypedArray>, share = 0.01): ValueRange | undefined {
  const upper = new Float64Array(1 << 16);
  let values = 0;
  let zeros = 0;
  let notFinite = 0;
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (const keys of keysOf(pieces())) {
    for (let i = 0; i < keys.length; i++) {
      const bits = keys[i] as number;
      if ((bits & 0x7f800000) === 0x7f800000) {
        notFinite++;
        continue;
      }
      if ((bits & ~SIGN) === 0) zeros++;
      const key = keyOf(bits);
      if (key < min) min = key;
      if (key > max) max = key;
      values++;
      upper[key >>> 16] = (upper[key >>> 16] as number) + 1;
    }
  }
  if (values === 0) return undefined;
  const wanted = [share, 1 - share].map((p) => {
    let rank = Math.min(values, Math.max(1, Math.ceil(p * values - 1e-9)));
    let bin = 0;
    while (rank > (upper[bin] as number)) rank -= upper[bin++] as number;
    return { rank, bin, lower: new Float64Array(1 << 16) };
  });
  const [a, b] = wanted as [(typeof wanted)[number], (typeof wanted)[number]];
  for (const keys of keysOf(pieces())) {
    for (let i = 0; i < keys.length; i++) {
      const bits = keys[i] as number;
      if ((bits & 0x7f800000) === 0x7f800000) continue;
      const key = keyOf(bits);
      const bin = key >>> 16;
      if (bin === a.bin) a.lower[key & 0xffff] = (a.lower[key & 0xffff] as number) + 1;
      if (bin === b.bin) b.lower[key & 0xffff] = (b.lower[key & 0xffff] as number) + 1;
    }
  }
  const [low, high] = wanted.map(({ rank, bin, lower }) => {
    let left = rank;
    let at = 0;
    while (left > (lower[at] as number)) left -= lower[at++] as number;
    return numberOf(((bin << 16) | at) >>> 0);
  }) as [number, number];
  return { min: numberOf(min), low, high, max: numberOf(max), zeros: zeros / values, values, notFinite };
}

/** The bits of each value; numbers of other types are made float32 first. */
function* keysOf(pieces: Iterable<TypedArray>): Generator<Uint32Array> {
  for (const piece of pieces) {
    const { buffer, byteOffset, length } = piece instanceof Float32Array ? piece : Float32Array.from(piece);
    yield new Uint32Array(buffer, byteOffset, length);
  }
}
