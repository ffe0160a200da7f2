import { BitnibbleError } from '../errors.js';
import { isGzip } from '../formats/gzip.js';
import { JSON_LIMIT, parseJson } from '../formats/json.js';
import { safetensorsMetadata } from '../formats/safetensors.js';
import { checkCalls } from '../network/order.js';
import { isZip, type KerasMembers, openArchive, openFolder, WEIGHTS_MEMBER } from './archive.js';
import { isObject, layersOfWeights, listedLayers } from './config.js';
import type { Hdf5 } from './hdf5.js';
import { type KerasContents, type KerasFiles, KerasModel } from './keras-model.js';
import { isLegacy, readLegacy } from './legacy.js';
import { openHdf5 } from './open-hdf5.js';
import { floatView } from './quantized/view.js';
import { checkShards, isJsonObject, readShardList, type ShardList } from './shards.js';
import { type ByteSource, bytesSource } from './source.js';
import { isHdf5 } from './superblock.js';
import { placeVariables, requireVariables } from './vars-model.js';
import { allVariables, readVarsTree } from './vars-tree.js';

/** How a Keras file is opened. */
export interface OpenKerasOptions {
  /** Opens a shard that a `.weights.json` lists, by its plain name. Without it, such files are refused. */
  readonly openShard?: (name: string) => ByteSource;
}

/**
 * Opens a trained Keras model: a `.h5` of Keras 0 to 3, whole or weights alone; a `.keras` archive; Keras 3's
 * `.weights.h5`, also sharded (`.weights.json`). The content decides, not the name.
 *
 * @param from the file's bytes, or random access to them (`fileSource` of `bitnibble/node` reads in place)
 * @param name names the file in errors
 * @throws BitnibbleError `not-hdf5` (none of these), `already-packed`, `no-model-config`, `missing-weight`, `corrupt-file`,
 *   `unsupported-dtype`, `unsupported-version`, `unsupported-filter`, `too-large`
 */
export async function openKeras(
  from: Uint8Array | ByteSource,
  name = 'model',
  options: OpenKerasOptions = {},
): Promise<KerasModel> {
  const source = from instanceof Uint8Array ? bytesSource(from) : from;
  const model = await openAs(source, name, options);
  try {
    checkCalls(model);
  } catch (error) {
    model.close();
    throw error;
  }
  return model;
}

async function openAs(source: ByteSource, name: string, options: OpenKerasOptions): Promise<KerasModel> {
  // An archive first: the HDF5 file in it may begin where one behind a user block would.
  if (isZip(source)) return openZip(source, name);
  if (isHdf5(source)) return openH5(source, name);
  // The length of its header, which a packed file begins with, may look like space and a brace.
  if (isPacked(source)) {
    throw new BitnibbleError(
      'already-packed',
      `${name}: already packed: its weights are the codes and scales of a bitnibble file`,
    );
  }
  if (isPackedIndex(source)) {
    throw new BitnibbleError(
      'already-packed',
      `${name}: already packed: the index of shards that hold codes and scales`,
    );
  }
  if (isJsonObject(source)) return openShards(source, name, options);
  throw new BitnibbleError(
    'not-hdf5',
    `${name}: expected a Keras file (HDF5 or a .keras archive), ${whatElse(source)}`,
  );
}

/** Whether a file is one of `writePacked`, whatever version: its metadata says so. */
export const isPacked = (source: ByteSource): boolean => safetensorsMetadata(source)?.format === 'bitnibble';

/** Whether a file is the index of a packed model in shards, whatever version. */
export function isPackedIndex(source: ByteSource): boolean {
  if (!isJsonObject(source) || source.size > JSON_LIMIT) return false;
  const bytes = new Uint8Array(source.size);
  source.read(bytes, 0);
  try {
    const json = parseJson(new TextDecoder().decode(bytes), 'index');
    return isObject(json) && isObject(json.metadata) && json.metadata.format === 'bitnibble';
  } catch {
    return false;
  }
}

