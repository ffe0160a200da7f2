import type { SafetensorsEntry } from '../../formats/safetensors.js';
import type { Decoder } from '../../kernels/types.js';
import { planPacked } from '../plan.js';
import {
  type FetchParts,
  FIRST_BYTES,
  openRemoteFile,
  RemoteFile,
  type RemoteOptions,
  RemotePacked,
} from '../remote.js';
import { besideUrl, takeIndex } from './beside.js';
import { checkShard, joinShards } from './list.js';

/** How a packed model in shards is fetched by ranges. */
export interface RemoteShardOptions extends RemoteOptions {
  /** Where a shard is; beside the index unless stated, with nothing of the index's query. */
  readonly shardUrl?: (name: string) => string | URL;
}

/** Headers that are fetched at the same time. */
const AT_ONCE = 4;

/**
 * Opens a packed model in shards on a server that answers range requests: the index and the header of each shard are read,
 * weights are fetched one by one.
 *
 * @param url of `model.safetensors.index.json`
 * @param kernels of `loadKernels` or, enough to read with, of `loadDecoder`
 * @throws BitnibbleError what `openRemotePacked` and {@link openPackedShards} throw
 */
export async function openRemoteShards(
  url: string | URL,
  kernels: Decoder,
  options: RemoteShardOptions = {},
): Promise<RemotePacked> {
  const name = String(url);
  const { fetch = globalThis.fetch, headers, signal } = options;
  const { shardUrl = (file: string) => besideUrl(url, file) } = options;
  const list = await takeIndex(
    () => fetch(url, { ...(headers ? { headers } : {}), ...(signal ? { signal } : {}) }),
    name,
  );
  const shards: Awaited<ReturnType<typeof openRemoteFile>>[] = [];
  for (let from = 0; from < list.files.length; from += AT_ONCE) {
    const some = list.files.slice(from, from + AT_ONCE).map(async (own, i) => {
      const at = shardUrl(own);
      const file = new RemoteFile(at, String(at), options);
      const shard = await openRemoteFile(file, await file.read(0, FIRST_BYTES, true));
      checkShard(list, from + i, shard.header, name);
      return shard;
    });
    shards.push(...(await Promise.all(some)));
  }
  const all = shards.map(({ header }) => header);
  const { header, shardOf } = joinShards(list, all, name);
  const fetchParts: FetchParts = async (parts) => {
    const fetched = await Promise.all(
      parts.map((part: SafetensorsEntry) =>
        (shards[shardOf(part)] as (typeof shards)[number]).fetchParts([part]),
      ),
    );
    return fetched.flat();
  };
  const bytes = all.reduce((sum, { fileSize }) => sum + fileSize, 0);
  return new RemotePacked(planPacked(header, name), kernels, bytes, fetchParts);
}
