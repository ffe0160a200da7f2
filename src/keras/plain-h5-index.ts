// What an HDF5 file holds, as h5py writes it for Keras: groups by symbol tables, headers of version 1, values that lie
// behind one another or in chunks as they are. HDF5 File Format Specification, version 3.0, sections II to IV. All of it is
// looked at before anything is read; where one byte is of another form, the file is left to HDF5 itself, which takes it or
// says why not.

import { MAX_NAME } from '../formats/names.js';
import { DTYPE_BYTES, type Dtype } from '../model.js';
import { sizeOf } from '../shape.js';
import { MAX_OBJECTS, MAX_STEPS, MAX_TENSOR_BYTES } from './h5-limits.js';
import type { H5Attribute } from './hdf5.js';
import { ChunkIndex, type Chunks, chunkedLayout } from './plain-h5-chunks.js';
import {
  attribute,
  contiguous,
  dataspace,
  datatype,
  FileBytes,
  fillValue,
  isChunked,
  isText,
  isUndefined,
  need,
  other,
  Texts,
  word,
} from './plain-h5-messages.js';
import type { ByteSource } from './source.js';
import { superblockAt } from './superblock.js';

export interface PlainGroup {
  readonly kind: 'group';
  readonly attributes: ReadonlyMap<string, H5Attribute>;
  /** In the order of their bytes. */
  readonly keys: readonly string[];
}

export interface PlainDataset {
  readonly kind: 'dataset';
  readonly attributes: ReadonlyMap<string, H5Attribute>;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
  /** Where its values begin in the file, or its chunks. */
  readonly place: number | Chunks;
}

/** Every object by its path. @throws Other for a file that is not written so */
export function readIndex(source: ByteSource): ReadonlyMap<string, PlainGroup | PlainDataset> {
  return new Reader(source).read();
}

const SUPERBLOCK_BYTES = 96;
/** B-trees that are deeper, and headers of more blocks, are for HDF5 to judge. */
const MOST_LEVELS = 4;
const MOST_BLOCKS = 64;

const NIL = 0;
const MESSAGES = { space: 1, type: 3, oldFill: 4, fill: 5, layout: 8, attribute: 12, table: 17 };
const CONTINUATION = 16;
/** Time of change: nothing that values depend on, and HDF5 refuses one of another version than 1. */
const CHANGED = 18;

interface Message {
  readonly type: number;
  readonly body: DataView;
}

class Reader {
  readonly #bytes: FileBytes;
  readonly #texts: Texts;
  readonly #chunks: ChunkIndex;
  readonly #found = new Map<string, PlainGroup | PlainDataset>();
  /** Addresses that something was read from: nothing is there twice. */
  readonly #seen = new Set<number>();
  /** Most entries of half a node: of leaves, of inner nodes. */
  #leafK = 0;
  #innerK = 0;
  #steps = 0;

  constructor(source: ByteSource) {
    this.#bytes = new FileBytes(source, Math.min(source.size, SUPERBLOCK_BYTES));
    this.#texts = new Texts(this.#bytes);
    this.#chunks = new ChunkIndex(this.#bytes, (address) => this.#once(address));
  }

