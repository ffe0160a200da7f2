import { BitnibbleError, expected } from '../errors.js';
import { floatToHalf, halfToFloat } from './float16.js';
import type { ReadOptions } from './gzip.js';
import {
  type DType,
  decodeElements,
  HOST_IS_LITTLE_ENDIAN,
  itemSize,
  type NdArray,
  swapBytes,
} from './ndarray.js';
import { parseNpyHeader } from './npy-header.js';
import { bytesAccess, type RandomAccess } from './random-access.js';
import { checkSize, headOf, type StoredArray } from './stored-array.js';

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // \x93NUMPY

/** NumPy's kind and size of each type. */
const CODES: Readonly<Record<DType, string>> = {
  bool: 'b1',
  uint8: 'u1',
  int8: 'i1',
  uint16: 'u2',
  int16: 'i2',
  uint32: 'u4',
  int32: 'i4',
  uint64: 'u8',
  int64: 'i8',
  float16: 'f2',
  float32: 'f4',
  float64: 'f8',
};

const TYPES = new Map(Object.entries(CODES).map(([dtype, code]) => [code, dtype as DType]));

/** NumPy refuses headers of more than 10,000 characters as unsafe to parse; so does this reader. */
const MOST_HEADER = 10_000;

/** Of an array in NumPy 2. */
const MOST_DIMENSIONS = 64;

/**
 * Reads one `.npy` array of format version 1, 2 or 3. Fortran order is turned into C order, the other byte order
 * into the host's, float16 into float32.
 *
 * @throws BitnibbleError `not-npy`, `unsupported-version`, `unsupported-dtype` (object arrays, which are pickles;
 *   text, complex, dates, records), `corrupt-file` for a header that is not NumPy's or bytes that are fewer or more
 *   than the shape needs. Source: numpy.lib.format
 */
export function readNpy(
  bytes: Uint8Array,
  options: ReadOptions & { readonly isOwn?: boolean } = {},
): NdArray {
  const { name = 'npy data', isOwn = false } = options;
  const { dtype, shape, littleEndian, start, fortranOrder } = readNpyHeader(bytesAccess(bytes), name);
  const stored = decodeElements(dtype, bytes.subarray(start), littleEndian, isOwn);
  const decoded = numbersOf(dtype, stored, name);
  return { dtype, shape, data: fortranOrder ? toCOrder(decoded, shape) : decoded };
}

/** Elements as numbers: halves widened, booleans checked. */
export function numbersOf(dtype: DType, stored: NdArray['data'], name: string): NdArray['data'] {
  if (dtype === 'bool' && (stored as Uint8Array).some((value) => value > 1)) {
    throw new BitnibbleError('corrupt-file', `${name}: a bool array with bytes other than 0 and 1`);
  }
  return dtype === 'float16' ? halfToFloat(stored as Uint16Array) : stored;
}

/**
 * What the header of a `.npy` file says, held against its length.
 * @throws BitnibbleError as {@link readNpy}
 */
export function readNpyHeader(source: RandomAccess, name: string): StoredArray {
  const { descr, fortranOrder, shape, start } = readHeader(headOf(source, 12 + MOST_HEADER, name), name);
  if (shape.length > MOST_DIMENSIONS) {
    throw new BitnibbleError(
      'corrupt-file',
      `${name}: ${shape.length} dimensions, NumPy has at most ${MOST_DIMENSIONS}`,
    );
  }
  const stored = { ...parseDescr(descr, name), shape, start, fortranOrder };
  checkSize(stored, source.size, name, ' with the header');
  return stored;
}

