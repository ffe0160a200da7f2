// What both readers and writers of zip archives know of their records: PKWARE's APPNOTE 6.3.10, sections 4.3 and 4.5.3.
export const LOCAL = 0x04034b50;
export const CENTRAL = 0x02014b50;
export const END = 0x06054b50;
export const END64 = 0x06064b50;
export const LOCATOR64 = 0x07064b50;
/** Stands for a number of 32 bits that zip64 has elsewhere. */
export const FULL = 0xffff_ffff;
/** The extra field of zip64. */
export const ZIP64 = 1;
/** The same for a number of 16 bits. */
const FULL_COUNT = 0xffff;

/** The extra field of zip64 for numbers that do not fit into their own; nothing where there are none. */
export function wideField(numbers: readonly number[]): Uint8Array {
  if (numbers.length === 0) return new Uint8Array();
  const out = new Uint8Array(4 + 8 * numbers.length);
  const view = new DataView(out.buffer);
  view.setUint16(0, ZIP64, true);
  view.setUint16(2, 8 * numbers.length, true);
  for (const [i, value] of numbers.entries()) view.setBigUint64(4 + 8 * i, BigInt(value), true);
  return out;
}

/** Members of an archive, and where its directory is. */
export interface Directory {
  readonly count: number;
  readonly size: number;
  readonly start: number;
}

/**
 * The end of an archive; with zip64's records where the numbers need them.
 *
 * @param last an end record, perhaps with a comment, of which all but these numbers is kept; an empty one unless given
 * @param hasZip64 whether there are such records in any case
 */
export function endRecords(
  { count, size, start }: Directory,
  last: Uint8Array = new Uint8Array(22),
  hasZip64 = false,
): Uint8Array {
  const isWide = hasZip64 || count >= FULL_COUNT || size >= FULL || start >= FULL;
  const end = isWide ? 76 : 0;
  const out = new Uint8Array(end + last.length);
  const view = new DataView(out.buffer);
  if (isWide) {
    view.setUint32(0, END64, true);
    view.setBigUint64(4, 44n, true);
    view.setUint16(12, 45, true);
    view.setUint16(14, 45, true);
    view.setBigUint64(24, BigInt(count), true);
    view.setBigUint64(32, BigInt(count), true);
    view.setBigUint64(40, BigInt(size), true);
    view.setBigUint64(48, BigInt(start), true);
    view.setUint32(56, LOCATOR64, true);
    view.setBigUint64(64, BigInt(start + size), true);
    view.setUint32(72, 1, true);
  }
  out.set(last, end);
  view.setUint32(end, END, true);
  view.setUint16(end + 8, Math.min(count, FULL_COUNT), true);
  view.setUint16(end + 10, Math.min(count, FULL_COUNT), true);
  view.setUint32(end + 12, Math.min(size, FULL), true);
  view.setUint32(end + 16, Math.min(start, FULL), true);
  return out;
}
