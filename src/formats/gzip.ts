import { Gunzip } from 'fflate';
import { BitnibbleError } from '../errors.js';
import { crc32 } from './crc32.js';

/** What the readers of untrusted bytes take. */
export interface ReadOptions {
  /** What error messages call the bytes: a path, or a member of an archive. */
  readonly name?: string;
  /** Most bytes that one file or archive member may unpack to; 256 MiB unless stated. */
  readonly limit?: number;
}

/**
 * 256 MiB: with what becomes of it, a process stays below 512 MB. CIFAR-10 has 176 MiB. Data that is larger is stored as it
 * is, and read where it lies.
 */
export const UNPACK_LIMIT = 2 ** 28;

/** Data does not shrink to a hundredth; above so many bytes, what claims to is a bomb. */
export const USUAL_GROWTH = 100;
export const SMALL_BYTES = 2 ** 26;

/** Compressed bytes per step. Deflate grows by at most 1032, so no step writes more than 33 MiB past the limit. */
export const STEP = 32768;

/**
 * Header of a further member, pushed after the input. The decoder reports a member where the trailer of the one before
 * ends, so this one shows where the last deflate stream really ended: it has to be the end of the input.
 */
const SENTINEL = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff);

/** Whether bytes begin as gzip does. */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes.length >= 3 && bytes[0] === 0x1f && bytes[1] === 0x8b && bytes[2] === 8;
}

/**
 * Unpacks gzip, all members of it, and checks length and CRC-32 of each. Bytes after the last member are refused.
 *
 * @throws BitnibbleError `too-large` past the limit and for growth to more than a hundredfold above 64 MiB, `corrupt-file` for anything that is not whole gzip.
 *   Source: RFC 1952
 */
export function gunzip(bytes: Uint8Array, options: ReadOptions = {}): Uint8Array {
  const { name = 'gzip data', limit = UNPACK_LIMIT } = options;
  if (!isGzip(bytes)) {
    throw new BitnibbleError('corrupt-file', `${name}: expected gzip data, got ${bytes.length} other bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  // The last bytes say how much it is, modulo 2^32, of one member. Pages that are never written cost nothing.
  const hint = bytes.length < 18 ? 0 : view.getUint32(bytes.length - 4, true);
  const most = Math.min(limit, Math.max(SMALL_BYTES, bytes.length * USUAL_GROWTH));
  let out = new Uint8Array(Math.min(hint, most));
  let total = 0;
  let crc = 0;
  let memberStart = 0;
  let lastEnd = 0;

  const stream = new Gunzip((chunk) => {
    const end = total + chunk.length;
    if (end > most) {
      const why =
        end > limit ? `the limit of ${limit} bytes` : `${USUAL_GROWTH} times its ${bytes.length} bytes`;
      throw new BitnibbleError('too-large', `${name}: unpacks to more than ${why}`);
    }
    crc = crc32(chunk, crc);
    if (end > out.length) {
      const grown = new Uint8Array(Math.min(most, Math.max(end, out.length * 2)));
      grown.set(out.subarray(0, total));
      out = grown;
    }
    out.set(chunk, total);
    total = end;
  });
  stream.onmember = (end) => {
    const length = (total - memberStart) % 2 ** 32;
    if (
      end > bytes.length ||
      view.getUint32(end - 8, true) !== crc ||
      view.getUint32(end - 4, true) !== length
    ) {
      throw new BitnibbleError('corrupt-file', `${name}: damaged gzip data: wrong checksum or length`);
    }
    memberStart = total;
    crc = 0;
    lastEnd = end;
  };
  try {
    for (let at = 0; at < bytes.length; at += STEP) {
      stream.push(bytes.subarray(at, at + STEP));
    }
    stream.push(SENTINEL);
  } catch (cause) {
    if (cause instanceof BitnibbleError) {
      throw cause;
    }
    throw new BitnibbleError('corrupt-file', `${name}: damaged gzip data (${String(cause)})`, { cause });
  }
  if (lastEnd !== bytes.length) {
    throw new BitnibbleError('corrupt-file', `${name}: gzip data that is cut off`);
  }
  return out.subarray(0, total);
}
