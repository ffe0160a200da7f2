import { rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { BitnibbleError } from '../errors.js';
import { replaceMember } from '../formats/zip-write.js';
import { isZip, WEIGHTS_MEMBER } from '../keras/archive.js';
import { type H5File, isHdf5 } from '../keras/h5.js';
import type { Container, KerasModel } from '../keras/keras-model.js';
import { openKeras as openKerasSource, whatElse } from '../keras/open.js';
import { type NewValues, type NewWeights, weightEntries, writeWeights } from '../keras/save.js';
import { isJsonObject, readShardList } from '../keras/shards.js';
import type { ByteSource } from '../keras/source.js';
import type { Kernels } from '../kernels/types.js';
import type { Json, JsonObject, ModelSource } from '../model.js';
import type { QuantizedModel } from '../packed/quantized-model.js';
import { openPacked } from '../packed/read.js';
import { writePacked } from '../packed/write.js';
import { decodedWeights } from '../pipeline/quantize.js';
import { editCopy, fileSource, readFile, requireOtherFile, writeFile } from './files.js';

/**
 * Opens a trained Keras model on disk; tensors are read in place, when asked for. Close it when done.
 * @throws BitnibbleError `not-found`, `not-hdf5`, `no-model-config`, `missing-weight`, `corrupt-file`
 */
export async function openKeras(path: string): Promise<KerasModel> {
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

/** A Keras file or a packed file, by its content. `close` releases it. */
export async function openModel(
  path: string,
  kernels: Kernels,
): Promise<{ model: ModelSource; bytes: number; close: () => void }> {
  const source = fileSource(path);
  const bytes = source.size;
  const isKeras = isHdf5(source) || isZip(source) || isJsonObject(source);
  const kind = whatElse(source);
  source.close?.();
  if (isKeras) {
    const model = await openKeras(path);
    return { model, bytes, close: () => model.close() };
  }
  try {
    return { model: openPacked(readFile(path), kernels, path), bytes, close: () => undefined };
  } catch (error) {
    if (!(error instanceof BitnibbleError) || error.code !== 'not-safetensors') throw error;
    throw new BitnibbleError(
      'unknown-format',
      `${path}: expected a Keras .h5 or .keras file or a packed .safetensors file, ${kind}`,
    );
  }
}

/**
 * Writes a copy of the model's file with new weights; everything else stays as it is. A model in shards is written as
 * shards again, named after `path`.
 * @throws BitnibbleError `same-file`, `not-writable`, `missing-weight`, `shape-mismatch`, `not-finite`
 */
export async function saveModelWeights(model: KerasModel, weights: NewWeights, path: string): Promise<void> {
  await saveEntries(model, weightEntries(weights), path);
}

type Entries = Iterable<readonly [id: string, values: NewValues]>;

async function saveEntries(model: KerasModel, entries: Entries, path: string): Promise<void> {
  requireOtherFile(model.file, path);
  const { container, source } = model.files;
  if (container === 'h5') return editCopy(model.file, path, (copy) => writeWeights(model, entries, copy));
  if (container === 'keras') {
    const [member] = model.files.h5.map((file) => file.source) as [ByteSource];
    return withCopies([member], path, async ([copy]) => {
      await writeWeights(model, entries, copy as ByteSource);
      await writeFile(path, replaceMember(source, WEIGHTS_MEMBER, copy as ByteSource, model.file));
    });
  }
  await saveShards(model, entries, path);
}

/** Each shard beside `path` under its name: Keras finds shards by the name of the list. */
async function saveShards(model: KerasModel, entries: Entries, path: string): Promise<void> {
  const base = (file: string) => basename(file).replace(/(\.weights)?\.json$/i, '');
  const names = model.files.h5.map(({ name }) =>
    name.startsWith(`${base(model.file)}_`) ? base(path) + name.slice(base(model.file).length) : name,
  );
  const outputs = names.map((name) => join(dirname(path), name));
  for (const [i, output] of outputs.entries()) {
    requireOtherFile(join(dirname(model.file), (model.files.h5[i] as H5File).name), output);
  }
  const renamed = new Map(model.files.h5.map(({ name }, i) => [name, names[i] as string]));
  const sources = model.files.h5.map((file) => file.source);
  await withCopies(sources, path, async (copies) => {
    await writeWeights(model, entries, copies);
    for (const [i, output] of outputs.entries()) await writeFile(output, chunks(copies[i] as ByteSource));
    const json = JSON.stringify(renamedShards(model.files.source, model.file, renamed), undefined, 4);
    await writeFile(path, [new TextEncoder().encode(json)]);
  });
}

function renamedShards(source: ByteSource, file: string, names: ReadonlyMap<string, string>): JsonObject {
  const { json } = readShardList(source, file);
  const rename = (value: Json): Json =>
    Array.isArray(value) ? value.map(rename) : (names.get(String(value)) ?? value);
  const map = Object.entries(json.weight_map as JsonObject).map(
    ([key, value]) => [key, rename(value)] as const,
  );
  return { ...json, weight_map: Object.fromEntries(map) };
}

/** Runs `use` on writable copies of sources, in files beside `path` that go afterwards. */
async function withCopies(
  sources: readonly ByteSource[],
  path: string,
  use: (copies: readonly ByteSource[]) => Promise<void>,
): Promise<void> {
  const temporary = sources.map((_, i) => join(dirname(path), `.${basename(path)}.${process.pid}.part${i}`));
  const copies: ByteSource[] = [];
  try {
    for (const [i, source] of sources.entries()) {
      await writeFile(temporary[i] as string, chunks(source));
      copies.push(fileSource(temporary[i] as string, { writable: true }));
    }
    await use(copies);
  } finally {
    for (const copy of copies) copy.close?.();
    for (const file of temporary) rmSync(file, { force: true });
  }
}

function* chunks(source: ByteSource): Generator<Uint8Array> {
  for (let at = 0; at < source.size; at += 2 ** 20) {
    const chunk = new Uint8Array(Math.min(2 ** 20, source.size - at));
    source.read(chunk, at);
    yield chunk;
  }
}

/** Endings of the Keras file that a model can be written to: what it came from. */
const ENDINGS: Readonly<Record<Container, { readonly pattern: RegExp; readonly name: string }>> = {
  h5: { pattern: /\.(h5|hdf5|h5f)$/i, name: '.h5' },
  keras: { pattern: /\.keras$/i, name: '.keras' },
  shards: { pattern: /\.weights\.json$/i, name: '.weights.json' },
};

/**
 * Writes a quantized model. The name decides: `.safetensors` the packed form; the ending of the original's container
 * (`.h5`, `.keras`, `.weights.json`) the Keras file with decoded values.
 *
 * @param original the model that was quantized, still open
 * @throws BitnibbleError `same-file`, `not-writable`, `missing-weight` where a Keras file is asked for and layers were
 *   folded away; RangeError for another ending
 */
export async function saveQuantized(
  quantized: QuantizedModel,
  original: KerasModel,
  path: string,
): Promise<void> {
  requireOtherFile(original.file, path);
  if (/\.safetensors$/i.test(path)) return writeFile(path, writePacked(quantized));
  const { pattern, name } = ENDINGS[original.files.container];
  if (!pattern.test(path)) {
    throw new RangeError(
      `"output" expected a name ending in .safetensors or ${name} (as ${original.file}), got ${JSON.stringify(path)}`,
    );
  }
  requireSameWeights(quantized, original, path);
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