  read(): ReadonlyMap<string, PlainGroup | PlainDataset> {
    need(superblockAt(this.#bytes.source) === 0);
    const head = this.#bytes.view(0, SUPERBLOCK_BYTES);
    need(head.getUint32(8, true) === 0 && head.getUint32(12, true) === 0x00080800);
    this.#leafK = head.getUint16(16, true);
    this.#innerK = head.getUint16(18, true);
    need(this.#leafK > 0 && this.#innerK > 0 && head.getUint32(20, true) === 0);
    need(word(head, 24) === 0 && isUndefined(head, 32) && isUndefined(head, 48));
    const end = word(head, 40);
    need(end <= this.#bytes.source.size && word(head, 56) === 0);
    this.#bytes.end = end;
    const cache = head.getUint32(72, true);
    need(cache === 1);
    this.#object('', word(head, 64), 0, [word(head, 80), word(head, 88)]);
    return this.#found;
  }

  /** @param table of the root, which the superblock repeats */
  #object(path: string, at: number, depth: number, table?: readonly number[]): void {
    this.#steps += depth ** 2;
    need(this.#found.size < MAX_OBJECTS && this.#steps <= MAX_STEPS);
    const messages = this.#messages(at);
    const attributes = new Map<string, H5Attribute>();
    const once = new Map<number, DataView>();
    for (const { type, body } of messages) {
      if (type === MESSAGES.attribute) {
        const { name, value } = attribute(body, this.#texts);
        need(!attributes.has(name));
        attributes.set(name, value);
      } else if (Object.values(MESSAGES).includes(type)) {
        need(!once.has(type));
        once.set(type, body);
      } else if (type === CHANGED) need(body.byteLength >= 8 && body.getUint8(0) === 1);
      else need(type === NIL);
    }
    const symbols = once.get(MESSAGES.table);
    if (symbols) {
      need(once.size === 1);
      const [tree, heap] = [word(symbols, 0), word(symbols, 8)];
      if (table) need(table[0] === tree && table[1] === heap);
      this.#group(path, tree, heap, attributes, depth);
      return;
    }
    need(!table);
    this.#dataset(path, once, attributes);
  }

  #dataset(
    path: string,
    messages: ReadonlyMap<number, DataView>,
    attributes: ReadonlyMap<string, H5Attribute>,
  ): void {
    const message = (type: number) => messages.get(type) ?? other();
    const shape = dataspace(message(MESSAGES.space));
    const { dtype = other() } = datatype(message(MESSAGES.type));
    fillValue(message(MESSAGES.fill));
    const old = messages.get(MESSAGES.oldFill);
    if (old) need(old.byteLength >= 4 && old.getUint32(0, true) === 0);
    const size = sizeOf(shape) * DTYPE_BYTES[dtype];
    need(size > 0 && size <= MAX_TENSOR_BYTES);
    const place = this.#place(message(MESSAGES.layout), shape, dtype);
    this.#found.set(path, { kind: 'dataset', attributes, shape, dtype, place });
  }

  #place(layout: DataView, shape: readonly number[], dtype: Dtype): number | Chunks {
    const itemBytes = DTYPE_BYTES[dtype];
    if (isChunked(layout)) {
      const { tree, chunk } = chunkedLayout(layout, shape, itemBytes);
      return this.#chunks.read(tree, shape, chunk, itemBytes);
    }
    const { at, bytes } = contiguous(layout);
    need(bytes === sizeOf(shape) * itemBytes && at >= 0 && at + bytes <= this.#bytes.end);
    return at;
  }

  /** Messages of an object header of version 1: section IV.A.1.a. */
  #messages(address: number): Message[] {
    this.#once(address);
    const head = this.#bytes.view(address, 16);
    need(head.getUint8(0) === 1 && head.getUint8(1) === 0);
    const count = head.getUint16(2, true);
    need(head.getUint32(4, true) === 1);
    const blocks: [at: number, size: number][] = [[address + 16, head.getUint32(8, true)]];
    const found: Message[] = [];
    for (let n = 0; n < blocks.length; n++) {
      need(n < MOST_BLOCKS);
      const [at, size] = blocks[n] as [number, number];
      if (n > 0) this.#once(at);
      const block = this.#bytes.view(at, size);
      let from = 0;
      for (; from + 8 <= size; ) {
        const [type, length] = [block.getUint16(from, true), block.getUint16(from + 2, true)];
        // Constant; never to be shared.
        const flags = block.getUint8(from + 4);
        need((flags & ~5) === 0 && length % 8 === 0 && from + 8 + length <= size && found.length < count);
        const body = new DataView(block.buffer, block.byteOffset + from + 8, length);
        if (type === CONTINUATION) blocks.push([word(body, 0), word(body, 8)]);
        found.push({ type: type === CONTINUATION ? NIL : type, body });
        from += 8 + length;
      }
      need(from === size);
    }
    need(found.length === count);
    return found;
  }

  #once(address: number): void {
    need(address >= SUPERBLOCK_BYTES && !this.#seen.has(address));
    this.#seen.add(address);
  }

  #group(
    path: string,
    tree: number,
    heap: number,
    attributes: ReadonlyMap<string, H5Attribute>,
    depth: number,
  ): void {
    const names = this.#heap(heap);
    const entries: [name: string, at: number][] = [];
    const first: Range = { above: '', upTo: undefined };
    this.#tree(tree, undefined, names, first, entries);
    need(entries.length <= MAX_OBJECTS);
    this.#found.set(path === '' ? '/' : path, {
      kind: 'group',
      attributes,
      keys: entries.map(([name]) => name),
    });
    for (const [name, at] of entries) this.#object(`${path}/${name}`, at, depth + 1);
  }

