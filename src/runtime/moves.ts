import { product, refuse } from './context.js';
import type { Program, Tensor } from './program.js';

/** Arguments of one call of `move`, addresses relative to the tensors. */
type Move = readonly [from: number, to: number, ...rest: number[]];

/** Calls that one step is written out in at most. */
const MOST_MOVES = 2 ** 16;

/** Elements between neighbours along each axis of a tensor in C order. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = shape.map(() => 1);
  for (let i = shape.length - 2; i >= 0; i--)
    strides[i] = (strides[i + 1] as number) * (shape[i + 1] as number);
  return strides;
}

interface Axis {
  readonly n: number;
  readonly from: number;
  readonly to: number;
}

/** Axes that go on where the next one ends become one with it. */
function merged(shape: readonly number[], from: readonly number[], to: readonly number[]): Axis[] {
  const axes: Axis[] = [];
  for (let i = shape.length - 1; i >= 0; i--) {
    const axis = { n: shape[i] as number, from: from[i] as number, to: to[i] as number };
    const inner = axes[0];
    if (axis.n === 1) continue;
    const isOne = inner && axis.from === inner.from * inner.n && axis.to === inner.to * inner.n;
    if (isOne) axes[0] = { n: axis.n * inner.n, from: inner.from, to: inner.to };
    else axes.unshift(axis);
  }
  return axes;
}

/**
 * Copies of blocks that move a tensor of `shape`, elements `from` and `to` apart along each axis: at most three axes a call,
 * the others written out.
 */
function movesOf(
  shape: readonly number[],
  from: readonly number[],
  to: readonly number[],
  fromStart = 0,
  toStart = 0,
): Move[] {
  if (product(shape) === 0) return [];
  const axes = merged(shape, from, to);
  const last = axes.at(-1);
  const isBlock = last !== undefined && last.from === 1 && last.to === 1;
  const bytes = 4 * (isBlock ? last.n : 1);
  const rest = isBlock ? axes.slice(0, -1) : axes;
  const outer = rest.slice(0, -3);
  const inner = [...Array<Axis>(3).fill({ n: 1, from: 0, to: 0 }), ...rest].slice(-3) as [Axis, Axis, Axis];
  const count = product(outer.map(({ n }) => n));
  if (count > MOST_MOVES) refuse(`values moved along too many axes: ${count} blocks of blocks`);
  let starts: [number, number][] = [[fromStart, toStart]];
  for (const { n, from: f, to: t } of outer)
    starts = starts.flatMap(([a, b]) =>
      Array.from({ length: n }, (_, i): [number, number] => [a + i * f, b + i * t]),
    );
  return starts.map(([a, b]) => [
    ...([4 * a, 4 * b] as const),
    ...[...inner.map(({ n }) => n), bytes],
    ...inner.map((axis) => 4 * axis.from),
    ...inner.map((axis) => 4 * axis.to),
  ]);
}

/** Runs moves between two addresses. */
function runMoves(program: Program, moves: readonly Move[], from: number, to: number): void {
  const { kernels } = program;
  for (const [a, b, ...rest] of moves)
    kernels.move(
      from + a,
      to + b,
      ...(rest as Parameters<typeof kernels.move> extends [number, number, ...infer R] ? R : never),
    );
}

/** n floats from one address to another. */
export function copyFloats(program: Program, from: number, to: number, n: number): void {
  program.kernels.move(from, to, 1, 1, 1, 4 * n, 0, 0, 0, 0, 0, 0);
}

/** A step that moves a tensor whole. */
function addMoves(program: Program, x: Tensor, out: Tensor, moves: readonly Move[]): void {
  program.step([x], [out], () => runMoves(program, moves, x.storage.at, out.storage.at));
}

/** Axes in another order: axis i of the result is axis `order[i]`. */
export function addPermutation(program: Program, x: Tensor, order: readonly number[]): Tensor {
  if (order.every((axis, i) => axis === i)) return x;
  const shape = order.map((axis) => x.shape[axis] as number);
  const out = program.tensor(shape);
  const strides = stridesOf(x.shape);
  const from = order.map((axis) => strides[axis] as number);
  addMoves(program, x, out, movesOf(shape, from, stridesOf(shape)));
  return out;
}

