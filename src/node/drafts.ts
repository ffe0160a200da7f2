// Files and folders under temporary names, until they are whole. A draft belongs to the process that made it, which its
// name tells: so what a killed process left behind is known for what it is and removed.
import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { ByteSource } from '../keras/source.js';

/** `.bitnibble-HOST-PID-START-RANDOM.tmp`, some 50 bytes long whatever the output is called. */
const NAME = /^\.bitnibble-([0-9a-f]{8})-(\d{1,10})-(\d{1,20})-[0-9a-f]{16}\.tmp$/;
/** A draft of another machine or container is taken for a leftover when it has not changed for this long. */
const DAY = 24 * 60 * 60 * 1000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Who may read and write a file, and whom it belongs to. */
export type Ownership = Pick<Stats, 'mode' | 'uid' | 'gid'>;

/** Drafts of this process that are neither in place nor discarded. */
const live = new Set<string>();
let host: string | undefined;

function textOf(read: () => string): string {
  try {
    return read().trim();
  } catch {
    return '';
  }
}

/** Within which process numbers mean the same processes: the machine since it was started, the container. */
function thisHost(): string {
  host ??= createHash('sha256')
    .update(`${hostname()}\n${textOf(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8'))}\n`)
    .update(textOf(() => readlinkSync('/proc/self/ns/pid')))
    .digest('hex')
    .slice(0, 8);
  return host;
}

/** When a process began, in ticks: tells it from a later one of its number. `0` where the system does not say. */
function startOf(pid: number): string {
  const stat = textOf(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  // Its name stands in parentheses and may hold any; state and start are fields 3 and 22 of proc(5).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' ? 'ended' : (fields[19] ?? '0');
}

function isRunning(pid: number, start: string): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  const now = startOf(pid);
  return now === '0' || start === '0' || now === start;
}

/** Whether a name is that of a draft, whosever it is. */
export const isDraftName = (name: string): boolean => NAME.test(name);

function newPath(folder: string): string {
  const random = randomBytes(8).toString('hex');
  return join(folder, `.bitnibble-${thisHost()}-${process.pid}-${startOf(process.pid)}-${random}.tmp`);
}

/** Removes drafts whose process has ended. Whatever cannot be read or removed stays. */
export function sweepDrafts(folder: string): void {
  let names: string[];
  try {
    names = readdirSync(folder).filter(isDraftName);
  } catch {
    return;
  }
  for (const name of names) {
    const [, where, pid, start] = NAME.exec(name) as unknown as [string, string, string, string];
    const path = join(folder, name);
    try {
      const isLeft =
        where === thisHost() ? !isRunning(Number(pid), start) : Date.now() - lstatSync(path).mtimeMs > DAY;
      if (isLeft) rmSync(path, { recursive: true, force: true });
    } catch {
      // Another process may have been quicker, or the folder belongs to somebody else.
    }
  }
}

function discardAll(): void {
  for (const path of live) rmSync(path, { recursive: true, force: true });
}

/** Ends as the signal says, without drafts; where the program has handlers of its own, it is for them to end it. */
function onSignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return;
  discardAll();
  for (const name of SIGNALS) process.removeListener(name, onSignal);
  process.kill(process.pid, signal);
}

function enter(path: string): void {
  if (live.size === 0) {
    process.on('exit', discardAll);
    for (const name of SIGNALS) process.on(name, onSignal);
  }
  live.add(path);
}

function leave(path: string): void {
  live.delete(path);
  if (live.size > 0) return;
  process.removeListener('exit', discardAll);
  for (const name of SIGNALS) process.removeListener(name, onSignal);
}

/** A new file under a temporary name, written and read in place. It ends with `moveTo` or `discard`. */
export class Draft implements ByteSource {
  readonly path: string;
  size = 0;
  /** The first failure to write: HDF5 does not always hand it on. */
  fault: unknown;
  readonly #fd: number;
  readonly #owned: Ownership | undefined;
  #isOpen = true;

