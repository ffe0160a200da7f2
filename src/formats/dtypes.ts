import { DTYPE_BYTES, type Dtype } from '../model.js';
import { bfloat16ToFloat, halfToFloat } from './float16.js';

type Values = ArrayLike<number> | ArrayLike<bigint>;
type View = new (buffer: ArrayBufferLike, byteOffset: number, length: number) => Values;

const VIEWS: Readonly<Record<Exclude<Dtype, 'F16' | 'BF16'>, View>> = {
  BOOL: Uint8Array,
  U8: Uint8Array,
  I8: Int8Array,
  U16: Uint16Array,
  I16: Int16Array,
  U32: Uint32Array,
  I32: Int32Array,
  F32: Float32Array,
  U64: BigUint64Array,
  I64: BigInt64Array,
  F64: Float64Array,
};

/** Bytes whose offset is a multiple of 8: a view where it can be one, else a copy. */
function aligned(bytes: Uint8Array): Uint8Array {
  return bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
}

/**
 * Little-endian numbers of any type as float32, rounded to the nearest where they do not fit.
 * float32 itself is a view of the same memory where its alignment allows.
 */
export function toFloat32(bytes: Uint8Array, dtype: Dtype): Float32Array {
  if (dtype === 'F32') {
    const at = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
    return new Float32Array(at.buffer, at.byteOffset, at.byteLength / 4);
  }
  const { buffer, byteOffset, byteLength } = aligned(bytes);
  if (dtype === 'F16') return halfToFloat(new Uint16Array(buffer, byteOffset, byteLength / 2));
  if (dtype === 'BF16') return bfloat16ToFloat(new Uint16Array(buffer, byteOffset, byteLength / 2));
  return Float32Array.from(new VIEWS[dtype](buffer, byteOffset, byteLength / DTYPE_BYTES[dtype]), Number);
}

/** The bytes of a typed array, as they lie in memory. */
export function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
