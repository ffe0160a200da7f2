import { basename } from 'node:path';
import { BitnibbleError } from '../errors.js';
import { JSON_LIMIT, parseJson } from '../formats/json.js';
import { isObject } from '../keras/config.js';
import type { KerasModel } from '../keras/keras-model.js';
import { isPackedIndex, whatElse } from '../keras/open.js';
import type { ByteSource } from '../keras/source.js';
import type { Decoder } from '../kernels/types.js';
import type { ModelInfo, ModelSource, QuantizableModel } from '../model.js';
import type { QuantizedModel } from '../packed/quantized-model.js';
import { openPackedSource } from '../packed/read-source.js';
import { openPackedShards } from '../packed/shards/read.js';
import { layoutShards } from '../packed/shards/write.js';
import { type PlannedWeight, tensorsOf, writePacked } from '../packed/write.js';
import {
  planQuantized,
  type QuantizeModelOptions,
  type QuantizeReport,
  quantizeInto,
  quantizePlanned,
  type WriteTensor,
} from '../pipeline/quantize.js';
import type { Recipe } from '../pipeline/recipe.js';
import type { Draft } from './drafts.js';
import { writeSet } from './file-set.js';
import { makeFile, requireOtherFile, writeFile } from './files.js';

/** A model that is open; `close` releases its file. */
export interface OpenModel {
  readonly model: ModelSource;
  readonly bytes: number;
  /** Releases its file. */
  readonly close: () => void;
}

const INDEX = /\.safetensors\.index\.json$/i;

/** Whether a file of this name is the index of a packed model in shards. */
export const isIndexName = (path: string): boolean => INDEX.test(path);

/** Whether a file of this name is written in the packed form, whole or in shards. */
export const isPackedName = (path: string): boolean => /\.safetensors$/i.test(path) || isIndexName(path);

/** Whether a file of this name is a part of a job that `--shard` divides. */
export const isPartName = (path: string): boolean => /\.part$/i.test(path);

/** A packed file, or the index of one in shards, in place. @param openShard absent where nothing is beside it */
export function openPackedModel(
  source: ByteSource,
  kernels: Decoder,
  name: string,
  openShard?: (shard: string) => ByteSource,
): OpenModel {
  const kind = whatElse(source);
  const shards: ByteSource[] = [];
  const close = () => {
    for (const file of [source, ...shards]) file.close?.();
  };
  try {
    if (isPackedIndex(source)) {
      const open = (shard: string) => {
        if (!openShard) throw notBeside(name, shard);
        const file = openShard(shard);
        shards.push(file);
        return file;
      };
      const index = new Uint8Array(source.size);
      source.read(index, 0);
      const model = openPackedShards(index, open, kernels, name);
      return { model, bytes: shards.reduce((sum, { size }) => sum + size, source.size), close };
    }
    const model = openPackedSource(source, kernels, name);
    return { model, bytes: source.size, close };
  } catch (error) {
    close();
    if (!(error instanceof BitnibbleError) || error.code !== 'not-safetensors' || shards.length > 0)
      throw error;
    throw new BitnibbleError(
      'unknown-format',
      `${name}: expected a Keras .h5 or .keras file or a packed .safetensors file, ${kind}`,
    );
  }
}

const notBeside = (name: string, shard: string): BitnibbleError =>
  new BitnibbleError('not-found', `${name}: an index of shards (${shard}, ...): give it by its file's name`);

/** `model-00001-of-00004`, as the tools of the safetensors ecosystem call the shards of `model.safetensors.index.json`. */
const SHARD = /^(.*)-\d{5,}-of-\d{5,}$/s;

/** How the tensors of a packed model in shards are written. */
export interface ShardWriter {
  readonly model: ModelInfo;
  readonly weights: readonly PlannedWeight[];
  /** Bytes of the tensors of a shard. */
  readonly shardSize: number | undefined;
  /** Writes every tensor once, weights in order. */
  readonly write: (write: WriteTensor) => void;
}

