import { BitnibbleError } from '../../errors.js';
import type { SafetensorsEntry } from '../../formats/safetensors.js';
import type { Decoder } from '../../kernels/types.js';
import { type DeclaredWeight, damagedModel, declarePacked, type PlannedWeight } from '../plan.js';
import { readWeight } from '../quantized-model.js';
import { packedWeight } from '../read.js';
import { ByteInput, type ByteStream, bodyOf, isResponse, takeHeader } from '../source.js';
import type { StreamedWeight, StreamOptions } from '../stream.js';
import { type OpenShard, openedShard, shardOpener, takeIndexFrom } from './beside.js';
import { checkShard, wrongTotal } from './list.js';

/** What happens while a packed model in shards arrives. Progress is told in bytes of tensors. */
export interface StreamShardsOptions extends StreamOptions {
  /** Gives a shard by its name; by default it is fetched from beside the index, which then has to be a response to `fetch`. */
  readonly openShard?: OpenShard;
}

/**
 * Decodes a packed model in shards as its bytes arrive, one shard after the other, each opened when the one before has
 * ended: as `streamPacked` does it with one file. Weights whose tensors lie in two shards are read as well, and keep what comes
 * first waiting.
 *
 * Leaving the loop early cancels the download.
 *
 * @param source what `fetch` of `model.safetensors.index.json` resolved to, or a stream of its bytes
 * @param kernels of `loadKernels` or, enough to read with, of `loadDecoder`
 * @throws BitnibbleError `download`, and what {@link openPackedShards} throws; whether all is there is known at the end
 */
export async function* streamShards(
  source: Response | ByteStream,
  kernels: Decoder,
  options: StreamShardsOptions = {},
): AsyncGenerator<StreamedWeight, void, undefined> {
  const name = options.name ?? ((isResponse(source) && source.url) || 'packed model');
  const open = shardOpener(source, options.openShard);
  const first = new ByteInput(isResponse(source) ? bodyOf(source, name).stream : source, name);
  let index: Awaited<ReturnType<typeof takeIndexFrom>>;
  try {
    index = await takeIndexFrom(first);
  } finally {
    await first.stop();
  }
  const { info, weights, plan } = declarePacked(index.metadata, name);
  const owners = new Map<string, DeclaredWeight>();
  for (const weight of weights) {
    for (const tensor of weight.tensors) {
      if (!index.fileOf.has(tensor))
        throw new BitnibbleError('missing-weight', `${name}: tensor ${tensor} is not in the index`);
      owners.set(tensor, weight);
    }
  }
  for (const tensor of index.fileOf.keys())
    if (!owners.has(tensor)) throw damagedModel(name, `tensor ${tensor} belongs to no weight`);
  options.onHeader?.(
    info,
    weights.map((weight) => weight.info),
  );
  const entries = new Map<string, SafetensorsEntry>();
  const waiting = new Map<string, Uint8Array>();
  const progress = { announced: 0, done: 0 };
  for (const [at, file] of index.files.entries()) {
    const shard = await openedShard(open, file);
    const input = new ByteInput(shard.stream, shard.name);
    try {
      const { header } = await takeHeader(input);
      checkShard(index, at, header, name);
      progress.announced += header.fileSize - header.dataStart;
      if (progress.announced > index.totalSize) throw wrongTotal(index, progress.announced, name);
      for (const entry of header.tensors.values()) entries.set(entry.name, entry);
      // Whatever is of another size than its weight is refused before it comes.
      const ready = new Map<DeclaredWeight, PlannedWeight>();
      for (const tensor of header.tensors.keys()) {
        const owner = owners.get(tensor) as DeclaredWeight;
        if (!ready.has(owner) && owner.tensors.every((part) => entries.has(part)))
          ready.set(owner, plan(owner, entries));
      }
      for (const entry of header.tensors.values()) {
        const owner = owners.get(entry.name) as DeclaredWeight;
        waiting.set(entry.name, await input.take(entry.end - entry.start));
        progress.done += entry.end - entry.start;
        options.onProgress?.(progress.done, index.totalSize);
        const planned = ready.get(owner);
        if (!planned || !owner.tensors.every((tensor) => waiting.has(tensor))) continue;
        const weight = packedWeight(planned, (part) => waiting.get(part.name) as Uint8Array, name);
        const values = readWeight(kernels, weight, name, options.into?.(weight));
        for (const tensor of owner.tensors) {
          waiting.delete(tensor);
          entries.delete(tensor);
        }
        yield { id: weight.id, weight, values };
      }
      await input.end();
    } finally {
      await input.stop();
    }
  }
  if (progress.done !== index.totalSize) throw wrongTotal(index, progress.done, name);
}
