import { BitnibbleError } from '../errors.js';
import { loadKernels } from '../kernels/index.js';
import type { Kernels } from '../kernels/types.js';
import type { ModelSource, WeightInfo } from '../model.js';
import { openPacked } from '../packed/read.js';
import { besideUrl, fetched, type OpenShard } from '../packed/shards/beside.js';
import { takeAny, wholeOf } from '../packed/shards/whole.js';
import { type ByteStream, bodyOf, type OnProgress } from '../packed/source.js';
import { prepare } from './load.js';
import { registerLayers } from './register.js';
import type { IOHandler, ModelArtifacts, TensorFlow } from './types.js';

/** A packed file wherever it is, or an open model. A string that begins with a scheme is a URL. */
export type PackedSource = string | URL | Response | Blob | ArrayBuffer | Uint8Array | ModelSource;

/** How a packed file is fetched, and with which TensorFlow.js. */
export interface PackedHandlerOptions {
  /** Registers bitnibble's layers with this TensorFlow.js; otherwise call `registerLayers(tf)` before loading. */
  readonly tf?: TensorFlow;
  /** Kernels that decode; default: {@link loadKernels}. Hosts that refuse to compile WebAssembly hand in their own. */
  readonly kernels?: Kernels;
  /** Bytes read so far and in all. */
  readonly onProgress?: OnProgress;
  /** Most bytes of a packed file; 1 GiB unless stated: its values as float32 would not fit into memory. */
  readonly limit?: number;
  /** Ends the download. */
  readonly signal?: AbortSignal;
  /** Gives a shard by its name, for a model in shards; by default it is beside its index, where that is a path, a URL or a response. */
  readonly openShard?: OpenShard;
}

type FileSystem = typeof import('node:fs/promises');
type FileHandle = Awaited<ReturnType<FileSystem['open']>>;

/** Bytes per read of a file on disk. */
const CHUNK = 2 ** 20;
const LIMIT = 2 ** 30;

/**
 * An IOHandler that makes a model of a packed file: `tf.loadLayersModel(packedHandler('model.safetensors'))`. Weights are
 * decoded to float32, each in a buffer of its own.
 *
 * A string without a scheme is a path where there is a file system (Node.js, Deno, Bun) and relative to the page in
 * browsers. A `Response` can be loaded once, anything else again and again.
 *
 * The handler's `load` rejects with a BitnibbleError: `unsupported-layer`, naming every layer that cannot be run, before
 * any weight is decoded; `download`, `not-found`, `too-large` where the header states more than the limit, and what
 * {@link openPacked} throws. The header is read first, then at most the bytes that it states.
 *
 * @throws TypeError for a source of another kind
 */
export function packedHandler(source: PackedSource, options: PackedHandlerOptions = {}): IOHandler {
  const name = nameOf(source);
  return {
    async load(): Promise<ModelArtifacts> {
      const model = isModel(source)
        ? source
        : openPacked(await bytesOf(source, name, options), options.kernels ?? (await loadKernels()), name);
      if (options.tf) registerLayers(options.tf);
      return artifactsOf(model);
    },
  };
}

/** What TensorFlow.js loads: topology, names and shapes, values. */
function artifactsOf(given: ModelSource): ModelArtifacts {
  const { topology, source: model } = prepare(given);
  const known = new Map(model.weights.map((weight) => [weight.id, weight]));
  const pairs = [...topology.weights].map(([name, id]) => [name, known.get(id) as WeightInfo] as const);
  return {
    modelTopology: topology.modelTopology,
    format: 'layers-model',
    generatedBy: `keras v${model.kerasVersion}`,
    convertedBy: 'bitnibble',
    weightSpecs: pairs.map(([name, { shape }]) => ({ name, shape: [...shape], dtype: 'float32' })),
    weightData: pairs.map(([, { id }]) => ownBuffer(model.read(id))),
  };
}

/** The buffer of just these values. */
function ownBuffer(values: Float32Array): ArrayBuffer {
  const isWhole = values.byteLength === values.buffer.byteLength;
  return (isWhole ? values : values.slice()).buffer as ArrayBuffer;
}

function isModel(source: PackedSource): source is ModelSource {
  return typeof source === 'object' && 'architecture' in source && 'weights' in source;
}

