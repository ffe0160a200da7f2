import type { Folder } from '../../../src/data/folder.js';
import { fileSource } from './file-source.js';
import type { DataFile } from './protocol.js';

/** Files as the folders that their paths say: `pets/cat/1.png` is in `cat`, which is in `pets`. */
export function folderOf(name: string, files: readonly DataFile[], depth: number): Folder {
  const here: DataFile[] = [];
  const below = new Map<string, DataFile[]>();
  for (const file of files) {
    const parts = file.path.split('/');
    const [part = ''] = parts.slice(depth);
    if (parts.length === depth + 1) here.push(file);
    else if (!part.startsWith('.')) {
      const own = below.get(part);
      if (own) own.push(file);
      else below.set(part, [file]);
    }
  }
  const sorted = [...below].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    ...{ path: name, name: name.split('/').at(-1) ?? name },
    files: here
      .sort((a, b) => (a.path < b.path ? -1 : 1))
      .map(({ path, file }) => ({ name: path, open: () => fileSource(file), file })),
    folders: sorted.map(([part, own]) => folderOf(`${name}/${part}`, own, depth + 1)),
  };
}
