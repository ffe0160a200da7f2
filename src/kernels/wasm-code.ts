import { type BlockLayout, layoutSize } from '../shape.js';
import { type Arena, bytesOf, type Kernel, type ReaderAbi } from './wasm-arena.js';
import { isColumns, makeRunTable } from './wasm-runs.js';

/** An array whose elements take `bits` bits each. */
export interface Side {
  readonly array: Float32Array | Uint8Array;
  readonly bits: 1 | 2 | 4 | 32;
}

/** Where tiles go: an array, or whatever takes floats out of the arena (halves are made so). */
export type Target = Side | { readonly array: TileSink; readonly bits: 32 };

/** Takes floats, which lie in the arena until it returns. */
export interface TileSink {
  /** @param offset of the first in the tensor */
  set(floats: Float32Array, offset: number): void;
}

/** Where elements lie from `from` on (`from * bits` in whole bytes): in the kernels' memory already, or `room`. */
function addressOf(arena: Arena<ReaderAbi>, { array, bits }: Target, from: number, room: number): number {
  const { buffer, byteOffset } = array as Float32Array;
  return buffer === arena.abi.memory.buffer ? byteOffset + (from * bits) / 8 : room;
}

/** The address of elements `from` to `to`, which are copied to `room` unless they are in the kernels' memory. */
export function bring(arena: Arena<ReaderAbi>, room: number, side: Side, from: number, to: number): number {
  const at = addressOf(arena, side, from, room);
  if (at === room) {
    const bytes = bytesOf(side.array).subarray((from * side.bits) / 8, Math.ceil((to * side.bits) / 8));
    arena.view(room, bytes.length).set(bytes);
  }
  return at;
}

export function copyOut(
  arena: Arena<ReaderAbi>,
  pointer: number,
  { array, bits }: Target,
  from: number,
  to: number,
): void {
  if (array instanceof Float32Array || array instanceof Uint8Array) {
    const bytes = Math.ceil((to * bits) / 8) - (from * bits) / 8;
    bytesOf(array).set(arena.view(pointer, bytes), (from * bits) / 8);
  } else {
    array.set(arena.floats(pointer, to - from), from);
  }
}

/** Column vector of a kernel: `columns` values in room for `columnBytes`, with the overhang of extendColumns. */
export function columnBytes(columns: number): number {
  return (Math.max(columns, 63) + 32) * 4;
}

/**
 * Streams `source` through a kernel into `target`, a tile at a time. `values` holds a float for each block.
 *
 * @param columns `(source, target, from, to, vector, period, column)`
 * @param runs `(source, target, from, table, entries, vector)`
 */
export function code(
  arena: Arena<ReaderAbi>,
  layout: BlockLayout,
  values: Float32Array,
  source: Side,
  target: Target,
  columns: Kernel,
  runs: Kernel,
): void {
  const size = layoutSize(layout);
  arena.scope(() => {
    const room = arena.take((arena.tile * source.bits) / 8);
    const output = arena.take((arena.tile * target.bits) / 8);
    const tile = isColumns(layout)
      ? columnTiles(arena, layout, values, columns)
      : runTiles(arena, layout, values, runs);
    for (let from = 0; from < size; from += arena.tile) {
      const to = Math.min(size, from + arena.tile);
      const at = addressOf(arena, target, from, output);
      tile(from, to, bring(arena, room, source, from, to), at);
      if (at === output) copyOut(arena, output, target, from, to);
    }
  });
}

/** Runs a kernel over elements `from` to `to`, which lie at `input`. */
type Tile = (from: number, to: number, input: number, output: number) => void;

function runTiles(arena: Arena<ReaderAbi>, layout: BlockLayout, values: Float32Array, kernel: Kernel): Tile {
  const table = makeRunTable(arena, layout);
  const vector = arena.take(columnBytes(1));
  return (from, to, input, output) => {
    table.visit(from, to, Number.POSITIVE_INFINITY, values, (at, entries) => {
      kernel(input, output, at - from, table.pointer, entries, vector);
    });
  };
}

/**
 * A tile is cut where the group of rows changes, and with it the column vector. A matrix wider than the arena allows
 * is cut within its rows too, each piece with a vector of its own.
 */
function columnTiles(
  arena: Arena<ReaderAbi>,
  { channels, groupRows }: BlockLayout,
  values: Float32Array,
  kernel: Kernel,
): Tile {
  const wide = channels > arena.columns;
  const vector = arena.take(columnBytes(Math.min(channels, arena.columns)));
  let loaded = -1;
  let period = 0;
  return (from, to, input, output) => {
    for (let e = from, next = e; e < to; e = next) {
      const row = Math.floor(e / channels);
      const group = Math.floor(row / groupRows);
      const column = e - row * channels;
      const first = group * channels + (wide ? column : 0);
      next = Math.min(
        to,
        wide ? Math.min((row + 1) * channels, e + arena.columns) : (group + 1) * groupRows * channels,
      );
      if (first !== loaded) {
        const count = wide ? next - e : channels;
        arena.floats(vector, count).set(values.subarray(first, first + count));
        period = arena.abi.extendColumns(vector, count);
        loaded = wide ? -1 : first;
      }
      kernel(input, output, e - from, next - from, vector, period, wide ? 0 : column);
    }
  };
}
