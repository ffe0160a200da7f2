// HDF5 itself, compiled to WebAssembly. It trusts its files: damaged ones make it run outside its memory, overwrite
// parts of it, take all there is, or never return. So its memory is put back after a fault and bounded, and what makes
// it spin is not handed to it.

import type * as H5wasm from 'h5wasm';
import { BitnibbleError } from '../errors.js';
import { JSON_LIMIT } from '../formats/json.js';
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

/** The library's heap ends at 2 GiB; a chunk that unpacks to all of it would be unpacked. This much is left to it. */
const HEAP_LIMIT = 2 ** 31;
const HEAP_BYTES = 2 ** 28;

/** A stretch of the library's memory and what was in it. */
interface Part {
  readonly at: number;
  readonly bytes: Uint8Array;
}

let library: Promise<typeof H5wasm> | undefined;
/** The part of the heap that was taken from the library: never written, so it costs addresses and no memory. */
let reserved = { from: 0, to: 0 };
/** The library's memory before its first file, below and above what is reserved. */
let pristine: readonly Part[] | undefined;
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
    reserved = reserve(module);
    module.activate_throwing_error_handler();
    for (const device of ['stdin', 'tty', 'tty1', 'random', 'urandom']) {
      if (module.FS.analyzePath(`/dev/${device}`).exists) module.FS.unlink(`/dev/${device}`);
    }
    return loaded;
  });
  const loaded = await library;
  const module = loaded.Module;
  if (openStreams(module).length === 0 && pristine === undefined) pristine = memoryOf(module);
  if (state === 'broken' || (state === 'harmed' && openStreams(module).length === 0)) restore(module);
  return loaded;
}

/**
 * Runs calls of the library. What HDF5 throws leaves the frames of its C functions on the stack, so that a thousand
 * faults, no name where one was asked for among them, would use it up for good: Emscripten's `ccall` puts the stack back
 * behind a call that was given an array, and this one ends without a throw.
 */
export function withStack<T>(module: H5Module, run: () => T): T {
  const open = module as unknown as {
    _guarded: () => number;
    ccall(name: 'guarded', result: null, types: readonly ['array'], values: readonly [Uint8Array]): void;
  };
  let outcome: { readonly value: T } | { readonly error: unknown } | undefined;
  open._guarded = () => {
    try {
      outcome = { value: run() };
    } catch (error) {
      outcome = { error };
    }
    return 0;
  };
  open.ccall('guarded', null, ['array'], [ONE_BYTE]);
  const done = outcome as unknown as { readonly value: T } | { readonly error: unknown };
  if ('error' in done) throw done.error;
  return done.value;
}

const ONE_BYTE = new Uint8Array(1);

function openStreams(module: H5Module): Stream[] {
  const { streams } = module.FS as unknown as FileSystem;
  return streams.filter((stream): stream is Stream => stream != null && stream.fd > 2);
}

/** Takes all of the heap but {@link HEAP_BYTES}. A host that does not give so many addresses has less to lose. */
function reserve(module: H5Module): { from: number; to: number } {
  const size = HEAP_LIMIT - HEAP_BYTES - module.HEAPU8.length;
  const from = (module as unknown as { _malloc(n: number): number })._malloc(size);
  return { from, to: from === 0 ? 0 : from + size };
}

function memoryOf({ HEAPU8 }: H5Module): Part[] {
  const parts = [
    [0, reserved.from],
    [reserved.to, HEAPU8.length],
  ];
  return parts.map(([at = 0, to = 0]) => ({ at, bytes: HEAPU8.slice(at, to) }));
}

