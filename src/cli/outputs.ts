import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';
import { BitnibbleError } from '../errors.js';
import { JSON_LIMIT } from '../formats/json.js';
import type { KerasModel } from '../keras/keras-model.js';
import { readShardList } from '../keras/shards.js';
import { fileSource, readFile, requireOtherFile } from '../node/files.js';
import { indexBytes, isIndexName } from '../node/packed.js';
import { PIPE } from './inputs.js';
import { type CommonOptions, count, note } from './output.js';

function notWritable(output: string, reason: string): BitnibbleError {
  return new BitnibbleError('not-writable', `${output}: cannot be written: ${reason}`);
}

export interface OutputOptions {
  /** The file that the output is made of: it may not be the same. */
  readonly input?: string;
  /** Folders that are missing are made. */
  readonly makesFolders?: boolean;
}

/**
 * Refuses an output that cannot be written, before the work begins.
 *
 * @returns whether a file is there and will be replaced, which {@link noteReplaced} says
 * @throws BitnibbleError `same-file`, `not-writable`
 */
export function checkOutput(output: string, { input, makesFolders = false }: OutputOptions): boolean {
  if (output === PIPE) return false;
  if (input !== undefined && input !== PIPE) requireOtherFile(input, output, { makesFolder: makesFolders });
  const there = statOf(output, output);
  if (there?.isDirectory()) throw notWritable(output, 'it is a folder');
  let folder = path.dirname(output);
  while (makesFolders && !statOf(folder, output) && path.dirname(folder) !== folder)
    folder = path.dirname(folder);
  const holder = statOf(folder, output);
  if (!holder) throw notWritable(output, `the folder ${folder} does not exist`);
  if (!holder.isDirectory()) throw notWritable(output, 'a part of the path is not a folder');
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    const isReadOnly = (error as NodeJS.ErrnoException).code === 'EROFS';
    throw notWritable(output, isReadOnly ? 'the file system is read-only' : 'permission denied');
  }
  return there !== undefined;
}

/** Names a file before it is replaced; with `--json` the document does that. */
export function noteReplaced(flags: CommonOptions, output: string): void {
  if (!flags.json) note(flags, `${output} is there already and is replaced`);
}

function statOf(name: string, output: string) {
  try {
    return statSync(name, { throwIfNoEntry: false });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOTDIR') throw notWritable(output, 'a part of the path is not a folder');
    if (code === 'EACCES') throw notWritable(output, 'permission denied');
    throw notWritable(output, message);
  }
}

/** Bytes of the files that a model was read from. */
export const modelBytes = (model: KerasModel): number =>
  model.files.bytes ??
  [...new Set([model.files.source, ...model.files.h5.map(({ source }) => source)])]
    // A member of an archive is a part of it.
    .slice(0, model.files.container === 'shards' ? undefined : 1)
    .reduce((sum, { size }) => sum + size, 0);

/** Bytes of a model as it was written, with its shards where it is a list of them, and with the file that Keras opens first. */
export function writtenBytes(output: string): number {
  if (isIndexName(output)) {
    const sizeOf = (name: string) => statSync(path.join(path.dirname(output), name)).size;
    return indexBytes(readFile(output, JSON_LIMIT), output, sizeOf);
  }
  if (!/\.weights\.json$/i.test(output)) return statSync(output).size;
  const source = fileSource(output);
  const sizeOf = (name: string) =>
    statSync(path.join(path.dirname(output), name), { throwIfNoEntry: false })?.size ?? 0;
  try {
    const first = `${path.basename(output).replace(/\.weights\.json$/i, '')}_00000.weights.h5`;
    const files = new Set([...readShardList(source, output).files, first]);
    return [...files].reduce((sum, name) => sum + sizeOf(name), source.size);
  } finally {
    source.close?.();
  }
}

/** `48,664 bytes; model.h5 has 331,480, 6.8 times as many`; the ratio is left out where there is hardly one. */
export function sizeLine(bytes: number, input: string, inputBytes: number): string {
  const ratio = inputBytes / bytes;
  const times = ratio < 1.05 ? '' : `, ${ratio.toFixed(1)} times as many`;
  return `${count(bytes)} bytes; ${input} has ${count(inputBytes)}${times}`;
}
