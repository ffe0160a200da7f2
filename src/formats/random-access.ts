/** Bytes that are read where they lie: memory, or a file. */
export interface RandomAccess {
  /** Bytes in all. */
  readonly size: number;
  /** Fills `target` from byte `position` on; returns how many bytes there were. */
  read(target: Uint8Array, position: number): number;
}

/** Random access to bytes in memory. */
export function bytesAccess(bytes: Uint8Array): RandomAccess {
  return {
    size: bytes.length,
    read(target, position) {
      const part = bytes.subarray(position, position + target.length);
      target.set(part);
      return part.length;
    },
  };
}

/** `size` bytes from `start` on. */
export function partOf(source: RandomAccess, start: number, size: number): RandomAccess {
  return {
    size,
    read(target, position) {
      const count = Math.max(0, Math.min(target.length, size - position));
      return count === 0 ? 0 : source.read(target.subarray(0, count), start + position);
    },
  };
}
