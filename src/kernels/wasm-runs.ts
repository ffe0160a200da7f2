import type { BlockLayout } from '../shape.js';
import type { Arena, ReaderAbi } from './wasm-arena.js';

/** One channel is one run: `[outer, 1, inner]` and `[1, 1, outer * inner]` are the same memory. */
export function isColumns(layout: BlockLayout): boolean {
  return layout.inner === 1 && layout.channels > 1;
}

/** Runs `table[0, entries)`, whose blocks are `blocks`, lie from element `at` on. */
export type RunVisitor = (at: number, entries: number, blocks: Float64Array, halves: Float32Array) => void;

/** Walks elements that lie side by side and belong to one block, and hands them to kernels as tables. */
export interface RunTable {
  /** Address of pairs (u32 length, f32 value). */
  readonly pointer: number;
  /**
   * Visits the runs of elements `from` to `to`, cut also at multiples of `cut`, a table at a time.
   */
  visit(from: number, to: number, cut: number, values: Float32Array | null, visitor: RunVisitor): void;
}

/** Takes room for a table of at most `arena.entries` runs of `layout`. */
export function makeRunTable(arena: Arena<ReaderAbi>, layout: BlockLayout): RunTable {
  const single = layout.channels === 1;
  const inner = single ? layout.outer * layout.inner : layout.inner;
  const { channels, groupRows } = layout;
  const pointer = arena.take(arena.entries * 8);
  const blocks = new Float64Array(arena.entries);
  return {
    pointer,
    visit(from, to, cut, values, visitor) {
      const run = Math.floor(from / inner);
      let channel = run % channels;
      let row = Math.floor(run / channels) * inner + (from % inner);
      let left = inner - (from % inner);
      const halves = arena.floats(pointer, arena.entries * 2);
      const lengths = new Uint32Array(halves.buffer, pointer, arena.entries * 2);
      for (let e = from; e < to; ) {
        const at = e;
        let entries = 0;
        for (; e < to && entries < arena.entries; entries++) {
          const group = Math.floor(row / groupRows);
          const block = group * channels + channel;
          const length = Math.min(to - e, left, (group + 1) * groupRows - row, cut - (e % cut));
          lengths[2 * entries] = length;
          if (values) halves[2 * entries + 1] = values[block]!;
          blocks[entries] = block;
          e += length;
          row += length;
          left -= length;
          if (left === 0) {
            left = inner;
            channel++;
            if (channel === channels) channel = 0;
            else row -= inner;
          }
        }
        visitor(at, entries, blocks, halves);
      }
    },
  };
}
