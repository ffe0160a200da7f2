import { BitnibbleError } from '../errors.js';
import { type DType, itemSize, statedSize } from './ndarray.js';
import type { RandomAccess } from './random-access.js';

/** An array that lies in a file: what its header says, and where its elements are, in C order. */
export interface StoredArray {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly littleEndian: boolean;
  /** Where the first element begins. */
  readonly start: number;
  /** Not C order: it has to be read as a whole. */
  readonly fortranOrder: boolean;
}

/** The first bytes of a file, enough for any header. */
export function headOf(source: RandomAccess, most: number, name: string): Uint8Array {
  return bytesAt(source, 0, Math.min(most, source.size), name);
}

/** @throws BitnibbleError `corrupt-file` where the file ends before */
export function bytesAt(source: RandomAccess, start: number, length: number, name: string): Uint8Array {
  const bytes = new Uint8Array(length);
  if (source.read(bytes, start) === length) return bytes;
  throw new BitnibbleError('corrupt-file', `${name}: cut off: no bytes ${start} to ${start + length - 1}`);
}

/**
 * Holds what a header says against the length of the file.
 * @throws BitnibbleError `corrupt-file`
 */
export function checkSize({ dtype, shape, start }: StoredArray, size: number, name: string, what = ''): void {
  const wanted = start + statedSize(shape, itemSize(dtype), name) * itemSize(dtype);
  if (size === wanted) return;
  throw new BitnibbleError(
    'corrupt-file',
    `${name}: ${dtype} of shape [${shape.slice(0, 64)}] takes ${wanted} bytes${what}, the file has ${size}`,
  );
}
