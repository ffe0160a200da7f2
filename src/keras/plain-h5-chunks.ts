// Values in chunks, as h5py writes them without filters: HDF5 File Format Specification, version 3.0, sections III.A.1
// (B-trees) and IV.A.2.i (layout). An index is taken where every chunk stands in it once, in order; HDF5 judges all others.
import { sizeOf } from '../shape.js';
import { type FileBytes, isText, need, word } from './plain-h5-messages.js';

/** Where the values of a dataset lie, cut into chunks of one shape; those at the end of an axis reach over it. */
export interface Chunks {
  readonly shape: readonly number[];
  /** Chunks along each axis. */
  readonly grid: readonly number[];
  /** Where each begins in the file, C order of the grid. */
  readonly addresses: Float64Array;
}

/** Chunks of all datasets of a file: 8 GiB in chunks of 64 KiB. */
const MOST_CHUNKS = 2 ** 17;
/** Most entries of a node, where the superblock is of version 0, which does not say. */
const MOST_ENTRIES = 64;
/** B-trees that are deeper are for HDF5 to judge. */
const MOST_LEVELS = 4;

/** Message 8, version 3: address of the index, and the shape of a chunk. */
export function chunkedLayout(
  view: DataView,
  shape: readonly number[],
  itemBytes: number,
): { tree: number; chunk: number[] } {
  const rank = shape.length;
  need(rank > 0 && view.getUint8(2) === rank + 1 && view.byteLength >= 11 + 4 * (rank + 1));
  const sizes = Array.from({ length: rank + 1 }, (_, i) => view.getUint32(11 + 4 * i, true));
  const chunk = sizes.slice(0, rank);
  need(sizes[rank] === itemBytes && chunk.every((size, i) => size > 0 && size <= (shape[i] as number)));
  need(sizeOf(chunk) * itemBytes < 2 ** 32);
  return { tree: word(view, 3), chunk };
}

/** Reads the indices of chunks of one file. */
export class ChunkIndex {
  #count = 0;

  /** @param once throws where something was read from an address before */
  constructor(
    readonly bytes: FileBytes,
    readonly once: (address: number) => void,
  ) {}

