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
