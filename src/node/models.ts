import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { BitnibbleError } from '../errors.js';
import { parseJson } from '../formats/json.js';
import { replaceMember } from '../formats/zip-write.js';
import { isZip, WEIGHTS_MEMBER } from '../keras/archive.js';
import { isObject } from '../keras/config.js';
import { emptyHdf5 } from '../keras/h5-library.js';
import type { Container, KerasModel } from '../keras/keras-model.js';
import { isPacked, isPackedIndex, openKerasFolder, openKeras as openKerasSource } from '../keras/open.js';
import { requireWritable } from '../keras/quantized/view.js';
import {
  type NewValues,
  type NewWeights,
  requireNoFolder,
  weightEntries,
  writeWeights,
} from '../keras/save.js';
import { isJsonObject, readShardList } from '../keras/shards.js';
import { type ByteSource, bytesSource } from '../keras/source.js';
import { isHdf5, withoutUserBlock } from '../keras/superblock.js';
import type { Decoder } from '../kernels/types.js';
import type { Json, JsonObject } from '../model.js';
import type { QuantizedModel } from '../packed/quantized-model.js';
import { decodedWeights } from '../pipeline/quantize.js';
import type { LayersModelFiles } from '../tfjs/artifacts.js';
import { Draft } from './drafts.js';
import { writeSet } from './file-set.js';
import { fileSource, isFolder, makeFile, placeOf, requireOtherFile, translated, writeFile } from './files.js';
import { isPackedName, type OpenModel, openPackedModel, savePacked } from './packed.js';

/**
 * Opens a trained Keras model on disk, a file or the folder that `model.save(folder, zipped=False)` writes; tensors are
 * read in place, when asked for. Close it when done.
 * @throws BitnibbleError `not-found`, `not-hdf5`, `no-model-config`, `missing-weight`, `corrupt-file`
 */
export async function openKeras(path: string): Promise<KerasModel> {
  if (isFolder(path)) {
    const member = (name: string) => join(path, name);
    return openKerasFolder((name) => (existsSync(member(name)) ? fileSource(member(name)) : undefined), path);
  }
  const source = fileSource(path);
  try {
    return await openKerasSource(source, path, {
      openShard: (name) => fileSource(join(dirname(path), name)),
    });
  } catch (error) {
    source.close?.();
    throw error;
  }
}

/** A Keras file or folder or a packed file, by its content, read in place. */
export async function openModel(path: string, kernels: Decoder): Promise<OpenModel> {
  if (isFolder(path)) {
    const model = await openKeras(path);
    return { model, bytes: model.files.bytes ?? 0, close: () => model.close() };
  }
  const source = fileSource(path);
  if (!isKerasFile(source))
    return openPackedModel(source, kernels, path, (name) => fileSource(join(dirname(path), name)));
  const bytes = source.size;
  source.close?.();
  const model = await openKeras(path);
  return { model, bytes, close: () => model.close() };
}

/** {@link openModel} of bytes in memory; `name` is for messages. */
export async function openModelBytes(from: Uint8Array, kernels: Decoder, name: string): Promise<OpenModel> {
  const source = bytesSource(from);
  if (!isKerasFile(source)) return openPackedModel(source, kernels, name);
  const model = await openKerasSource(source, name);
  return { model, bytes: source.size, close: () => model.close() };
}

const isKerasFile = (source: ByteSource): boolean =>
  isHdf5(source) || isZip(source) || (!isPacked(source) && isJsonObject(source) && !isPackedIndex(source));

/**
 * Writes a copy of the model's file with new weights; everything else stays as it is, but what stands before the HDF5 data in a
 * user block, which is left out. A model in shards is written as shards again, all named after `path`.
 * @throws BitnibbleError `same-file`, `not-writable`, `missing-weight`, `shape-mismatch`, `not-finite`
 */
export async function saveModelWeights(model: KerasModel, weights: NewWeights, path: string): Promise<void> {
  await saveEntries(model, weightEntries(weights), path);
}

