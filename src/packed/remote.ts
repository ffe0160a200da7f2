import { BitnibbleError } from '../errors.js';
import {
  readSafetensorsHeader,
  type SafetensorsEntry,
  type SafetensorsHeader,
  safetensorsHeaderBytes,
} from '../formats/safetensors.js';
import type { Decoder } from '../kernels/types.js';
import type { JsonObject, ModelInfo, WeightInfo } from '../model.js';
import type { DecodeTarget } from '../schemes/target.js';
import { type PackedPlan, type PlannedWeight, partsOf, planPacked } from './plan.js';
import { readWeight } from './quantized-model.js';
import { packedWeight } from './read.js';
import { ByteInput, bodyOf, concat } from './source.js';

/** How a packed file is fetched by ranges. */
export interface RemoteOptions {
  /** In place of the global `fetch`. */
  readonly fetch?: (url: string | URL, init: RequestInit) => Promise<Response>;
  /** Sent with every request, for authorization. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Ends all requests. */
  readonly signal?: AbortSignal;
  /**
   * Reads from a server that shows neither `ETag` nor `Last-Modified` (another origin shows the first only where
   * `Access-Control-Expose-Headers` names it). The header is then fetched and compared with every weight: a file that is
   * replaced by one with the same header, such as the same model trained further, is not noticed.
   */
  readonly allowUnversioned?: boolean;
}

/** Bytes of the first request, in which most headers end. */
export const FIRST_BYTES = 2 ** 16;

/** Fetches tensors, in their order. */
export type FetchParts = (parts: readonly SafetensorsEntry[]) => Promise<Uint8Array[]>;

/** A packed file on a server: its header is here, its weights are fetched one by one. */
export class RemotePacked implements ModelInfo {
  readonly file: string;
  readonly architecture: JsonObject | undefined;
  readonly kerasVersion: string;
  readonly backend: string;
  /** In the order of the model. */
  readonly weights: readonly WeightInfo[];
  readonly #fetchParts: FetchParts;
  readonly #byId: ReadonlyMap<string, PlannedWeight>;

  /** @internal */
  constructor(
    { info, weights }: PackedPlan,
    readonly kernels: Decoder,
    /** Bytes of the whole file. */
    readonly bytes: number,
    fetchParts: FetchParts,
  ) {
    this.#fetchParts = fetchParts;
    this.file = info.file;
    this.architecture = info.architecture;
    this.kerasVersion = info.kerasVersion;
    this.backend = info.backend;
    this.weights = weights;
    this.#byId = new Map(weights.map((weight) => [weight.id, weight]));
  }

  /**
   * Fetches and decodes one weight, C order: a request for its codes and one for its scales.
   * @throws BitnibbleError `missing-weight`, `download`, `no-ranges`, `corrupt-file`
   */
  async read(id: string): Promise<Float32Array> {
    return readWeight(this.kernels, await this.#fetch(id), this.file);
  }

  /**
   * {@link read} into memory of the caller, `product(shape)` values: float32, or half precision.
   * @throws RangeError for too short an `out`, and for a value that half precision cannot hold
   */
  async readInto<T extends DecodeTarget>(id: string, out: T): Promise<T> {
    return readWeight(this.kernels, await this.#fetch(id), this.file, out);
  }

  async #fetch(id: string) {
    const planned = this.#byId.get(id);
    if (!planned) throw new BitnibbleError('missing-weight', `${this.file}: no weight named ${id}`);
    const parts = partsOf(planned);
    const bytes = await this.#fetchParts(parts);
    return packedWeight(planned, (part) => bytes[parts.indexOf(part)] as Uint8Array, this.file);
  }
}

/**
 * Opens a packed file on a server that answers range requests, reading its header only: 64 KiB, and the rest where the
 * header is longer. Servers of another origin have to allow the request header `Range`.
 *
 * @param kernels of `loadKernels` or, enough to read with, of `loadDecoder`
 * @throws BitnibbleError `no-ranges` where the server sends the whole file (`streamPacked` reads that) or nothing that tells
 *   two versions of it apart, `download`, and what {@link openPacked} throws
 */
export async function openRemotePacked(
  url: string | URL,
  kernels: Decoder,
  options: RemoteOptions = {},
): Promise<RemotePacked> {
  const name = String(url);
  const file = new RemoteFile(url, name, options);
  const { header, fetchParts } = await openRemoteFile(file, await file.read(0, FIRST_BYTES, true));
  return new RemotePacked(planPacked(header, name), kernels, header.fileSize, fetchParts);
}

/** A safetensors file on a server: its header, and what fetches some of its tensors. @param first its first bytes */
export async function openRemoteFile(
  file: RemoteFile,
  first: Uint8Array,
): Promise<{ header: SafetensorsHeader; fetchParts: FetchParts }> {
  const { name } = file;
  const length = safetensorsHeaderBytes(first, name);
  const head = length > first.length ? concat(first, await file.read(first.length, length)) : first;
  const header = readSafetensorsHeader(head, name, file.size ?? null);
  const { dataStart } = header;
  const known = head.subarray(0, dataStart);
  const fetchParts: FetchParts = async (parts) => {
    const bytes = await Promise.all(
      parts.map(({ start, end }) => file.read(dataStart + start, dataStart + end)),
    );
    // After them: what is the same then was so all along.
    if (!file.isVersioned) file.requireSame(known, await file.read(0, dataStart));
    return bytes;
  };
  return { header, fetchParts };
}

/** A file on a server, read by ranges. */
export class RemoteFile {
  /** Bytes of the whole file, once a server has said it; undefined where another origin hides it. */
  size: number | undefined;
  /** `ETag`, else `Last-Modified`, of the first answer; undefined before it. */
  #version: string | null | undefined;

