import { Inflate } from 'fflate';
import { BitnibbleError } from '../errors.js';
import { crc32 } from './crc32.js';
import { type ReadOptions, SMALL_BYTES, STEP, UNPACK_LIMIT, USUAL_GROWTH } from './gzip.js';
import type { RandomAccess } from './random-access.js';
import { CENTRAL, END, END64, FULL, LOCAL, LOCATOR64, ZIP64 } from './zip-records.js';

/** One file of a zip archive, as the central directory states it and the local header confirms. */
export interface ZipEntry {
  readonly name: string;
  readonly size: number;
  readonly compressedSize: number;
  readonly crc: number;
  /** 0 stored, 8 deflated. */
  readonly method: number;
  /** Where its local header begins. */
  readonly headerAt: number;
  /** Where its compressed bytes begin. */
  readonly start: number;
  /** Where its record in the central directory begins. */
  readonly recordAt: number;
}

/** Bytes read ahead at each place of the archive. */
const WINDOW = 16384;

/** No deflate stream grows by more: 258 bytes from two bits. */
const DEFLATE_GROWTH = 1032;
/** Models have a few members, and one for each asset of a layer. */
const MAX_MEMBERS = 50_000;

/**
 * A name that leads out of the folder where somebody unpacks the archive: from the root of a disk (`/x`, `\x`, `C:x`),
 * or up (`../x`, `a\..\..\x`).
 */
const OUTSIDE = /^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)|\0/;

/** Little-endian fields of an archive that is too large to hold: two windows, for the directory and the members. */
export class ZipReader {
  readonly size: number;
  #windows: { readonly at: number; readonly bytes: Uint8Array }[] = [];

  constructor(
    private readonly from: Uint8Array | RandomAccess,
    private readonly name: string,
  ) {
    this.size = from instanceof Uint8Array ? from.length : from.size;
  }

  fail(what: string): never {
    throw new BitnibbleError('corrupt-file', `${this.name}: ${what}`);
  }

  /** `count` bytes from `at` on; a view of the archive where that lies in memory. */
  slice(at: number, count: number): Uint8Array {
    if (at < 0 || at + count > this.size) this.fail('the zip archive is cut off');
    if (this.from instanceof Uint8Array) return this.from.subarray(at, at + count);
    let window = this.#windows.find((w) => at >= w.at && at + count <= w.at + w.bytes.length);
    if (!window) {
      const bytes = new Uint8Array(Math.min(Math.max(count, WINDOW), this.size - at));
      if (this.from.read(bytes, at) !== bytes.length) this.fail('the zip archive is cut off');
      window = { at, bytes };
      this.#windows = [window, ...this.#windows.slice(0, 1)];
    }
    return window.bytes.subarray(at - window.at, at - window.at + count);
  }

  private view(at: number, count: number): DataView {
    const { buffer, byteOffset } = this.slice(at, count);
    return new DataView(buffer, byteOffset, count);
  }

  u16 = (at: number) => this.view(at, 2).getUint16(0, true);
  u32 = (at: number) => this.view(at, 4).getUint32(0, true);

  u64(at: number): number {
    const value = Number(this.view(at, 8).getBigUint64(0, true));
    return Number.isSafeInteger(value) ? value : this.fail(`a size of ${value} bytes in the zip archive`);
  }

  /** Count and place of the central directory. */
  directory(): { count: number; start: number; end: number; endRecord: number } {
    const end = this.findEnd();
    let count = this.u16(end + 10);
    let size = this.u32(end + 12);
    let start = this.u32(end + 16);
    let stop = end;
    let isSplit = this.u16(end + 4) !== 0 || this.u16(end + 6) !== 0 || this.u16(end + 8) !== count;
    if (end >= 20 && this.u32(end - 20) === LOCATOR64) {
      stop = this.u64(end - 12);
      if (this.u32(stop) !== END64 || stop + 56 > end - 20) {
        this.fail('the zip64 directory is not where its locator says');
      }
      isSplit = this.u32(stop + 16) !== 0 || this.u32(stop + 20) !== 0;
      count = this.u64(stop + 32);
      size = this.u64(stop + 40);
      start = this.u64(stop + 48);
    }
    if (isSplit) {
      throw new BitnibbleError('unsupported-version', `${this.name}: a zip archive split over several files`);
    }
    if (start + size !== stop) {
      this.fail(`the zip directory ends at byte ${start + size}, expected ${stop}`);
    }
    return { count, start, end: stop, endRecord: end };
  }

