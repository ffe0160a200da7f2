import { expected } from '../errors.js';
import { DTYPE_BYTES, type Dtype } from '../model.js';
import { bfloat16ToFloat, floatToBfloat16, floatToHalf, halfToFloat } from './float16.js';

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

/** Bytes at a multiple of `size`: a view where it can be one, else a copy. (`slice` of a Node Buffer is no copy.) */
function aligned(bytes: Uint8Array, size: number): Uint8Array {
  return bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
}

/**
 * Little-endian numbers of any type as float32, rounded to the nearest where they do not fit (64-bit integers by way
 * of float64). float32 itself is a view of the same memory where its alignment allows.
 *
 * @throws RangeError for bytes that are no whole number of elements
 */
export function toFloat32(bytes: Uint8Array, dtype: Dtype): Float32Array {
  const size = DTYPE_BYTES[dtype];
  if (bytes.length % size !== 0) {
    throw new RangeError(expected('bytes', `a multiple of ${size} for ${dtype}`, bytes.length));
  }
  const { buffer, byteOffset } = aligned(bytes, size);
  const length = bytes.length / size;
  if (dtype === 'F32') return new Float32Array(buffer, byteOffset, length);
  if (dtype === 'F16') return halfToFloat(new Uint16Array(buffer, byteOffset, length));
  if (dtype === 'BF16') return bfloat16ToFloat(new Uint16Array(buffer, byteOffset, length));
  const values = new VIEWS[dtype](buffer, byteOffset, length);
  const is64 = values instanceof BigInt64Array || values instanceof BigUint64Array;
  return is64 ? Float32Array.from(values, Number) : new Float32Array(values as ArrayLike<number>);
}

/** Whether numbers of this type are floating-point: what a quantizer takes. */
export function isFloat(dtype: Dtype): boolean {
  return dtype === 'F16' || dtype === 'BF16' || dtype === 'F32' || dtype === 'F64';
}

/**
 * Numbers as little-endian bytes of a type: floating-point ones rounded half to even, others cut off and wrapped.
 * A finite number that is too large for a floating-point type becomes infinite.
 */
export function fromNumbers(values: ArrayLike<number>, dtype: Dtype): Uint8Array {
  const floats = () => (values instanceof Float32Array ? values : Float32Array.from(values));
  if (dtype === 'F32') return bytesOf(floats());
  if (dtype === 'F16') return bytesOf(floatToHalf(floats()));
  if (dtype === 'BF16') return bytesOf(floatToBfloat16(floats()));
  if (dtype === 'I64' || dtype === 'U64') {
    const big = Array.from(values, (value) => BigInt(Math.trunc(value)));
    return bytesOf(dtype === 'I64' ? BigInt64Array.from(big) : BigUint64Array.from(big));
  }
  const view = new VIEWS[dtype](new ArrayBuffer(values.length * DTYPE_BYTES[dtype]), 0, values.length);
  (view as Float64Array).set(values);
  return bytesOf(view as Float64Array);
}

/** The bytes of a typed array, as they lie in memory. */
export function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
