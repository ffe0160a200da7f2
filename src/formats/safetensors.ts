import { BitnibbleError, expected } from '../errors.js';
import { DTYPE_BYTES, type Dtype } from '../model.js';
import { sizeOf } from '../shape.js';
import { checkJsonSize } from './json.js';
import { checkName, MAX_PATH } from './names.js';
import type { RandomAccess } from './random-access.js';

/** Half of what the reference implementation takes: as text and parsed, a header takes eight times its bytes. */
export const MAX_HEADER_BYTES = 50_000_000;

/** Of an array in NumPy. */
export const MAX_RANK = 64;
/** A path and `.scales`. */
const MAX_TENSOR_NAME = MAX_PATH + 8;
/** What the reference implementation takes. */
const SPECIFIED_BYTES = 100_000_000;

/** A tensor in a safetensors file; `start` and `end` count from the first data byte. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly metadata: ReadonlyMap<string, string>;
  /** In the order of their data. */
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
  /** Offset of the first data byte in the file. */
  readonly dataStart: number;
  /** Bytes of the whole file. */
  readonly fileSize: number;
}

function damaged(what: string, fault: string): BitnibbleError {
  return new BitnibbleError('corrupt-file', `${what}: damaged safetensors file: ${fault}`);
}

/**
 * Whether a file begins as a JSON object does, such as the index of a model in shards, and not as a safetensors file: that
 * has zeros in the upper bytes of its length.
 *
 * @param prefix the first 8 bytes or more
 */
export const startsJson = (prefix: Uint8Array): boolean =>
  /^\s*\{\s*("|$)/.test(String.fromCharCode(...prefix.subarray(0, 8)));

/**
 * Length of header and length prefix together, from the first 8 bytes of a file.
 * @throws BitnibbleError `not-safetensors`, `too-large`
 */
export function safetensorsHeaderBytes(prefix: Uint8Array, what: string): number {
  if (prefix.length < 8) {
    throw new BitnibbleError(
      'not-safetensors',
      `${what}: expected a safetensors file, got ${prefix.length} bytes`,
    );
  }
  const view = new DataView(prefix.buffer, prefix.byteOffset, 8);
  const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  if (length > MAX_HEADER_BYTES && length <= SPECIFIED_BYTES)
    throw new BitnibbleError(
      'too-large',
      `${what}: a header of ${length} bytes, expected at most ${MAX_HEADER_BYTES}`,
    );
  if (length < 2 || length > MAX_HEADER_BYTES) {
    const hint = startsJson(prefix) ? '; an index of shards is opened with bitnibble/shards' : '';
    throw new BitnibbleError(
      'not-safetensors',
      `${what}: expected a safetensors file, its first 8 bytes give a header of ${length} bytes${hint}`,
    );
  }
  return 8 + length;
}

/**
 * What the header of a safetensors file says of the whole file, or undefined where the bytes are of another format. For
 * telling formats apart: the tensors are not looked at.
 */
export function safetensorsMetadata(source: RandomAccess): Readonly<Record<string, unknown>> | undefined {
  const prefix = new Uint8Array(9);
  if (source.read(prefix, 0) < 9 || prefix[8] !== 0x7b) return undefined;
  const length = new DataView(prefix.buffer).getUint32(0, true);
  const isLong = new DataView(prefix.buffer).getUint32(4, true) !== 0;
  if (isLong || length < 2 || length > Math.min(MAX_HEADER_BYTES, source.size - 8)) return undefined;
  const bytes = new Uint8Array(length);
  source.read(bytes, 8);
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    checkJsonSize(text, 'header', MAX_HEADER_BYTES);
    const { __metadata__: metadata = {} } = JSON.parse(text) as { __metadata__?: unknown };
    return typeof metadata === 'object' && metadata !== null ? { ...metadata } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Reads the header of a safetensors file.
 *
 * Refuses holes, overlaps, sizes that do not fit shape and type, names used twice, and bytes after the last tensor.
 *
 * @param bytes the file, or at least its header
 * @param fileSize bytes of the whole file, checked against the offsets; null where nobody knows
 * @throws BitnibbleError `not-safetensors`, `corrupt-file`, `unsupported-dtype`
 * Source: github.com/huggingface/safetensors, README, section Format
 */
export function readSafetensorsHeader(
  bytes: Uint8Array,
  what: string,
  fileSize: number | null = bytes.length,
): SafetensorsHeader {
  const dataStart = safetensorsHeaderBytes(bytes, what);
  if (dataStart > bytes.length) {
    throw damaged(what, `cut off in the header, at ${bytes.length} of ${dataStart} bytes`);
  }
  if (bytes[8] !== 0x7b) {
    throw new BitnibbleError(
      'not-safetensors',
      `${what}: expected a safetensors file, its header is not JSON`,
    );
  }
  let text: string;
  let parsed: Record<string, unknown>;
  const noJson = (error: unknown) =>
    damaged(what, `the header is not JSON in UTF-8 (${(error as Error).message.slice(0, 80)})`);
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, dataStart));
  } catch (error) {
    throw noJson(error);
  }
  checkJsonSize(text, `${what}: header`, MAX_HEADER_BYTES);
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw noJson(error);
  }
  const metadata = new Map<string, string>();
  const entries: SafetensorsEntry[] = [];
  for (const [name, value] of Object.entries(parsed)) {
    if (name === '__metadata__') {
      for (const [key, content] of Object.entries(asObject(value, what, '__metadata__'))) {
        if (typeof content !== 'string') throw damaged(what, `__metadata__ ${key} is not text`);
        metadata.set(key, content);
      }
    } else {
      entries.push(readEntry(name, asObject(value, what, `tensor ${name}`), what));
    }
  }
  if (hasTwins(text, parsed)) throw damaged(what, 'a name is used twice in the header');
  entries.sort((a, b) => a.start - b.start || a.end - b.end);
  let at = 0;
  for (const { name, start, end } of entries) {
    if (start !== at) throw damaged(what, `tensor ${name} starts at ${start}, expected ${at}`);
    at = end;
  }
  if (fileSize !== null && dataStart + at !== fileSize) {
    throw damaged(what, `expected ${dataStart + at} bytes in all, got ${fileSize}`);
  }
  const tensors = new Map(entries.map((entry) => [entry.name, entry]));
  return { metadata, tensors, dataStart, fileSize: dataStart + at };
}

