// Messages of object headers as h5py writes them for Keras: HDF5 File Format Specification, version 3.0, section IV.A.
// What is not written so is left to HDF5 itself.
import type { Dtype } from '../model.js';
import { sizeOf } from '../shape.js';
import { floatDtype } from './h5-types.js';
import type { H5Attribute } from './hdf5.js';
import type { ByteSource } from './source.js';

/** Thrown and caught within: the file is for HDF5 itself to judge. */
export class Other extends Error {}

export function other(): never {
  throw new Other();
}

export function need(holds: boolean): asserts holds {
  if (!holds) other();
}

/** An address, a size or a count of 8 bytes. */
export function word(view: DataView, at: number): number {
  need(at + 8 <= view.byteLength);
  const value = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
  need(Number.isSafeInteger(value));
  return value;
}

/** Whether 8 bytes say that there is no address. */
export const isUndefined = (view: DataView, at: number): boolean =>
  view.getUint32(at, true) === 2 ** 32 - 1 && view.getUint32(at + 4, true) === 2 ** 32 - 1;

export const isText = (view: DataView, at: number, text: string): boolean =>
  [...text].every((letter, i) => view.getUint8(at + i) === letter.charCodeAt(0));

const padded = (size: number): number => Math.ceil(size / 8) * 8;

/** Parts of a file are looked at through windows of this many bytes: headers lie close to each other. */
const WINDOW = 2 ** 14;
/** No header, heap or collection of texts that is looked at here is larger. */
const MOST_BYTES = 2 ** 26;

/** The bytes of a file that HDF5 calls its own. */
export class FileBytes {
  #window = new DataView(new ArrayBuffer(0));
  #from = 0;
  #seen = 0;

  constructor(
    readonly source: ByteSource,
    /** Behind the last. */
    public end: number,
  ) {}

  view(at: number, size: number): DataView {
    need(size >= 0 && size <= MOST_BYTES && at >= 0 && at + size <= this.end);
    // Nothing lies upon anything else: what says so could have the same bytes looked at for hours.
    this.#seen += size;
    need(this.#seen <= 2 * this.end);
    if (at < this.#from || at + size > this.#from + this.#window.byteLength) {
      const bytes = new Uint8Array(Math.min(Math.max(size, WINDOW), this.end - at));
      need(this.source.read(bytes, at) === bytes.length);
      this.#window = new DataView(bytes.buffer);
      this.#from = at;
    }
    return new DataView(this.#window.buffer, at - this.#from, size);
  }
}

/** Sizes of axes: message 1, version 1. The largest sizes, where they are there, are the same. */
export function dataspace(view: DataView): number[] {
  need(view.byteLength >= 8 && view.getUint8(0) === 1);
  const [rank, flags] = [view.getUint8(1), view.getUint8(2)];
  need(rank <= 32 && flags <= 1 && view.getUint8(3) === 0 && view.getUint32(4, true) === 0);
  const shape = Array.from({ length: rank }, (_, i) => word(view, 8 + 8 * i));
  if (flags === 1) need(shape.every((size, i) => word(view, 8 + 8 * (rank + i)) === size));
  need(Number.isSafeInteger(sizeOf(shape) * 16));
  return shape;
}

export interface PlainType {
  readonly kind: 'number' | 'fixed text' | 'text';
  readonly size: number;
  /** Of numbers. */
  readonly dtype?: Dtype;
  /** Of text: ASCII or UTF-8. */
  readonly isAscii?: boolean;
}

/** Message 3, version 1: little-endian numbers, texts of one length, texts in heaps. */
export function datatype(view: DataView): PlainType {
  need(view.byteLength >= 8);
  const [head, flags, second, third] = [0, 1, 2, 3].map((at) => view.getUint8(at)) as [
    number,
    number,
    number,
    number,
  ];
  const size = view.getUint32(4, true);
  need(head >> 4 === 1 && size > 0);
  switch (head & 15) {
    case 0: {
      need(view.byteLength >= 12 && [1, 2, 4, 8].includes(size) && second === 0 && third === 0);
      need((flags & ~8) === 0 && view.getUint16(8, true) === 0 && view.getUint16(10, true) === 8 * size);
      return { kind: 'number', size, dtype: `${flags === 8 ? 'I' : 'U'}${8 * size}` as Dtype };
    }
    case 1: {
      need((flags & ~0x20) === 0 && third === 0);
      const dtype = floatDtype(view) ?? other();
      return { kind: 'number', size, dtype };
    }
    case 3: {
      const [padding, charset] = [flags & 15, flags >> 4];
      need(padding <= 1 && charset <= 1 && second === 0 && third === 0);
      return { kind: 'fixed text', size, isAscii: charset === 0 };
    }
    case 9: {
      // A text, of one-byte numbers or of texts of one byte; how it would be padded is of no concern.
      need(
        (flags & 15) === 1 &&
          flags >> 4 <= 2 &&
          second <= 1 &&
          third === 0 &&
          size === 16 &&
          view.byteLength >= 16,
      );
      const base = view.getUint8(8);
      need((base === 0x10 || base === 0x13) && view.getUint32(12, true) === 1);
      if (base === 0x10) need(view.byteLength >= 20 && view.getUint32(16, true) === 0x80000);
      return { kind: 'text', size, isAscii: second === 0 };
    }
    default:
      return other();
  }
}

/** Whether message 8 tells of values in chunks; version 3 alone is known. */
export function isChunked(view: DataView): boolean {
  need(view.byteLength >= 18 && view.getUint8(0) === 3);
  return view.getUint8(1) === 2;
}

/** Message 8, version 3: where the values of a dataset lie behind one another. */
export function contiguous(view: DataView): { at: number; bytes: number } {
  need(view.getUint8(1) === 1);
  return { at: isUndefined(view, 2) ? -1 : word(view, 2), bytes: word(view, 10) };
}

/** Message 5, versions 1 to 3: the value of elements that were never written. */
export function fillValue(view: DataView): void {
  need(view.byteLength >= 4);
  const version = view.getUint8(0);
  if (version === 3) {
    const flags = view.getUint8(1);
    // None, or undefined: no bytes follow.
    need((flags & 3) >= 1 && ((flags >> 2) & 3) <= 2 && flags >> 4 <= 1);
    return;
  }
  const [space, time, isDefined] = [1, 2, 3].map((at) => view.getUint8(at)) as [number, number, number];
  need((version === 1 || version === 2) && space >= 1 && space <= 3 && time <= 2 && isDefined <= 1);
  if (version === 1 || isDefined === 1) need(view.byteLength >= 8 && view.getUint32(4, true) === 0);
}

/** No text is longer. */
const MOST_TEXT = 2 ** 24;
/** All texts of a file together, and their collections: each reference may lead to the same one. */
const MOST_TEXTS = 2 ** 26;

/** A text up to its first zero byte. Bytes that are none of its encoding are for HDF5, and marks of the byte order. */
function textOf(bytes: Uint8Array, isAscii: boolean): string {
  const zero = bytes.indexOf(0);
  const own = zero < 0 ? bytes : bytes.subarray(0, zero);
  if (isAscii) need(own.every((byte) => byte < 128));
  need(!(own[0] === 0xef && own[1] === 0xbb && own[2] === 0xbf));
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(own);
  } catch {
    return other();
  }
}

/** Texts of a file, in collections: `GCOL`, section III.E. */
export class Texts {
  readonly #collections = new Map<number, ReadonlyMap<number, Uint8Array>>();
  #held = 0;