/** Writes a packed model in shards and their index. */
export async function writeShards(
  path: string,
  { model, weights, shardSize, write }: ShardWriter,
): Promise<void> {
  const { shards, shardOf, index } = layoutShards(model, weights, shardSize);
  const base = basename(path).replace(INDEX, '');
  const five = (n: number) => String(n).padStart(5, '0');
  await writeSet(path, {
    names: {
      stem: (n, count) => `${base}-${five(n + 1)}-of-${five(count)}`,
      ending: '.safetensors',
      // Long names lose their beginning to make room for a tag.
      isStem: (name) => {
        const own = SHARD.exec(name)?.[1];
        return own === base || (Boolean(own) && base.length > 50 && base.endsWith(own as string));
      },
    },
    write: (add) => {
      // One at a time is open: weights come in order, and those of a shard stand together.
      const drafts: Draft[] = [];
      const begin = (at: number): Draft => {
        while (drafts.length <= at) {
          drafts.at(-1)?.settle();
          const draft = add();
          draft.write((shards[drafts.length] as (typeof shards)[number]).head, 0);
          drafts.push(draft);
        }
        return drafts[at] as Draft;
      };
      write((tensor, bytes, position) => {
        const at = shardOf.get(tensor) as number;
        const place = shards[at]?.places.get(tensor) as number;
        begin(at).write(bytes, place + position);
      });
      begin(shards.length - 1);
    },
    index: (names) => [index(names)],
    listed: (bytes) => listedShards(bytes, path),
  });
}

/** The shards that a file names, which may be any that was called so before. */
function listedShards(bytes: Uint8Array, name: string): string[] {
  const json = parseJson(new TextDecoder().decode(bytes), name);
  const map = isObject(json) && isObject(json.weight_map) ? json.weight_map : {};
  return [...new Set(Object.values(map).filter((file): file is string => typeof file === 'string'))];
}

/** Writes a quantized model in the packed form, as `path` says whole or in shards. */
export async function savePacked(quantized: QuantizedModel, path: string, shardSize?: number): Promise<void> {
  if (!isIndexName(path)) return writeFile(path, writePacked(quantized));
  const { weights } = quantized;
  await writeShards(path, {
    ...{ model: quantized, weights, shardSize },
    write: (write) => {
      for (const weight of weights)
        for (const tensor of tensorsOf(weight)) write(tensor.name, tensor.bytes(), 0);
    },
  });
}

/** What quantizing a model into a file needs. */
export interface QuantizeToFileOptions extends QuantizeModelOptions {
  /** Called when all is quantized, before it takes the place of a file that is there. */
  readonly onWritten?: () => void;
  /** Bytes of the tensors of a shard at most, where `path` is an index; 5e9 unless stated. A larger weight has one of its own. */
  readonly shardSize?: number;
}

/**
 * Quantizes a model into a packed file tensor by tensor: no more than some slices of a tensor are in memory, however large
 * the model is. The file is that of {@link saveQuantized}.
 *
 * @param model the original, or what a transform made of it
 * @param original the model's file, still open
 * @param path ends in `.safetensors`; or in `.safetensors.index.json` for shards, which get names like
 *   `model-00001-of-00004.safetensors` beside it
 * @throws BitnibbleError as `quantizeModel`, and `same-file`, `not-writable`; RangeError for another ending
 */
export async function quantizeToFile(
  model: QuantizableModel,
  recipe: Recipe,
  options: QuantizeToFileOptions,
  original: KerasModel,
  path: string,
): Promise<QuantizeReport> {
  requireOtherFile(original.file, path);
  let report: QuantizeReport | undefined;
  if (isIndexName(path)) {
    const plan = planQuantized(model, recipe);
    await writeShards(path, {
      model,
      weights: plan.map(({ weight }) => weight),
      shardSize: options.shardSize,
      write: (write) => {
        report = quantizePlanned(model, plan, options, write);
        options.onWritten?.();
      },
    });
    return report as unknown as QuantizeReport;
  }
  if (!isPackedName(path)) {
    throw new RangeError(
      `"output" expected a name ending in .safetensors or .safetensors.index.json, got ${JSON.stringify(path)}`,
    );
  }
  await makeFile(path, (draft) => {
    report = quantizeInto(model, recipe, options, (bytes, at) => draft.write(bytes, at));
    options.onWritten?.();
  });
  return report as unknown as QuantizeReport;
}

/** Bytes of an index and of the shards that it names. @throws what `size` throws */
export function indexBytes(index: Uint8Array, path: string, size: (name: string) => number): number {
  if (index.length > JSON_LIMIT) return index.length;
  return listedShards(index, path).reduce((sum, name) => sum + size(name), index.length);
}