/** What a file is that none of these readers takes, for the message: `... its content is neither`. */
export function whatElse(source: ByteSource): string {
  const head = new Uint8Array(64);
  const text = String.fromCharCode(...head.subarray(0, source.read(head, 0)));
  if (text === '') return 'the file is empty';
  if (text.startsWith('version https://git-lfs'))
    return 'this is a Git LFS pointer: fetch the file itself with git lfs pull';
  if (isGzip(head)) return 'this is gzip data: unpack it first';
  if (safetensorsMetadata(source)) return 'this is a safetensors file of another library';
  // A pickle names its protocol; joblib compresses with zlib, whose first two bytes are a multiple of 31.
  const [first = 0, second = 0] = head;
  const isZlib = first === 0x78 && (first * 256 + second) % 31 === 0;
  if (isZlib || (first === 0x80 && second >= 2 && second <= 5))
    return 'this is a pickle or joblib file of another library';
  return 'its content is neither';
}

async function openH5(source: ByteSource, name: string): Promise<KerasModel> {
  const file = await openHdf5(name, source);
  try {
    const contents = isLegacy(file) ? withFloats(readLegacy(file), name) : readWeights([file], name);
    return new KerasModel({ name, container: 'h5', source, h5: [file] }, contents);
  } catch (error) {
    file.close();
    throw error;
  }
}

/** What a file has, with the weights that Keras quantized as floats. */
function withFloats(contents: KerasContents, name: string): KerasContents {
  return { ...contents, ...floatView(contents.weights, contents.architecture, name) };
}

/** Keras 3's weights without an architecture. */
function readWeights(files: readonly Hdf5[], name: string, list?: ShardList): KerasContents {
  const tree = readVarsTree(files);
  if (list) checkShards(list, allVariables(tree), name);
  const stored = placeVariables(tree, undefined, name);
  requireVariables(stored, name);
  const { weights, leftOut } = floatView(stored, undefined, name);
  const layers = layersOfWeights(weights);
  return {
    architecture: undefined,
    trainingConfig: undefined,
    kerasVersion: '',
    backend: '',
    layers,
    weights,
    leftOut,
  };
}

const openZip = (source: ByteSource, name: string): Promise<KerasModel> =>
  openMembers(openArchive(source, name), { name, container: 'keras', source });

async function openMembers(members: KerasMembers, files: Omit<KerasFiles, 'h5'>): Promise<KerasModel> {
  const { name } = files;
  const { weights: member, architecture, trainingConfig, kerasVersion } = members;
  const listed = listedLayers(architecture, name);
  const file = await openHdf5(`${name}/${WEIGHTS_MEMBER}`, member);
  try {
    const stored = placeVariables(readVarsTree([file]), listed, name, kerasVersion.startsWith('2.'));
    const { weights, leftOut } = floatView(stored, architecture, name);
    const layers = listed ?? layersOfWeights(weights);
    return new KerasModel(
      { ...files, h5: [file] },
      { architecture, trainingConfig, kerasVersion, backend: '', layers, weights, leftOut },
    );
  } catch (error) {
    file.close();
    throw error;
  }
}

/**
 * Opens a model that Keras 3 saved as a folder, `model.save(folder, zipped=False)`: `config.json`, `metadata.json` and
 * `model.weights.h5`.
 *
 * @param open a file of the folder by its name; undefined where there is none
 * @param name names the folder in errors
 * @throws BitnibbleError as {@link openKeras}
 */
export async function openKerasFolder(
  open: (member: string) => ByteSource | undefined,
  name = 'model',
): Promise<KerasModel> {
  const { bytes, ...members } = openFolder(open, name);
  let model: KerasModel | undefined;
  try {
    model = await openMembers(members, { name, container: 'folder', source: members.weights, bytes });
    checkCalls(model);
    return model;
  } catch (error) {
    if (model) model.close();
    else members.weights.close?.();
    throw error;
  }
}

async function openShards(
  source: ByteSource,
  name: string,
  { openShard }: OpenKerasOptions,
): Promise<KerasModel> {
  const list = readShardList(source, name);
  if (!openShard) {
    throw new BitnibbleError(
      'not-found',
      `${name}: lists shards (${list.files[0]}, ...): give openShard to open them`,
    );
  }
  const sources: ByteSource[] = [];
  const files: Hdf5[] = [];
  try {
    for (const shard of list.files) {
      const bytes = openShard(shard);
      sources.push(bytes);
      files.push(await openHdf5(shard, bytes));
    }
    return new KerasModel({ name, container: 'shards', source, h5: files }, readWeights(files, name, list));
  } catch (error) {
    for (const file of files) file.close();
    for (const shard of sources) shard.close?.();
    throw error;
  }
}
