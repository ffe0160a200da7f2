import { BitnibbleError } from '../errors.js';

/** A regular file in a tar archive; `bytes` is a view of the archive. */
export interface TarEntry {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const BLOCK = 512;

/**
 * Regular files of a tar archive, in order. Links, folders and extensions are passed over; names are only names.
 * @throws BitnibbleError `corrupt-file`. Source: POSIX.1-2017, pax, section ustar Interchange Format
 */
export function readTar(archive: Uint8Array, what: string): TarEntry[] {
  const text = (from: number, length: number) =>
    new TextDecoder().decode(archive.subarray(from, from + length)).replace(/\0.*$/s, '');
  const entries: TarEntry[] = [];
  for (let at = 0; at + BLOCK <= archive.length && archive[at] !== 0; ) {
    const name = text(at, 100);
    const octal = text(at + 124, 12).trim();
    const size = Number.parseInt(octal, 8);
    const end = at + BLOCK + size;
    if (!/^[0-7]+$/.test(octal) || end > archive.length) {
      throw new BitnibbleError('corrupt-file', `${what}: damaged tar archive at byte ${at}`);
    }
    const type = text(at + 156, 1);
    if (type === '' || type === '0') entries.push({ name, bytes: archive.subarray(at + BLOCK, end) });
    at = Math.ceil(end / BLOCK) * BLOCK;
  }
  return entries;
}
