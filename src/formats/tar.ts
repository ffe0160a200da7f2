import { BitnibbleError } from '../errors.js';

/** A regular file of a tar archive; `bytes` is a view into the archive. */
export interface TarEntry {
  /** Path within the archive, relative, without `..`. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

const BLOCK = 512;

/**
 * The regular files of a tar archive: POSIX ustar, pax and GNU long names. Folders are passed over.
 *
 * @throws BitnibbleError `corrupt-file` for a wrong header checksum, a cut-off file, data after the end mark, two
 *   files of one path, or a path that is absolute or climbs with `..`; `unsupported-version` for links and devices.
 *   Source: POSIX.1-2017, pax interchange format; GNU tar manual, "Basic Tar Format"
 */
export function readTar(bytes: Uint8Array, name = 'tar data'): TarEntry[] {
  const files = new Map<string, TarEntry>();
  let override: { path?: string; size?: number } = {};
  let at = 0;
  const fail = (what: string): never => {
    throw new BitnibbleError('corrupt-file', `${name}: ${what} (header at byte ${at})`);
  };
  while (at + BLOCK <= bytes.length && bytes[at] !== 0) {
    const header = bytes.subarray(at, at + BLOCK);
    if (checksum(header) !== octal(header, 148, 8)) {
      fail('expected a tar header, its checksum is wrong');
    }
    const type = String.fromCharCode(header[156] || 0x30);
    const isMeta = 'xgLK'.includes(type);
    const size = (isMeta ? undefined : override.size) ?? octal(header, 124, 12);
    const start = at + BLOCK;
    if (Number.isNaN(size) || start + size > bytes.length) {
      fail(`a member of ${size} bytes does not fit the archive`);
    }
    const content = bytes.subarray(start, start + size);
    if (type === 'x') {
      override = { ...override, ...paxRecords(content, fail) };
    } else if (type === 'L') {
      override = { ...override, path: text(content, 0, content.length) };
    } else if (!isMeta) {
      const path = override.path ?? headerPath(header);
      if (type === '0' || type === '7') {
        if (!isSafePath(path)) {
          fail(`the path ${JSON.stringify(path)} leaves the folder of the archive`);
        }
        if (files.has(path)) {
          fail(`two members are called ${path}`);
        }
        files.set(path, { name: path, bytes: content });
      } else if (type !== '5') {
        throw new BitnibbleError(
          'unsupported-version',
          `${name}: ${path} is a tar member of type ${type}, expected files and folders`,
        );
      }
      override = {};
    }
    at = start + Math.ceil(size / BLOCK) * BLOCK;
  }
  if (at >= bytes.length || bytes.subarray(at).some((byte) => byte !== 0)) {
    fail('expected the zero blocks that end a tar archive');
  }
  return [...files.values()];
}

/** Sum of the header's bytes with the checksum field read as blanks. */
function checksum(header: Uint8Array): number {
  return header.reduce((sum, byte, i) => sum + (i >= 148 && i < 156 ? 32 : byte), 0);
}

/** A number field: octal digits between blanks and NULs; NaN for anything else. */
function octal(header: Uint8Array, at: number, length: number): number {
  const digits = text(header, at, length).trim();
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN;
}

function text(bytes: Uint8Array, at: number, length: number): string {
  const field = bytes.subarray(at, at + length);
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
}

function headerPath(header: Uint8Array): string {
  const prefix = text(header, 257, 6) === 'ustar' ? text(header, 345, 155) : '';
  return prefix ? `${prefix}/${text(header, 0, 100)}` : text(header, 0, 100);
}

/** `LENGTH KEY=VALUE\n` records; the length counts itself. */
function paxRecords(content: Uint8Array, fail: (what: string) => never): { path?: string; size?: number } {
  const found: { path?: string; size?: number } = {};
  for (let at = 0; at < content.length; ) {
    const length = /^\d+ /.exec(text(content, at, 12))?.[0] ?? fail('a malformed pax record');
    const stop = at + Number(length);
    const record = text(content, at + length.length, Number(length) - length.length - 1);
    const equals = record.indexOf('=');
    if (stop > content.length || stop <= at + length.length || content[stop - 1] !== 10 || equals < 1) {
      fail('a malformed pax record');
    }
    const key = record.slice(0, equals);
    const value = record.slice(equals + 1);
    if (key === 'path') {
      found.path = value;
    } else if (key === 'size') {
      found.size = /^\d{1,15}$/.test(value) ? Number(value) : fail('a malformed pax size');
    }
    at = stop;
  }
  return found;
}

function isSafePath(path: string): boolean {
  const hasControl = Array.from(path).some((char) => char < ' ');
  const isRooted = path.startsWith('/') || path.includes('\\') || /^[a-z]:/i.test(path);
  return path !== '' && !hasControl && !isRooted && !path.split('/').includes('..');
}