  /**
   * @param folder where it will be needed: a file is renamed within a folder
   * @param owned as which it ends: of the file that it replaces, or a `mode` alone that the process's mask is taken off
   * @throws the system's errors
   */
  constructor(folder: string, owned: Ownership | { readonly mode: number } = { mode: 0o666 }) {
    this.path = newPath(folder);
    this.#owned = 'uid' in owned ? owned : undefined;
    // What replaces a private file is private from its first byte on.
    this.#fd = openSync(this.path, 'wx+', (owned.mode & 0o777) | 0o200);
    enter(this.path);
  }

  /** Takes the name away at once where the system allows that: the bytes go with the process, however it ends. */
  static scratch(folder: string): Draft {
    const draft = new Draft(folder, { mode: 0o600 });
    try {
      unlinkSync(draft.path);
      leave(draft.path);
    } catch {
      // Windows keeps the names of open files.
    }
    return draft;
  }

  read(target: Uint8Array, position: number): number {
    return readAt(this.#fd, target, position);
  }

  write(bytes: Uint8Array, position: number): void {
    this.#noting(() => writeAt(this.#fd, bytes, position));
    this.size = Math.max(this.size, position + bytes.length);
  }

  append(bytes: Uint8Array): void {
    this.write(bytes, this.size);
  }

  truncate(size: number): void {
    this.#noting(() => ftruncateSync(this.#fd, size));
    this.size = size;
  }

  #noting(write: () => void): void {
    try {
      write();
    } catch (error) {
      this.fault ??= error;
      throw error;
    }
  }

  /** Brings the bytes to the disk, with the owner and the permissions that they are to have, and closes the file. @throws the system's errors */
  settle(): void {
    if (!this.#isOpen) return;
    if (this.fault) throw this.fault;
    if (this.#owned) {
      const { mode, uid, gid } = this.#owned;
      const own = fstatSync(this.#fd);
      try {
        if (own.uid !== uid || own.gid !== gid) fchownSync(this.#fd, uid, gid);
      } catch {
        // Only root gives files away; as with other programs, the new file then belongs to who wrote it.
      }
      if ((own.mode & 0o777) !== (mode & 0o777)) fchmodSync(this.#fd, mode & 0o777);
    }
    fsyncSync(this.#fd);
    this.close();
  }

  /** Gives the settled file its name, in place of what is called so. */
  moveTo(target: string): void {
    this.settle();
    renameSync(this.path, target);
    leave(this.path);
  }

  close(): void {
    if (this.#isOpen) closeSync(this.#fd);
    this.#isOpen = false;
  }

  /** Removes it; nothing after `moveTo`. */
  discard(): void {
    this.close();
    if (!live.has(this.path)) return;
    rmSync(this.path, { force: true });
    leave(this.path);
  }
}

/**
 * Takes a name that nothing has, with an empty file, for a draft to be moved to.
 * @returns whether the name was free
 */
export function reserve(path: string): boolean {
  try {
    closeSync(openSync(path, 'wx', 0o600));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** A new folder under a temporary name; `keepAs` renames it, `discard` removes it and all that is in it. */
export function draftFolder(parent: string): {
  readonly path: string;
  keepAs: (path: string) => void;
  discard: () => void;
} {
  const path = newPath(parent);
  mkdirSync(path);
  enter(path);
  return {
    path,
    keepAs(target) {
      renameSync(path, target);
      leave(path);
    },
    discard() {
      if (!live.has(path)) return;
      rmSync(path, { recursive: true, force: true });
      leave(path);
    },
  };
}

/** Brings a folder's names to the disk, where the system does that for folders. */
export function syncFolder(folder: string): void {
  let fd: number;
  try {
    fd = openSync(folder, 'r');
  } catch {
    return;
  }
  try {
    fsyncSync(fd);
  } catch {
    // Windows and some network file systems have no such thing.
  } finally {
    closeSync(fd);
  }
}

/** Reads until the memory is full or the file ends. @returns bytes read */
export function readAt(fd: number, target: Uint8Array, position: number): number {
  let done = 0;
  while (done < target.length) {
    const got = readSync(fd, target, done, target.length - done, position + done);
    if (got === 0) break;
    done += got;
  }
  return done;
}

export function writeAt(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(fd, bytes, done, bytes.length - done, position + done);
  }
}
