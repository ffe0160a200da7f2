import { createHash } from 'node:crypto';
import type { RandomAccess } from '../formats/random-access.js';
import type { KerasModel } from '../keras/keras-model.js';

/** Bytes of a file that are read whole; of a larger one as many are read, from places spread over it. */
const MOST = 2 ** 28;
const PLACE = 2 ** 16;

/**
 * Tells files apart: their size and SHA-256. Of a file above 256 MiB, 4,096 pieces of 64 KiB are taken, evenly spread from
 * the first byte to the last, so that parts of a large job do not read all of its input each.
 */
export function fingerprint(source: RandomAccess): string {
  const hash = createHash('sha256').update(`${source.size}\n`);
  const piece = new Uint8Array(source.size > MOST ? PLACE : 2 ** 20);
  const count = source.size > MOST ? MOST / PLACE : Math.ceil(source.size / piece.length);
  const step = source.size > MOST ? (source.size - PLACE) / (count - 1) : piece.length;
  for (let i = 0; i < count; i++) {
    const bytes = source.read(piece, Math.floor(i * step));
    hash.update(piece.subarray(0, bytes));
  }
  return hash.digest('hex');
}

/** {@link fingerprint} of the files of a model; of a folder, of its weights and its architecture. */
export function modelFingerprint({ files, architecture }: KerasModel): string[] {
  const { container, source, h5 } = files;
  const sources = container === 'shards' ? [source, ...h5.map((file) => file.source)] : [source];
  const config = container === 'folder' ? [JSON.stringify(architecture)] : [];
  return [
    ...sources.map(fingerprint),
    ...config.map((text) => createHash('sha256').update(text).digest('hex')),
  ];
}
