import { expected } from '../errors.js';
import { type BlockLayout, blockCount, layoutSize } from '../shape.js';
import type { FloatSink, Projection } from './types.js';

/** Argument checks that every backend makes, so that all fail alike. */

function typeName(value: unknown): string {
  return Object.prototype.toString.call(value).slice(8, -1);
}

export function checkFloats(name: string, value: unknown, length?: number): void {
  if (!(value instanceof Float32Array))
    throw new TypeError(expected(name, 'a Float32Array', typeName(value)));
  if (length !== undefined) checkLength(name, value.length, length, 'floats');
}

/** Memory that decoded values can be written to, and room in it. */
export function checkSink(name: string, value: unknown, length: number): asserts value is FloatSink {
  const kind = typeName(value);
  if (kind !== 'Float32Array' && kind !== 'Float16Array' && kind !== 'HalfBits') {
    throw new TypeError(expected(name, 'a Float32Array or a Float16Array', kind));
  }
  checkRoom(name, value as FloatSink, length, 'floats');
}

export function checkBytes(name: string, value: unknown, length?: number): void {
  if (!(value instanceof Uint8Array)) throw new TypeError(expected(name, 'a Uint8Array', typeName(value)));
  if (length !== undefined) checkLength(name, value.length, length, 'bytes');
}

function checkLength(name: string, got: number, length: number, unit: string): void {
  if (got !== length) throw new RangeError(expected(name, `${length} ${unit}`, got));
}

/** `out` may be longer than what is written. */
export function checkRoom(name: string, value: { length: number }, length: number, unit: string): void {
  if (value.length < length) throw new RangeError(expected(name, `at least ${length} ${unit}`, value.length));
}

/** Sizes of a layout; with `weights`, that they belong to it. */
export function checkLayout(layout: BlockLayout, weights?: Float32Array): void {
  if (typeof layout !== 'object' || layout === null) {
    throw new TypeError(expected('layout', 'a BlockLayout', typeName(layout)));
  }
  for (const key of ['outer', 'channels', 'inner', 'groupRows'] as const) {
    const least = key === 'groupRows' ? 1 : 0;
    if (!Number.isSafeInteger(layout[key]) || layout[key] < least) {
      throw new RangeError(expected(`layout.${key}`, `an integer of at least ${least}`, layout[key]));
    }
  }
  if (weights) checkLength('weights', weights.length, layoutSize(layout), 'floats');
}

/** Weights, and one value for each block of theirs. */
export function checkCoding(weights: Float32Array, inverses: Float32Array, layout: BlockLayout): void {
  checkFloats('weights', weights);
  checkLayout(layout, weights);
  checkFloats('inverses', inverses, blockCount(layout));
}

/** Sums to add to: one for each block, zeros where none are given. */
export function checkSums(sums: Float64Array | undefined, layout: BlockLayout): Float64Array {
  const count = blockCount(layout);
  if (sums === undefined) return new Float64Array(count);
  if (!(sums instanceof Float64Array))
    throw new TypeError(expected('sums', 'a Float64Array', typeName(sums)));
  checkLength('sums', sums.length, count, 'doubles');
  return sums;
}

/** Maxima to go on from: one for each block, zeros where none are given. */
export function checkMaxima(max: Float32Array | undefined, layout: BlockLayout): Float32Array {
  const count = blockCount(layout);
  if (max === undefined) return new Float32Array(count);
  checkFloats('max', max, count);
  return max;
}

/** The same for both sums of a projection. */
export function checkProjection(sums: Projection | undefined, layout: BlockLayout): Projection {
  return { wq: checkSums(sums?.wq, layout), qq: checkSums(sums?.qq, layout) };
}

/** Codes of `bits` each, and one scale for each block. */
export function checkCodes(codes: Uint8Array, bits: number, scales: Float32Array, layout: BlockLayout): void {
  checkLayout(layout);
  checkBytes('codes', codes, codeBytes(layoutSize(layout), bits));
  checkFloats('scales', scales, blockCount(layout));
}

/** Bytes of `count` codes of `bits` each. */
export function codeBytes(count: number, bits: number): number {
  return Math.ceil((count * bits) / 8);
}