function nameOf(source: PackedSource): string {
  if (typeof source === 'string') return source.startsWith('data:') ? 'packed model' : source;
  if (source instanceof URL) return source.href;
  if (source instanceof Uint8Array || source instanceof ArrayBuffer) return 'packed model';
  if (typeof Response === 'function' && source instanceof Response) return source.url || 'packed model';
  if (typeof Blob === 'function' && source instanceof Blob) {
    return 'name' in source && typeof source.name === 'string' ? source.name : 'packed model';
  }
  if (source && isModel(source)) return source.file;
  const what = 'a path, a URL, a Response, a Blob, bytes or a model';
  throw new TypeError(`"source" expected ${what}, got ${source === null ? 'null' : typeof source}`);
}

async function bytesOf(
  source: Exclude<PackedSource, ModelSource>,
  name: string,
  options: PackedHandlerOptions,
): Promise<Uint8Array> {
  const { limit = LIMIT, openShard } = options;
  if (source instanceof Uint8Array) return wholeOf(source, name, { limit, openShard });
  if (source instanceof ArrayBuffer) return wholeOf(new Uint8Array(source), name, { limit, openShard });
  if (source instanceof Blob) return wholeFile(source.stream(), name, source.size, options);
  if (source instanceof Response) return ofResponse(source, name, options);
  const hasScheme = source instanceof URL || /^[a-z][a-z\d+.-]+:/i.test(source);
  const isFile = hasScheme ? /^file:/i.test(String(source)) : typeof document === 'undefined';
  if (isFile) return readFile(hasScheme ? new URL(source) : (source as string), options);
  const init = options.signal ? { signal: options.signal } : {};
  const response = await fetched(() => fetch(source, init), name);
  const beside: OpenShard = (own) => {
    const url = besideUrl(response.url, own);
    return fetched(() => fetch(url, init), url);
  };
  return ofResponse(response, name, { openShard: beside, ...options });
}

function ofResponse(response: Response, name: string, options: PackedHandlerOptions): Promise<Uint8Array> {
  const { stream, total } = bodyOf(response, name);
  return wholeFile(stream, name, total, options, response);
}

/** The header, then at most as many bytes as it states. */
const wholeFile = (
  stream: ByteStream,
  name: string,
  total: number | undefined,
  { onProgress, limit = LIMIT, openShard }: PackedHandlerOptions,
  response?: Response,
): Promise<Uint8Array> => takeAny(stream, name, { limit, total, onProgress, openShard, response });

/** Reads a file where there is a file system. The module's name is data, so that no bundler looks for it. */
async function readFile(path: string | URL, options: PackedHandlerOptions): Promise<Uint8Array> {
  const specifier = 'node:fs/promises';
  let fs: FileSystem;
  try {
    fs = await import(/* webpackIgnore: true */ /* @vite-ignore */ specifier);
  } catch (cause) {
    const hint = 'hand in a URL, a Response or bytes';
    throw new BitnibbleError('not-found', `${path}: there is no file system here: ${hint}`, { cause });
  }
  const open = async (own: string | URL) => openRegular(fs, own);
  const beside: OpenShard = async (own) => chunksToEnd(await open(besidePath(path, own)));
  const file = await open(path);
  try {
    const { size } = await file.stat();
    return await wholeFile(chunksOf(file), String(path), size, { openShard: beside, ...options });
  } finally {
    await file.close();
  }
}

const besidePath = (path: string | URL, name: string): string | URL =>
  path instanceof URL ? new URL(besideUrl(path, name)) : path.replace(/[^/\\]*$/, '') + name;

async function openRegular(fs: FileSystem, path: string | URL): Promise<FileHandle> {
  try {
    const about = await fs.stat(path);
    if (about.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
    // Pipes and devices have no end.
    if (!about.isFile()) throw new Error('it is no regular file');
    return await fs.open(path);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const reason =
      code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a folder' : message;
    throw new BitnibbleError('not-found', `${path}: cannot be read: ${reason}`, { cause });
  }
}

/** All of a file, which is closed after it. */
async function* chunksToEnd(file: FileHandle): AsyncGenerator<Uint8Array> {
  try {
    yield* chunksOf(file);
  } finally {
    await file.close();
  }
}

async function* chunksOf(file: FileHandle): AsyncGenerator<Uint8Array> {
  for (let at = 0; ; ) {
    const { bytesRead, buffer } = await file.read(new Uint8Array(CHUNK), 0, CHUNK, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
