import { BitnibbleError } from '../errors.js';
import { JSON_LIMIT, parseJson } from '../formats/json.js';
import { isPlainFileName } from '../formats/names.js';
import { DTYPE_BYTES, type Json, type JsonObject } from '../model.js';
import { sizeOf } from '../shape.js';
import { isObject } from './config.js';
import type { ByteSource } from './source.js';
import { OPTIMIZER, type StoredVariable } from './vars-tree.js';

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
  /** The shards of each object's variables, by the path of their group: `/layers/dense/vars`. */
  readonly shardsOf: ReadonlyMap<string, readonly string[]>;
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
  const shardsOf = new Map(Object.entries(map).map(([group, value]) => [group, shardNames(value, name)]));
  const files = new Set([...shardsOf.values()].flat());
  if (files.size === 0 || files.size > MAX_SHARDS) {
    throw new BitnibbleError('corrupt-file', `${name}: lists ${files.size} shards`);
  }
  return { json, files: [...files].sort(), shardsOf };
}

function shardNames(value: Json, name: string): string[] {
  const names = Array.isArray(value) ? value : [value];
  return names.map((file) => {
    if (isPlainFileName(file)) return file;
    throw new BitnibbleError(
      'corrupt-file',
      `${name}: ${JSON.stringify(file).slice(0, 100)} is no name of a shard`,
    );
  });
}

const isOptimizer = (group: string): boolean => OPTIMIZER.test(group.split('/')[1] ?? '');

/**
 * Holds what shards have against the list: every object's variables are where it says, all of them and nowhere else.
 *
 * @param variables of all shards, whose `file` counts in `files` of the list
 * @throws BitnibbleError `missing-weight`, `corrupt-file`
 */
export function checkShards(
  { json, files, shardsOf }: ShardList,
  variables: Iterable<StoredVariable>,
  name: string,
): void {
  const found = new Map<string, { shards: Set<string>; keys: Set<string> }>();
  let bytes = 0;
  for (const { key, file, path, shape, dtype } of variables) {
    bytes += sizeOf(shape) * DTYPE_BYTES[dtype];
    const group = path.slice(0, -key.length - 1);
    const own = found.get(group) ?? { shards: new Set(), keys: new Set() };
    found.set(group, own);
    own.shards.add(files[file] as string);
    own.keys.add(key);
  }
  const hasOptimizer = [...shardsOf.keys()].some(isOptimizer);
  const missing = (fault: string) => new BitnibbleError('missing-weight', `${name}: ${fault}`);
  for (const [group, listed] of shardsOf) {
    if (isOptimizer(group)) continue;
    for (const file of listed)
      if (!found.get(group)?.shards.has(file))
        throw missing(`${file} has no variables of ${group}, where the list has some`);
  }
  for (const [group, { shards, keys }] of found) {
    const listed = shardsOf.get(group);
    for (const file of shards) {
      if (listed?.includes(file)) continue;
      const where = listed ? `which the list has in ${listed.join(', ')}` : 'which are not in the list';
      throw new BitnibbleError('corrupt-file', `${name}: ${file} has variables of ${group}, ${where}`);
    }
    // Keras counts them from 0.
    const numbers = [...keys].filter((key) => /^\d+$/.test(key));
    for (let i = 0; i < numbers.length; i++)
      if (!keys.has(String(i))) throw missing(`no shard has variable ${i} of ${group}`);
  }
  const stated = isObject(json.metadata) ? json.metadata.total_size : undefined;
  if (typeof stated === 'number' && bytes < stated && !hasOptimizer)
    throw missing(`its shards have ${bytes} bytes of variables, and the list states ${stated}`);
}
