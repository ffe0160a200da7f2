import { BitnibbleError, expected } from '../errors.js';
import {
  readSafetensorsHeader,
  type SafetensorsHeader,
  safetensorsHeaderBytes,
} from '../formats/safetensors.js';

/** Bytes that arrive over time. */
export type ByteStream = ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * Bytes read so far and in all. The latter is what the file's header says once that is there; before, what the server says,
 * which may be the length of compressed bytes, or undefined.
 */
export type OnProgress = (done: number, total: number | undefined) => void;

/** Bytes that are made room for before they arrive. */
const STEP = 2 ** 20;

/** What `fetch` resolves to, whichever `fetch` it was. */
export function isResponse(source: unknown): source is Response {
  return typeof source === 'object' && source !== null && 'headers' in source && 'bodyUsed' in source;
}

export function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}

/**
 * The body of a response, and its length where the server says it: for progress only. A page of another origin sees the
 * length of compressed bytes and not that they are compressed.
 * @throws BitnibbleError `download` for a status that is no success, and a body that was read before
 */
export function bodyOf(response: Response, name: string): { stream: ByteStream; total: number | undefined } {
  if (!response.ok) {
    throw new BitnibbleError('download', `${name}: cannot be downloaded: HTTP status ${response.status}`);
  }
  if (response.bodyUsed) throw new BitnibbleError('download', `${name}: the response was read before`);
  // With a content encoding the length is that of the compressed bytes.
  const length = response.headers.get('content-encoding') ? null : response.headers.get('content-length');
  return { stream: response.body ?? oneChunk(response), total: length === null ? undefined : Number(length) };
}

async function* oneChunk(response: Response): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(await response.arrayBuffer());
}

/** Takes bytes off a stream in pieces of known lengths. What it holds is never more than twice what has arrived. */
export class ByteInput {
  readonly #next: () => Promise<{ done?: boolean; value?: unknown }>;
  readonly #stop: () => Promise<unknown>;
  #rest: Uint8Array = new Uint8Array(0);
  #done = 0;

  constructor(
    stream: ByteStream,
    readonly name: string,
    /** For progress. */
    public total?: number,
    readonly onProgress?: OnProgress,
  ) {
    if (
      typeof stream !== 'object' ||
      stream === null ||
      !('getReader' in stream || Symbol.asyncIterator in stream)
    ) {
      throw new TypeError(expected('source', 'a Response or a stream of bytes', typeof stream, name));
    }
    if ('getReader' in stream) {
      const reader = stream.getReader();
      this.#next = () => reader.read();
      this.#stop = () => reader.cancel();
    } else {
      const iterator = stream[Symbol.asyncIterator]();
      this.#next = () => iterator.next();
      this.#stop = async () => iterator.return?.();
    }
  }

  /**
   * The next bytes, in memory of their own, which grows as they arrive.
   *
   * @param wanted how many, those before them included
   * @param mayEnd take fewer where the stream ends before
   * @param before bytes that were taken already
   * @throws BitnibbleError `corrupt-file` where it ends before, `download` where it breaks off
   */
  async take(
    wanted: number,
    mayEnd = false,
    before: Uint8Array = new Uint8Array(0),
  ): Promise<Uint8Array<ArrayBuffer>> {
    let bytes = new Uint8Array(Math.min(wanted, STEP + 2 * before.length));
    bytes.set(before);
    for (let at = before.length; at < wanted; ) {
      if (this.#rest.length === 0 && !(await this.#read())) {
        if (mayEnd) return bytes.slice(0, at);
        const fault = `cut off at ${this.#done} bytes, ${wanted - at} more were expected`;
        throw new BitnibbleError('corrupt-file', `${this.name}: ${fault}`);
      }
      const part = this.#rest.subarray(0, wanted - at);
      this.#rest = this.#rest.subarray(part.length);
      if (at + part.length > bytes.length) {
        const grown = new Uint8Array(Math.min(wanted, 2 * (at + part.length)));
        grown.set(bytes.subarray(0, at));
        bytes = grown;
      }
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }

  /** @throws BitnibbleError `corrupt-file` where there are more bytes than were taken */
  async end(): Promise<void> {
    if (this.#rest.length === 0 && !(await this.#read())) return;
    const taken = this.#done - this.#rest.length;
    throw new BitnibbleError('corrupt-file', `${this.name}: expected ${taken} bytes in all, got more`);
  }

  /** Wants no more. A stream that fails to stop has failed before. */
  async stop(): Promise<void> {
    await this.#stop().catch(() => undefined);
  }

  async #read(): Promise<boolean> {
    for (;;) {
      let value: unknown;
      try {
        const result = await this.#next();
        if (result.done) return false;
        value = result.value;
      } catch (cause) {
        const message = `${this.name}: the download broke off: ${(cause as Error).message}`;
        throw new BitnibbleError('download', message, { cause });
      }
      if (!(value instanceof Uint8Array)) {
        throw new TypeError(expected('source', 'chunks of Uint8Array', typeof value, this.name));
      }
      if (value.length === 0) continue;
      this.#rest = value;
      this.#done += value.length;
      this.onProgress?.(this.#done, this.total);
      return true;
    }
  }
}

/**
 * Takes the header of a packed file off its stream. From then on progress is told in bytes of the whole file.
 * @param given the first 8 bytes, where they were taken before
 * @throws BitnibbleError what `readSafetensorsHeader` throws
 */
export async function takeHeader(
  input: ByteInput,
  given?: Uint8Array,
): Promise<{ header: SafetensorsHeader; head: Uint8Array }> {
  const prefix = given ?? (await input.take(8, true));
  const head = concat(prefix, await input.take(safetensorsHeaderBytes(prefix, input.name) - 8));
  const header = readSafetensorsHeader(head, input.name, null);
  input.total = header.fileSize;
  return { header, head };
}