  constructor(
    readonly url: string | URL,
    readonly name: string,
    readonly options: RemoteOptions,
  ) {}

  /** Whether the server says which version of the file it sends. */
  get isVersioned(): boolean {
    return typeof this.#version === 'string';
  }

  requireSame(before: Uint8Array, now: Uint8Array): void {
    if (!before.every((byte, i) => byte === now[i])) throw this.#changed();
  }

  /**
   * Bytes `[from, to)`.
   * @param mayEnd take fewer where the file ends before
   */
  async read(from: number, to: number, mayEnd = false): Promise<Uint8Array> {
    if (to === from) return new Uint8Array(0);
    const response = await this.#request(from, to);
    const { stream } = bodyOf(response, this.name);
    const input = new ByteInput(stream, this.name);
    try {
      const end = this.#check(response, from, to, mayEnd);
      const bytes = await input.take(end - from, mayEnd);
      await input.end();
      return bytes;
    } finally {
      await input.stop();
    }
  }

  async #request(from: number, to: number): Promise<Response> {
    const { fetch = globalThis.fetch, headers, signal } = this.options;
    try {
      return await fetch(this.url, { headers: { ...headers, range: `bytes=${from}-${to - 1}` }, signal });
    } catch (cause) {
      throw this.#fault('download', `cannot be downloaded: ${(cause as Error).message}`, { cause });
    }
  }

  /** Where the bytes of the answer end. */
  #check(response: Response, from: number, to: number, mayEnd: boolean): number {
    const encoding = response.headers.get('content-encoding');
    if (response.status !== 206 || (encoding && encoding !== 'identity')) {
      const how = response.status === 206 ? `encodes them (${encoding})` : `answers ${response.status}`;
      throw this.#fault('no-ranges', `the server does no range requests, it ${how}: use streamPacked`);
    }
    const range = response.headers.get('content-range');
    const [, first, last, size] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(range ?? '')?.map(Number) ?? [];
    let end = to;
    if (first !== undefined && last !== undefined) {
      end = last + 1;
      if (first !== from || end > to || (end < to && !(mayEnd && end === size))) {
        throw this.#fault('no-ranges', `asked for bytes ${from}-${to - 1}, the server sent ${range}`);
      }
    } else if (range !== null) {
      throw this.#fault('no-ranges', `the server sent the range ${JSON.stringify(range)}`);
    } // else another origin that does not expose Content-Range
    const version = response.headers.get('etag') ?? response.headers.get('last-modified');
    const known = size === undefined || Number.isNaN(size) ? this.size : size;
    if (this.#version !== undefined && (version !== this.#version || known !== this.size))
      throw this.#changed();
    if (version === null && !this.options.allowUnversioned) {
      throw this.#fault(
        'no-ranges',
        'the server shows no ETag or Last-Modified, so that parts of two versions of the file could not be told apart: send or expose one, use streamPacked, or set allowUnversioned',
      );
    }
    this.#version = version;
    this.size = known;
    return end;
  }

  #changed(): BitnibbleError {
    return this.#fault('download', 'the file changed on the server while it was read');
  }

  #fault(code: 'download' | 'no-ranges', fault: string, options?: { cause: unknown }): BitnibbleError {
    return new BitnibbleError(code, `${this.name}: ${fault}`, options);
  }
}
