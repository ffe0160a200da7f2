import { createHash } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { BitnibbleError } from '../errors.js';
import { readFile, writeFile } from './files.js';

/** Something to download: where it is, and how to know that it is the right thing. */
export interface Remote {
  readonly url: string;
  /** Name in the cache folder. */
  readonly file: string;
  readonly algorithm: 'md5' | 'sha256';
  /** Hexadecimal, lower case. */
  readonly checksum: string;
  /** Bytes at most. */
  readonly limit: number;
}

/** How to download. */
export interface DownloadOptions {
  /** Bytes so far and in all; both are the same where the server does not say. */
  readonly onProgress?: (bytes: number, total: number) => void;
  /** Gives up when aborted. */
  readonly signal?: AbortSignal;
}

/** `$BITNIBBLE_CACHE`, else `bitnibble/datasets` in `$XDG_CACHE_HOME` (an absolute path) or `~/.cache`. */
export function cacheFolder(): string {
  const { BITNIBBLE_CACHE: own, XDG_CACHE_HOME: xdg } = process.env;
  // XDG Base Directory Specification: relative paths are invalid and to be ignored
  const caches = xdg && path.isAbsolute(xdg) ? xdg : path.join(homedir(), '.cache');
  return own ? path.resolve(own) : path.join(caches, 'bitnibble', 'datasets');
}

/** Makes a folder and those above it. @throws BitnibbleError `not-writable` */
function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (cause) {
    const { message } = cause as Error;
    throw new BitnibbleError('not-writable', `${folder}: the folder cannot be made: ${message}`, { cause });
  }
}

/**
 * Path of a downloaded file. A cached one is taken when its checksum is right and replaced when it is not. The file
 * appears in the cache whole and checked, or not at all.
 *
 * @throws BitnibbleError `download` when the server cannot be reached, does not have the file, sends more than the limit
 *   or something of another checksum; `not-writable`
 */
export async function download(remote: Remote, options: DownloadOptions = {}): Promise<string> {
  const { url, file, algorithm, checksum } = remote;
  const target = path.join(cacheFolder(), file);
  if (existsSync(target) && createHash(algorithm).update(readFile(target)).digest('hex') === checksum) {
    return target;
  }
  const { pieces, digest } = await fetchAll(remote, options);
  if (digest !== checksum) {
    throw new BitnibbleError(
      'download',
      `${url}: expected a file of ${algorithm} ${checksum}, got ${digest}; nothing was kept`,
    );
  }
  makeFolder(path.dirname(target));
  await writeFile(target, pieces);
  return target;
}

async function fetchAll(
  remote: Remote,
  options: DownloadOptions,
): Promise<{ pieces: Uint8Array[]; digest: string }> {
  const { url, file, algorithm, limit } = remote;
  const { onProgress, signal } = options;
  const pieces: Uint8Array[] = [];
  const hash = createHash(algorithm);
  let done = 0;
  try {
    const response = await fetch(url, { signal });
    if (!response.ok || !response.body) {
      await response.body?.cancel();
      throw new Error(`the server answered ${response.status} ${response.statusText}`.trimEnd());
    }
    const total = Number(response.headers.get('content-length') ?? 0);
    for await (const piece of response.body) {
      done += piece.length;
      if (done > limit) {
        throw new Error(`more than the ${limit} bytes expected`);
      }
      pieces.push(piece);
      hash.update(piece);
      onProgress?.(done, Math.max(total, done));
    }
  } catch (cause) {
    // fetch hides the system's reason (no such host, connection refused) in the cause
    const inner = (cause as Error).cause;
    const reason = inner instanceof Error && inner.message ? inner.message : (cause as Error).message;
    const target = path.join(cacheFolder(), file);
    throw new BitnibbleError(
      'download',
      `${url}: cannot be downloaded: ${reason}; download it yourself and put it at ${target}`,
      { cause },
    );
  }
  return { pieces, digest: hash.digest('hex') };
}
