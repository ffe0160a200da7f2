import { type ByteSource, partOfSource } from './source.js';

const SIGNATURE = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a];

/** Where the superblock is: at 0, or behind a user block of 512, 1024, 2048, ... bytes; undefined where there is none. */
export function superblockAt(source: ByteSource): number | undefined {
  const head = new Uint8Array(8);
  for (let at = 0; at + 8 <= source.size; at = at === 0 ? 512 : at * 2) {
    source.read(head, at);
    if (SIGNATURE.every((byte, i) => head[i] === byte)) return at;
  }
  return undefined;
}

/** Whether the bytes hold an HDF5 superblock. */
export function isHdf5(source: ByteSource): boolean {
  return superblockAt(source) !== undefined;
}

/**
 * An HDF5 file from its superblock on. Addresses in it are relative to the superblock; the one that says where that is
 * is put right by the library when it opens the copy for writing (`H5F__super_read` of HDF5 1.14).
 */
export function withoutUserBlock(source: ByteSource): ByteSource {
  const start = superblockAt(source) ?? 0;
  return start === 0 ? source : partOfSource(source, start, source.size - start);
}