  read(tree: number, shape: readonly number[], chunk: readonly number[], itemBytes: number): Chunks {
    const grid = shape.map((size, i) => Math.ceil(size / (chunk[i] as number)));
    const total = sizeOf(grid);
    this.#count += total;
    need(this.#count <= MOST_CHUNKS);
    const chunks: Chunks = { shape: chunk, grid, addresses: new Float64Array(total) };
    need(this.#node(tree, undefined, chunks, itemBytes, 0) === total);
    // What is written to one chunk must not change another.
    const bytes = sizeOf(chunk) * itemBytes;
    const inOrder = chunks.addresses.slice().sort();
    need(inOrder.every((at, i) => i === 0 || at - (inOrder[i - 1] as number) >= bytes));
    return chunks;
  }

  /** Chunks of a node from number `next` on. @returns the number behind its last */
  #node(address: number, level: number | undefined, chunks: Chunks, itemBytes: number, next: number): number {
    this.once(address);
    const sizes = [...chunks.shape, itemBytes];
    const keyBytes = 8 + 8 * sizes.length;
    const view = this.bytes.view(address, 24 + 8 * MOST_ENTRIES + keyBytes * (MOST_ENTRIES + 1));
    need(isText(view, 0, 'TREE') && view.getUint8(4) === 1);
    const own = view.getUint8(5);
    const count = view.getUint16(6, true);
    need(own <= MOST_LEVELS && (level === undefined || own === level) && count > 0 && count <= MOST_ENTRIES);
    /** The chunk that key `i` stands before or at, in chunks along each axis and numbers within an element. */
    const keyOf = (i: number) =>
      sizes.map((size, axis) => {
        const offset = word(view, 24 + i * (keyBytes + 8) + 8 + 8 * axis);
        need(offset % size === 0);
        return offset / size;
      });
    const bytes = sizeOf(sizes);
    for (let i = 0; i < count; i++) {
      const at = 24 + i * (keyBytes + 8);
      const child = word(view, at + keyBytes);
      need(next < chunks.addresses.length);
      // HDF5 looks for a chunk between two keys: the first at or before it, the second behind it.
      const order = compare(keyOf(i), positionOf(next, chunks.grid));
      if (own > 0) {
        need(order <= 0);
        next = this.#node(child, own - 1, chunks, itemBytes, next);
      } else {
        need(order === 0 && view.getUint32(at, true) === bytes && view.getUint32(at + 4, true) === 0);
        need(child > 0 && child + bytes <= this.bytes.end);
        chunks.addresses[next++] = child;
      }
      need(compare(keyOf(i + 1), positionOf(next - 1, chunks.grid)) > 0);
    }
    return next;
  }
}

/** Indices of a chunk along each axis, and 0 within an element. */
function positionOf(number: number, grid: readonly number[]): number[] {
  const position = [0];
  for (const count of grid.toReversed()) {
    position.unshift(number % count);
    number = Math.floor(number / count);
  }
  return position;
}

/** Below 0 where `a` comes first. */
function compare(a: readonly number[], b: readonly number[]): number {
  const axis = a.findIndex((value, i) => value !== b[i]);
  return axis < 0 ? 0 : (a[axis] as number) - (b[axis] as number);
}

/** Bytes of one chunk from the first to the last that belong to a box. */
export interface Span {
  /** In the file. */
  readonly position: number;
  readonly bytes: number;
  /** Visits the runs that follow each other in the span and in the box: where each begins in these, and its bytes. */
  runs(visit: (inSpan: number, inBox: number, bytes: number) => void): void;
}

/** The parts of a box of a dataset that lie in one chunk each. */
export function* spans(
  { shape, grid, addresses }: Chunks,
  itemBytes: number,
  offset: readonly number[],
  count: readonly number[],
): Generator<Span> {
  const rank = shape.length;
  const first = shape.map((size, i) => Math.floor((offset[i] as number) / size));
  const last = shape.map((size, i) => Math.floor(((offset[i] as number) + (count[i] as number) - 1) / size));
  const [inChunk, inBox] = [stridesOf(shape, itemBytes), stridesOf(count, itemBytes)];
  for (const at = [...first]; ; ) {
    // Along each axis: where the part begins in the chunk and in the box, and how long it is.
    const part = at.map((index, i) => {
      const [start, size, from] = [index * (shape[i] as number), shape[i] as number, offset[i] as number];
      const low = Math.max(start, from);
      return {
        chunk: low - start,
        box: low - from,
        count: Math.min(start + size, from + (count[i] as number)) - low,
      };
    });
    // Whole axes of both make longer runs.
    let outer = rank - 1;
    while (outer > 0 && part[outer]?.count === shape[outer] && part[outer]?.count === count[outer]) outer--;
    const run = (part[outer]?.count as number) * (inChunk[outer] as number);
    const begin = part.reduce((sum, { chunk }, i) => sum + chunk * (inChunk[i] as number), 0);
    const end = part.reduce(
      (sum, own, i) => sum + (own.chunk + own.count - 1) * (inChunk[i] as number),
      itemBytes,
    );
    const to = part.reduce((sum, { box }, i) => sum + box * (inBox[i] as number), 0);
    yield {
      position: (addresses[at.reduce((n, index, i) => n * (grid[i] as number) + index, 0)] as number) + begin,
      bytes: end - begin,
      runs(visit) {
        const along = (axis: number, a: number, b: number): void => {
          if (axis === outer) visit(a, b, run);
          else
            for (let i = 0; i < (part[axis]?.count as number); i++)
              along(axis + 1, a + i * (inChunk[axis] as number), b + i * (inBox[axis] as number));
        };
        along(0, 0, to);
      },
    };
    let axis = rank - 1;
    while (axis >= 0 && at[axis] === last[axis]) {
      at[axis] = first[axis] as number;
      axis--;
    }
    if (axis < 0) return;
    at[axis] = (at[axis] as number) + 1;
  }
}

/** Bytes from one element to the next along each axis. */
function stridesOf(shape: readonly number[], itemBytes: number): number[] {
  return shape.map((_, i) => sizeOf(shape.slice(i + 1)) * itemBytes);
}
