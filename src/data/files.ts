import { BitnibbleError } from '../errors.js';
import { readNpy } from '../formats/npy.js';
import { answersOf } from './answers.js';
import { readNpyDataset, readNpzDataset, readSafetensorsDataset, type Split } from './archives.js';
import { type NamedSource, wholeFile, withFile } from './arrays.js';
import { readCsvDataset } from './csv.js';
import type { Dataset } from './dataset.js';
import { imageOptionsFor } from './folder.js';
import { imageDataset } from './images.js';
import { joinInputs } from './several.js';

/** What a network takes. */
export interface NetworkInput {
  readonly name: string;
  /** Of a sample; null where a length is not fixed. */
  readonly shape?: readonly (number | null)[];
}

/**
 * A file of samples by the ending of its name: `.npz`, `.npy`, `.safetensors`, `.csv`, `.tsv`, `.png`.
 *
 * @param inputs of the network, where they are known: arrays and columns are looked for by their names, images get their channels
 * @returns undefined for other endings; the file is the caller's then
 * @throws BitnibbleError what the readers throw, naming the file
 */
export function readDataFile(
  file: NamedSource,
  split: Split,
  inputs: readonly NetworkInput[] = [],
): Dataset | undefined {
  const names = inputs.length > 0 ? { inputs: inputs.map(({ name }) => name) } : {};
  const ending = /\.(npz|npy|safetensors|csv|tsv|png)$/i.exec(file.name)?.[1]?.toLowerCase();
  switch (ending) {
    case 'npz':
      return readNpzDataset(file, split, names);
    case 'npy':
      return readNpyDataset(file);
    case 'safetensors':
      return readSafetensorsDataset(file, split, names);
    case 'csv':
    case 'tsv':
      return readCsvDataset(file, names);
    case 'png':
      return withFile(file, () => {
        const { name, source } = file;
        // The dataset closes it, not each look at it.
        const image = { name, open: () => ({ size: source.size, read: source.read.bind(source) }) };
        return { dataset: imageDataset(name, [image], imageOptionsFor(inputs[0]?.shape)), inPlace: true };
      });
    default:
      return undefined;
  }
}

/** Whether a file is called as IDX files are: `t10k-images-idx3-ubyte.gz`. */
export const isIdxName = (file: string): boolean => /[-_.]idx\d[-_.]ubyte(?:\.gz)?$/i.test(file);

/** What the labels of an IDX file of images may be called: `images` and the rank differ in the name, `.gz` may. */
export function idxLabelNames(images: string): string[] {
  const [, folder = '', own = ''] = /^(.*[\\/])?([^\\/]*)$/.exec(images) ?? [];
  const name = own.replace(/\.gz$/i, '');
  const labels = name.replace(/images(?!.*images)/i, 'labels').replace(/idx\d/i, 'idx1');
  return labels === name ? [] : [folder + labels, `${folder}${labels}.gz`];
}

const stemOf = (file: string) => file.replace(/^.*[\\/]/, '').replace(/\.[^.]+$/, '');

/** Whether a file is called as answers are: `y.npy`, `labels.npy`, `targets_train.npy`. */
export const isAnswerFile = (file: string): boolean =>
  /^(y|labels|targets)(_test|_train)?$/i.test(stemOf(file));

/** Opens a `.npy` file of answers. */
export type AnswerFile = (name: string) => NamedSource;

/**
 * A file for each input, in their order or called as they are, and one of answers where there is one.
 *
 * @param open opens the samples of one of the files
 * @throws BitnibbleError `data-mismatch`, `unknown-format`; what `open` and the reader of `.npy` files throw
 */
export async function joinFiles(
  files: readonly string[],
  inputs: readonly NetworkInput[],
  open: (file: string) => Dataset | Promise<Dataset>,
  openAnswers: AnswerFile,
): Promise<Dataset> {
  const own = files.filter((file) => !isAnswerFile(file));
  const [answers, more] = files.filter(isAnswerFile);
  const list = files.join(' ');
  if (own.length === 0 || more !== undefined)
    throw new BitnibbleError('data-mismatch', `${list}: expected files of inputs and at most one of answers`);
  const isNamed = inputs.length > 1 && own.every((file) => inputs.some(({ name }) => name === stemOf(file)));
  const parts = [];
  for (const file of own)
    parts.push({ ...(isNamed ? { name: stemOf(file) } : {}), dataset: await open(file) });
  const [first] = parts as [(typeof parts)[number]];
  const given = answers === undefined ? {} : answersIn(answers, first.dataset.count, openAnswers);
  if (parts.length > 1) return joinInputs(list, parts, given);
  return { ...first.dataset, ...given };
}

function answersIn(name: string, count: number, open: AnswerFile) {
  if (!/\.npy$/i.test(name))
    throw new BitnibbleError('unknown-format', `${name}: expected a .npy file of answers`);
  const file = open(name);
  try {
    return answersOf(readNpy(wholeFile(file), { name }), count, name);
  } finally {
    file.source.close?.();
  }
}
