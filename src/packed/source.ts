import { BitnibbleError, expected } from '../errors.js';

/** Bytes that arrive over time. */
export type ByteStream = ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>;

/** Bytes read so far and in all; the latter is undefined where nobody says. */
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
 * The body of a response, and its length where the server says it.
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
    readonly total?: number,
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
   * The next `wanted` bytes, in memory of their own.
   *
   * @param mayEnd take fewer where the stream ends before
   * @throws BitnibbleError `corrupt-file` where it ends before, `download` where it breaks off
   */
  async take(wanted: number, mayEnd = false): Promise<Uint8Array<ArrayBuffer>> {
    let bytes = new Uint8Array(Math.min(wanted, STEP));
    for (let at = 0; at < wanted; ) {
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

  /** Everything that is left. */
  async all(): Promise<Uint8Array> {
    const from = this.#done - this.#rest.length;
    const chunks: Uint8Array[] = [];
    do {
      chunks.push(this.#rest);
    } while (await this.#read());
    const bytes = new Uint8Array(this.#done - from);
    let at = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
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
