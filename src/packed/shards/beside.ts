// Shards by their names, wherever the index is.
import { BitnibbleError, expected } from '../../errors.js';
import { JSON_LIMIT } from '../../formats/json.js';
import { ByteInput, type ByteStream, bodyOf, isResponse } from '../source.js';
import { readShardIndex, type ShardIndex, tooLong } from './list.js';

/** Gives a shard by its plain name. */
export type OpenShard = (name: string) => Response | ByteStream | Promise<Response | ByteStream>;

/** The address of a shard: of a file beside the index, whose name may hold any character. Relative where that of the index is. */
export const besideUrl = (index: string | URL, name: string): string =>
  String(index)
    .replace(/[?#].*$/s, '')
    .replace(/[^/]*$/, '') + encodeURIComponent(name);

/** An answer, or why there is none. @throws BitnibbleError `download` */
export async function fetched(request: () => Promise<Response>, name: string): Promise<Response> {
  try {
    return await request();
  } catch (cause) {
    const message = `${name}: cannot be downloaded: ${(cause as Error).message}`;
    throw new BitnibbleError('download', message, { cause });
  }
}

/**
 * Opens shards with `open`, else beside the response that the index came with.
 * @throws TypeError where it came from somewhere else and there is no `open`
 */
export function shardOpener(source: unknown, open: OpenShard | undefined): OpenShard {
  if (open) return open;
  const url = isResponse(source) ? source.url : '';
  if (url === '')
    throw new TypeError(
      expected(
        'openShard',
        'a function, since an index that is no response to fetch is beside nothing',
        open,
      ),
    );
  return (name) => fetched(() => fetch(besideUrl(url, name)), besideUrl(url, name));
}

/** The stream of a shard, and its name in errors. @throws BitnibbleError `download` */
export async function openedShard(
  open: OpenShard,
  file: string,
): Promise<{ name: string; stream: ByteStream }> {
  const opened = await open(file);
  if (!isResponse(opened)) return { name: file, stream: opened };
  const name = opened.url || file;
  return { name, stream: bodyOf(opened, name).stream };
}

/** The index off a stream, to its end. @param prefix what was taken of it already */
export async function takeIndexFrom(
  input: ByteInput,
  prefix: Uint8Array = new Uint8Array(0),
): Promise<ShardIndex> {
  const bytes = await input.take(JSON_LIMIT + 1, true, prefix);
  if (bytes.length > JSON_LIMIT) throw tooLong(bytes.length, input.name);
  return readShardIndex(bytes, input.name);
}

/** An index that is downloaded. @throws BitnibbleError `download`, and what {@link readShardIndex} throws */
export async function takeIndex(request: () => Promise<Response>, name: string): Promise<ShardIndex> {
  const input = new ByteInput(bodyOf(await fetched(request, name), name).stream, name);
  try {
    return await takeIndexFrom(input);
  } finally {
    await input.stop();
  }
}
