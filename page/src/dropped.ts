import { BitnibbleError } from '../../src/errors.js';
import type { DataFile } from './worker/protocol.js';

/** Files of a folder that are taken: more are no data for a page. */
const MOST_FILES = 200_000;

const filesIn = (folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> =>
  new Promise((resolve, reject) => {
    const reader = folder.createReader();
    const all: FileSystemEntry[] = [];
    // Browsers give them in parts, and an empty one after the last.
    const next = () =>
      reader.readEntries((part) => {
        if (part.length === 0) return resolve(all);
        all.push(...part);
        next();
      }, reject);
    next();
  });

const fileOf = (entry: FileSystemFileEntry): Promise<File> =>
  new Promise((resolve, reject) => entry.file(resolve, reject));

/**
 * What was dropped, folders with all that is in them: called while the event lasts.
 * @throws BitnibbleError `too-large`
 */
export async function droppedFiles({ items, files }: DataTransfer): Promise<DataFile[]> {
  const entries = [...items].flatMap((item) => (item.kind === 'file' && item.webkitGetAsEntry()) || []);
  const plain = [...files].map((file) => ({ path: file.name, file }));
  if (!entries.some(({ isDirectory }) => isDirectory)) return plain;
  const found: DataFile[] = [];
  const walk = async (entry: FileSystemEntry): Promise<void> => {
    if (found.length > MOST_FILES)
      throw new BitnibbleError('too-large', `${entry.name}: expected at most 200,000 files, got more`);
    if (entry.isFile)
      found.push({
        path: entry.fullPath.replace(/^\//, ''),
        file: await fileOf(entry as FileSystemFileEntry),
      });
    else for (const own of await filesIn(entry as FileSystemDirectoryEntry)) await walk(own);
  };
  for (const entry of entries) await walk(entry);
  return found;
}

/** What a chooser of files or of a folder gave. */
export const chosenFiles = (files: FileList | null): DataFile[] =>
  [...(files ?? [])].map((file) => ({ path: file.webkitRelativePath || file.name, file }));

const MODEL = /\.(h5|hdf5|keras)$/i;

/** A Keras model among other files, and these. */
export function modelAmong(files: readonly DataFile[]): {
  readonly model?: File;
  readonly data: readonly DataFile[];
} {
  const model = files.find(({ path }) => MODEL.test(path) && !path.includes('/'));
  return model ? { model: model.file, data: files.filter((own) => own !== model) } : { data: files };
}