/** Whether an object, or one in it, has two members of one name. `JSON.parse` keeps the last. */
export function hasTwins(json: string, parsed: Record<string, unknown>): boolean {
  // A text that comes back whole had none. A Worker that starts saves two milliseconds; long texts cost memory.
  if (json.length <= 2 ** 20 && JSON.stringify(parsed) === json.trimEnd()) return false;
  const members = Object.values(parsed).reduce<number>(
    (sum, value) => sum + (isMap(value) ? Object.keys(value).length : 0),
    Object.keys(parsed).length,
  );
  return countMembers(json) !== members;
}

const isMap = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Members of an object and of the objects in it, counted in JSON that is known to be valid. */
function countMembers(json: string): number {
  let depth = 0;
  let count = 0;
  for (let i = 0; i < json.length; i++) {
    const char = json[i];
    if (char === '"') {
      while (json[++i] !== '"') if (json[i] === '\\') i++;
    } else if (char === '{' || char === '[') depth++;
    else if (char === '}' || char === ']') depth--;
    else if (char === ':' && depth <= 2) count++;
  }
  return count;
}

function asObject(value: unknown, what: string, name: string): Record<string, unknown> {
  if (!isMap(value)) throw damaged(what, `${name} is not an object`);
  return value as Record<string, unknown>;
}

function readEntry(name: string, value: Record<string, unknown>, what: string): SafetensorsEntry {
  checkName(name, `${what}: a tensor`, MAX_TENSOR_NAME);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string') throw damaged(what, `tensor ${name} has no proper dtype`);
  if (!Object.hasOwn(DTYPE_BYTES, dtype)) {
    throw new BitnibbleError(
      'unsupported-dtype',
      `${what}: tensor ${name} has the type ${dtype}, expected one of ${Object.keys(DTYPE_BYTES).join(', ')}`,
    );
  }
  const isCount = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) >= 0;
  if (!Array.isArray(shape) || shape.length > MAX_RANK || !shape.every(isCount))
    throw damaged(what, `tensor ${name} has no proper shape`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    throw damaged(what, `tensor ${name} has no proper data_offsets`);
  }
  const [start, end] = offsets as [number, number];
  const bytes = sizeOf(shape) * DTYPE_BYTES[dtype as Dtype];
  if (end - start !== bytes) {
    throw damaged(
      what,
      `tensor ${name} spans ${end - start} bytes, its shape [${shape}] of ${dtype} needs ${bytes}`,
    );
  }
  return { name, dtype: dtype as Dtype, shape, start, end };
}

