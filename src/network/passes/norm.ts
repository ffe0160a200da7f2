import type { NetworkNode } from '../types.js';
import type { Weights } from './kernel.js';

/** A batch normalization outside of training, `y = scale x + shift` for each channel. */
export interface Norm {
  readonly scale: Float64Array;
  readonly shift: Float64Array;
  readonly epsilon: number;
  /** Ids of its weights. */
  readonly gamma: string | undefined;
  readonly beta: string | undefined;
  readonly mean: string;
  readonly variance: string;
}

/** Whether a node is a batch normalization. */
export const isNorm = ({ operation }: NetworkNode): boolean => operation === 'BatchNormalization';

/** The axis that a normalization is along, batch and steps counted; undefined where the number of axes is not known. */
export function normAxis({ attributes, steps }: NetworkNode, rank: number | undefined): number | undefined {
  const axis = Number(attributes.axis);
  if (axis >= 0) return axis + steps;
  return rank === undefined ? undefined : axis + rank;
}

/**
 * Scale and shift of a batch normalization: `scale = gamma / sqrt(variance + epsilon)`,
 * `shift = beta - mean scale`, in float64.
 * @returns why not, as text
 */
export function normOf({ weights: ids, attributes }: NetworkNode, weights: Weights): Norm | string {
  const { gamma, beta, moving_mean: mean, moving_variance: variance } = ids;
  if (mean === undefined || variance === undefined) return 'its moving mean and variance are not in the file';
  if (attributes.scale !== false && gamma === undefined) return 'its gamma is not in the file';
  if (attributes.center !== false && beta === undefined) return 'its beta is not in the file';
  const epsilon = Number(attributes.epsilon);
  const roles = ['moving_mean', 'moving_variance', ...(gamma ? ['gamma'] : []), ...(beta ? ['beta'] : [])];
  const vectors = new Map<string, ArrayLike<number>>();
  for (const role of roles) {
    const id = ids[role] as string;
    const fixed = weights.fixed?.(id);
    if (fixed !== undefined) return `its ${role} is ${fixed}`;
    vectors.set(role, weights.read(id));
  }
  const [m, v] = [vectors.get('moving_mean'), vectors.get('moving_variance')] as [
    ArrayLike<number>,
    ArrayLike<number>,
  ];
  for (const [role, { length }] of vectors)
    if (length !== m.length || length === 0) return `its ${role} has ${length} values, its mean ${m.length}`;
  const [g, b] = [vectors.get('gamma'), vectors.get('beta')];
  const scale = Float64Array.from(v, (value, c) => (g?.[c] ?? 1) / Math.sqrt(value + epsilon));
  const shift = Float64Array.from(m, (value, c) => (b?.[c] ?? 0) - value * (scale[c] as number));
  const bad = scale.findIndex((value, c) => !Number.isFinite(value) || !Number.isFinite(shift[c]));
  if (bad >= 0)
    return `channel ${bad} has variance ${v[bad]}, mean ${m[bad]}: its scale or shift is not finite`;
  return { scale, shift, epsilon, gamma, beta, mean, variance };
}
