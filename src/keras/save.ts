import { BitnibbleError } from '../errors.js';
import type { JsonObject } from '../model.js';
import { sizeOf } from '../shape.js';
import { H5File } from './h5.js';
import type { KerasModel } from './keras-model.js';
import { type ByteSource, GrowingBytes } from './source.js';

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
 * Overwrites weights in a copy of the model's file; all else of the file stays as it is: attributes, order,
 * optimizer state.
 *
 * @param target a writable copy of the file that `model` was opened from
 * @param weights pairs of weight id and float32 values
 * @throws BitnibbleError `missing-weight`, `shape-mismatch`
 */
export async function writeWeights(
  model: KerasModel,
  weights: Iterable<readonly [id: string, values: ArrayLike<number>]>,
  target: ByteSource,
): Promise<void> {
  const copy = await H5File.open(model.file, target);
  try {
    for (const [id, values] of weights) {
      const { path, shape } = model.weight(id);
      if (values.length !== sizeOf(shape)) {
        throw new BitnibbleError(
          'shape-mismatch',
          `${model.file}: expected ${sizeOf(shape)} values of shape [${shape}], got ${values.length} (tensor ${id})`,
        );
      }
      copy.writeFloat32(path, values instanceof Float32Array ? values : Float32Array.from(values));
    }
  } finally {
    copy.close();
  }
}

/**
 * The model's file with new weights, as bytes: `saveModelWeights(model, postTrainBinarization(loadModelWeights(model)))`.
 * For files on disk see `saveModelWeights` of `bitnibble/node`, which copies instead of holding the file in memory.
 */
export async function saveModelWeights(model: KerasModel, weights: NewWeights): Promise<Uint8Array> {
  const copy = new GrowingBytes(model.fileBytes());
  await writeWeights(model, weightEntries(weights), copy);
  return copy.bytes;
}