  /** Names of a group: local heap, section III.D. HDF5 goes through its free parts too. */
  #heap(address: number): (at: number) => string {
    this.#once(address);
    const head = this.#bytes.view(address, 32);
    need(isText(head, 0, 'HEAP') && head.getUint32(4, true) === 0);
    const [size, at] = [word(head, 8), word(head, 24)];
    this.#once(at);
    const data = this.#bytes.view(at, size);
    let last = -1;
    for (let free = word(head, 16); free !== 1; ) {
      need(free > last && free % 8 === 0 && free + 16 <= size);
      last = free;
      const length = word(data, free + 8);
      need(length >= 16 && free + length <= size);
      free = word(data, free);
    }
    const bytes = new Uint8Array(data.buffer, data.byteOffset, size);
    return (from) => {
      need(from < size);
      const end = bytes.indexOf(0, from);
      need(end >= from && end - from <= MAX_NAME);
      // Text of one byte each is compared as HDF5 compares it; other names are rare.
      const name = String.fromCharCode(...bytes.subarray(from, end));
      need(/^[ -~]*$/.test(name));
      return name;
    };
  }

  /** Entries below a node of a B-tree of version 1 (section III.A.1), whose names lie between those of its keys. */
  #tree(
    address: number,
    level: number | undefined,
    names: (at: number) => string,
    range: Range,
    entries: [name: string, at: number][],
  ): void {
    this.#once(address);
    const head = this.#bytes.view(address, 24);
    need(isText(head, 0, 'TREE') && head.getUint8(4) === 0);
    const own = head.getUint8(5);
    const count = head.getUint16(6, true);
    need(own <= MOST_LEVELS && (level === undefined || own === level) && count <= 2 * this.#innerK);
    if (level === undefined) need(isUndefined(head, 8) && isUndefined(head, 16));
    const body = this.#bytes.view(address + 24, 8 * (4 * this.#innerK + 1));
    const keys = Array.from({ length: count + 1 }, (_, i) => (count > 0 ? names(word(body, 16 * i)) : ''));
    for (let i = 0; i < count; i++) {
      const within: Range = { above: keys[i] as string, upTo: keys[i + 1] as string };
      need(
        within.above >= range.above && (range.upTo === undefined || (within.upTo as string) <= range.upTo),
      );
      const child = word(body, 16 * i + 8);
      if (own > 0) this.#tree(child, own - 1, names, within, entries);
      else this.#symbols(child, names, within, entries);
    }
  }

  /** Section III.C. */
  #symbols(
    address: number,
    names: (at: number) => string,
    { above, upTo }: Range,
    entries: [name: string, at: number][],
  ): void {
    this.#once(address);
    const head = this.#bytes.view(address, 8);
    need(isText(head, 0, 'SNOD') && head.getUint16(4, true) === 1);
    const count = head.getUint16(6, true);
    need(count > 0 && count <= 2 * this.#leafK);
    const body = this.#bytes.view(address + 8, 40 * 2 * this.#leafK);
    for (let i = 0; i < count; i++) {
      const name = names(word(body, 40 * i));
      const last = entries.at(-1)?.[0];
      need(name > above && name <= (upTo as string) && (last === undefined || name > last));
      need(name !== '' && name !== '.' && !name.includes('/'));
      // 2 is a soft link.
      need(body.getUint32(40 * i + 16, true) <= 1);
      entries.push([name, word(body, 40 * i + 8)]);
    }
  }
}

/** Names of a part of a tree. */
interface Range {
  readonly above: string;
  readonly upTo: string | undefined;
}
