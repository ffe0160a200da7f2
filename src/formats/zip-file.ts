import { crc32 } from './crc32.js';

/** A member of an archive to be written: its bytes are asked for twice, and have to be the same each time. */
export interface ZipMember {
  readonly name: string;
  readonly size: number;
  readonly pieces: () => Iterable<Uint8Array>;
}

const FULL = 0xffff_ffff;
/** 1 January 1980, the first day that zip knows: the same input gives the same bytes. */
const DATE = 0x21;

/** An extra field of zip64 for the numbers that do not fit into their own. */
function wideField(numbers: readonly number[]): Uint8Array {
  if (numbers.length === 0) return new Uint8Array();
  const out = new Uint8Array(4 + 8 * numbers.length);
  const view = new DataView(out.buffer);
  view.setUint16(0, 1, true);
  view.setUint16(2, 8 * numbers.length, true);
  for (const [i, value] of numbers.entries()) view.setBigUint64(4 + 8 * i, BigInt(value), true);
  return out;
}

function record(member: ZipMember, crc: number, headerAt: number | undefined): Uint8Array {
  const { size } = member;
  const name = new TextEncoder().encode(member.name);
  const isCentral = headerAt !== undefined;
  const sizes = size >= FULL ? [size, size] : [];
  const extra = wideField(isCentral && headerAt >= FULL ? [...sizes, headerAt] : sizes);
  const fixed = isCentral ? 46 : 30;
  const out = new Uint8Array(fixed + name.length + extra.length);
  const view = new DataView(out.buffer);
  // Central records have the version of the writer before that of readers.
  const at = isCentral ? 2 : 0;
  view.setUint32(0, isCentral ? 0x02014b50 : 0x04034b50, true);
  const version = extra.length > 0 ? 45 : 20;
  if (isCentral) view.setUint16(4, version, true);
  view.setUint16(at + 4, version, true);
  // Names are UTF-8.
  view.setUint16(at + 6, 0x800, true);
  view.setUint16(at + 12, DATE, true);
  view.setUint32(at + 14, crc, true);
  view.setUint32(at + 18, Math.min(size, FULL), true);
  view.setUint32(at + 22, Math.min(size, FULL), true);
  view.setUint16(at + 26, name.length, true);
  view.setUint16(at + 28, extra.length, true);
  if (isCentral) view.setUint32(42, Math.min(headerAt, FULL), true);
  out.set(name, fixed);
  out.set(extra, fixed + name.length);
  return out;
}

function end(count: number, size: number, start: number): Uint8Array {
  const isWide = start + size >= FULL;
  const out = new Uint8Array((isWide ? 76 : 0) + 22);
  const view = new DataView(out.buffer);
  if (isWide) {
    view.setUint32(0, 0x06064b50, true);
    view.setBigUint64(4, 44n, true);
    view.setUint16(12, 45, true);
    view.setUint16(14, 45, true);
    view.setBigUint64(24, BigInt(count), true);
    view.setBigUint64(32, BigInt(count), true);
    view.setBigUint64(40, BigInt(size), true);
    view.setBigUint64(48, BigInt(start), true);
    view.setUint32(56, 0x07064b50, true);
    view.setBigUint64(64, BigInt(start + size), true);
    view.setUint32(72, 1, true);
  }
  const at = isWide ? 76 : 0;
  view.setUint32(at, 0x06054b50, true);
  view.setUint16(at + 8, count, true);
  view.setUint16(at + 10, count, true);
  view.setUint32(at + 12, Math.min(size, FULL), true);
  view.setUint32(at + 16, Math.min(start, FULL), true);
  return out;
}

const headBytes = ({ name, size }: ZipMember) =>
  30 + new TextEncoder().encode(name).length + (size >= FULL ? 20 : 0);

/**
 * A zip archive of members that are stored as they are, piece by piece, in their order; fewer than 65,535. With zip64's
 * numbers where 32 bits are too few.
 *
 * @throws RangeError for a member that gives more or fewer bytes than it said
 */
export function zipFile(members: readonly ZipMember[]): { bytes: number; pieces(): Generator<Uint8Array> } {
  const start = members.reduce((sum, member) => sum + headBytes(member) + member.size, 0);
  let at = 0;
  const places = members.map((member) => {
    const place = at;
    at += headBytes(member) + member.size;
    return place;
  });
  const directory = members.map((member, i) => record(member, 0, places[i] as number));
  const size = directory.reduce((sum, { length }) => sum + length, 0);
  return {
    bytes: start + size + end(members.length, size, start).length,
    *pieces() {
      const crcs: number[] = [];
      for (const member of members) {
        let crc = 0;
        let length = 0;
        for (const piece of member.pieces()) {
          crc = crc32(piece, crc);
          length += piece.length;
        }
        if (length !== member.size)
          throw new RangeError(`zip member ${member.name} has ${length} bytes, expected ${member.size}`);
        crcs.push(crc);
        yield record(member, crc, undefined);
        yield* member.pieces();
      }
      for (const [i, member] of members.entries())
        yield record(member, crcs[i] as number, places[i] as number);
      yield end(members.length, size, start);
    },
  };
}
