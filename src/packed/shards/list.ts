import { BitnibbleError } from '../../errors.js';
import { JSON_LIMIT, parseJson } from '../../formats/json.js';
import { isPlainFileName } from '../../formats/names.js';
import { hasTwins, type SafetensorsEntry, type SafetensorsHeader } from '../../formats/safetensors.js';
import { isObject } from '../../model.js';

/** Shards of a model at most. */
export const MOST_SHARDS = 10_000;

/** `model.safetensors.index.json`: what the model is, and which file holds which tensor. */
export interface ShardIndex {
  /** As `__metadata__` of a packed file in one piece. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Bytes of all tensors. */
  readonly totalSize: number;
  /** Names of the shards, each once, in alphabetical order. */
  readonly files: readonly string[];
  /** The shard of each tensor. */
  readonly fileOf: ReadonlyMap<string, string>;
  /** The tensors of each shard. */
  readonly tensorsOf: ReadonlyMap<string, readonly string[]>;
}

function damaged(what: string, fault: string): BitnibbleError {
  return new BitnibbleError('corrupt-file', `${what}: damaged index of shards: ${fault}`);
}

/**
 * Reads the index of a model in shards, as docs/FORMAT.md has it.
 *
 * @param what names the file in errors
 * @throws BitnibbleError `too-large`, `corrupt-file`
 */
export function readShardIndex(bytes: Uint8Array, what: string): ShardIndex {
  if (bytes.length > JSON_LIMIT) throw tooLong(bytes.length, what);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw damaged(what, 'it is not UTF-8');
  }
  const json = parseJson(text, what);
  const { metadata, weight_map: map } = isObject(json) ? json : {};
  if (!isObject(json) || !isObject(metadata) || !isObject(map))
    throw damaged(what, 'expected "metadata" and "weight_map", two objects');
  if (hasTwins(text, json)) throw damaged(what, 'a name is used twice');
  const { total_size: totalSize, ...rest } = metadata;
  if (!Number.isSafeInteger(totalSize) || (totalSize as number) < 0)
    throw damaged(
      what,
      `total_size expected a number of bytes, got ${JSON.stringify(totalSize)?.slice(0, 60)}`,
    );
  const fileOf = new Map<string, string>();
  const tensorsOf = new Map<string, string[]>();
  for (const [tensor, file] of Object.entries(map)) {
    if (!isPlainFileName(file)) {
      const shown = JSON.stringify(file).slice(0, 100);
      throw damaged(what, `tensor ${tensor.slice(0, 100)}: ${shown} is no name of a file beside it`);
    }
    fileOf.set(tensor, file);
    const own = tensorsOf.get(file);
    if (own) own.push(tensor);
    else tensorsOf.set(file, [tensor]);
  }
  const files = [...tensorsOf.keys()].sort();
  if (files.length > MOST_SHARDS)
    throw damaged(what, `it names ${files.length} shards, expected at most ${MOST_SHARDS}`);
  const texts = Object.entries(rest).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  );
  return { metadata: new Map(texts), totalSize: totalSize as number, files, fileOf, tensorsOf };
}

export const tooLong = (bytes: number, what: string): BitnibbleError =>
  new BitnibbleError('too-large', `${what}: ${bytes} bytes of JSON, expected at most ${JSON_LIMIT}`);

/**
 * Holds a shard against the index.
 *
 * @param at which of `files` it is, counted from 0
 * @param what names the index in errors
 * @throws BitnibbleError `missing-weight` for a tensor that is not in it, `corrupt-file` for one that should be elsewhere or
 *   nowhere, and for a shard of another place
 */
export function checkShard(
  index: ShardIndex,
  at: number,
  { metadata, tensors }: SafetensorsHeader,
  what: string,
): void {
  const { files, fileOf, tensorsOf } = index;
  const file = files[at] as string;
  const place = `${at + 1}/${files.length}`;
  const own = metadata.get('shard');
  if (own !== undefined && own !== place)
    throw damaged(what, `${file} is shard ${own.slice(0, 40)} of its model, expected ${place}`);
  for (const name of tensors.keys()) {
    const stated = fileOf.get(name);
    if (stated === file) continue;
    const where = stated === undefined ? 'and not in the index' : `and the index has it in ${stated}`;
    throw damaged(what, `tensor ${name} is in ${file}, ${where}`);
  }
  for (const name of tensorsOf.get(file) ?? [])
    if (!tensors.has(name))
      throw new BitnibbleError('missing-weight', `${what}: tensor ${name} is not in ${file}`);
}

/** The error of tensors that have other bytes in all than the index states. */
export const wrongTotal = ({ totalSize }: ShardIndex, bytes: number, what: string): BitnibbleError =>
  damaged(what, `total_size is ${totalSize}, and the tensors of its shards have ${bytes} bytes`);

/** All shards as one. */
export interface JoinedShards {
  /** With the tensors of all shards, each at its place in its own. */
  readonly header: Pick<SafetensorsHeader, 'metadata' | 'tensors'>;
  /** Which shard holds a tensor. */
  readonly shardOf: (entry: SafetensorsEntry) => number;
}

/**
 * Makes one of the headers of all shards, in the order of `files`, each of which {@link checkShard} has seen.
 * @throws BitnibbleError `corrupt-file` where the tensors have other bytes in all than the index states
 */
export function joinShards(
  index: ShardIndex,
  headers: readonly SafetensorsHeader[],
  what: string,
): JoinedShards {
  const total = headers.reduce((sum, { fileSize, dataStart }) => sum + fileSize - dataStart, 0);
  if (total !== index.totalSize) throw wrongTotal(index, total, what);
  const tensors = new Map(headers.flatMap((header) => [...header.tensors]));
  const places = new Map(index.files.map((file, at) => [file, at]));
  const shardOf = ({ name }: SafetensorsEntry) => places.get(index.fileOf.get(name) as string) as number;
  return { header: { metadata: index.metadata, tensors }, shardOf };
}
