import { basename } from 'node:path';
import type { OnnxFiles } from '../onnx/index.js';
import { writeSet } from './file-set.js';
import { writeFile } from './files.js';

/**
 * Writes an ONNX model, and beside it the data of its tensors where it is too large for one file: whole, or not at all.
 * @returns the names of the files, the model last
 * @throws BitnibbleError `not-writable`; whatever the model's reading throws
 */
export async function saveOnnx(files: OnnxFiles, path: string): Promise<readonly string[]> {
  const own = basename(path);
  if (!files.data) {
    await writeFile(path, files.model());
    return [own];
  }
  const { data } = files;
  const names = await writeSet(path, {
    names: { stem: () => own, ending: '.data', isStem: (name) => name === own },
    write: (add) => {
      const draft = add();
      for (const piece of data) draft.append(piece);
    },
    index: ([name]) => files.model(name),
    listed: (index) => dataFilesIn(index, own),
  });
  return [...names, own];
}

/** Names of files of data that a model of this name mentions: `NAME-TAG.data`. */
function dataFilesIn(model: Uint8Array, own: string): string[] {
  const text = Buffer.from(model.buffer, model.byteOffset, model.byteLength).toString('latin1');
  const pattern = new RegExp(`${own.replace(/[^\w]/g, '\\$&')}(-[0-9a-f]{8})?\\.data`, 'g');
  return [...new Set(text.match(pattern))];
}
