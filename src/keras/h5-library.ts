// HDF5 itself, compiled to WebAssembly. It trusts its files: damaged ones make it run outside its memory, overwrite
// parts of it, or never return. So its memory is put back after a fault, and what makes it spin is not handed to it.

import type * as H5wasm from 'h5wasm';
import type { ByteSource } from './source.js';

export type { Filter, Metadata } from 'h5wasm';
export type Library = typeof H5wasm;
export type H5Module = Awaited<typeof H5wasm.ready>;

interface Stream {
  readonly fd: number;
  readonly node: MemoryNode;
}

interface MemoryNode {
  stream_ops: object;
  node_ops: object;
}

/** What is used of Emscripten's file system and has no types. */
interface FileSystem {
  readonly streams: readonly (Stream | null | undefined)[];
  readonly ErrnoError: new (errno: number) => Error;
  open(path: string, flags: string): Stream;
  close(stream: Stream): void;
}

const EIO = 29;

let library: Promise<typeof H5wasm> | undefined;
/** The library's memory before its first file, without the zeros at its end. */
let pristine: Uint8Array | undefined;
/** `harmed`: a file was refused. `broken`: the code trapped, and nothing in its memory can be trusted. */
let state: 'sound' | 'harmed' | 'broken' = 'sound';
let sessions = 0;

/** Changes when the library's memory is put back: files opened before are gone. */
export function session(): number {
  return sessions;
}

/** Takes note of an exception of the library. */
export function noteFault(error: unknown): void {
  if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) state = 'broken';
  else if (state === 'sound') state = 'harmed';
}

/**
 * The library, with HDF5's own error stack turned into exceptions instead of text on stderr, and without the
 * devices that a file could name as its external storage.
 */
export async function loadLibrary(): Promise<typeof H5wasm> {
  library ??= import('h5wasm').then(async (loaded) => {
    const module = await loaded.ready;
    module.activate_throwing_error_handler();
    for (const device of ['stdin', 'tty', 'tty1', 'random', 'urandom']) {
      if (module.FS.analyzePath(`/dev/${device}`).exists) module.FS.unlink(`/dev/${device}`);
    }
    return loaded;
  });
  const loaded = await library;
  const module = loaded.Module;
  if (openStreams(module).length === 0 && pristine === undefined) pristine = usedMemory(module);
  if (state === 'broken' || (state === 'harmed' && openStreams(module).length === 0)) restore(module);
  return loaded;
}

function openStreams(module: H5Module): Stream[] {
  const { streams } = module.FS as unknown as FileSystem;
  return streams.filter((stream): stream is Stream => stream != null && stream.fd > 2);
}

function usedMemory({ HEAPU8 }: H5Module): Uint8Array {
  const words = new Uint32Array(HEAPU8.buffer);
  let end = words.length;
  while (end > 0 && words[end - 1] === 0) end--;
  return HEAPU8.slice(0, end * 4);
}

/** Begins again with the memory of the start. Nothing is open then. */
function restore(module: H5Module): void {
  if (pristine === undefined) return;
  const fs = module.FS as unknown as FileSystem;
  for (const stream of openStreams(module)) fs.close(stream);
  module.HEAPU8.set(pristine);
  module.HEAPU8.fill(0, pristine.length);
  state = 'sound';
  sessions++;
}

/** The innermost reason in HDF5's error stack (`#006: file.c line 388 in f(): reason`), on one line. */
export function innermostReason(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const reasons = [...text.matchAll(/^\s*#\d+: .* in \w+\(\): (.*)$/gm)];
  return (reasons.at(-1)?.[1] ?? text.split('\n')[0] ?? '').slice(0, 200);
}

/** Reads of metadata are no longer than this. */
const METADATA_BYTES = 2 ** 16;
/** `GCOL`, version 1, three zeros: the head of a collection of texts. */
const COLLECTION = [0x47, 0x43, 0x4f, 0x4c, 1, 0, 0, 0];
const COLLECTION_BYTES = 2 ** 28;

/** Whether bytes just read hold a collection that HDF5 would walk through for ever: an entry of no length, or too long. */
function holdsEndlessCollection(bytes: Uint8Array, position: number, source: ByteSource): boolean {
  for (let at = bytes.indexOf(0x47); at >= 0; at = bytes.indexOf(0x47, at + 1)) {
    if (!COLLECTION.every((byte, i) => bytes[at + i] === byte)) continue;
    const head = new Uint8Array(16);
    const view = new DataView(head.buffer);
    source.read(head, position + at);
    const size = Math.min(Number(view.getBigUint64(8, true)), COLLECTION_BYTES);
    for (let entry = 16; entry + 16 <= size; ) {
      if (source.read(head, position + at + entry) < 16) break;
      const length = Number(view.getBigUint64(8, true));
      const isFree = view.getUint16(0, true) === 0;
      const step = isFree ? length : 16 + Math.ceil(length / 8) * 8;
      if (step === 0 || step > size - entry) return true;
      entry += step;
    }
  }
  return false;
}

/**
 * Puts a source into the library's in-memory file system, reads and writes going straight to the source.
 * That file system holds open models only, under names that no file can know: links to other files lead nowhere.
 */
export function mount(module: H5Module, source: ByteSource): string {
  const path = `/${crypto.randomUUID()}`;
  const fs = module.FS as unknown as FileSystem;
  const stream = fs.open(path, 'w+');
  const node = stream.node;
  fs.close(stream);
  Object.defineProperty(node, 'usedBytes', { get: () => source.size, set: () => undefined });
  node.stream_ops = {
    ...node.stream_ops,
    read: (_: object, heap: Int8Array, offset: number, length: number, position: number) => {
      if (position >= source.size) return 0;
      const target = new Uint8Array(heap.buffer, heap.byteOffset + offset, length);
      const count = source.read(target, position);
      const isMetadata = length <= METADATA_BYTES;
      if (isMetadata && holdsEndlessCollection(target.subarray(0, count), position, source))
        throw new fs.ErrnoError(EIO);
      return count;
    },
    write: (_: object, heap: Int8Array, offset: number, length: number, position: number) => {
      source.write?.(new Uint8Array(heap.buffer, heap.byteOffset + offset, length), position);
      return length;
    },
  };
  node.node_ops = {
    ...node.node_ops,
    setattr: (_: object, attributes: { size?: number }) => {
      if (attributes.size !== undefined && attributes.size !== source.size)
        source.truncate?.(attributes.size);
    },
  };
  return path;
}