/** What a file has of a tensor beside its values. */
export interface TensorHead {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** A tensor to be written; its bytes are asked for when their turn comes. */
export interface SafetensorsTensor extends TensorHead {
  bytes(): Uint8Array;
}

/** Bytes of a text in UTF-8, without making them: a header may be tens of megabytes. Halves of pairs stand together. */
function utf8Bytes(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    // Two of the four bytes of a pair for each half.
    if (code >= 0x80) bytes += code < 0x800 || (code >= 0xd800 && code < 0xe000) ? 1 : 2;
  }
  return bytes;
}

/** Where everything of a safetensors file lies. */
export interface SafetensorsLayout<T extends TensorHead = TensorHead> {
  /** The length of the header, and the header. */
  readonly head: Uint8Array;
  /** In the order in which they lie behind it. */
  readonly ordered: readonly T[];
  /** The first byte of each tensor in the file, by its name. */
  readonly places: ReadonlyMap<string, number>;
  /** Bytes in all. */
  readonly size: number;
}

/** Bytes of the values of a tensor. */
export const bytesOfTensor = ({ dtype, shape }: TensorHead): number => sizeOf(shape) * DTYPE_BYTES[dtype];

/**
 * Lays out a safetensors file, whose header comes first, before any value is known.
 *
 * Tensors are ordered by falling size of their type and otherwise as given, and the header is padded with spaces
 * to a multiple of 8, so that every tensor is aligned to its type.
 *
 * @throws RangeError for a name given twice, a header that no reader takes
 */
export function layoutSafetensors<T extends TensorHead>(
  tensors: readonly T[],
  metadata: Iterable<readonly [string, string]>,
): SafetensorsLayout<T> {
  const ordered = [...tensors].sort((a, b) => DTYPE_BYTES[b.dtype] - DTYPE_BYTES[a.dtype]);
  const header: Record<string, unknown> = Object.create(null);
  header.__metadata__ = Object.fromEntries(metadata);
  const starts: [name: string, at: number][] = [];
  let at = 0;
  for (const tensor of ordered) {
    const { name, dtype, shape } = tensor;
    if (name in header) throw new RangeError(`tensor name ${JSON.stringify(name)} is used twice`);
    const end = at + bytesOfTensor(tensor);
    header[name] = { dtype, shape, data_offsets: [at, end] };
    starts.push([name, at]);
    at = end;
  }
  const json = JSON.stringify(header);
  const padded = Math.ceil(utf8Bytes(json) / 8) * 8;
  if (padded > MAX_HEADER_BYTES) {
    throw new RangeError(expected('header', `at most ${MAX_HEADER_BYTES} bytes`, padded));
  }
  const head = new Uint8Array(8 + padded).fill(0x20);
  const prefix = new DataView(head.buffer);
  prefix.setUint32(0, padded, true);
  prefix.setUint32(4, 0, true);
  new TextEncoder().encodeInto(json, head.subarray(8));
  const places = new Map(starts.map(([name, start]) => [name, head.length + start]));
  return { head, ordered, places, size: head.length + at };
}

/**
 * Writes a safetensors file as a sequence of pieces: the header, then each tensor's bytes, as {@link layoutSafetensors}
 * has them.
 *
 * @throws RangeError also for bytes that do not fit their shape
 */
export function* writeSafetensors(
  tensors: readonly SafetensorsTensor[],
  metadata: Iterable<readonly [string, string]>,
): Generator<Uint8Array> {
  const { head, ordered } = layoutSafetensors(tensors, metadata);
  yield head;
  for (const tensor of ordered) {
    const data = tensor.bytes();
    if (data.length !== bytesOfTensor(tensor)) {
      const { name, shape, dtype } = tensor;
      throw new RangeError(
        `tensor ${name} has ${data.length} bytes, its shape [${shape}] of ${dtype} needs others`,
      );
    }
    yield data;
  }
}
