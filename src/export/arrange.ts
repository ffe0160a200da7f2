// Weights in the order that another format wants: axes moved, joined and picked, for codes as for floats.
import { sizeOf } from '../shape.js';

/** How a tensor is laid out anew. */
export interface Arrangement {
  /** For each axis of the result the axes of the tensor that it runs over, the last one fastest; none: a length of 1. */
  readonly axes: readonly (readonly number[])[];
  /** Places of one axis of the tensor in another order, or a part of them: gates of a recurrent kernel. */
  readonly pick?: { readonly axis: number; readonly places: readonly number[] };
}

/** Lengths of the axes of the tensor once places are picked. */
function pickedShape(shape: readonly number[], { pick }: Arrangement): number[] {
  return shape.map((n, axis) => (pick?.axis === axis ? pick.places.length : n));
}

/** The shape of the result. */
export function arrangedShape(shape: readonly number[], arrangement: Arrangement): number[] {
  const picked = pickedShape(shape, arrangement);
  return arrangement.axes.map((list) => sizeOf(list.map((axis) => picked[axis] as number)));
}

/** Whether the result has the elements of the tensor in their order. */
export function isInOrder(shape: readonly number[], { axes, pick }: Arrangement): boolean {
  const order = axes.flat().filter((axis) => shape[axis] !== 1);
  return pick === undefined && order.every((axis, i) => i === 0 || axis > (order[i - 1] as number));
}

/** An axis of the tensor: how far apart its places are, and which are taken. */
interface Axis {
  readonly length: number;
  readonly stride: number;
  readonly places: readonly number[] | undefined;
}

/** Elements of the result whose places in the tensor are listed once, for all that come before them. */
const MOST_LISTED = 4096;

/** Calls `copy` for runs of the result, in its order: elements of the tensor at `from` plus each of the same places. */
function eachRun(
  shape: readonly number[],
  arrangement: Arrangement,
  copy: (from: number, places: Int32Array) => void,
): void {
  const strides = shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
  const picked = pickedShape(shape, arrangement);
  const axes = arrangement.axes.flat().map(
    (axis): Axis => ({
      length: picked[axis] as number,
      stride: strides[axis] as number,
      places: arrangement.pick?.axis === axis ? arrangement.pick.places : undefined,
    }),
  );
  // The last axes as one list of places; a single long one as well.
  let places: Int32Array = new Int32Array(1);
  while (axes.length > 0) {
    const { length, stride, places: own } = axes.at(-1) as Axis;
    const count = length * places.length;
    if (count > MOST_LISTED && places.length > 1) break;
    const next = new Int32Array(count);
    for (let i = 0, at = 0; i < length; i++)
      for (const place of places) next[at++] = (own?.[i] ?? i) * stride + place;
    places = next;
    axes.pop();
  }
  const visit = (depth: number, from: number): void => {
    const axis = axes[depth];
    if (!axis) copy(from, places);
    else for (let i = 0; i < axis.length; i++) visit(depth + 1, from + (axis.places?.[i] ?? i) * axis.stride);
  };
  visit(0, 0);
}

/** The values of a tensor laid out anew. */
export function arrange<T extends Float32Array | Uint8Array>(
  values: T,
  shape: readonly number[],
  arrangement: Arrangement,
): T {
  if (isInOrder(shape, arrangement)) return values;
  const out = new (values.constructor as new (n: number) => T)(sizeOf(arrangedShape(shape, arrangement)));
  let to = 0;
  eachRun(shape, arrangement, (from, places) => {
    for (let i = 0; i < places.length; i++) out[to++] = values[from + (places[i] as number)] as number;
  });
  return out;
}

/** Codes of 1, 2 or 4 bits as one byte each, bits above them 0. */
export function unpackCodes(codes: Uint8Array, bits: 1 | 2 | 4, count: number): Uint8Array {
  const out = new Uint8Array(count);
  const mask = (1 << bits) - 1;
  for (let i = 0, at = 0; i < count; i++, at += bits)
    out[i] = ((codes[at >> 3] as number) >> (at & 7)) & mask;
  return out;
}

/** Bytes that so many codes take. */
export const packedLength = (count: number, bits: number): number => Math.ceil((count * bits) / 8);

/** Codes of one byte each packed, lowest bits first. */
export function packCodes(codes: Uint8Array, bits: 1 | 2 | 4): Uint8Array {
  const out = new Uint8Array(packedLength(codes.length, bits));
  for (let i = 0, at = 0; i < codes.length; i++, at += bits)
    out[at >> 3] = (out[at >> 3] as number) | ((codes[i] as number) << (at & 7));
  return out;
}

/** Packed codes laid out anew. */
export function arrangeCodes(
  codes: Uint8Array,
  bits: 1 | 2 | 4,
  shape: readonly number[],
  arrangement: Arrangement,
): Uint8Array {
  const count = sizeOf(shape);
  if (isInOrder(shape, arrangement)) return codes.subarray(0, packedLength(count, bits));
  return packCodes(arrange(unpackCodes(codes, bits, count), shape, arrangement), bits);
}

/** Signs, a bit each with 1 for the positive ones, as whole numbers of two bits, 1 and -1: no runtime has a type of one bit. */
export const signsAsInt2 = (codes: Uint8Array, count: number): Uint8Array =>
  packCodes(
    unpackCodes(codes, 1, count).map((bit) => (bit === 1 ? 1 : 3)),
    2,
  );
