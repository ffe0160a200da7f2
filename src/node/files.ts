import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readlinkSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { BitnibbleError, type ErrorCode } from '../errors.js';
import type { ByteSource } from '../keras/source.js';
import { Draft, type Ownership, readAt, sweepDrafts, syncFolder, writeAt } from './drafts.js';

/** As many as Linux follows. */
const LINKS = 40;

/** What the system's error codes mean to a user. */
export function translated(error: unknown, path: string, doing: 'read' | 'written'): unknown {
  const { code = '', message } = error as NodeJS.ErrnoException;
  if (error instanceof BitnibbleError || !/^E[A-Z0-9]+$/.test(code)) return error;
  const reasons: Record<string, string> = {
    ENOENT: doing === 'read' ? 'there is no such file' : `the folder ${dirname(path)} does not exist`,
    EACCES: 'permission denied',
    EPERM: 'permission denied',
    EROFS: 'the file system is read-only',
    EISDIR: 'it is a folder',
    ENOTDIR: 'a part of the path is not a folder',
    ENOSPC: 'no space is left on the device',
    EDQUOT: 'the quota of the user is used up',
    EFBIG: 'the file would be larger than the file system or the limit of the process allows',
    ENAMETOOLONG: 'the name is too long',
    ELOOP: 'its symbolic links lead in a circle',
    EMFILE: 'too many files are open',
    ENFILE: 'too many files are open',
    EIO: 'the device failed',
    EBUSY: 'it is in use, or a mount point',
  };
  const kind: ErrorCode = doing === 'read' ? 'not-found' : 'not-writable';
  return new BitnibbleError(kind, `${path}: cannot be ${doing}: ${reasons[code] ?? message}`, {
    cause: error,
  });
}

/** What is called so, where that is no file of bytes. */
function oddity(stats: Stats): string | undefined {
  if (stats.isFile()) return undefined;
  if (stats.isDirectory()) return 'it is a folder';
  if (stats.isFIFO()) return 'it is a pipe (FIFO)';
  if (stats.isSocket()) return 'it is a socket';
  return 'it is a device';
}

/**
 * Opens a file of bytes. Pipes, sockets and devices are refused without waiting for their other end.
 * @throws BitnibbleError `not-found`, `not-writable` where it is to be written
 */
