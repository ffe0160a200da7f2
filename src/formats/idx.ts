import { BitnibbleError } from '../errors.js';
import { gunzip, isGzip, type ReadOptions } from './gzip.js';
import { type DType, decodeElements, type NdArray } from './ndarray.js';
import { bytesAccess, type RandomAccess } from './random-access.js';
import { checkSize, headOf, type StoredArray } from './stored-array.js';

const TYPES: Readonly<Record<number, DType>> = {
  8: 'uint8',
  9: 'int8',
  11: 'int16',
  12: 'int32',
  13: 'float32',
  14: 'float64',
};

/**
 * Reads IDX, the format of MNIST: two zero bytes, one type byte, one rank byte, the dimensions as big-endian
 * uint32, then the elements, big-endian, in C order. Gzip around it is detected and unpacked.
 *
 * @returns elements in the byte order of the host
 * @throws BitnibbleError `not-idx`, `unsupported-dtype`, `corrupt-file` when the bytes are fewer or more than the
 *   shape needs, `too-large`. Source: http://yann.lecun.com/exdb/mnist, "the IDX file format"
 */
export function readIdx(bytes: Uint8Array, options: ReadOptions = {}): NdArray {
  const { name = 'IDX data' } = options;
  const isPacked = isGzip(bytes);
  const data = isPacked ? gunzip(bytes, options) : bytes;
  const { dtype, shape, start } = readIdxHeader(bytesAccess(data), name);
  return { dtype, shape, data: decodeElements(dtype, data.subarray(start), false, isPacked) };
}

/**
 * What the header of an IDX file says, which is not gzipped, held against its length.
 * @throws BitnibbleError as {@link readIdx}
 */
export function readIdxHeader(source: RandomAccess, name: string): StoredArray {
  const data = headOf(source, 4 + 4 * 255, name);
  if (data.length < 4 || data[0] !== 0 || data[1] !== 0) {
    throw new BitnibbleError('not-idx', `${name}: expected IDX, which begins with two zero bytes and a type`);
  }
  const dtype = TYPES[data[2]!];
  if (!dtype) {
    throw new BitnibbleError(
      'unsupported-dtype',
      `${name}: IDX has no element type 0x${data[2]!.toString(16)}`,
    );
  }
  const rank = data[3]!;
  const start = 4 + 4 * rank;
  if (rank === 0 || data.length < start) {
    throw new BitnibbleError(
      'corrupt-file',
      `${name}: ${rank} dimensions in an IDX file of ${source.size} bytes`,
    );
  }
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis, false));
  const stored = { dtype, shape, start, littleEndian: false, fortranOrder: false };
  checkSize(stored, source.size, name);
  return stored;
}
