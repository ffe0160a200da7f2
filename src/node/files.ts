import {
  closeSync,
  constants,
  copyFileSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { BitnibbleError, type ErrorCode } from '../errors.js';
import type { ByteSource } from '../keras/source.js';

/** What the system's error codes mean to a user. */
function translated(error: unknown, path: string, doing: 'read' | 'written'): BitnibbleError {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  const reasons: Record<string, string> = {
    ENOENT: doing === 'read' ? 'there is no such file' : `the folder ${dirname(path)} does not exist`,
    EACCES: 'permission denied',
    EPERM: 'permission denied',
    EROFS: 'the file system is read-only',
    EISDIR: 'it is a folder',
    ENOTDIR: 'a part of the path is not a folder',
    ENOSPC: 'no space is left on the device',
  };
  const kind: ErrorCode = doing === 'read' ? 'not-found' : 'not-writable';
  const reason = reasons[code] ?? (error as Error).message;
  return new BitnibbleError(kind, `${path}: cannot be ${doing}: ${reason}`, { cause: error });
}

/** A file on disk, read and written in place. Close it when done. */
export function fileSource(path: string, options: { writable?: boolean } = {}): ByteSource {
  let fd: number;
  try {
    if (statSync(path).isDirectory()) throw Object.assign(new Error('it is a folder'), { code: 'EISDIR' });
    fd = openSync(path, options.writable ? 'r+' : 'r');
  } catch (error) {
    throw translated(error, path, options.writable ? 'written' : 'read');
  }
  const source = {
    size: fstatSync(fd).size,
    read(target: Uint8Array, position: number): number {
      let done = 0;
      while (done < target.length) {
        const got = readSync(fd, target, done, target.length - done, position + done);
        if (got === 0) break;
        done += got;
      }
      return done;
    },
    close: () => closeSync(fd),
  };
  if (!options.writable) return source;
  return Object.assign(source, {
    write(bytes: Uint8Array, position: number): void {
      writeAll(fd, bytes, position);
      source.size = Math.max(source.size, position + bytes.length);
    },
    truncate(size: number): void {
      ftruncateSync(fd, size);
      source.size = size;
    },
  });
}

function writeAll(fd: number, bytes: Uint8Array, position?: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(fd, bytes, done, bytes.length - done, position === undefined ? null : position + done);
  }
}

/** A whole file. @throws BitnibbleError `not-found` */
export function readFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw translated(error, path, 'read');
  }
}

/** Whether two paths lead to one file. */
function isSameFile(a: string, b: string): boolean {
  try {
    return realpathSync(a) === realpathSync(b);
  } catch {
    return false;
  }
}

/**
 * Refuses an output that is the input.
 * @throws BitnibbleError `same-file`
 */
export function requireOtherFile(input: string, output: string): void {
  if (isSameFile(input, output)) {
    throw new BitnibbleError('same-file', `${output}: the output is the input; choose another name`);
  }
}

/**
 * Makes a file by way of a temporary name in the same folder: it is there as a whole or not at all.
 * @throws BitnibbleError `not-writable`; whatever `make` throws
 */
async function atomically(path: string, make: (temporary: string) => void | Promise<void>): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  const remove = () => rmSync(temporary, { force: true });
  const onSignal = (signal: NodeJS.Signals) => {
    remove();
    process.kill(process.pid, signal);
  };
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    await make(temporary);
    const fd = openSync(temporary, 'r+');
    fsyncSync(fd);
    closeSync(fd);
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
      throw Object.assign(new Error('it is a folder'), { code: 'EISDIR' });
    }
    renameSync(temporary, path);
  } catch (error) {
    remove();
    if (error instanceof BitnibbleError || !(error as NodeJS.ErrnoException).code?.startsWith('E'))
      throw error;
    throw translated(error, path, 'written');
  } finally {
    process.removeListener('SIGINT', onSignal).removeListener('SIGTERM', onSignal);
  }
}

/** Writes a file from pieces, atomically. @throws BitnibbleError `not-writable` */
export function writeFile(path: string, pieces: Iterable<Uint8Array>): Promise<void> {
  return atomically(path, (temporary) => {
    const fd = openSync(temporary, 'wx');
    try {
      for (const piece of pieces) writeAll(fd, piece);
    } finally {
      closeSync(fd);
    }
  });
}

/** Makes an edited copy of a file, atomically. @throws BitnibbleError `not-writable` */
export function editCopy(from: string, to: string, edit: (copy: ByteSource) => Promise<void>): Promise<void> {
  return atomically(to, async (temporary) => {
    copyFileSync(from, temporary, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    const source = fileSource(temporary, { writable: true });
    try {
      await edit(source);
    } finally {
      source.close?.();
    }
  });
}
