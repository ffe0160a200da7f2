import { zipSync } from 'fflate';
import { BitnibbleError } from '../errors.js';
import type { ReadOptions } from './gzip.js';
import type { NdArray } from './ndarray.js';
import { type NpyInput, readNpy, writeNpy } from './npy.js';
import { bytesAccess, partOf, type RandomAccess } from './random-access.js';
import { readZipDirectory, readZipEntry } from './zip.js';

/** An opened `.npz` archive; arrays are unpacked when asked for. */
export interface NpzFile {
  /** Names of the arrays, without `.npy`, in the order of the archive. */
  readonly names: readonly string[];
  /**
   * Unpacks one array.
   *
   * @throws BitnibbleError `not-found`, `too-large` past the limit per array, and what {@link readNpy} throws
   */
  read(name: string): NdArray;
  /** Where an array lies that is stored as it is; undefined where it is compressed. Its checksum is not looked at. */
  stored(name: string): RandomAccess | undefined;
}

/**
 * Opens what `numpy.savez` or `savez_compressed` wrote. Only the directory is read here.
 *
 * @throws BitnibbleError `not-zip` and what {@link readZipDirectory} throws
 */
export function openNpz(bytes: Uint8Array | RandomAccess, options: ReadOptions = {}): NpzFile {
  const { name = 'npz data' } = options;
  const entries = new Map(
    readZipDirectory(bytes, name)
      .filter((entry) => entry.name.endsWith('.npy'))
      .map((entry) => [entry.name.slice(0, -4), entry]),
  );
  const names = [...entries.keys()];
  const entryOf = (array: string) => {
    const entry = entries.get(array);
    if (entry) return entry;
    const found = names.slice(0, 20).map((each) => each.slice(0, 100));
    throw new BitnibbleError(
      'not-found',
      `${name}: no array ${JSON.stringify(array)}, the file holds ${found.join(', ') || 'none'}`,
    );
  };
  return {
    names,
    read(array) {
      const entry = entryOf(array);
      const data = readZipEntry(bytes, entry, { ...options, name });
      const isOwn = entry.method !== 0 || !(bytes instanceof Uint8Array);
      return readNpy(data, { name: `${name}: ${entry.name}`, isOwn });
    },
    stored(array) {
      const { method, start, size } = entryOf(array);
      const source = bytes instanceof Uint8Array ? bytesAccess(bytes) : bytes;
      return method === 0 ? partOf(source, start, size) : undefined;
    },
  };
}

/** Arrays by name as `numpy.savez` writes them, not compressed. */
export function writeNpz(arrays: Readonly<Record<string, NpyInput>>): Uint8Array {
  const members = Object.entries(arrays).map(([name, array]) => [`${name}.npy`, writeNpy(array)] as const);
  return zipSync(Object.fromEntries(members), { level: 0 });
}
