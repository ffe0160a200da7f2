import { BitnibbleError } from '../errors.js';

/** Array types that a `.npy` or IDX file can hold once decoded. */
export type NumericArray =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

/** Element type as the file states it; `float16` is decoded to float32, `bool` to bytes 0 and 1. */
export type DType =
  | 'bool'
  | 'uint8'
  | 'int8'
  | 'uint16'
  | 'int16'
  | 'uint32'
  | 'int32'
  | 'uint64'
  | 'int64'
  | 'float16'
  | 'float32'
  | 'float64';

/** A dense tensor in C order, in the byte order of the host. */
export interface NdArray {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: NumericArray;
}

interface ArrayMaker {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBuffer, byteOffset: number, length: number): NumericArray;
}

/** The array that stores each type bit by bit; `float16` appears as its 16 bits. */
const STORAGE: Readonly<Record<DType, ArrayMaker>> = {
  bool: Uint8Array,
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  uint32: Uint32Array,
  int32: Int32Array,
  uint64: BigUint64Array,
  int64: BigInt64Array,
  float16: Uint16Array,
  float32: Float32Array,
  float64: Float64Array,
};

/** Bytes per element of a type in a file. */
export function itemSize(dtype: DType): number {
  return STORAGE[dtype].BYTES_PER_ELEMENT;
}

/** True where the host stores the least significant byte first. */
export const HOST_IS_LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Reverses the bytes of every element of `size` bytes, in place. */
export function swapBytes(bytes: Uint8Array, size: number): void {
  for (let at = 0; at + size <= bytes.length; at += size) {
    for (let low = at, high = at + size - 1; low < high; low++, high--) {
      const byte = bytes[low]!;
      bytes[low] = bytes[high]!;
      bytes[high] = byte;
    }
  }
}

/**
 * The bytes of a file as an array of their type, swapped to the order of the host.
 * @param isOwn nobody else has the bytes: the array may be the same memory
 */
export function decodeElements(
  dtype: DType,
  bytes: Uint8Array,
  littleEndian: boolean,
  isOwn = false,
): NumericArray {
  const size = itemSize(dtype);
  const mayKeep = isOwn && bytes.byteOffset % size === 0;
  const copy = mayKeep ? bytes : new Uint8Array(bytes);
  if (size > 1 && littleEndian !== HOST_IS_LITTLE_ENDIAN) {
    swapBytes(copy, size);
  }
  return new STORAGE[dtype](copy.buffer as ArrayBuffer, copy.byteOffset, copy.length / size);
}

/**
 * Elements of a shape that a file states.
 *
 * @throws BitnibbleError `corrupt-file` when the count or its bytes pass 2^53 - 1
 */
export function statedSize(shape: readonly number[], bytesPerElement: number, name: string): number {
  // The non-zero dimensions alone must be sane too: `[0, 2^32 - 1, 2^32 - 1]` has no elements and no meaning.
  const span = shape.reduce((n, d) => n * Math.max(1, d), bytesPerElement);
  if (!Number.isSafeInteger(span)) {
    throw new BitnibbleError('corrupt-file', `${name}: the shape [${shape}] is absurdly large`);
  }
  return shape.reduce((n, d) => n * d, 1);
}
