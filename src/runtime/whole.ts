import { expected } from '../errors.js';
import { countsWhole, LARGEST_WHOLE, mayGrow, numbersIn } from '../network/operations/integers.js';
import type { Network, NetworkNode } from '../network/types.js';
import { addFunction } from './functions.js';
import { addSum } from './layers-reductions.js';
import type { Program, Tensor } from './program.js';
import { refuse } from './refusal.js';

/** A step that ends the run where a tensor has a number of at least `limit` in magnitude, or NaN. */
function addBound(program: Program, x: Tensor, limit: number, name: string): void {
  const slot = program.slot();
  program.step([x], [], () => {
    program.kernels.range(x.storage.at, x.size, slot);
    const most = program.floats[slot >> 2] as number;
    if (!(most < limit))
      throw new RangeError(expected(name, `whole numbers below ${limit} in magnitude`, most));
  });
}

/** A merge of several layers adds in turn: no sum on the way may be too large. */
const SUMS = /^(Add|Subtract|Average)$/;

/** Bounds on the whole numbers that a node takes: float32 has no others. */
export function boundInputs(
  program: Program,
  node: NetworkNode,
  inputs: readonly Tensor[],
  { values }: Network,
): void {
  if (!countsWhole(node, values)) return;
  const large = numbersIn(node.attributes.operands).find((n) => Math.abs(n) >= LARGEST_WHOLE);
  if (large !== undefined) refuse(`the whole number ${large}`);
  const limit = SUMS.test(node.operation) ? Math.floor(LARGEST_WHOLE / inputs.length) : LARGEST_WHOLE;
  const sums = node.operation === 'ops.Sum' ? (inputs[0] as Tensor).shape : undefined;
  inputs.forEach((x, i) => {
    const { integer } = values[node.inputs[i] as number] ?? {};
    if (/(32|64)$/.test(integer ?? '') || SUMS.test(node.operation) || node.operation === 'ops.Cast')
      addBound(program, x, limit, node.layer);
  });
  if (!sums) return;
  const sizes = addFunction(program, inputs[0] as Tensor, 'abs');
  const { axis } = node.attributes;
  const axes = (Array.isArray(axis) ? (axis as number[]) : []).map((at) =>
    at < 0 ? at + sums.length : at - 1,
  );
  addBound(program, addSum(program, sizes, axes, true), LARGEST_WHOLE, node.layer);
}

/** The same for what it gives. */
export function boundResults(
  program: Program,
  node: NetworkNode,
  results: readonly Tensor[],
  { values }: Network,
): void {
  if (!countsWhole(node, values) || !mayGrow(node.operation)) return;
  for (const x of results) addBound(program, x, LARGEST_WHOLE, node.layer);
}
