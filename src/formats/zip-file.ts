import { crc32 } from './crc32.js';
import { CENTRAL, endRecords, FULL, LOCAL, wideField } from './zip-records.js';

/** A member of an archive to be written: its bytes are asked for twice, and have to be the same each time. */
export interface ZipMember {
  readonly name: string;
  readonly size: number;
  readonly pieces: () => Iterable<Uint8Array>;
}

/** 1 January 1980, the first day that zip knows: the same input gives the same bytes. */
const DATE = 0x21;

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
  view.setUint32(0, isCentral ? CENTRAL : LOCAL, true);
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

const headBytes = ({ name, size }: ZipMember) =>
  30 + new TextEncoder().encode(name).length + (size >= FULL ? 20 : 0);

/**
 * A zip archive of members that are stored as they are, piece by piece, in their order. With zip64's
 * numbers where 16 or 32 bits are too few.
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
  const end = endRecords({ count: members.length, size, start });
  return {
    bytes: start + size + end.length,
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
      yield end;
    },
  };
}
