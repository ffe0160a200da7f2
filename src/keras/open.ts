import { BitnibbleError } from '../errors.js';
import { isGzip } from '../formats/gzip.js';
import { isZip, openArchive, WEIGHTS_MEMBER } from './archive.js';
import { layersOfWeights, listedLayers } from './config.js';
import { H5File, isHdf5 } from './h5.js';
import { type KerasContents, KerasModel } from './keras-model.js';
import { isLegacy, readLegacy } from './legacy.js';
import { isJsonObject, readShardList } from './shards.js';
import { type ByteSource, bytesSource } from './source.js';
import { placeVariables, requireVariables } from './vars-model.js';
import { readVarsTree } from './vars-tree.js';

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
 * @throws BitnibbleError `not-hdf5` (none of these), `no-model-config`, `missing-weight`, `corrupt-file`,
 *   `unsupported-dtype`, `unsupported-version`, `unsupported-filter`, `too-large`
 */
export async function openKeras(
  from: Uint8Array | ByteSource,
  name = 'model',
  options: OpenKerasOptions = {},
): Promise<KerasModel> {
  const source = from instanceof Uint8Array ? bytesSource(from) : from;
  if (isHdf5(source)) return openH5(source, name);
  if (isZip(source)) return openZip(source, name);
  if (isJsonObject(source)) return openShards(source, name, options);
  throw new BitnibbleError(
    'not-hdf5',
    `${name}: expected a Keras file (HDF5 or a .keras archive), ${whatElse(source)}`,
  );
}

/** What a file is that none of these readers takes, for the message: `... its content is neither`. */
export function whatElse(source: ByteSource): string {
  const head = new Uint8Array(64);
  const text = String.fromCharCode(...head.subarray(0, source.read(head, 0)));
  if (text === '') return 'the file is empty';
  if (text.startsWith('version https://git-lfs'))
    return 'this is a Git LFS pointer: fetch the file itself with git lfs pull';
  if (isGzip(head)) return 'this is gzip data: unpack it first';
  if (head[0] === 0x78 || head[0] === 0x80) return 'this is a pickle or joblib file of another library';
  return 'its content is neither';
}

async function openH5(source: ByteSource, name: string): Promise<KerasModel> {
  const file = await H5File.open(name, source);
  try {
    const contents = isLegacy(file) ? readLegacy(file) : readWeights([file], name);
    return new KerasModel({ name, container: 'h5', source, h5: [file] }, contents);
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Keras 3's weights without an architecture. */
function readWeights(files: readonly H5File[], name: string): KerasContents {
  const weights = placeVariables(readVarsTree(files), undefined, name);
  requireVariables(weights, name);
  const layers = layersOfWeights(weights);
  return {
    architecture: undefined,
    trainingConfig: undefined,
    kerasVersion: '',
    backend: '',
    layers,
    weights,
  };
}

async function openZip(source: ByteSource, name: string): Promise<KerasModel> {
  const { architecture, trainingConfig, kerasVersion, weights: member } = openArchive(source, name);
  const listed = listedLayers(architecture, name);
  const file = await H5File.open(`${name}/${WEIGHTS_MEMBER}`, member);
  try {
    const weights = placeVariables(readVarsTree([file]), listed, name, kerasVersion.startsWith('2.'));
    const layers = listed ?? layersOfWeights(weights);
    return new KerasModel(
      { name, container: 'keras', source, h5: [file] },
      { architecture, trainingConfig, kerasVersion, backend: '', layers, weights },
    );
  } catch (error) {
    file.close();
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
  const files: H5File[] = [];
  try {
    for (const shard of list.files) {
      const bytes = openShard(shard);
      sources.push(bytes);
      files.push(await H5File.open(shard, bytes));
    }
    return new KerasModel({ name, container: 'shards', source, h5: files }, readWeights(files, name));
  } catch (error) {
    for (const file of files) file.close();
    for (const shard of sources) shard.close?.();
    throw error;
  }
}
