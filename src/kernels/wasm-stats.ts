import type { BlockLayout } from '../shape.js';
import type { Abi, Arena } from './wasm-arena.js';
import { bring, columnBytes } from './wasm-code.js';
import { isColumns, makeRunTable } from './wasm-runs.js';

/** Longest run that a sum takes in one piece: `reference.ts`. */
const PIECE = 1024;

/** Called with every tile, so that codes can be made while it is there: `count` elements from `from` on. */
export type OnTile = (pointer: number, from: number, count: number) => void;

/** A block statistic: column vectors that kernels add to, and where their blocks go. */
interface ColumnStatistic {
  /** Room for the vectors of `columns` columns. */
  take(columns: number): void;
  /** Before the first row of a block whose columns start at channel `first`: `block` is its index. */
  begin(block: number, columns: number): void;
  /** Rows `row` to `row + rows` of the block; `last` after its last one. */
  add(pointer: number, rows: number, columns: number, row: number, last: boolean): void;
  end(block: number, columns: number): void;
}

/** Rows of a matrix, in stripes of at most `arena.columns` columns, in tiles of a multiple of 8 rows. */
function eachColumnTile(
  arena: Arena,
  weights: Float32Array,
  { outer, channels, groupRows }: BlockLayout,
  statistic: ColumnStatistic,
  onTile?: OnTile,
): void {
  const source = { array: weights, bits: 32 } as const;
  const width = Math.min(channels, arena.columns);
  const tileRows = Math.max(8, Math.floor(arena.tile / width) & -8);
  const room = arena.take(tileRows * width * 4);
  statistic.take(width);
  for (let first = 0; first < channels; first += width) {
    const columns = Math.min(width, channels - first);
    for (let top = 0; top < outer; top += tileRows) {
      const bottom = Math.min(outer, top + tileRows);
      let tile = room;
      if (columns === channels) {
        tile = bring(arena, room, source, top * channels, bottom * channels);
        onTile?.(tile, top * channels, (bottom - top) * channels);
      } else {
        for (let row = top; row < bottom; row++) {
          const from = row * channels + first;
          arena.floats(tile + (row - top) * columns * 4, columns).set(weights.subarray(from, from + columns));
        }
      }
      for (let row = top, next = row; row < bottom; row = next) {
        const group = Math.floor(row / groupRows);
        const start = group * groupRows;
        const stop = Math.min(outer, start + groupRows);
        const block = group * channels + first;
        next = Math.min(bottom, stop);
        if (row === start) statistic.begin(block, columns);
        statistic.add(tile + (row - top) * columns * 4, next - row, columns, row - start, next === stop);
        if (next === stop) statistic.end(block, columns);
      }
    }
  }
}

/** Tables of runs, in tiles of a multiple of 1024 elements. */
function eachRunTable(
  arena: Arena,
  weights: Float32Array,
  layout: BlockLayout,
  values: Float32Array | null,
  run: (pointer: number, table: number, entries: number, blocks: Float64Array, halves: Float32Array) => void,
  onTile?: OnTile,
): void {
  const table = makeRunTable(arena, layout);
  const room = arena.take(arena.tile * 4);
  for (let from = 0; from < weights.length; from += arena.tile) {
    const to = Math.min(weights.length, from + arena.tile);
    const tile = bring(arena, room, { array: weights, bits: 32 }, from, to);
    onTile?.(tile, from, to - from);
    table.visit(from, to, PIECE, values, (at, entries, blocks, halves) => {
      run(tile + (at - from) * 4, table.pointer, entries, blocks, halves);
    });
  }
}

/** The larger of two magnitudes; NaN is the largest. */
export function larger(a: number, b: number): number {
  return a > b || Number.isNaN(a) ? a : b;
}

export function absMax(arena: Arena, weights: Float32Array, layout: BlockLayout, max: Float32Array): void {
  const { abi } = arena;
  if (isColumns(layout)) {
    let vector = 0;
    eachColumnTile(arena, weights, layout, {
      take: (columns) => {
        vector = arena.take((columns + 3) * 4);
      },
      begin: (block, columns) => arena.floats(vector, columns).set(max.subarray(block, block + columns)),
      add: (pointer, rows, columns) => abi.absMaxColumns(pointer, rows, columns, vector),
      end: (block, columns) => max.set(arena.floats(vector, columns), block),
    });
  } else {
    eachRunTable(arena, weights, layout, null, (pointer, table, entries, blocks, halves) => {
      abi.absMaxRuns(pointer, table, entries);
      for (let i = 0; i < entries; i++) max[blocks[i]!] = larger(max[blocks[i]!]!, halves[2 * i + 1]!);
    });
  }
  oneNaN(max);
}

/** NaN has many bit patterns: results hold the canonical one. */
export function oneNaN(values: Float32Array | Float64Array): void {
  for (let i = 0; i < values.length; i++) if (Number.isNaN(values[i])) values[i] = Number.NaN;
}

/** The levels that weights are projected on: inverses, and the kernels that take them. */
export interface Projector {
  readonly inverses: Float32Array;
  readonly columns: Abi['projectInt4Columns'];
  readonly runs: Abi['projectInt4Runs'];
}

/** Adds to sums of `sums.length` terms: one (|w|), or with a `projector` two (w l, l^2). */
export function blockSums(
  arena: Arena,
  weights: Float32Array,
  layout: BlockLayout,
  projector: Projector | null,
  sums: readonly Float64Array[],
  onTile?: OnTile,
): void {
  const { abi } = arena;
  const inverses = projector?.inverses ?? null;
  const terms = sums.length;
  if (isColumns(layout)) {
    let vector = 0;
    let partials = 0;
    let totals = 0;
    eachColumnTile(
      arena,
      weights,
      layout,
      {
        take: (columns) => {
          if (inverses) vector = arena.take(columnBytes(columns));
          partials = arena.take((columns + 3) * 4 * terms);
          totals = arena.take((columns + 3) * 8 * terms);
        },
        begin: (block, columns) => {
          arena.floats(partials, (columns + 3) * terms).fill(0);
          const padded = (columns + 3) & -4;
          sums.forEach((sum, term) => {
            arena.doubles(totals + term * padded * 8, columns).set(sum.subarray(block, block + columns));
          });
          if (inverses) {
            arena.floats(vector, columns).set(inverses.subarray(block, block + columns));
            abi.extendColumns(vector, columns);
          }
        },
        add: (pointer, rows, columns, row, last) => {
          if (projector)
            projector.columns(pointer, rows, columns, vector, partials, totals, row, Number(last));
          else abi.absSumColumns(pointer, rows, columns, partials, totals, row, Number(last));
        },
        end: (block, columns) => {
          const padded = (columns + 3) & -4;
          sums.forEach((sum, term) => {
            sum.set(arena.doubles(totals + term * padded * 8, columns), block);
          });
        },
      },
      onTile,
    );
  } else {
    const pieces = arena.take(arena.entries * 8 * terms);
    eachRunTable(
      arena,
      weights,
      layout,
      inverses,
      (pointer, table, entries, blocks) => {
        if (projector) projector.runs(pointer, table, entries, pieces);
        else abi.absSumRuns(pointer, table, entries, pieces);
        const results = arena.doubles(pieces, entries * terms);
        for (let term = 0; term < terms; term++) {
          const sum = sums[term]!;
          for (let i = 0; i < entries; i++) sum[blocks[i]!]! += results[i * terms + term]!;
        }
      },
      onTile,
    );
  }
  sums.forEach(oneNaN);
}