  constructor(readonly bytes: FileBytes) {}

  /** A text by its reference: length, address of the collection, number in it. */
  read(reference: DataView, isAscii: boolean): string {
    const [length, number] = [reference.getUint32(0, true), reference.getUint32(12, true)];
    const at = word(reference, 4);
    if (length === 0) {
      need(at === 0 && number === 0);
      return '';
    }
    let collection = this.#collections.get(at);
    if (!collection) {
      collection = this.#collection(at);
      this.#collections.set(at, collection);
    }
    const text = collection.get(number) ?? other();
    need(length === text.length && length <= MOST_TEXT);
    this.#hold(length);
    return textOf(text, isAscii);
  }

  #hold(bytes: number): void {
    this.#held += bytes;
    need(this.#held <= MOST_TEXTS);
  }

  #collection(at: number): ReadonlyMap<number, Uint8Array> {
    const head = this.bytes.view(at, 16);
    need(isText(head, 0, 'GCOL') && head.getUint8(4) === 1);
    const size = word(head, 8);
    need(size >= 4096);
    this.#hold(size);
    const view = this.bytes.view(at, size);
    const found = new Map<number, Uint8Array>();
    for (let entry = 16; entry < size; ) {
      // Less than a head of an entry is left over.
      if (size - entry < 16) break;
      const number = view.getUint16(entry, true);
      const length = word(view, entry + 8);
      if (number === 0) {
        need(length === size - entry);
        break;
      }
      need(!found.has(number) && 16 + padded(length) <= size - entry);
      found.set(number, new Uint8Array(view.buffer, view.byteOffset + entry + 16, length));
      entry += 16 + padded(length);
    }
    return found;
  }
}

/** Message 12, versions 1 and 3. */
export function attribute(view: DataView, texts: Texts): { name: string; value: H5Attribute } {
  need(view.byteLength >= 8);
  const version = view.getUint8(0);
  need((version === 1 || version === 3) && view.getUint8(1) === 0);
  const sizes = [2, 4, 6].map((at) => view.getUint16(at, true)) as [number, number, number];
  if (version === 3) need(view.byteLength > 8 && view.getUint8(8) <= 1);
  const isUtf8 = version === 3 && view.getUint8(8) === 1;
  let at = version === 1 ? 8 : 9;
  const part = (size: number): DataView => {
    const step = version === 1 ? padded(size) : size;
    need(at + step <= view.byteLength);
    const own = new DataView(view.buffer, view.byteOffset + at, size);
    at += step;
    return own;
  };
  const [nameBytes, typeBytes, spaceBytes] = sizes.map(part) as [DataView, DataView, DataView];
  const letters = new Uint8Array(nameBytes.buffer, nameBytes.byteOffset, nameBytes.byteLength);
  need(letters.length > 1 && letters.indexOf(0) === letters.length - 1);
  const name = textOf(letters, !isUtf8);
  const type = datatype(typeBytes);
  const shape = dataspace(spaceBytes);
  const count = sizeOf(shape);
  need(at + count * type.size <= view.byteLength);
  const values = new DataView(view.buffer, view.byteOffset + at, count * type.size);
  return { name, value: attributeValue(type, shape, values, texts) };
}

function attributeValue(
  type: PlainType,
  shape: readonly number[],
  view: DataView,
  texts: Texts,
): H5Attribute {
  const count = sizeOf(shape);
  const { kind, size, isAscii = false } = type;
  if (kind === 'number') {
    if (count === 0) return [];
    need(count === 1 && shape.length === 0 && type.dtype === 'I64');
    return view.getBigInt64(0, true);
  }
  const all = Array.from({ length: count }, (_, i) => {
    const at = view.byteOffset + i * size;
    return kind === 'text'
      ? texts.read(new DataView(view.buffer, at, size), isAscii)
      : textOf(new Uint8Array(view.buffer, at, size), isAscii);
  });
  return shape.length === 0 ? (all[0] as string) : all;
}
