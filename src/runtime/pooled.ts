import { product, refuse } from './context.js';
import { addPermutation } from './moves.js';
import type { Program, Tensor } from './program.js';

/** Shape of a reduction, and the tensor with the axes that go away before the others. */
export function turned(program: Program, x: Tensor, axes: readonly number[], keep: boolean) {
  const kept = x.shape.map((_, i) => i).filter((i) => !axes.includes(i));
  const shape = keep
    ? x.shape.map((n, i) => (axes.includes(i) ? 1 : n))
    : kept.map((i) => x.shape[i] as number);
  const first = addPermutation(program, x, [...[...axes].sort((m, n) => m - n), ...kept]);
  const count = product(axes.map((i) => x.shape[i] as number));
  if (count === 0) refuse('no elements to take together');
  return { first, shape, count };
}

/** Mean or largest over axes; NaN is the largest of all. */
export function addPooled(
  program: Program,
  x: Tensor,
  axes: readonly number[],
  keep: boolean,
  isMax: boolean,
): Tensor {
  const { first, shape, count } = turned(program, x, axes, keep);
  const out = program.tensor(shape);
  const channels = x.size / count;
  program.step([first], [out], () =>
    program.kernels.pool(
      ...([first.storage.at, 1, count, channels, 1, count, 1, 1, 0, 0, 1, 1, isMax ? 2 : 0] as const),
      out.storage.at,
    ),
  );
  return out;
}