/** Repeats along axes of length 1 up to `shape`, which has as many axes. */
export function addBroadcast(program: Program, x: Tensor, shape: readonly number[]): Tensor {
  const own = [...Array<number>(shape.length - x.shape.length).fill(1), ...x.shape];
  if (own.every((n, i) => n === shape[i])) return program.view(x, shape);
  if (own.some((n, i) => n !== 1 && n !== shape[i])) refuse(`values of [${x.shape}] where [${shape}] go`);
  const out = program.tensor(shape);
  const strides = stridesOf(own);
  const from = own.map((n, i) => (n === shape[i] ? (strides[i] as number) : 0));
  addMoves(program, x, out, movesOf(shape, from, stridesOf(shape)));
  return out;
}

/** Tensors side by side along an axis. */
export function addConcatenation(program: Program, parts: readonly Tensor[], axis: number): Tensor {
  const [first] = parts as [Tensor];
  const isLike = ({ shape }: Tensor) => shape.every((n, i) => i === axis || n === first.shape[i]);
  if (!parts.every((part) => part.shape.length === first.shape.length && isLike(part)))
    refuse(`values of ${parts.map(({ shape }) => `[${shape}]`).join(' and ')} side by side`);
  const total = parts.reduce((sum, part) => sum + (part.shape[axis] as number), 0);
  const shape = first.shape.map((n, i) => (i === axis ? total : n));
  const out = program.tensor(shape);
  const strides = stridesOf(shape);
  let at = 0;
  const all = parts.map((part) => {
    const moves = movesOf(part.shape, stridesOf(part.shape), strides, 0, at * (strides[axis] as number));
    at += part.shape[axis] as number;
    return moves;
  });
  program.step(parts, [out], () => {
    parts.forEach((part, i) => {
      runMoves(program, all[i] as Move[], part.storage.at, out.storage.at);
    });
  });
  return out;
}

/** A box of a tensor, `step` apart along each axis. */
export function addBox(
  program: Program,
  x: Tensor,
  start: readonly number[],
  shape: readonly number[],
  step: readonly number[] = shape.map(() => 1),
): Tensor {
  const out = program.tensor(shape);
  const strides = stridesOf(x.shape);
  const from = strides.map((stride, i) => stride * (step[i] as number));
  const first = strides.reduce((sum, stride, i) => sum + stride * (start[i] as number), 0);
  addMoves(program, x, out, movesOf(shape, from, stridesOf(shape), first));
  return out;
}

/** A tensor's elements `apart` from each other in one of `shape`, another value between them. */
export function addPadded(
  program: Program,
  x: Tensor,
  shape: readonly number[],
  apart: readonly number[],
  start = 0,
  value = 0,
): Tensor {
  const out = program.tensor(shape);
  const moves = movesOf(x.shape, stridesOf(x.shape), apart, 0, start);
  program.step([x], [out], () => {
    program.kernels.fill(out.storage.at, out.size, value);
    runMoves(program, moves, x.storage.at, out.storage.at);
  });
  return out;
}

/** Values around a tensor. */
export function addPadding(
  program: Program,
  x: Tensor,
  before: readonly number[],
  after: readonly number[],
  value = 0,
): Tensor {
  const shape = x.shape.map((n, i) => n + (before[i] as number) + (after[i] as number));
  const strides = stridesOf(shape);
  const start = strides.reduce((sum, stride, i) => sum + stride * (before[i] as number), 0);
  return addPadded(program, x, shape, strides, start, value);
}

/** Every element along each axis so many times. */
export function addRepetition(program: Program, x: Tensor, times: readonly number[]): Tensor {
  // [n, times] for each axis: a broadcast over axes between.
  const shape = x.shape.flatMap((n, i) => [n, times[i] as number]);
  const wide = addBroadcast(
    program,
    program.view(
      x,
      x.shape.flatMap((n) => [n, 1]),
    ),
    shape,
  );
  return program.view(
    wide,
    x.shape.map((n, i) => n * (times[i] as number)),
  );
}
