import { broadcast } from '../network/operations/operation.js';
import { addBroadcast } from './moves.js';
import type { Program, Tensor } from './program.js';
import { COMBINATIONS, type CombinationKind } from './record.js';

/** Two tensors element by element; either may be repeated along axes of length 1. */
export function addCombination(program: Program, x: Tensor, y: Tensor, kind: CombinationKind): Tensor {
  const shape = broadcast([x.shape, y.shape]) as number[];
  const left = addBroadcast(program, x, shape);
  // The second may be read over and over, where it repeats as a whole.
  const own = [...Array<number>(shape.length - y.shape.length).fill(1), ...y.shape];
  const from = own.findIndex((n) => n !== 1);
  const isSuffix = from < 0 || own.slice(from).every((n, i) => n === shape[from + i]);
  const right = isSuffix ? y : addBroadcast(program, y, shape);
  const out = program.tensor(shape);
  const number = COMBINATIONS.indexOf(kind);
  program.step(
    [left, right],
    [out],
    () => {
      const { at: to } = out.storage;
      program.kernels.combine(left.storage.at, right.storage.at, left.size, right.size, number, to);
    },
    true,
  );
  return out;
}
