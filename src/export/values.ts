// Values of a graph of another runtime, while it is put together.
import { sizeOf } from '../shape.js';

/** Number types of values and of stored tensors. */
export type ElementType = 'float' | 'uint8' | 'int8' | 'int32' | 'int64' | 'bool' | 'int4' | 'int2';

/** Length of an axis: a number, a name for one that is only known in a run, or null where nothing is known. */
export type Dim = number | string | null;

export type Shape = readonly Dim[];

/** A value of a graph. */
export interface Val {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: Shape;
}

/** Bytes that are made when they are written, of a length known before. */
export interface LazyBytes {
  readonly length: number;
  bytes(): Uint8Array;
}

/** The bytes of a part. @throws RangeError where they have another length than it said */
export function madeBytes(part: Uint8Array | LazyBytes): Uint8Array {
  if (part instanceof Uint8Array) return part;
  const bytes = part.bytes();
  if (bytes.length !== part.length)
    throw new RangeError(`"bytes" expected ${part.length} bytes, got ${bytes.length}`);
  return bytes;
}

/** Length of axes that are aligned at the last and spread. */
export function spread(shapes: readonly Shape[]): Dim[] {
  const rank = Math.max(0, ...shapes.map(({ length }) => length));
  return Array.from({ length: rank }, (_, i) => {
    const own = shapes
      .map((shape) => shape[shape.length - rank + i])
      .filter((n) => n !== undefined && n !== 1);
    return own.length === 0
      ? 1
      : (own.find((n) => typeof n === 'number') ?? own.find((n) => n !== null) ?? null);
  });
}

/** Number of elements; null where a length is not known. */
export const totalOf = (shape: Shape): number | null =>
  shape.every((n) => typeof n === 'number') ? sizeOf(shape as number[]) : null;
