import type { io } from '@tensorflow/tfjs';
import { BitnibbleError } from '../errors.js';
import { loadKernels } from '../kernels/index.js';
import type { Kernels } from '../kernels/types.js';
import type { ModelSource } from '../model.js';
import { openPacked } from '../packed/read.js';
import { ByteInput, bodyOf, type OnProgress } from '../packed/source.js';
import { pairWeights } from './load.js';
import { modernWeights } from './old-weights.js';
import { registerLayers } from './register.js';
import { toTopology } from './topology.js';
import type { TensorFlow } from './types.js';

/** A packed file wherever it is, or an open model. A string that begins with a scheme is a URL. */
export type PackedSource = string | URL | Response | Blob | ArrayBuffer | Uint8Array | ModelSource;

export interface PackedHandlerOptions {
  /** Registers bitnibble's layers with this TensorFlow.js; otherwise call `registerLayers(tf)` before loading. */
  readonly tf?: TensorFlow;
  /** Kernels that decode; default: {@link loadKernels}. Hosts that refuse to compile WebAssembly hand in their own. */
  readonly kernels?: Kernels;
  /** Bytes read so far and in all; the latter is undefined where a server does not say. */
  readonly onProgress?: OnProgress;
}

/** Bytes per read of a file on disk. */
const CHUNK = 2 ** 20;

/**
 * An IOHandler that makes a model of a packed file: `tf.loadLayersModel(packedHandler('model.safetensors'))`. Weights are
 * decoded to float32, each in a buffer of its own.
 *
 * A string without a scheme is a path where there is a file system (Node.js, Deno, Bun) and relative to the page in
 * browsers. A `Response` can be loaded once, anything else again and again.
 *
 * The handler's `load` rejects with a BitnibbleError: `unsupported-layer`, naming every layer that cannot be run, before
 * any weight is decoded; `download`, `not-found`, and what {@link openPacked} throws.
 *
 * @throws TypeError for a source of another kind
 */
export function packedHandler(source: PackedSource, options: PackedHandlerOptions = {}): io.IOHandler {
  const name = nameOf(source);
  return {
    async load(): Promise<io.ModelArtifacts> {
      const model = isModel(source)
        ? source
        : openPacked(await bytesOf(source, name, options), options.kernels ?? (await loadKernels()), name);
      if (options.tf) registerLayers(options.tf);
      return artifactsOf(model);
    },
  };
}

/** What TensorFlow.js loads: topology, names and shapes, values. */
function artifactsOf(given: ModelSource): io.ModelArtifacts {
  const topology = toTopology(given);
  const model = modernWeights(given);
  const pairs = [...pairWeights(model, topology)];
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
  { onProgress }: PackedHandlerOptions,
): Promise<Uint8Array> {
  if (source instanceof Uint8Array) return source;
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (source instanceof Blob) return new ByteInput(source.stream(), name, source.size, onProgress).all();
  if (source instanceof Response) return ofResponse(source, name, onProgress);
  const hasScheme = source instanceof URL || /^[a-z][a-z\d+.-]+:/i.test(source);
  const isFile = hasScheme ? /^file:/i.test(String(source)) : typeof document === 'undefined';
  if (isFile) return readFile(hasScheme ? new URL(source) : (source as string), onProgress);
  let response: Response;
  try {
    response = await fetch(source);
  } catch (cause) {
    throw new BitnibbleError('download', `${name}: cannot be downloaded: ${(cause as Error).message}`, {
      cause,
    });
  }
  return ofResponse(response, name, onProgress);
}

async function ofResponse(response: Response, name: string, onProgress?: OnProgress): Promise<Uint8Array> {
  const { stream, total } = bodyOf(response, name);
  return new ByteInput(stream, name, total, onProgress).all();
}

/** Reads a file where there is a file system. The module's name is data, so that no bundler looks for it. */
async function readFile(path: string | URL, onProgress?: OnProgress): Promise<Uint8Array> {
  const specifier = 'node:fs/promises';
  let fs: typeof import('node:fs/promises');
  try {
    fs = await import(/* webpackIgnore: true */ /* @vite-ignore */ specifier);
  } catch (cause) {
    const hint = 'hand in a URL, a Response or bytes';
    throw new BitnibbleError('not-found', `${path}: there is no file system here: ${hint}`, { cause });
  }
  try {
    const file = await fs.open(path);
    try {
      const { size } = await file.stat();
      const bytes = new Uint8Array(size);
      for (let at = 0; at < size; ) {
        const { bytesRead } = await file.read(bytes, at, Math.min(CHUNK, size - at), at);
        if (bytesRead === 0) return bytes.subarray(0, at);
        at += bytesRead;
        onProgress?.(at, size);
      }
      return bytes;
    } finally {
      await file.close();
    }
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const reason =
      code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a folder' : message;
    throw new BitnibbleError('not-found', `${path}: cannot be read: ${reason}`, { cause });
  }
}
