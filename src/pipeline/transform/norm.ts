import { isFloat } from '../../formats/dtypes.js';
import type { ModelSource, WeightInfo } from '../../model.js';
import type { Core } from './wiring.js';

/** A batch normalization outside of training, `y = scale x + shift` for each channel. */
export interface Norm {
  readonly scale: Float64Array;
  readonly shift: Float64Array;
  readonly epsilon: number;
  readonly gamma: WeightInfo | undefined;
  readonly beta: WeightInfo | undefined;
  readonly mean: WeightInfo;
  readonly variance: WeightInfo;
}

/** Whether a class is a batch normalization. */
export const isNorm = (className: string | undefined): boolean =>
  /^(Sync)?BatchNormalization$/.test(className ?? '');

/**
 * Scale and shift of a batch normalization: `scale = gamma / sqrt(variance + epsilon)`,
 * `shift = beta - mean scale`, in float64.
 * @param weights of the layer
 * @returns why not, as text
 */
export function normOf(source: ModelSource, { config }: Core, weights: readonly WeightInfo[]): Norm | string {
  const find = (name: string) => weights.find((weight) => weight.name === name);
  const mean = find('moving_mean');
  const variance = find('moving_variance');
  const gamma = config.scale === false ? undefined : find('gamma');
  const beta = config.center === false ? undefined : find('beta');
  if (!mean || !variance) return 'its moving mean and variance are not in the file';
  if (config.scale !== false && !gamma) return 'its gamma is not in the file';
  if (config.center !== false && !beta) return 'its beta is not in the file';
  const all = [mean, variance, ...(gamma ? [gamma] : []), ...(beta ? [beta] : [])];
  const channels = mean.shape[0] ?? 0;
  const odd = all.find(
    ({ shape, dtype }) => shape.length !== 1 || shape[0] !== channels || channels === 0 || !isFloat(dtype),
  );
  if (odd) return `its ${odd.name} is ${odd.dtype} of shape [${odd.shape}]`;
  const epsilon = typeof config.epsilon === 'number' ? config.epsilon : 1e-3;
  const [m, v] = [source.read(mean.id), source.read(variance.id)];
  const [g, b] = [gamma && source.read(gamma.id), beta && source.read(beta.id)];
  const scale = Float64Array.from(v, (value, c) => (g?.[c] ?? 1) / Math.sqrt(value + epsilon));
  const shift = Float64Array.from(m, (value, c) => (b?.[c] ?? 0) - value * (scale[c] as number));
  const bad = scale.findIndex((value, c) => !Number.isFinite(value) || !Number.isFinite(shift[c]));
  if (bad >= 0)
    return `channel ${bad} has variance ${v[bad]}, mean ${m[bad]}: its scale or shift is not finite`;
  return { scale, shift, epsilon, gamma, beta, mean, variance };
}
