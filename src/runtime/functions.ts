import { type ActivationSpec, addActivation } from './activations.js';
import type { Program, Tensor } from './program.js';
import { PLAIN_ACTIVATIONS } from './record.js';

/** All functions of `activate`, by the number that the kernel takes. */
export const ACTIVATIONS = [
  ...PLAIN_ACTIVATIONS,
  ...(['softplus', 'softsign', 'gelu', 'gelu_tanh', 'hard_sigmoid', 'hard_silu', 'exponential'] as const),
  ...(['mish', 'log_sigmoid', 'abs', 'square', 'sqrt', 'rsqrt', 'log', 'tanh_shrink', 'negative'] as const),
  ...(['reciprocal', 'sign', 'floor', 'ceil', 'round', 'expm1', 'erf', 'hard_shrink'] as const),
  ...(['soft_shrink', 'squareplus', 'threshold', 'sparse_plus', 'truth'] as const),
] as const;

export type ActivationKind = (typeof ACTIVATIONS)[number];

export const functionOf = (kind: ActivationKind, ...parameters: number[]): ActivationSpec => ({
  ...{ type: 'element', number: ACTIVATIONS.indexOf(kind), parameters },
});

/** A function of each element. */
export const addFunction = (
  program: Program,
  x: Tensor,
  kind: ActivationKind,
  ...parameters: number[]
): Tensor => addActivation(program, x, functionOf(kind, ...parameters));