function readHeader(bytes: Uint8Array, name: string) {
  if (bytes.length < 10 || MAGIC.some((byte, i) => bytes[i] !== byte)) {
    throw new BitnibbleError('not-npy', `${name}: expected a .npy file, which begins with \\x93NUMPY`);
  }
  const version = bytes[6]!;
  if (version < 1 || version > 3 || bytes[7] !== 0) {
    throw new BitnibbleError(
      'unsupported-version',
      `${name}: .npy version ${version}.${bytes[7]}, expected 1 to 3`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const prefix = version === 1 ? 10 : 12;
  const length = version === 1 ? view.getUint16(8, true) : bytes.length < 12 ? 0 : view.getUint32(8, true);
  const start = prefix + length;
  if (length > MOST_HEADER || start > bytes.length) {
    throw new BitnibbleError(
      'corrupt-file',
      `${name}: a .npy header of ${length} bytes does not fit the file`,
    );
  }
  const text = Array.from(bytes.subarray(prefix, start), (byte) => String.fromCharCode(byte)).join('');
  return { ...parseNpyHeader(text, name), start };
}

function parseDescr(descr: string, name: string): { dtype: DType; littleEndian: boolean } {
  const order = descr[0] ?? '';
  const code = descr.slice(1);
  if (code.startsWith('O')) {
    throw new BitnibbleError(
      'unsupported-dtype',
      `${name}: an array of Python objects, stored as a pickle, which can run code when loaded; ` +
        'bitnibble never reads pickles. Save it with a numeric dtype and allow_pickle=False',
    );
  }
  const dtype = TYPES.get(code);
  const isOrdered = order === '<' || order === '>' || (order === '|' && code.endsWith('1'));
  if (!dtype || !isOrdered) {
    throw new BitnibbleError(
      'unsupported-dtype',
      `${name}: dtype ${JSON.stringify(descr.slice(0, 40))}, expected bool, an integer of 1 to 8 bytes or float16 to float64`,
    );
  }
  return { dtype, littleEndian: order !== '>' };
}

/** Element (i0, i1, ...) lies at sum(i_a * prod(shape[0..a-1])) in Fortran order. */
function toCOrder<T extends NdArray['data']>(data: T, shape: readonly number[]): T {
  const rank = shape.length;
  const strides = shape.map((_, axis) => shape.slice(0, axis).reduce((n, d) => n * d, 1));
  const index = new Array<number>(rank).fill(0);
  const out = data.slice() as T;
  for (let to = 0, from = 0; to < out.length; to++) {
    out[to] = data[from]!;
    for (let axis = rank - 1; axis >= 0; axis--) {
      index[axis]!++;
      from += strides[axis]!;
      if (index[axis]! < shape[axis]!) {
        break;
      }
      from -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}

const DTYPE_OF: Readonly<Record<string, DType>> = {
  Int8Array: 'int8',
  Uint8Array: 'uint8',
  Int16Array: 'int16',
  Uint16Array: 'uint16',
  Int32Array: 'int32',
  Uint32Array: 'uint32',
  Float32Array: 'float32',
  Float64Array: 'float64',
  BigInt64Array: 'int64',
  BigUint64Array: 'uint64',
};

/** What {@link writeNpy} takes: `dtype` follows from the array unless it is `bool` (of bytes) or `float16` (of floats). */
export type NpyInput = Omit<NdArray, 'dtype'> & { readonly dtype?: DType };

/**
 * Writes one array as `.npy` version 1, C order, little endian: the very bytes that `numpy.save` of NumPy 2 writes.
 *
 * @throws TypeError when `dtype` and the array disagree, RangeError when shape and length do
 */
export function writeNpy({ shape, data, dtype: wanted }: NpyInput): Uint8Array {
  const own = DTYPE_OF[data[Symbol.toStringTag]]!;
  const dtype = wanted ?? own;
  const isCast = (dtype === 'bool' && own === 'uint8') || (dtype === 'float16' && own === 'float32');
  if (dtype !== own && !isCast) {
    throw new TypeError(expected('dtype', `${own} or one that ${own} values encode to`, dtype));
  }
  if (!shape.every((d) => Number.isInteger(d) && d >= 0)) {
    throw new RangeError(expected('shape', 'integers of at least 0', `[${shape}]`));
  }
  if (shape.reduce((n, d) => n * d, 1) !== data.length) {
    throw new RangeError(expected('data', `as many elements as the shape [${shape}] has`, data.length));
  }
  if (dtype === 'bool' && (data as Uint8Array).some((value) => value > 1)) {
    throw new RangeError(expected('data', 'only 0 and 1 for dtype bool', 'other bytes'));
  }
  const body = dtype === 'float16' ? floatToHalf(data as Float32Array) : data;
  const header = npyHeader(dtype, shape);
  const out = new Uint8Array(header.length + body.byteLength);
  out.set(header);
  const at = out.subarray(header.length);
  at.set(new Uint8Array(body.buffer, body.byteOffset, body.byteLength));
  if (!HOST_IS_LITTLE_ENDIAN) {
    swapBytes(at, itemSize(dtype));
  }
  return out;
}

/** Magic, version, length and dictionary, padded with spaces to a multiple of 64 bytes and ended by a line feed. */
function npyHeader(dtype: DType, shape: readonly number[]): Uint8Array {
  const order = itemSize(dtype) === 1 ? '|' : '<';
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  // NumPy leaves room for the first dimension to grow to 21 digits in place.
  const room = shape.length === 0 ? 0 : 21 - String(shape[0]).length;
  const text = `{'descr': '${order}${CODES[dtype]}', 'fortran_order': False, 'shape': ${tuple}, }${' '.repeat(room)}`;
  // NumPy always pads: a header that ends on the boundary gets 64 spaces more.
  const padding = 64 - ((MAGIC.length + 4 + text.length + 1) % 64);
  const length = text.length + padding + 1;
  if (length > 0xffff) {
    throw new RangeError(expected('shape', 'a rank that fits a .npy header of version 1', shape.length));
  }
  const ascii = Array.from(`${text}${' '.repeat(padding)}\n`, (char) => char.charCodeAt(0));
  return Uint8Array.from([...MAGIC, 1, 0, length & 255, length >>> 8, ...ascii]);
}