type Entries = Iterable<readonly [id: string, values: NewValues]>;

async function saveEntries(model: KerasModel, entries: Entries, path: string): Promise<void> {
  requireOtherFile(model.file, path);
  const { container, source, h5 } = model.files;
  const options = { copyOf: model.file };
  if (container === 'shards') return saveShards(model, entries, path);
  requireNoFolder(model);
  const [file] = h5.map((one) => withoutUserBlock(one.source)) as [ByteSource];
  if (container === 'h5') {
    return makeFile(
      path,
      (draft) => {
        copyInto(draft, file, model.file);
        return writeWeights(model, entries, draft);
      },
      options,
    );
  }
  let member: Draft | undefined;
  try {
    member = Draft.scratch(placeOf(path).folder);
    copyInto(member, file, model.file);
    await writeWeights(model, entries, member);
    await writeFile(path, replaceMember(source, WEIGHTS_MEMBER, member, model.file), options);
  } catch (error) {
    throw translated(member?.fault ?? error, path, 'written');
  } finally {
    member?.discard();
  }
}

/** `NAME_00000`, as Keras calls the shards of `NAME.weights.json`. */
const SHARD = /^(.*)_\d{5,}$/s;

async function saveShards(model: KerasModel, entries: Entries, path: string): Promise<void> {
  // `path.stem.replace(".weights", "")` in ShardedH5IOStore of Keras 3.15, which opens shard 0 by this name whatever is listed.
  const base = basename(path)
    .replace(/\.json$/i, '')
    .replaceAll('.weights', '');
  const { source, h5 } = model.files;
  const stem = (n: number) => `${base}_${String(n).padStart(5, '0')}`;
  await writeSet(
    path,
    {
      names: {
        stem,
        ending: '.weights.h5',
        // Long names lose their beginning to make room for a tag.
        isStem: (name) => {
          const own = SHARD.exec(name)?.[1];
          return own === base || (Boolean(own) && base.length > 50 && base.endsWith(own as string));
        },
      },
      write: async (add) => {
        const copies = h5.map((file) => {
          const copy = add();
          copyInto(copy, withoutUserBlock(file.source), file.name);
          return copy;
        });
        await writeWeights(model, entries, copies);
      },
      index: (names) => {
        const renamed = new Map(h5.map(({ name }, i) => [name, names[i] as string]));
        const json = JSON.stringify(renamedShards(source, model.file, renamed), undefined, 4);
        return [new TextEncoder().encode(json)];
      },
      listed: (index) => readShardList(bytesSource(index), path).files,
      door: { name: `${stem(0)}.weights.h5`, bytes: emptyHdf5, accepts: isHdf5 },
    },
    { copyOf: model.file },
  );
}

function renamedShards(source: ByteSource, file: string, names: ReadonlyMap<string, string>): JsonObject {
  const { json } = readShardList(source, file);
  const rename = (value: Json): Json =>
    Array.isArray(value) ? value.map(rename) : (names.get(String(value)) as string);
  const map = Object.entries(json.weight_map as JsonObject).map(
    ([key, value]) => [key, rename(value)] as const,
  );
  return { ...json, weight_map: Object.fromEntries(map) };
}

function copyInto(draft: Draft, source: ByteSource, name: string): void {
  for (let at = 0; at < source.size; at += 2 ** 20) {
    const chunk = new Uint8Array(Math.min(2 ** 20, source.size - at));
    if (source.read(chunk, at) < chunk.length) {
      throw new BitnibbleError('corrupt-file', `${name}: became shorter while it was read`);
    }
    draft.append(chunk);
  }
}

/** Names of the weight files of TensorFlow.js's converter. */
const GROUP = /^group\d+-shard\d+of\d+$/;

/**
 * Writes a TensorFlow.js layers model, its weight files beside `path`: whole, or not at all.
 * @returns the names of the files, `model.json` last
 * @throws BitnibbleError `not-writable`; whatever the model's reading throws
 */
