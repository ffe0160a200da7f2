import { BitnibbleError } from '../errors.js';
import { fromNumbers, toFloat32 } from '../formats/dtypes.js';
import { replaceMember } from '../formats/zip-write.js';
import type { JsonObject } from '../model.js';
import { sizeOf } from '../shape.js';
import { WEIGHTS_MEMBER } from './archive.js';
import type { Hdf5 } from './hdf5.js';
import type { KerasModel } from './keras-model.js';
import { openHdf5 } from './open-hdf5.js';
import { requireWritable } from './quantized/view.js';
import { type ByteSource, GrowingBytes } from './source.js';
import { withoutUserBlock } from './superblock.js';

/** A layer with its weights, as `layer.get_config()` and `layer.get_weights()` give them in Python. */
export interface LayerWeights {
  readonly name: string;
  readonly className: string;
  readonly config: JsonObject;
  readonly weights: readonly {
    readonly id: string;
    readonly name: string;
    readonly shape: readonly number[];
    readonly values: Float32Array;
  }[];
}

/** Every top-level layer with its config and the values of its weights, in order; layers without weights too. */
export function loadModelWeights(model: KerasModel): LayerWeights[] {
  return model.layers.map((layer) => ({
    name: layer.name,
    className: layer.className,
    config: layer.config,
    weights: model.weights
      .filter(({ group }) => group === layer.name)
      .map(({ id, name, shape }) => ({ id, name, shape, values: model.read(id) })),
  }));
}

/** Values of a whole weight, or pieces of it one after the other. */
export type NewValues =
  | ArrayLike<number>
  | Iterable<{ readonly from: number; readonly values: ArrayLike<number> }>;

/** New values by weight id; what is not named stays as it is. */
export type NewWeights =
  | ReadonlyMap<string, ArrayLike<number>>
  | readonly { readonly weights: readonly { readonly id: string; readonly values: ArrayLike<number> }[] }[];

/** Pairs of weight id and values. */
export function weightEntries(weights: NewWeights): Iterable<readonly [string, ArrayLike<number>]> {
  if (weights instanceof Map) return weights;
  const layers = weights as Exclude<NewWeights, ReadonlyMap<string, ArrayLike<number>>>;
  return layers.flatMap((layer) => layer.weights.map(({ id, values }) => [id, values] as const));
}

/**
 * Overwrites weights in a copy of the model's HDF5 file, without its user block; all else of the file stays as it is:
 * attributes, order, optimizer state. Values are stored in the number type that the weight has.
 *
 * @param target a writable copy of the HDF5 file: of `model` itself, or of `model.weights.h5` in its archive; of each
 *   shard in order where it has several
 * @param weights pairs of weight id and values, whole or in pieces
 * @throws BitnibbleError `missing-weight`, `shape-mismatch`, `not-finite` for values too large for the weight's type,
 *   `unsupported-dtype` for weights that Keras quantized itself
 */
export async function writeWeights(
  model: KerasModel,
  weights: Iterable<readonly [id: string, values: NewValues]>,
  target: ByteSource | readonly ByteSource[],
): Promise<void> {
  const targets = Array.isArray(target) ? (target as readonly ByteSource[]) : [target as ByteSource];
  const copies: Hdf5[] = [];
  try {
    for (const [i, bytes] of targets.entries())
      copies.push(await openHdf5(model.files.h5[i]?.name ?? model.file, bytes));
    for (const [id, values] of weights) {
      const weight = model.weight(id);
      requireWritable(weight, model.file);
      const { shape, dtype } = weight;
      const size = sizeOf(shape);
      let done = 0;
      for (const { from, values: piece } of 'length' in values ? [{ from: 0, values }] : values) {
        done += piece.length;
        if (done > size) break;
        const bytes = fromNumbers(piece, dtype);
        if (dtype === 'F16' || dtype === 'BF16')
          requireInRange(piece, bytes, dtype, `${model.file}: tensor ${id}`);
        for (const { file, path } of [weight, ...weight.copies])
          (copies[file] as Hdf5).writeBytes(path, bytes, from);
      }
      if (done !== size) {
        throw new BitnibbleError(
          'shape-mismatch',
          `${model.file}: expected ${size} values of shape [${shape}], got ${done} (tensor ${id})`,
        );
      }
    }
  } finally {
    for (const copy of copies) copy.close();
  }
}

/** Finite values must stay finite in the narrower type. */
function requireInRange(
  values: ArrayLike<number>,
  bytes: Uint8Array,
  dtype: 'F16' | 'BF16',
  what: string,
): void {
  const stored = toFloat32(bytes, dtype);
  const at = stored.findIndex((value, i) => !Number.isFinite(value) && Number.isFinite(values[i]));
  if (at < 0) return;
  throw new BitnibbleError(
    'not-finite',
    `${what}: ${values[at]} at index ${at} is too large for its type ${dtype}`,
  );
}

/** Refuses to write a model again that Keras saved as a folder. @throws BitnibbleError `unsupported-version` */
export function requireNoFolder({ file, files }: KerasModel): void {
  if (files.container !== 'folder') return;
  throw new BitnibbleError(
    'unsupported-version',
    `${file}: a model in a folder is not written again: save it in Keras as one .keras file`,
  );
}

/**
 * The model's file with new weights, as bytes: `saveModelWeights(model, postTrainBinarization(loadModelWeights(model)))`.
 * For files on disk see `saveModelWeights` of `bitnibble/node`, which copies instead of holding the file in memory.
 *
 * @throws BitnibbleError as {@link writeWeights}; `unsupported-version` for a model in shards or in a folder
 */
export async function saveModelWeights(model: KerasModel, weights: NewWeights): Promise<Uint8Array> {
  const { container, source, h5 } = model.files;
  if (container === 'shards') {
    throw new BitnibbleError(
      'unsupported-version',
      `${model.file}: a model in shards is saved with bitnibble/node`,
    );
  }
  requireNoFolder(model);
  const file = (h5[0] as Hdf5).source;
  const copy = new GrowingBytes(wholeSource(withoutUserBlock(file)));
  await writeWeights(model, weightEntries(weights), copy);
  if (container === 'h5') return copy.bytes;
  return concat(replaceMember(source, WEIGHTS_MEMBER, copy, model.file));
}

function wholeSource(source: ByteSource): Uint8Array {
  const bytes = new Uint8Array(source.size);
  source.read(bytes, 0);
  return bytes;
}

function concat(pieces: Iterable<Uint8Array>): Uint8Array {
  const all = [...pieces];
  const out = new Uint8Array(all.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of all) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}