function openRegular(path: string, flags: number, doing: 'read' | 'written'): number {
  const refuse = (stats: Stats) => {
    const odd = oddity(stats);
    if (odd === undefined) return;
    const kind: ErrorCode = doing === 'read' ? 'not-found' : 'not-writable';
    throw new BitnibbleError(
      kind,
      `${path}: cannot be ${doing}: ${odd}${stats.isDirectory() ? '' : ', expected a file'}`,
    );
  };
  try {
    // Asked before, since to open a device may do something; and after, since another may have taken the name.
    refuse(statSync(path));
    const fd = openSync(path, flags | (constants.O_NONBLOCK ?? 0));
    try {
      refuse(fstatSync(fd));
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    return fd;
  } catch (error) {
    throw translated(error, path, doing);
  }
}

/** Whether a path is that of a folder. What cannot be looked at is not, and its opening says why. */
export function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** A file on disk, read and written in place. Close it when done. */
export function fileSource(path: string, options: { writable?: boolean } = {}): ByteSource {
  const { writable = false } = options;
  const fd = openRegular(
    path,
    writable ? constants.O_RDWR : constants.O_RDONLY,
    writable ? 'written' : 'read',
  );
  let isOpen = true;
  const source = {
    size: fstatSync(fd).size,
    read(target: Uint8Array, position: number): number {
      try {
        return readAt(fd, target, position);
      } catch (error) {
        throw translated(error, path, 'read');
      }
    },
    close(): void {
      // A second call must not close what has been given the same number since.
      if (isOpen) closeSync(fd);
      isOpen = false;
    },
  };
  if (!writable) return source;
  return Object.assign(source, {
    write(bytes: Uint8Array, position: number): void {
      writeAt(fd, bytes, position);
      source.size = Math.max(source.size, position + bytes.length);
    },
    truncate(size: number): void {
      ftruncateSync(fd, size);
      source.size = size;
    },
  });
}

/** Bytes of a file that is read whole, unless stated. */
const READ_LIMIT = 2 ** 28;

/** A whole file. @throws BitnibbleError `not-found`, `too-large` before anything of it is read */
export function readFile(path: string, limit = READ_LIMIT): Uint8Array {
  const fd = openRegular(path, constants.O_RDONLY, 'read');
  try {
    const { size } = fstatSync(fd);
    if (size > limit)
      throw new BitnibbleError('too-large', `${path}: ${size} bytes, expected at most ${limit}`);
    const bytes = new Uint8Array(size);
    return bytes.subarray(0, readAt(fd, bytes, 0));
  } catch (error) {
    throw translated(error, path, 'read');
  } finally {
    closeSync(fd);
  }
}

/** Whether two paths lead to one file. */
function isSameFile(a: string, b: string): boolean {
  try {
    return realpathSync.native(a) === realpathSync.native(b);
  } catch {
    return false;
  }
}

/**
 * Refuses an output that is the input, or that cannot be made or replaced: a folder, a pipe, a socket, a device, a name
 * that is too long or in a folder that is not there or must not be written to.
 * @throws BitnibbleError `same-file`, `not-writable`
 */
export function requireOtherFile(
  input: string,
  output: string,
  { makesFolder = false }: { readonly makesFolder?: boolean } = {},
): void {
  if (isSameFile(input, output)) {
    throw new BitnibbleError('same-file', `${output}: the output is the input; choose another name`);
  }
  const { folder } = placeOf(output);
  if (makesFolder && !existsSync(folder)) return;
  try {
    accessSync(folder, constants.W_OK);
  } catch (error) {
    throw translated(error, output, 'written');
  }
}

/** Where an output goes. */
export interface Place {
  /** The file itself, behind symbolic links. */
  readonly path: string;
  readonly folder: string;
  /** Of the file that is there already. */
  readonly replaced: Ownership | undefined;
}

/**
 * Follows symbolic links, so that the link stays and its target is replaced, which need not exist yet.
 * @throws BitnibbleError `not-writable` where something other than a file is called so
 */
export function placeOf(output: string): Place {
  try {
    let path = output;
    for (let links = 0; ; links++) {
      const stats = lstatSync(path, { throwIfNoEntry: false });
      if (stats?.isSymbolicLink()) {
        if (links === LINKS) throw Object.assign(new Error('too many links'), { code: 'ELOOP' });
        path = resolve(dirname(path), readlinkSync(path));
        continue;
      }
      const odd = stats && oddity(stats);
      if (odd !== undefined) {
        throw new BitnibbleError('not-writable', `${output}: cannot be written: ${odd}`);
      }
      return { path, folder: dirname(path), replaced: stats };
    }
  } catch (error) {
    throw translated(error, output, 'written');
  }
}

/** How a new file is made. */
export interface MakeOptions {
  /** A file whose contents go into it: who may not read that may not read this. */
  readonly copyOf?: string;
}

/** As which a new file ends: as the one that it replaces, else as the process's mask and its original say. */
export function ownershipAt(
  { replaced }: Place,
  { copyOf }: MakeOptions,
): Ownership | { readonly mode: number } {
  if (replaced) return replaced;
  const original = copyOf === undefined ? undefined : statSync(copyOf, { throwIfNoEntry: false });
  return { mode: original ? 0o666 & (original.mode | 0o200) : 0o666 };
}

/**
 * Makes a file: there as a whole or not at all, and the old one till then. Of several at one time the last one stays.
 * Permissions of a file that is replaced are kept, symbolic links are followed.
 * @throws BitnibbleError `not-writable`; whatever `make` throws
 */
export async function makeFile(
  output: string,
  make: (draft: Draft) => void | Promise<void>,
  options: MakeOptions = {},
): Promise<void> {
  const place = placeOf(output);
  sweepDrafts(place.folder);
  let draft: Draft | undefined;
  try {
    draft = new Draft(place.folder, ownershipAt(place, options));
    await make(draft);
    draft.settle();
    placeOf(output);
    draft.moveTo(place.path);
    syncFolder(place.folder);
  } catch (error) {
    throw translated(draft?.fault ?? error, output, 'written');
  } finally {
    draft?.discard();
  }
}

/** Writes a file from pieces, as {@link makeFile} does. @throws BitnibbleError `not-writable` */
export function writeFile(
  path: string,
  pieces: Iterable<Uint8Array>,
  options: MakeOptions = {},
): Promise<void> {
  return makeFile(
    path,
    (draft) => {
      for (const piece of pieces) draft.append(piece);
    },
    options,
  );
}