  /** The end record, whose comment reaches exactly to the last byte. */
  private findEnd(): number {
    const last = this.size - 22;
    const tail = Math.max(0, last - 0xffff);
    this.slice(tail, this.size - tail);
    for (let at = last; at >= tail; at--) {
      if (this.u32(at) === END && at + 22 + this.u16(at + 20) === this.size) {
        return at;
      }
    }
    throw new BitnibbleError(
      'not-zip',
      `${this.name}: expected a zip archive, found no end record at its end`,
    );
  }

  /** One central record; `next` is where the following one begins. */
  entry(at: number): { entry: ZipEntry; next: number } {
    if (this.u32(at) !== CENTRAL) {
      this.fail(`no zip directory record at byte ${at}`);
    }
    const flags = this.u16(at + 8);
    const method = this.u16(at + 10);
    const nameBytes = this.slice(at + 46, this.u16(at + 28));
    const extraAt = at + 46 + nameBytes.length;
    const extraEnd = extraAt + this.slice(extraAt, this.u16(at + 30)).length;
    const next = extraEnd + this.u16(at + 32);
    const name = decodeName(nameBytes, (flags & 0x800) !== 0) ?? this.fail(`a member name that is not UTF-8`);
    if (OUTSIDE.test(name))
      this.fail(`member ${JSON.stringify(name)} has a name that leads out of the archive`);
    if (flags & 1) {
      throw new BitnibbleError('unsupported-filter', `${this.name}: member ${name} is encrypted`);
    }
    if (method !== 0 && method !== 8) {
      throw new BitnibbleError(
        'unsupported-filter',
        `${this.name}: member ${name} uses zip compression ${method}, expected 0 (stored) or 8 (deflate)`,
      );
    }
    const stated = [this.u32(at + 24), this.u32(at + 20), this.u32(at + 42)];
    const [size, compressedSize, header] = stated.includes(FULL)
      ? this.zip64(stated, extraAt, extraEnd, name)
      : stated;
    const start = this.localData(header!, nameBytes, method, name);
    const entry = {
      name,
      size: size!,
      compressedSize: compressedSize!,
      crc: this.u32(at + 16),
      method,
      headerAt: header!,
      start,
      recordAt: at,
    };
    const most = method === 0 ? entry.compressedSize : entry.compressedSize * DEFLATE_GROWTH;
    if (entry.size > most || (method === 0 && entry.size !== most)) {
      this.fail(`member ${name} claims ${entry.size} bytes from ${entry.compressedSize}, which cannot be`);
    }
    return { entry, next };
  }

  /** Replaces the fields that are full by those of the zip64 extra field, in its order. */
  private zip64(stated: number[], from: number, to: number, name: string): number[] {
    for (let at = from; at + 4 <= to; at += 4 + this.u16(at + 2)) {
      if (this.u16(at) === ZIP64) {
        const stop = at + 4 + this.u16(at + 2);
        let field = at + 4;
        return stated.map((value) => {
          if (value !== FULL) {
            return value;
          }
          field += 8;
          return field <= Math.min(stop, to)
            ? this.u64(field - 8)
            : this.fail(`member ${name} lacks a zip64 size`);
        });
      }
    }
    return stated;
  }

  private localData(at: number, nameBytes: Uint8Array, method: number, name: string): number {
    if (this.u32(at) !== LOCAL || this.u16(at + 8) !== method || this.u16(at + 26) !== nameBytes.length) {
      this.fail(`the local header of member ${name} contradicts the zip directory`);
    }
    const local = this.slice(at + 30, nameBytes.length);
    if (local.some((byte, i) => byte !== nameBytes[i])) {
      this.fail(`the local header of member ${name} has another name`);
    }
    return at + 30 + nameBytes.length + this.u16(at + 28);
  }
}

