import { BitnibbleError } from '../errors.js';
import type { ReadOptions } from './gzip.js';
import type { NdArray } from './ndarray.js';
import { readNpy } from './npy.js';
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
}

/**
 * Opens what `numpy.savez` or `savez_compressed` wrote. Only the directory is read here.
 *
 * @throws BitnibbleError `not-zip` and what {@link readZipDirectory} throws
 */
export function openNpz(bytes: Uint8Array, options: ReadOptions = {}): NpzFile {
  const { name = 'npz data' } = options;
  const entries = new Map(
    readZipDirectory(bytes, name)
      .filter((entry) => entry.name.endsWith('.npy'))
      .map((entry) => [entry.name.slice(0, -4), entry]),
  );
  const names = [...entries.keys()];
  return {
    names,
    read(array) {
      const entry = entries.get(array);
      if (!entry) {
        throw new BitnibbleError(
          'not-found',
          `${name}: no array ${JSON.stringify(array)}, the file holds ${names.join(', ') || 'none'}`,
        );
      }
      const data = readZipEntry(bytes, entry, { ...options, name });
      return readNpy(data, { name: `${name}: ${entry.name}` });
    },
  };
}
