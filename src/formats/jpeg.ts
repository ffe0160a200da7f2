import { BitnibbleError } from '../errors.js';
import type { RandomAccess } from './random-access.js';
import { bytesAt } from './stored-array.js';

/** What a JPEG says of itself before its pixels. */
export interface JpegHeader {
  readonly width: number;
  readonly height: number;
  /** 1 grey, 3 colour. */
  readonly channels: 1 | 3;
}

/** Pixels at most: what an input of a network has is far below. */
const MOST_PIXELS = 2 ** 24;
/** Segments before the frame at most: files of cameras have some twenty. */
const MOST_SEGMENTS = 1024;

/** Whether bytes begin as a JPEG does. */
export const isJpeg = (bytes: Uint8Array): boolean =>
  bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff;

/**
 * Size and channels of a JPEG by the header of its frame; segments before it, such as thumbnails, are passed over.
 *
 * @param name names the file in errors
 * @throws BitnibbleError `unknown-format` for other bytes, `unsupported-dtype` for other than 8 bits a sample and for four channels,
 *   `too-large`, `corrupt-file`. Source: ITU-T T.81, annex B.2
 */
export function jpegHeader(source: RandomAccess, name: string): JpegHeader {
  const damaged = (fault: string) =>
    new BitnibbleError('corrupt-file', `${name}: damaged JPEG image: ${fault}`);
  const read = (at: number, length: number) => {
    if (at + length > source.size) throw damaged('cut off');
    return bytesAt(source, at, length, name);
  };
  if (!isJpeg(bytesAt(source, 0, Math.min(3, source.size), name)))
    throw new BitnibbleError('unknown-format', `${name}: expected a JPEG image`);
  let at = 2;
  for (let segment = 0; segment < MOST_SEGMENTS; segment++) {
    const [first, marker, high, low] = read(at, 4) as unknown as [number, number, number, number];
    if (first !== 0xff) throw damaged(`expected a marker at byte ${at}`);
    // Any number of these may stand before a marker.
    if (marker === 0xff) {
      at++;
      continue;
    }
    const length = 256 * high + low;
    if (isFrame(marker)) return frameOf(read(at + 4, 6), name, damaged);
    if (marker === 0xd9 || marker === 0xda || length < 2) throw damaged('no size before its pixels');
    at += 2 + length;
  }
  throw damaged(`no size in the first ${MOST_SEGMENTS} segments`);
}

/** SOF0 to SOF15, but for the tables DHT, JPG and DAC between them. */
const isFrame = (marker: number): boolean =>
  marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);

function frameOf(bytes: Uint8Array, name: string, damaged: (fault: string) => BitnibbleError): JpegHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const [bits, channels] = [view.getUint8(0), view.getUint8(5)];
  const [height, width] = [view.getUint16(1), view.getUint16(3)];
  if (bits !== 8)
    throw new BitnibbleError('unsupported-dtype', `${name}: expected a JPEG of 8 bits a sample, got ${bits}`);
  if (channels !== 1 && channels !== 3)
    throw new BitnibbleError(
      'unsupported-dtype',
      `${name}: expected a JPEG of one channel or three, got ${channels}`,
    );
  if (width === 0 || height === 0) throw damaged(`${width} x ${height} pixels`);
  if (width * height > MOST_PIXELS)
    throw new BitnibbleError(
      'too-large',
      `${name}: ${width} x ${height} pixels, expected at most ${MOST_PIXELS} in all`,
    );
  return { width, height, channels };
}
