import { BitnibbleError } from '../errors.js';
import { toFloat32 } from '../formats/dtypes.js';
import type { ReadOptions } from '../formats/gzip.js';
import { type DType, decodeElements, type NdArray } from '../formats/ndarray.js';
import { readNpy, readNpyHeader } from '../formats/npy.js';
import { openNpz } from '../formats/npz.js';
import { bytesAccess, type RandomAccess } from '../formats/random-access.js';
import { readSafetensorsHeader, safetensorsHeaderBytes } from '../formats/safetensors.js';
import { bytesAt, headOf, type StoredArray } from '../formats/stored-array.js';
import type { Dtype } from '../model.js';
import { answersOf, mismatch } from './answers.js';
import {
  arrayInPlace,
  IN_PLACE,
  isOpen,
  type NamedBytes,
  type NamedSource,
  wholeArray,
  wholeFile,
  withFile,
} from './arrays.js';
import type { Dataset } from './dataset.js';
import { joinInputs } from './several.js';

/** What arrays of a file are looked for. */
export interface ArrayNames {
  /** Names of the network's inputs, in their order. */
  readonly inputs?: readonly string[];
}

/** Arrays by name, wherever they lie. */
interface Archive {
  readonly name: string;
  readonly names: readonly string[];
  read(array: string): NdArray;
  /** Where an array lies that can be read in place and is large. */
  inPlace(array: string): { readonly stored: StoredArray; readonly source: RandomAccess } | undefined;
}

/** Which samples of a dataset that has two sets. */
export type Split = 'test' | 'train';

/** Arrays that `numpy.savez` names by itself, or that somebody numbered. */
const NUMBERED = /^(?:arr_|x|input_?)(\d+)$/;
const ANSWER = /^y(?:_test|_train)?$/;

/**
 * Which arrays are the inputs, by the name of the network's input where it is that:
 *
 *     inputs a, b known      a, b (or a_test, b_test)
 *     x                      the one input
 *     x1, x2 or arr_0, arr_1 as many as inputs, in that order
 *     one array but y        the one input
 *     several                by their names
 */
function inputArrays(
  { name, names }: Archive,
  split: Split,
  wanted: readonly string[] | undefined,
): { readonly array: string; readonly input?: string }[] {
  const of = (own: string) => [`${own}_${split}`, own].find((array) => names.includes(array));
  const named = (wanted ?? []).flatMap((input) => {
    const array = of(input);
    return array === undefined ? [] : [{ array, input }];
  });
  if (wanted && wanted.length > 1 && named.length === wanted.length) return named;
  const x = of('x');
  if (x !== undefined && (wanted?.length ?? 1) === 1) return [{ array: x }];
  const [only] = named;
  if (only && wanted?.length === 1) return [only];
  const other = split === 'test' ? '_train' : '_test';
  const others = names.filter((array) => !ANSWER.test(array) && !array.endsWith(other));
  const numbered = others
    .filter((array) => NUMBERED.test(array))
    .sort((a, b) => Number(NUMBERED.exec(a)?.[1]) - Number(NUMBERED.exec(b)?.[1]));
  if (wanted && wanted.length > 1) {
    if (numbered.length === wanted.length) return numbered.map((array) => ({ array }));
    const found = names.slice(0, 20).join(', ').slice(0, 400) || 'none';
    return mismatch(name, `expected an array for each input, ${wanted.join(', ')}, got ${found}`);
  }
  if (wanted === undefined && others.length > 1 && names.some((array) => ANSWER.test(array)))
    return others.map((array) => ({ array, input: array }));
  const [lone] = others;
  if (lone !== undefined && others.length === 1 && wanted !== undefined) return [{ array: lone }];
  const found = names.slice(0, 20).join(', ').slice(0, 400) || 'none';
  const also = wanted ? `, or ${wanted.join(', ')}` : '';
  return mismatch(name, `expected arrays x_${split} and y_${split}, or x and y${also}, got ${found}`);
}

function archiveDataset(
  archive: Archive,
  split: Split,
  { inputs: wanted }: ArrayNames,
): { dataset: Dataset; inPlace: boolean } {
  const { name, names } = archive;
  const arrays = inputArrays(archive, split, wanted);
  const isSplit = arrays.some(({ array }) => array.endsWith(`_${split}`));
  const [y] = [isSplit ? `y_${split}` : 'y'].filter((own) => names.includes(own));
  const answer = y === undefined ? undefined : archive.read(y);
  let inPlace = false;
  const parts = arrays.map(({ array, input }) => {
    const label = arrays.length === 1 ? name : `${name}: ${array}`;
    const large = archive.inPlace(array);
    if (large) inPlace = true;
    const found = large ? undefined : archive.read(array);
    const count = (large?.stored.shape ?? found?.shape)?.[0] ?? 0;
    const answers = answer && arrays.length === 1 ? answersOf(answer, count, `${name}: ${y}`) : {};
    const dataset = large
      ? arrayInPlace(large.stored, large.source, label, answers)
      : wholeArray(found as NdArray, label, answers);
    return { ...(input === undefined ? {} : { name: input }), dataset };
  });
  const [first] = parts as [(typeof parts)[number]];
  if (parts.length === 1) return { dataset: first.dataset, inPlace };
  const answers = answer ? answersOf(answer, first.dataset.count, `${name}: ${y}`) : {};
  return { dataset: joinInputs(name, parts, answers), inPlace };
}

