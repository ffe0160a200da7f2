import { expected } from '../errors.js';
import { HalfBits } from '../formats/float16.js';
import type { FloatSink, HalfArray } from '../kernels/types.js';

/**
 * Memory of the caller that decoded values are written to: a `Float32Array`; a `Float16Array`; or a `Uint16Array`, which
 * gets the bits of half precision, as WebGL's half-float textures and hosts without `Float16Array` take them.
 */
export type DecodeTarget = Float32Array | HalfArray | Uint16Array;

/** From here on float32 rounds to an infinite half. */
const HALF_LIMIT = 65520;

export function sinkOf(out: DecodeTarget): FloatSink {
  return out instanceof Uint16Array ? new HalfBits(out) : out;
}

/** Whether no value of `scale * q`, `|q| <= most`, becomes infinite in `out`. */
export function holds(out: DecodeTarget, scales: Float32Array, most: number): boolean {
  return out instanceof Float32Array || !scales.some((scale) => Math.abs(scale) * most >= HALF_LIMIT);
}

/**
 * Writes decoded values to `out`; it may be longer.
 * @throws RangeError for too short an `out`, and for a finite value that half precision cannot hold
 */
export function fillTarget<T extends DecodeTarget>(values: Float32Array, out: T, context: string): T {
  if (out.length < values.length) {
    throw new RangeError(expected('out', `at least ${values.length} floats`, out.length, context));
  }
  if (!(out instanceof Float32Array)) {
    const lost = values.find((value) => Number.isFinite(value) && Math.abs(value) >= HALF_LIMIT);
    if (lost !== undefined) {
      throw new RangeError(
        expected('out', `a Float32Array for the value ${lost}`, 'half precision', context),
      );
    }
  }
  sinkOf(out).set(values, 0);
  return out;
}
