import { BitnibbleError } from '../errors.js';
import { DTYPE_BYTES } from '../model.js';
import { sizeOf } from '../shape.js';
import { boxes } from './boxes.js';
import { BOX_BYTES, checkClaims, checkFits, plainPath } from './h5-limits.js';
import type { H5Attribute, H5Dataset, Hdf5 } from './hdf5.js';
import { type Chunks, spans } from './plain-h5-chunks.js';
import { type PlainDataset, type PlainGroup, readIndex } from './plain-h5-index.js';
import { Other } from './plain-h5-messages.js';
import type { ByteSource } from './source.js';

/** An HDF5 file as h5py writes it for Keras, read and written where its values lie. */
export class PlainH5 implements Hdf5 {
  #isClosed = false;
  /** Holds a part of one chunk at a time. */
  #span = new Uint8Array(0);

  private constructor(
    readonly name: string,
    readonly source: ByteSource,
    readonly index: ReadonlyMap<string, PlainGroup | PlainDataset>,
  ) {}

  /** Undefined for a file that is written otherwise, or damaged: HDF5 itself opens it, or says why not. */
  static open(name: string, source: ByteSource): PlainH5 | undefined {
    try {
      return new PlainH5(name, source, readIndex(source));
    } catch (error) {
      if (error instanceof Other) return undefined;
      throw error;
    }
  }

  close(): void {
    this.#isClosed = true;
  }

  kind(path: string): 'group' | 'dataset' | undefined {
    return this.#at(path)?.kind;
  }

  keys(path: string): string[] {
    return [...this.#group(path).keys];
  }

  attributeNames(path: string): string[] {
    return [...this.#object(path).attributes.keys()];
  }

  attribute(path: string, name: string): H5Attribute | undefined {
    return this.#object(path).attributes.get(name);
  }

  dataset(path: string): H5Dataset {
    const { shape, dtype } = this.#dataset(path);
    return { path, shape: [...shape], dtype };
  }

  readBytes(path: string, range?: readonly [from: number, to: number], out?: Uint8Array): Uint8Array {
    const { shape, dtype, place } = this.#dataset(path);
    const size = DTYPE_BYTES[dtype];
    const [from, to] = range ?? [0, sizeOf(shape)];
    const target = out?.subarray(0, (to - from) * size) ?? new Uint8Array((to - from) * size);
    if (typeof place === 'number') this.#read(path, target, place + from * size);
    else
      for (const { offset, count, start, length } of boxes(shape, from, to, BOX_BYTES / size)) {
        const at = (start - from) * size;
        this.#readChunks(path, place, offset, count, target.subarray(at, at + length * size), size);
      }
    return target;
  }

  readBox(path: string, offset: readonly number[], count: readonly number[]): Uint8Array {
    const { shape, dtype, place } = this.#dataset(path);
    const size = DTYPE_BYTES[dtype];
    const out = new Uint8Array(sizeOf(count) * size);
    if (typeof place !== 'number') {
      if (out.length > 0) this.#readChunks(path, place, offset, count, out, size);
      return out;
    }
    const row = (count.at(-1) ?? 1) * size;
    let done = 0;
    const visit = (axis: number, index: number): void => {
      if (axis >= shape.length - 1) {
        const first = shape.length === 0 ? 0 : index * (shape[axis] as number) + (offset[axis] as number);
        this.#read(path, out.subarray(done, done + row), place + first * size);
        done += row;
        return;
      }
      for (let i = 0; i < (count[axis] as number); i++)
        visit(axis + 1, index * (shape[axis] as number) + (offset[axis] as number) + i);
    };
    visit(0, 0);
    return out;
  }

  writeBytes(path: string, values: Uint8Array, from = 0): void {
    const { shape, dtype, place } = this.#dataset(path);
    const size = DTYPE_BYTES[dtype];
    checkFits(this.name, path, shape, size, values.length, from);
    if (typeof place === 'number') {
      this.source.write?.(values, place + from * size);
      return;
    }
    for (const { offset, count, start } of boxes(shape, from, from + values.length / size, BOX_BYTES / size))
      for (const { position, bytes, runs } of spans(place, size, offset, count)) {
        // Bytes between the runs stay as they are.
        const span = this.#readSpan(path, position, bytes);
        const first = (start - from) * size;
        runs((inSpan, inBox, length) => {
          span.set(values.subarray(first + inBox, first + inBox + length), inSpan);
        });
        this.source.write?.(span, position);
      }
  }

  checkClaims(datasets: Iterable<{ readonly path: string; readonly bytes: number }>): void {
    checkClaims(datasets, this.source.size, this.name);
  }

  /** Reads a box of a dataset in chunks. */
  #readChunks(
    path: string,
    chunks: Chunks,
    offset: readonly number[],
    count: readonly number[],
    target: Uint8Array,
    size: number,
  ): void {
    for (const { position, bytes, runs } of spans(chunks, size, offset, count)) {
      let span: Uint8Array | undefined;
      runs((inSpan, inBox, length) => {
        if (length === bytes || bytes > BOX_BYTES) {
          this.#read(path, target.subarray(inBox, inBox + length), position + inSpan);
        } else {
          span ??= this.#readSpan(path, position, bytes);
          target.set(span.subarray(inSpan, inSpan + length), inBox);
        }
      });
    }
  }

  /** In memory that is used again for the next. */
  #readSpan(path: string, position: number, bytes: number): Uint8Array {
    if (this.#span.length < bytes) this.#span = new Uint8Array(bytes);
    const span = this.#span.subarray(0, bytes);
    this.#read(path, span, position);
    return span;
  }

  #read(path: string, target: Uint8Array, position: number): void {
    if (this.source.read(target, position) === target.length) return;
    const fault = 'the file ends within its values';
    throw new BitnibbleError('corrupt-file', `${this.name}: damaged HDF5 object ${path}: ${fault}`);
  }

  #at(path: string): PlainGroup | PlainDataset | undefined {
    if (this.#isClosed) throw new Error(`${this.name}: read after close()`);
    return this.index.get(plainPath(path));
  }

  #object(path: string): PlainGroup | PlainDataset {
    const found = this.#at(path);
    if (found) return found;
    throw new BitnibbleError('corrupt-file', `${this.name}: damaged HDF5 object ${path}: it is not there`);
  }

  #group(path: string): PlainGroup {
    const found = this.#object(path);
    if (found.kind === 'group') return found;
    throw new BitnibbleError('corrupt-file', `${this.name}: damaged HDF5 object ${path}: it is no group`);
  }

  #dataset(path: string): PlainDataset {
    const found = this.#object(path);
    if (found.kind === 'dataset') return found;
    throw new BitnibbleError('corrupt-file', `${this.name}: damaged HDF5 object ${path}: it is no dataset`);
  }
}