/** Begins again with the memory of the start. Nothing is open then. */
function restore(module: H5Module): void {
  if (pristine === undefined) return;
  const fs = module.FS as unknown as FileSystem;
  for (const stream of openStreams(module)) fs.close(stream);
  let end = 0;
  for (const { at, bytes } of pristine) {
    module.HEAPU8.set(bytes, at);
    end = at + bytes.length;
  }
  module.HEAPU8.fill(0, end);
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
/** A text is held whole; HDF5 makes two copies of it. */
const COLLECTION_BYTES = 2 * JSON_LIMIT;
/** Entries that are looked at for one file: a bound to what forged collections within collections can ask for. */
const ENTRIES = 2 ** 22;

/**
 * Whether bytes just read hold a collection that HDF5 would walk through for ever (an entry of no length, or too long),
 * or one too large to be held.
 */
class Collections {
  #left = ENTRIES;
  readonly #window = new Uint8Array(2 ** 16);
  readonly #view = new DataView(this.#window.buffer);
  /** Which bytes the window shows. */
  #shown = { from: 0, to: 0 };

  constructor(readonly source: ByteSource) {}

  /** To be called when the source has changed. */
  forget(): void {
    this.#shown = { from: 0, to: 0 };
  }

  areEndless(bytes: Uint8Array, position: number): boolean {
    for (let at = bytes.indexOf(0x47); at >= 0; at = bytes.indexOf(0x47, at + 1)) {
      if (COLLECTION.every((byte, i) => bytes[at + i] === byte) && this.#isEndless(position + at))
        return true;
    }
    return false;
  }

  #isEndless(start: number): boolean {
    const head = this.#place(start);
    if (head < 0) return false;
    const size = Number(this.#view.getBigUint64(head + 8, true));
    if (size > COLLECTION_BYTES) return true;
    for (let entry = 16; entry + 16 <= size; ) {
      const at = this.#place(start + entry);
      if (at < 0) return false;
      const length = Number(this.#view.getBigUint64(at + 8, true));
      const isFree = this.#view.getUint16(at, true) === 0;
      const step = isFree ? length : 16 + Math.ceil(length / 8) * 8;
      if (step === 0 || step > size - entry || --this.#left < 0) return true;
      entry += step;
    }
    return false;
  }

  /** Where the window has the 16 bytes at a position of the source; -1 behind its end. */
  #place(position: number): number {
    if (position + 16 > this.source.size) return -1;
    if (position < this.#shown.from || position + 16 > this.#shown.to) {
      this.#shown = { from: position, to: position + this.source.read(this.#window, position) };
    }
    return position + 16 > this.#shown.to ? -1 : position - this.#shown.from;
  }
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
  const collections = new Collections(source);
  Object.defineProperty(node, 'usedBytes', { get: () => source.size, set: () => undefined });
  node.stream_ops = {
    ...node.stream_ops,
    read: (_: object, heap: Int8Array, offset: number, length: number, position: number) => {
      if (position >= source.size) return 0;
      const target = new Uint8Array(heap.buffer, heap.byteOffset + offset, length);
      const count = source.read(target, position);
      const isMetadata = length <= METADATA_BYTES;
      if (isMetadata && collections.areEndless(target.subarray(0, count), position))
        throw new fs.ErrnoError(EIO);
      return count;
    },
    write: (_: object, heap: Int8Array, offset: number, length: number, position: number) => {
      collections.forget();
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

/** A file of HDF5 with nothing in it. */
export async function emptyHdf5(): Promise<Uint8Array> {
  const { Module: module, File } = await loadLibrary();
  const path = `/${crypto.randomUUID()}`;
  const file = new File(path, 'w');
  file.close();
  try {
    return module.FS.readFile(path).slice();
  } finally {
    module.FS.unlink(path);
  }
}

/** Lends memory of the library. @throws BitnibbleError `too-large`, saying `fault`, where it has none */
export function withMemory<T>(
  module: H5Module,
  bytes: number,
  fault: string,
  use: (pointer: number) => T,
): T {
  const heap = module as unknown as { _malloc(n: number): number; _free(p: number): void };
  const pointer = heap._malloc(bytes);
  if (pointer === 0) throw new BitnibbleError('too-large', fault);
  try {
    return use(pointer);
  } finally {
    heap._free(pointer);
  }
}
