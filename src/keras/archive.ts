import { BitnibbleError } from '../errors.js';
import { JSON_LIMIT, parseJson } from '../formats/json.js';
import { readZipDirectory, readZipEntry, type ZipEntry } from '../formats/zip.js';
import type { JsonObject } from '../model.js';
import { isObject } from './config.js';
import { type ByteSource, bytesSource, partOfSource } from './source.js';

export const WEIGHTS_MEMBER = 'model.weights.h5';
/** Serialized Python objects: loading one runs whatever code it names. */
const PICKLE = /\.(pkl|pickle|dill|joblib|cloudpickle)$/i;

const NO_MODEL =
  'it is a folder without config.json: expected a file, or what model.save(folder, zipped=False) writes';
const NUMPY_MEMBER = 'model.weights.npz';

/** What Keras saves of a model, in an archive or a folder. */
export interface KerasMembers {
  /** `config.json`, without the training configuration. */
  readonly architecture: JsonObject;
  readonly trainingConfig: JsonObject | undefined;
  readonly kerasVersion: string;
  /** `model.weights.h5`: in place where it is stored as it is, unpacked where it is compressed. */
  readonly weights: ByteSource;
}

/** A `.keras` file: a zip archive of the configuration, the weights and the assets of layers. */
export interface KerasArchive extends KerasMembers {
  readonly entries: readonly ZipEntry[];
}

/** Whether bytes begin as a zip archive does. */
export function isZip(source: ByteSource): boolean {
  const head = new Uint8Array(4);
  source.read(head, 0);
  return (
    head[0] === 0x50 &&
    head[1] === 0x4b &&
    ((head[2] === 3 && head[3] === 4) || (head[2] === 5 && head[3] === 6))
  );
}

/**
 * Opens a `.keras` archive of TF 2.12 and later and Keras 3. Only its own members are looked at; nothing is unpacked
 * to disk.
 *
 * @throws BitnibbleError `corrupt-file`, `no-model-config`, `missing-weight`, `holds-code` (a member that is a pickle),
 *   `unsupported-version` (weights in NumPy's format), `too-large`, `unsupported-filter` (encryption, other compression)
 */
export function openArchive(source: ByteSource, name: string): KerasArchive {
  const entries = directory(source, name);
  const pickle = entries.find((entry) => PICKLE.test(entry.name));
  if (pickle) {
    throw new BitnibbleError(
      'holds-code',
      `${name}: member ${pickle.name} is a pickle, which is code and never loaded: Keras writes none, take it out of the archive`,
    );
  }
  const member = (wanted: string) => entries.find((entry) => entry.name === wanted);
  const described = describe(name, 'a zip archive without config.json, so no .keras file', (wanted) => {
    const entry = member(wanted);
    return entry && readZipEntry(source, entry, { name, limit: JSON_LIMIT });
  });
  const entry = member(WEIGHTS_MEMBER);
  if (!entry) throw withoutWeights(name, 'archive', member(NUMPY_MEMBER) !== undefined);
  return {
    ...described,
    entries,
    weights:
      entry.method === 0
        ? partOfSource(source, entry.start, entry.size)
        : bytesSource(readZipEntry(source, entry, { name })),
  };
}

/**
 * Opens what `model.save(folder, zipped=False)` of Keras 3 writes: the members of an archive as files.
 * @param open a file of the folder by its name; undefined where there is none
 * @throws BitnibbleError `corrupt-file`, `no-model-config`, `missing-weight`, `unsupported-version`, `too-large`
 */
export function openFolder(
  open: (member: string) => ByteSource | undefined,
  name: string,
): KerasMembers & { readonly bytes: number } {
  let bytes = 0;
  const described = describe(name, NO_MODEL, (wanted) => {
    const source = open(wanted);
    if (!source) return undefined;
    try {
      if (source.size > JSON_LIMIT) {
        const what = `${name}/${wanted}: ${source.size} bytes of JSON, expected at most ${JSON_LIMIT}`;
        throw new BitnibbleError('too-large', what);
      }
      const text = new Uint8Array(source.size);
      source.read(text, 0);
      bytes += source.size;
      return text;
    } finally {
      source.close?.();
    }
  });
  const weights = open(WEIGHTS_MEMBER);
  if (weights) return { ...described, weights, bytes: bytes + weights.size };
  const numpy = open(NUMPY_MEMBER);
  numpy?.close?.();
  throw withoutWeights(name, 'folder', numpy !== undefined);
}

function withoutWeights(name: string, holder: 'archive' | 'folder', hasNumpy: boolean): BitnibbleError {
  return hasNumpy
    ? new BitnibbleError(
        'unsupported-version',
        `${name}: weights in member ${NUMPY_MEMBER}, where NumPy may keep pickles: save the model again as HDF5`,
      )
    : new BitnibbleError('missing-weight', `${name}: the ${holder} has no member ${WEIGHTS_MEMBER}`);
}

/** What the members in JSON say. */
function describe(
  name: string,
  nothing: string,
  read: (member: string) => Uint8Array | undefined,
): Omit<KerasMembers, 'weights'> {
  const json = (wanted: string): JsonObject | undefined => {
    const bytes = read(wanted);
    if (!bytes) return undefined;
    let text: string;
    try {
      text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch {
      throw new BitnibbleError('corrupt-file', `${name}: member ${wanted} is not UTF-8`);
    }
    const value = parseJson(text, `${name}: member ${wanted}`);
    if (isObject(value)) return value;
    throw new BitnibbleError('corrupt-file', `${name}: member ${wanted} is not a JSON object`);
  };
  const config = json('config.json');
  if (!config) throw new BitnibbleError('no-model-config', `${name}: ${nothing}`);
  const { compile_config: training, ...architecture } = config;
  const version = json('metadata.json')?.keras_version;
  return {
    architecture,
    trainingConfig: isObject(training) ? training : undefined,
    kerasVersion: typeof version === 'string' ? version : '',
  };
}

function directory(source: ByteSource, name: string): ZipEntry[] {
  try {
    return readZipDirectory(source, name);
  } catch (error) {
    if (!(error instanceof BitnibbleError) || error.code !== 'not-zip') throw error;
    throw new BitnibbleError(
      'corrupt-file',
      `${name}: the zip archive is cut off: it has no directory at its end`,
    );
  }
}
