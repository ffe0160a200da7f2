import { expected } from '../../errors.js';
import { JSON_LIMIT } from '../../formats/json.js';
import { bytesOfTensor, layoutSafetensors, type SafetensorsLayout } from '../../formats/safetensors.js';
import type { ModelInfo } from '../../model.js';
import { FORMAT, VERSION } from '../format.js';
import { headsOf, metadataOf, type PlannedWeight } from '../write.js';
import { MOST_SHARDS } from './list.js';

/** Bytes of the tensors of a shard unless stated otherwise, as the tools of the safetensors ecosystem have it. */
export const SHARD_BYTES = 5e9;

/** Where everything of a packed model in shards will lie, before any value is known. */
export interface ShardLayout {
  readonly shards: readonly SafetensorsLayout[];
  /** Which shard holds a tensor. */
  readonly shardOf: ReadonlyMap<string, number>;
  /** The index, for shards of these names. @throws RangeError for one that no reader takes */
  readonly index: (names: readonly string[]) => Uint8Array;
}

/**
 * Cuts a packed model into shards: weights in their order, a new shard where the next one would make it larger than `most`.
 * A weight's codes and scales stay together, so one that is larger has a shard of its own.
 *
 * @param most bytes of the tensors of a shard
 * @throws RangeError for more shards than readers take
 */
export function layoutShards(
  model: ModelInfo,
  weights: readonly PlannedWeight[],
  most: number = SHARD_BYTES,
): ShardLayout {
  if (!(most >= 1)) throw new RangeError(expected('shardSize', 'bytes, at least 1', most));
  const groups: PlannedWeight[][] = [];
  let room = 0;
  let total = 0;
  for (const weight of weights) {
    const bytes = headsOf(weight).reduce((sum, head) => sum + bytesOfTensor(head), 0);
    if (groups.length === 0 || bytes > room) {
      groups.push([]);
      room = most;
    }
    groups.at(-1)?.push(weight);
    room -= bytes;
    total += bytes;
  }
  if (groups.length > MOST_SHARDS)
    throw new RangeError(
      expected(
        'shardSize',
        `bytes that give at most ${MOST_SHARDS} shards`,
        `${most}, which give ${groups.length}`,
      ),
    );
  const shardOf = new Map<string, number>();
  const shards = groups.map((group, i) => {
    const heads = group.flatMap(headsOf);
    for (const { name } of heads) shardOf.set(name, i);
    return layoutSafetensors(heads, [
      ['format', FORMAT],
      ['format_version', VERSION],
      ['shard', `${i + 1}/${groups.length}`],
    ]);
  });
  const metadata = { total_size: total, ...Object.fromEntries(metadataOf(model, weights)) };
  const index = (names: readonly string[]): Uint8Array => {
    const map = Object.fromEntries([...shardOf].map(([tensor, at]) => [tensor, names[at]]));
    const json = new TextEncoder().encode(`${JSON.stringify({ metadata, weight_map: map }, undefined, 2)}\n`);
    if (json.length > JSON_LIMIT)
      throw new RangeError(expected('index', `at most ${JSON_LIMIT} bytes`, json.length));
    return json;
  };
  return { shards, shardOf, index };
}
