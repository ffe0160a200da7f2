import { deflateSync } from 'fflate';
import { BitnibbleError } from '../errors.js';
import { crc32 } from './crc32.js';
import { bytesAccess, type RandomAccess } from './random-access.js';
import { readZipDirectory, type ZipEntry, ZipReader } from './zip.js';
import { CENTRAL, endRecords, FULL, LOCAL, wideField, ZIP64 } from './zip-records.js';

const CHUNK = 2 ** 20;

/** What changes of a member. */
interface Stored {
  readonly size: number;
  readonly compressedSize: number;
  readonly crc: number;
  readonly headerAt: number;
}

/**
 * A zip archive with other content in one member, piece by piece: every other member, and what lies between them, byte
 * for byte, names and compression methods all as they were.
 *
 * @throws BitnibbleError `not-found` where there is no such member; as `readZipDirectory`
 */
export function* replaceMember(
  from: RandomAccess,
  memberName: string,
  content: RandomAccess,
  name = 'zip data',
): Generator<Uint8Array> {
  const entries = readZipDirectory(from, name);
  const old = entries.find((entry) => entry.name === memberName);
  if (!old) throw new BitnibbleError('not-found', `${name}: no member ${memberName} in the archive`);
  const zip = new ZipReader(from, name);
  const { start: directoryAt, end: directoryEnd, endRecord } = zip.directory();
  const packed = old.method === 8 ? bytesAccess(deflateSync(whole(content))) : content;
  const changed = {
    size: content.size,
    compressedSize: packed.size,
    crc: crcOf(content),
    headerAt: old.headerAt,
  };
  const header = localHeader(zip, old, changed);
  // The member's end: data, and a data descriptor with or without its signature, are left out up to the next header.
  const next = entries.map((entry) => entry.headerAt).filter((at) => at > old.headerAt);
  const oldEnd = Math.min(directoryAt, ...next);
  const shift = header.length + packed.size - (oldEnd - old.headerAt);

  yield* pieces(from, 0, old.headerAt);
  yield header;
  yield* pieces(packed, 0, packed.size);
  yield* pieces(from, oldEnd, directoryAt);

  const records = [...entries]
    .sort((a, b) => a.recordAt - b.recordAt)
    .map((entry) =>
      entry === old
        ? centralRecord(zip, entry, changed, true)
        : centralRecord(zip, entry, moved(entry, entry.headerAt > old.headerAt ? shift : 0), false),
    );
  yield* records;
  const size = records.reduce((sum, { length }) => sum + length, 0);
  yield endRecords(
    { count: entries.length, size, start: directoryAt + shift },
    zip.slice(endRecord, zip.size - endRecord),
    directoryEnd !== endRecord,
  );
}

function moved(entry: ZipEntry, shift: number): Stored {
  const { size, compressedSize, crc, headerAt } = entry;
  return { size, compressedSize, crc, headerAt: headerAt + shift };
}

function whole(from: RandomAccess): Uint8Array {
  const bytes = new Uint8Array(from.size);
  from.read(bytes, 0);
  return bytes;
}

function* pieces(from: RandomAccess, start: number, end: number): Generator<Uint8Array> {
  for (let at = start; at < end; at += CHUNK) {
    const piece = new Uint8Array(Math.min(CHUNK, end - at));
    from.read(piece, at);
    yield piece;
  }
}

function crcOf(content: RandomAccess): number {
  let crc = 0;
  for (const piece of pieces(content, 0, content.size)) crc = crc32(piece, crc);
  return crc;
}

/** An extra field without its zip64 part, and a new one before it for the numbers given. */
function extraField(old: Uint8Array, wide: readonly number[]): Uint8Array {
  const kept: number[] = [];
  const view = new DataView(old.buffer, old.byteOffset, old.length);
  let at = 0;
  while (at + 4 <= old.length) {
    const end = Math.min(old.length, at + 4 + view.getUint16(at + 2, true));
    if (view.getUint16(at, true) !== ZIP64) kept.push(...old.subarray(at, end));
    at = end;
  }
  kept.push(...old.subarray(at));
  return Uint8Array.from([...wideField(wide), ...kept]);
}

/** The local header of a member, sizes in the header itself and not behind the data. */
function localHeader(zip: ZipReader, entry: ZipEntry, { size, compressedSize, crc }: Stored): Uint8Array {
  const at = entry.headerAt;
  const nameLength = zip.u16(at + 26);
  const isWide = size >= FULL || compressedSize >= FULL;
  const extra = extraField(
    zip.slice(at + 30 + nameLength, zip.u16(at + 28)).slice(),
    isWide ? [size, compressedSize] : [],
  );
  const out = new Uint8Array(30 + nameLength + extra.length);
  out.set(zip.slice(at, 30 + nameLength));
  out.set(extra, 30 + nameLength);
  const view = new DataView(out.buffer);
  view.setUint32(0, LOCAL, true);
  view.setUint16(4, Math.max(view.getUint16(4, true), isWide ? 45 : 0), true);
  view.setUint16(6, view.getUint16(6, true) & ~8, true);
  view.setUint32(14, crc, true);
  view.setUint32(18, isWide ? FULL : compressedSize, true);
  view.setUint32(22, isWide ? FULL : size, true);
  view.setUint16(28, extra.length, true);
  return out;
}

function centralRecord(
  zip: ZipReader,
  entry: ZipEntry,
  { size, compressedSize, crc, headerAt }: Stored,
  isReplaced: boolean,
): Uint8Array {
  const at = entry.recordAt;
  const nameLength = zip.u16(at + 28);
  const extraLength = zip.u16(at + 30);
  const commentLength = zip.u16(at + 32);
  const wide = [size, compressedSize, headerAt].filter((value) => value >= FULL);
  const extra = extraField(zip.slice(at + 46 + nameLength, extraLength).slice(), wide);
  const out = new Uint8Array(46 + nameLength + extra.length + commentLength);
  out.set(zip.slice(at, 46 + nameLength));
  out.set(extra, 46 + nameLength);
  out.set(zip.slice(at + 46 + nameLength + extraLength, commentLength), 46 + nameLength + extra.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, CENTRAL, true);
  view.setUint16(6, Math.max(view.getUint16(6, true), wide.length > 0 ? 45 : 0), true);
  if (isReplaced) view.setUint16(8, view.getUint16(8, true) & ~8, true);
  view.setUint32(16, crc, true);
  view.setUint32(20, Math.min(compressedSize, FULL), true);
  view.setUint32(24, Math.min(size, FULL), true);
  view.setUint16(30, extra.length, true);
  view.setUint32(42, Math.min(headerAt, FULL), true);
  return out;
}
