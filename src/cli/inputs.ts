import { existsSync } from 'node:fs';
import path from 'node:path';
import { BitnibbleError } from '../errors.js';
import type { KerasModel } from '../keras/keras-model.js';
import { openKeras as openKerasBytes } from '../keras/open.js';
import type { Decoder } from '../kernels/types.js';
import { isFolder } from '../node/files.js';
import { openKeras, openModel, openModelBytes } from '../node/models.js';
import { isIndexName, isPackedName, isPartName, type OpenModel } from '../node/packed.js';
import type { PartNumber } from '../packed/part-number.js';
import { UsageError } from './options.js';

/** The name of standard input and output. */
export const PIPE = '-';

/** Bytes of a model on standard input at most: HDF5 and zip archives are read here and there, so it is held in memory. */
const PIPE_LIMIT = 2 ** 30;

/** Endings of the files that quantizing writes. */
const ENDING = /\.(safetensors|safetensors\.index\.json|h5|hdf5|h5f|keras|weights\.json)$/i;

const isPattern = (text: string) => /[*?[\]{}]/.test(text);

/**
 * The files that arguments name, in the order of the arguments, each once. What no file is called is taken for a pattern:
 * `*`, `**`, `?`, `[ab]`, `{a,b}`; its files come in alphabetical order.
 *
 * @throws BitnibbleError `not-found` for a pattern without files
 */
export async function expandFiles(given: readonly string[]): Promise<string[]> {
  const files = new Set<string>();
  for (const text of given) {
    if (text === PIPE || !isPattern(text) || existsSync(text)) {
      files.add(text);
      continue;
    }
    const { glob } = await import('tinyglobby');
    const found = await glob(text, { expandDirectories: false, absolute: path.isAbsolute(text) });
    if (found.length === 0) throw new BitnibbleError('not-found', `${text}: no file fits this pattern`);
    for (const file of found.sort()) files.add(file);
  }
  return [...files];
}

/** One model to make of another. */
export interface Job {
  readonly input: string;
  readonly output: string;
}

/** A file's name without its folder and endings. */
const stem = (file: string) =>
  file === PIPE ? 'stdin' : path.basename(file).replace(/(\.weights)?\.\w+$/, '');

/**
 * What each input becomes. `-o` is a file; a folder that is there or ends in a slash, for `NAME.safetensors` in it; or a
 * name with `{name}`, which stands for the input's own without its ending.
 *
 * @param as `isSharded`: packed files become shards, and the output is their index; `part`: outputs are parts, `NAME-2-of-4.part`
 * @throws UsageError where several inputs would become one file
 */
export function jobsOf(
  inputs: readonly string[],
  output: string,
  { isSharded = false, part }: { isSharded?: boolean; part?: PartNumber | undefined } = {},
): Job[] {
  if (output === PIPE && inputs.length > 1) throw new UsageError('--output - takes one file');
  const isInFolder = /[/\\]$/.test(output) || (!ENDING.test(output) && isFolder(output));
  const outputOf = (input: string) => {
    const own = isInFolder
      ? path.join(output, `${stem(input)}${part ? `-${part.part}-of-${part.parts}.part` : '.safetensors'}`)
      : output.replaceAll('{name}', stem(input));
    return isSharded && !isIndexName(own) ? `${own}.index.json` : own;
  };
  if (part && !isInFolder && !isPartName(output))
    throw new UsageError(
      `--output expected a name ending in .part, or a folder that is there, with --shard, got ${output}`,
    );
  if (!part && !isInFolder && output !== PIPE && !ENDING.test(output)) {
    throw new UsageError(
      `--output expected a name ending in .safetensors, .h5, .keras or .weights.json, or a folder that is there, got ${output}`,
    );
  }
  if (isSharded && !isInFolder && !isPackedName(output))
    throw new UsageError(`--shard-size needs a packed output, named .safetensors, got ${output}`);
  const jobs = inputs.map((input) => ({ input, output: outputOf(input) }));
  if (jobs.length > 1 && !isInFolder && !output.includes('{name}')) {
    throw new UsageError(
      `--output expected a folder that is there, or a name with {name} in it, for ${jobs.length} files, got ${output}`,
    );
  }
  const seen = new Map<string, string>();
  for (const job of jobs) {
    const twin = seen.get(job.output);
    if (twin !== undefined) throw new UsageError(`${twin} and ${job.input} would both become ${job.output}`);
    seen.set(job.output, job.input);
  }
  return jobs;
}

/** What standard input is called in messages. */
const STANDARD_INPUT = 'standard input';

/** A Keras model by its file's name, or what comes on standard input. */
export async function openKerasInput(input: string): Promise<KerasModel> {
  return input === PIPE ? openKerasBytes(await readStandardInput(), STANDARD_INPUT) : openKeras(input);
}

/** The same of a Keras or packed model. */
export async function openModelInput(input: string, kernels: Decoder): Promise<OpenModel> {
  return input === PIPE
    ? openModelBytes(await readStandardInput(), kernels, STANDARD_INPUT)
    : openModel(input, kernels);
}

/** Whether a file keeps the layers of the model that it is made of. */
export const keepsLayers = (output: string): boolean =>
  output !== PIPE && !isPackedName(output) && !isPartName(output);

/** Refuses what standard input and output cannot do. @throws UsageError */
export function checkPipes(jobs: readonly Job[], { json }: { readonly json?: boolean }): void {
  const isWritten = jobs.some(({ output }) => output === PIPE);
  if (isWritten && json)
    throw new UsageError('--json and --output - exclude each other: both write to standard output');
  if (isWritten && process.stdout.isTTY)
    throw new UsageError('--output - expected a pipe or a file behind standard output, got a terminal');
  if (jobs.some(({ input, output }) => input === PIPE && keepsLayers(output)))
    throw new UsageError(
      'a model on standard input can be packed alone: --output expected a name ending in .safetensors, or -',
    );
}

/** All of standard input. @throws BitnibbleError `too-large`, `not-found` where there is nothing */
export async function readStandardInput(limit = PIPE_LIMIT): Promise<Uint8Array> {
  if (process.stdin.isTTY)
    throw new UsageError('- expected a pipe or a file behind standard input, got a terminal');
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of process.stdin as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > limit) {
      const most = `${limit / 2 ** 20} MiB`;
      throw new BitnibbleError(
        'too-large',
        `standard input: more than ${most}, which is held in memory: give the file by its name`,
      );
    }
  }
  if (size === 0) throw new BitnibbleError('not-found', 'standard input: nothing came');
  return Buffer.concat(chunks);
}

/** Writes pieces to standard output, as fast as they are taken. */
export async function writeStandardOutput(pieces: Iterable<Uint8Array>): Promise<number> {
  let size = 0;
  for (const piece of pieces) {
    size += piece.length;
    await new Promise<void>((resolve, reject) => {
      process.stdout.write(piece, (error) => (error ? reject(error) : resolve()));
    });
  }
  return size;
}
