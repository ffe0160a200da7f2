/** Remainders of all byte values by the reflected polynomial 0xedb88320. */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let r = byte;
  for (let bit = 0; bit < 8; bit++) {
    r = (r >>> 1) ^ (r & 1 ? 0xedb88320 : 0);
  }
  return r;
});

/**
 * CRC-32 as gzip and zip use it.
 *
 * @param crc what the bytes before these gave: `crc32(b, crc32(a))` is the checksum of a and b joined
 * @returns an unsigned 32-bit integer. Source: RFC 1952, section 8
 */
export function crc32(bytes: Uint8Array, crc = 0): number {
  let r = ~crc;
  for (let i = 0; i < bytes.length; i++) {
    r = (r >>> 8) ^ TABLE[(r ^ bytes[i]!) & 255]!;
  }
  return ~r >>> 0;
}
