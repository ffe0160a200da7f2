import type { RandomAccess } from '../../formats/random-access.js';
import type { Decoder } from '../../kernels/types.js';
import { planPacked } from '../plan.js';
import type { QuantizedModel } from '../quantized-model.js';
import { modelOf, openSourceFile } from '../read-source.js';
import { checkShard, joinShards, readShardIndex } from './list.js';

/**
 * Opens a packed model in shards where they lie: the headers of all are read and scales are checked, codes and kept tensors
 * are read each time that they are asked for. The sources have to stay open.
 *
 * @param index the bytes of `model.safetensors.index.json`
 * @param open gives a shard by its plain name
 * @param kernels of `loadKernels` or, enough to read with, of `loadDecoder`
 * @param what names the index in errors
 * @throws BitnibbleError `missing-weight` for a tensor that is not in its shard, `corrupt-file` for one that is in another or
 *   in two, and what `openPacked` throws; what `open` throws
 */
export function openPackedShards(
  index: Uint8Array,
  open: (name: string) => RandomAccess,
  kernels: Decoder,
  what = 'packed model',
): QuantizedModel {
  const list = readShardIndex(index, what);
  const files = list.files.map((name, at) => {
    const file = openSourceFile(open(name), name);
    checkShard(list, at, file.header, what);
    return file;
  });
  const { header, shardOf } = joinShards(
    list,
    files.map((file) => file.header),
    what,
  );
  const read = (entry: Parameters<typeof shardOf>[0]) =>
    (files[shardOf(entry)] as (typeof files)[number]).read(entry);
  return modelOf(planPacked(header, what), read, kernels, what);
}
