import { bytesAccess, partOf, type RandomAccess } from '../formats/random-access.js';

/**
 * Random access to the bytes of a file, wherever they are: memory, a file on disk, a member of an archive.
 * Synchronous, because HDF5 reads inside calls of its own.
 */
export interface ByteSource extends RandomAccess {
  /** Absent where the source is read only. */
  write?(bytes: Uint8Array, position: number): void;
  /** Absent where the source is read only. */
  truncate?(size: number): void;
  /** Releases what the source holds. */
  close?(): void;
}

/** A source over bytes in memory, read only. */
export const bytesSource: (bytes: Uint8Array) => ByteSource = bytesAccess;

/** A writable copy of bytes in memory. */
export class GrowingBytes implements ByteSource {
  #buffer: Uint8Array;
  size: number;

  constructor(initial: Uint8Array) {
    this.#buffer = initial.slice();
    this.size = initial.length;
  }

  read(target: Uint8Array, position: number): number {
    const part = this.#buffer.subarray(position, Math.min(this.size, position + target.length));
    target.set(part);
    return part.length;
  }

  write(bytes: Uint8Array, position: number): void {
    this.#reserve(position + bytes.length);
    this.#buffer.set(bytes, position);
    this.size = Math.max(this.size, position + bytes.length);
  }

  truncate(size: number): void {
    this.#reserve(size);
    this.#buffer.fill(0, Math.min(size, this.size), Math.max(size, this.size));
    this.size = size;
  }

  /** The bytes as they are now: a view, good until the next write. */
  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.size);
  }

  #reserve(size: number): void {
    if (size <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.max(size, this.#buffer.length * 2));
    grown.set(this.#buffer);
    this.#buffer = grown;
  }
}

/** `size` bytes of a source from `start` on, read only; closing it leaves the source open. */
export const partOfSource: (source: ByteSource, start: number, size: number) => ByteSource = partOf;