function decodeName(bytes: Uint8Array, isUtf8: boolean): string | undefined {
  if (!isUtf8) {
    return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/**
 * The members of a zip archive, zip64 included, without unpacking any.
 *
 * @throws BitnibbleError `not-zip`; `corrupt-file` for duplicate names, overlapping members, headers that contradict
 *   each other or lead out of the archive, impossible sizes, bytes after the archive; `unsupported-filter` for encryption and methods other than
 *   stored and deflate. Source: PKWARE APPNOTE 6.3.10
 */
export function readZipDirectory(from: Uint8Array | RandomAccess, name = 'zip data'): ZipEntry[] {
  const zip = new ZipReader(from, name);
  const { count, start, end } = zip.directory();
  if (count > MAX_MEMBERS) zip.fail(`a zip archive of ${count} members, expected at most ${MAX_MEMBERS}`);
  const entries = new Map<string, ZipEntry>();
  const spans: { from: number; to: number; name: string }[] = [];
  let at = start;
  for (let i = 0; i < count; i++) {
    if (at >= end) {
      zip.fail(`${count} members stated, the zip directory holds ${i}`);
    }
    const { entry, next } = zip.entry(at);
    if (entries.has(entry.name)) {
      zip.fail(`two members are called ${entry.name}`);
    }
    entries.set(entry.name, entry);
    spans.push({ from: entry.headerAt, to: entry.start + entry.compressedSize, name: entry.name });
    at = next;
  }
  if (at !== end) {
    zip.fail('the zip directory is longer or shorter than its records');
  }
  spans.sort((a, b) => a.from - b.from);
  for (const [i, span] of spans.entries()) {
    if (span.to > (spans[i + 1]?.from ?? start)) {
      zip.fail(`member ${span.name} overlaps what follows it`);
    }
  }
  return [...entries.values()];
}

/**
 * Unpacks one member and checks its length and CRC-32. The stated size is held against the limit before any byte is
 * unpacked, so is its growth (a hundredfold at most above 64 MiB), and a member that turns out longer is given up
 * within one step.
 *
 * @returns the bytes; those of a stored member are a view into the archive
 * @throws BitnibbleError `too-large`, `corrupt-file`
 */
export function readZipEntry(
  from: Uint8Array | RandomAccess,
  entry: ZipEntry,
  options: ReadOptions = {},
): Uint8Array {
  const { name = 'zip data', limit = UNPACK_LIMIT } = options;
  if (entry.size > limit) {
    throw new BitnibbleError(
      'too-large',
      `${name}: member ${entry.name} unpacks to ${entry.size} bytes, the limit is ${limit}${entry.method === 0 ? '' : ': store it without compression'}`,
    );
  }
  if (entry.size > SMALL_BYTES && entry.size > entry.compressedSize * USUAL_GROWTH) {
    throw new BitnibbleError(
      'too-large',
      `${name}: member ${entry.name} unpacks from ${entry.compressedSize} to ${entry.size} bytes, expected at most ${USUAL_GROWTH} times as many`,
    );
  }
  const zip = new ZipReader(from, name);
  const data = entry.method === 0 ? zip.slice(entry.start, entry.compressedSize) : inflate(zip, entry, name);
  if (data.length !== entry.size || crc32(data) !== entry.crc) {
    throw new BitnibbleError(
      'corrupt-file',
      `${name}: member ${entry.name} is damaged: its length or checksum differ from the zip directory's`,
    );
  }
  return data;
}

function inflate(
  zip: ZipReader,
  { start, size, compressedSize, name: member }: ZipEntry,
  name: string,
): Uint8Array {
  const out = new Uint8Array(size);
  let done = 0;
  const stream = new Inflate((chunk) => {
    if (done + chunk.length > out.length) throw new Error('longer than stated');
    out.set(chunk, done);
    done += chunk.length;
  });
  try {
    for (let at = 0; at < compressedSize; at += STEP) {
      const length = Math.min(STEP, compressedSize - at);
      stream.push(zip.slice(start + at, length), at + length >= compressedSize);
    }
    if (compressedSize === 0 || done < out.length) throw new Error('shorter than stated');
    return out;
  } catch (cause) {
    if (cause instanceof BitnibbleError) throw cause;
    throw new BitnibbleError('corrupt-file', `${name}: member ${member} is damaged (${String(cause)})`, {
      cause,
    });
  }
}
