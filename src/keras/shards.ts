import { BitnibbleError } from '../errors.js';
import { JSON_LIMIT, parseJson } from '../formats/json.js';
import type { Json, JsonObject } from '../model.js';
import { isObject } from './config.js';
import type { ByteSource } from './source.js';

const MAX_SHARDS = 10_000;

/** Whether bytes begin as the `.weights.json` of a sharded model: with a JSON object. */
export function isJsonObject(source: ByteSource): boolean {
  const head = new Uint8Array(64);
  const count = source.read(head, 0);
  return /^\s*\{/.test(String.fromCharCode(...head.subarray(0, count)));
}

/** A `.weights.json`: which shards hold the variables of which objects. */
export interface ShardList {
  readonly json: JsonObject;
  /** Names of the shards, each once, in order. */
  readonly files: readonly string[];
}

/**
 * @throws BitnibbleError `corrupt-file`; `not-hdf5` for JSON of another kind
 */
export function readShardList(source: ByteSource, name: string): ShardList {
  if (source.size > JSON_LIMIT)
    throw new BitnibbleError(
      'too-large',
      `${name}: ${source.size} bytes of JSON, expected at most ${JSON_LIMIT}`,
    );
  const bytes = new Uint8Array(source.size);
  source.read(bytes, 0);
  const json = parseJson(new TextDecoder().decode(bytes), name);
  const map = isObject(json) ? json.weight_map : undefined;
  if (!isObject(json) || !isObject(map)) {
    throw new BitnibbleError(
      'not-hdf5',
      `${name}: JSON without a weight_map: no list of the shards of a model`,
    );
  }
  const files = new Set<string>();
  for (const value of Object.values(map)) for (const file of shardNames(value, name)) files.add(file);
  if (files.size === 0 || files.size > MAX_SHARDS) {
    throw new BitnibbleError('corrupt-file', `${name}: lists ${files.size} shards`);
  }
  return { json, files: [...files].sort() };
}

function shardNames(value: Json, name: string): string[] {
  const names = Array.isArray(value) ? value : [value];
  return names.map((file) => {
    // A plain name of the same folder, nothing that leads elsewhere.
    if (typeof file === 'string' && /^[^/\\:\0]+$/.test(file) && !/^\.+$/.test(file)) return file;
    throw new BitnibbleError(
      'corrupt-file',
      `${name}: ${JSON.stringify(file).slice(0, 100)} is no name of a shard`,
    );
  });
}
