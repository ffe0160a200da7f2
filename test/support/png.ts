import { deflateSync } from 'node:zlib';
import { crc32 } from '../../src/formats/crc32.js';

/** A chunk of a PNG file: length, type, data, checksum. */
export function pngChunk(kind: string, body: Uint8Array): Uint8Array {
  const out = new Uint8Array(body.length + 12);
  const view = new DataView(out.buffer);
  view.setUint32(0, body.length);
  out.set(new TextEncoder().encode(kind), 4);
  out.set(body, 8);
  view.setUint32(out.length - 4, crc32(out.subarray(4, out.length - 4)));
  return out;
}

export const PNG_SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];

/** A grey picture of 8 bits as a PNG file. */
export function greyPng(width: number, height: number, grey: Uint8Array): Uint8Array {
  const head = new Uint8Array(13);
  new DataView(head.buffer).setUint32(0, width);
  new DataView(head.buffer).setUint32(4, height);
  head[8] = 8;
  const rows = new Uint8Array(height * (width + 1));
  for (let y = 0; y < height; y++) rows.set(grey.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const chunks = [
    pngChunk('IHDR', head),
    pngChunk('IDAT', deflateSync(rows)),
    pngChunk('IEND', new Uint8Array(0)),
  ];
  return Buffer.concat([Uint8Array.from(PNG_SIGNATURE), ...chunks]);
}