export async function saveLayersModel(files: LayersModelFiles, path: string): Promise<readonly string[]> {
  const own = basename(path);
  const names = await writeSet(path, {
    names: {
      stem: (n, count) => `group1-shard${n + 1}of${count}`,
      ending: '.bin',
      isStem: (name) => GROUP.test(name),
    },
    write: (add) => {
      for (const { name, pieces } of files.files) {
        if (name === own) continue;
        const draft = add();
        for (const piece of pieces) draft.append(piece);
      }
    },
    index: (parts) => [files.jsonFor(parts)],
    listed: (index) => listedWeightFiles(index, path),
  });
  return [...names, own];
}

/** The weight files that a `model.json` names. */
function listedWeightFiles(index: Uint8Array, name: string): string[] {
  const json = parseJson(new TextDecoder().decode(index), name);
  const manifest = isObject(json) && Array.isArray(json.weightsManifest) ? json.weightsManifest : [];
  return manifest.flatMap((group) =>
    isObject(group) && Array.isArray(group.paths)
      ? group.paths.filter((part): part is string => typeof part === 'string')
      : [],
  );
}

/** Endings of the Keras file that a model can be written to: what it came from. */
const ENDINGS: Readonly<
  Record<Exclude<Container, 'folder'>, { readonly pattern: RegExp; readonly name: string }>
> = {
  h5: { pattern: /\.(h5|hdf5|h5f)$/i, name: '.h5' },
  keras: { pattern: /\.keras$/i, name: '.keras' },
  shards: { pattern: /\.weights\.json$/i, name: '.weights.json' },
};

/**
 * Refuses an output that `saveQuantized` would refuse for its ending: the packed form, or the original's own.
 * @throws RangeError
 */
export function requireEnding(original: KerasModel, path: string): void {
  const { container } = original.files;
  if (isPackedName(path)) return;
  if (container === 'folder') {
    throw new RangeError(
      `"output" expected a name ending in .safetensors (${original.file} is a folder), got ${JSON.stringify(path)}`,
    );
  }
  const { pattern, name } = ENDINGS[container];
  if (pattern.test(path)) return;
  throw new RangeError(
    `"output" expected a name ending in .safetensors or ${name} (as ${original.file}), got ${JSON.stringify(path)}`,
  );
}

/**
 * Writes a quantized model. The name decides: `.safetensors` the packed form, and `.safetensors.index.json` the same in shards
 * of 5 GB; the ending of the original's container
 * (`.h5`, `.keras`, `.weights.json`) the Keras file with decoded values.
 *
 * @param original the model that was quantized, still open
 * @throws BitnibbleError `same-file`, `not-writable`, `missing-weight` where a Keras file is asked for and layers were
 *   folded away, `unsupported-dtype` where it is one whose weights Keras quantized itself; RangeError for another ending
 */
export async function saveQuantized(
  quantized: QuantizedModel,
  original: KerasModel,
  path: string,
): Promise<void> {
  requireOtherFile(original.file, path);
  requireEnding(original, path);
  if (isPackedName(path)) return savePacked(quantized, path);
  requireSameWeights(quantized, original, path);
  for (const weight of quantized.weights)
    if (weight.kind === 'quantized' || weight.changed)
      requireWritable(original.weight(weight.id), original.file);
  await saveEntries(original, decodedWeights(quantized), path);
}

/** A Keras file keeps its layers, so values that belong to other layers would make another model of it. */
function requireSameWeights(quantized: QuantizedModel, original: KerasModel, path: string): void {
  const [have, want] = [quantized, original].map(({ weights }) => new Set(weights.map(({ id }) => id)));
  const gone = original.weights.find(({ id }) => !have?.has(id));
  const extra = quantized.weights.find(({ id }) => !want?.has(id));
  if (!gone && !extra) return;
  const what = gone ? `lacks the weight ${gone.id}` : `has the weight ${extra?.id} more than`;
  throw new BitnibbleError(
    'missing-weight',
    `${path}: the quantized model ${what} ${gone ? 'of ' : ''}${original.file}: its layers were folded; write .safetensors, or fold with keepLayers`,
  );
}
