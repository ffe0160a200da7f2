import { readdirSync } from 'node:fs';
import path from 'node:path';
import type { Folder, ImageCodec } from '../data/index.js';
import { fileSource, isFolder } from './files.js';

const JPEG = /\.jpe?g$/i;

/** Whether a file is called as JPEG images are. */
export const isJpegName = (file: string): boolean => JPEG.test(file);

/** Whether a folder, or one in it, has a JPEG. */
export function hasJpeg(where: string): boolean {
  const entries = readdirSync(where);
  return (
    entries.some(isJpegName) ||
    entries.some((name) => {
      const below = path.join(where, name);
      return !name.startsWith('.') && isFolder(below) && hasJpeg(below);
    })
  );
}

/**
 * A folder on the disk; the folders in it are read when they are asked for.
 * @param jpeg where there are such images in it
 */
export function folderAt(where: string, jpeg?: ImageCodec, name = path.basename(where)): Folder {
  const entries = readdirSync(where).sort();
  return {
    ...{ path: where, name },
    files: entries.map((entry) => {
      const file = path.join(where, entry);
      const codec = jpeg && isJpegName(entry) ? { codec: jpeg } : {};
      return { name: file, open: () => fileSource(file), ...codec };
    }),
    get folders() {
      return entries
        .filter((entry) => !entry.startsWith('.') && isFolder(path.join(where, entry)))
        .map((entry) => folderAt(path.join(where, entry), jpeg));
    },
  };
}