/**
 * An `.npz` file with `x` and `y`, or `x_test` and `y_test` (`x_train`, `y_train`) as `keras.datasets` has them; the
 * pair of the split is preferred. For a network of several inputs, an array for each by its name. Labels are class numbers, of shape
 * `[n]` or `[n, 1]`, or one-hot `[n, classes]`; other numbers are targets; without them the data is unlabelled. Samples keep the shape
 * that they have.
 *
 * @throws BitnibbleError `not-zip`, `not-npy`, `unsupported-dtype`, `corrupt-file` for bytes that are no whole `.npz` archive; `data-mismatch`, naming the array, where arrays are missing or do
 *   not fit
 */
export function readNpzDataset(
  given: NamedBytes | NamedSource,
  split: Split = 'test',
  options: Pick<ReadOptions, 'limit'> & ArrayNames = {},
): Dataset {
  const { name } = given;
  return withFile(given, () => {
    const { inputs, ...rest } = options;
    const file = openNpz(isOpen(given) ? given.source : given.bytes, { ...rest, name });
    const archive: Archive = {
      ...{ name, names: file.names, read: (array) => file.read(array) },
      inPlace: (array) => {
        const source = isOpen(given) ? file.stored(array) : undefined;
        if (!source || source.size <= IN_PLACE) return undefined;
        return { stored: readNpyHeader(source, `${name}: ${array}.npy`), source };
      },
    };
    return archiveDataset(archive, split, inputs ? { inputs } : {});
  });
}

/**
 * A `.npy` file: samples along its first axis, without labels. One that is larger than 256 MiB is read in place.
 *
 * @throws BitnibbleError `not-npy`, `unsupported-dtype`, `corrupt-file`, `too-large`, `data-mismatch`
 */
export function readNpyDataset(given: NamedBytes | NamedSource): Dataset {
  const { name } = given;
  return withFile(given, () => {
    if (isOpen(given) && given.source.size > IN_PLACE) {
      const stored = readNpyHeader(given.source, name);
      return { dataset: arrayInPlace(stored, given.source, name), inPlace: true };
    }
    return { dataset: wholeArray(readNpy(wholeFile(given), { name }), name), inPlace: false };
  });
}

/** Number types of safetensors files as arrays have them; halves become float32. */
const TYPES: Readonly<Record<Dtype, DType>> = {
  BOOL: 'bool',
  U8: 'uint8',
  I8: 'int8',
  U16: 'uint16',
  I16: 'int16',
  F16: 'float32',
  BF16: 'float32',
  U32: 'uint32',
  I32: 'int32',
  F32: 'float32',
  U64: 'uint64',
  I64: 'int64',
  F64: 'float64',
};

/**
 * A `.safetensors` file of samples: tensors by the names that arrays of `.npz` have.
 *
 * @throws BitnibbleError `not-safetensors`, `corrupt-file`, `unsupported-dtype`, `too-large`; `data-mismatch`, naming the tensor
 */
export function readSafetensorsDataset(
  given: NamedBytes | NamedSource,
  split: Split = 'test',
  options: ArrayNames = {},
): Dataset {
  const { name } = given;
  return withFile(given, () => {
    const source = isOpen(given) ? given.source : bytesAccess(given.bytes);
    const length = safetensorsHeaderBytes(headOf(source, 8, name), name);
    const header = readSafetensorsHeader(headOf(source, length, name), name, source.size);
    const entryOf = (tensor: string) => {
      const entry = header.tensors.get(tensor);
      if (!entry) throw new BitnibbleError('not-found', `${name}: no tensor ${JSON.stringify(tensor)}`);
      return { ...entry, bytes: entry.end - entry.start, first: header.dataStart + entry.start };
    };
    const archive: Archive = {
      ...{ name, names: [...header.tensors.keys()] },
      read(tensor) {
        const { dtype, shape, bytes, first } = entryOf(tensor);
        if (bytes > IN_PLACE)
          throw new BitnibbleError(
            'too-large',
            `${name}: ${tensor}: ${bytes} bytes, expected at most ${IN_PLACE}`,
          );
        const own = bytesAt(source, first, bytes, name);
        const isHalf = dtype === 'F16' || dtype === 'BF16';
        const data = isHalf ? toFloat32(own, dtype) : decodeElements(TYPES[dtype], own, true, true);
        return { dtype: TYPES[dtype], shape, data };
      },
      inPlace(tensor) {
        const { dtype, shape, bytes, first } = entryOf(tensor);
        if (!isOpen(given) || bytes <= IN_PLACE || dtype === 'BF16') return undefined;
        const type = dtype === 'F16' ? 'float16' : TYPES[dtype];
        return {
          stored: { dtype: type, shape, littleEndian: true, start: first, fortranOrder: false },
          source,
        };
      },
    };
    return archiveDataset(archive, split, options);
  });
}
