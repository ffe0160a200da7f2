import { BitnibbleError } from '../../errors.js';
import { layoutSafetensors, type SafetensorsHeader, startsJson } from '../../formats/safetensors.js';
import { partsOf, planPacked } from '../plan.js';
import { ByteInput, type ByteStream, bodyOf, isResponse, takeHeader } from '../source.js';
import { takeWhole, type WholeOptions } from '../whole.js';
import { type OpenShard, openedShard, shardOpener, takeIndexFrom } from './beside.js';
import { checkShard, joinShards, type ShardIndex } from './list.js';

export interface WholeShardsOptions extends WholeOptions {
  /** Gives a shard by its name; by default it is fetched from beside the index, where that is a response to `fetch`. */
  readonly openShard?: OpenShard | undefined;
  /** The response that a stream of bytes is the body of. */
  readonly response?: unknown;
}

/** Bytes as a packed file has them, or those that the shards of an index have in one piece. @throws as {@link takeAny} */
export const wholeOf = async (
  bytes: Uint8Array,
  name: string,
  options: WholeShardsOptions,
): Promise<Uint8Array> => (startsJson(bytes) ? takeAny(oneChunk(bytes), name, options) : bytes);

async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/**
 * A packed file whole, by its content in one piece or in shards, of which the bytes are made that it would have in one.
 *
 * @param source a response, or a stream of bytes: of the file, or of the index of its shards
 * @throws BitnibbleError as {@link takeWhole}, and what reading shards throws; TypeError for an index without `openShard`
 */
export async function takeAny(
  source: unknown,
  name: string,
  options: WholeShardsOptions,
): Promise<Uint8Array> {
  const stream = isResponse(source) ? bodyOf(source, name).stream : (source as ByteStream);
  const input = new ByteInput(stream, name, options.total, options.onProgress);
  try {
    const prefix = await input.take(8, true);
    if (!startsJson(prefix)) return await takeWhole(input, name, options, prefix);
    const open = shardOpener(options.response ?? source, options.openShard);
    return await joined(await takeIndexFrom(input, prefix), open, name, options);
  } finally {
    await input.stop();
  }
}

/** The bytes of the file in one piece. */
async function joined(
  index: ShardIndex,
  open: OpenShard,
  name: string,
  { limit, onProgress }: WholeShardsOptions,
): Promise<Uint8Array> {
  const tooLarge = (bytes: number): BitnibbleError =>
    new BitnibbleError('too-large', `${name}: the shards hold ${bytes} bytes, the limit is ${limit}`);
  if (index.totalSize > limit) throw tooLarge(index.totalSize);
  const shards: { header: SafetensorsHeader; data: Uint8Array }[] = [];
  let size = 0;
  for (const [at, file] of index.files.entries()) {
    const shard = await openedShard(open, file);
    const input = new ByteInput(shard.stream, shard.name);
    try {
      const { header } = await takeHeader(input);
      checkShard(index, at, header, name);
      const bytes = header.fileSize - header.dataStart;
      size += bytes;
      if (size > limit) throw tooLarge(size);
      shards.push({ header, data: await input.take(bytes) });
      await input.end();
      onProgress?.(size, index.totalSize);
    } finally {
      await input.stop();
    }
  }
  const headers = shards.map(({ header }) => header);
  const { header, shardOf } = joinShards(index, headers, name);
  const entries = planPacked(header, name).weights.flatMap(partsOf);
  const { head, ordered, places, size: total } = layoutSafetensors(entries, index.metadata);
  const out = new Uint8Array(total);
  out.set(head);
  for (const entry of ordered) {
    const { data } = shards[shardOf(entry)] as (typeof shards)[number];
    out.set(data.subarray(entry.start, entry.end), places.get(entry.name));
  }
  return out;
}
