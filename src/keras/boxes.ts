import { sizeOf } from '../shape.js';

/** A box of a tensor whose elements follow each other in C order: `start` is the first, `length` how many. */
export interface Box {
  readonly offset: readonly number[];
  readonly count: readonly number[];
  readonly start: number;
  readonly length: number;
}

/**
 * Cuts the elements `[from, to)` of a tensor, in C order, into boxes of at most `most` elements: whole rows of the
 * outermost axis that they fit, else parts of a row, cut in the same way.
 */
export function* boxes(shape: readonly number[], from: number, to: number, most: number): Generator<Box> {
  if (shape.length === 0) {
    if (from < to) yield { offset: [], count: [], start: 0, length: 1 };
    return;
  }
  yield* cut(shape, [], from, to, most, 0);
}

function* cut(
  shape: readonly number[],
  prefix: readonly number[],
  from: number,
  to: number,
  most: number,
  base: number,
): Generator<Box> {
  const inner = shape.slice(prefix.length + 1);
  const row = sizeOf(inner);
  for (let at = from; at < to; ) {
    const index = Math.floor(at / row);
    const rows = Math.min(Math.floor((to - at) / row), Math.max(1, Math.floor(most / row)));
    if (at === index * row && rows > 0 && (row <= most || inner.length === 0)) {
      const offset = [...prefix, index, ...inner.map(() => 0)];
      const count = [...prefix.map(() => 1), rows, ...inner];
      yield { offset, count, start: base + at, length: rows * row };
      at += rows * row;
    } else {
      const end = Math.min(row, to - index * row);
      yield* cut(shape, [...prefix, index], at - index * row, end, most, base + index * row);
      at = index * row + end;
    }
  }
}

/** What is done with a box of a dataset: its memory, which part it is (null: all of it), where in the result. */
export type VisitBox = (
  ...box: [pointer: number, count: bigint[] | null, offset: bigint[] | null, at: number, length: number]
) => void;
