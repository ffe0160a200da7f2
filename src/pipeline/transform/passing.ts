import type { JsonObject } from '../../model.js';
import { activationName, type Core } from './wiring.js';

/**
 * What a layer does to tensors whose channels are scaled by positive numbers:
 *
 * - `same`: `f(s x) = s f(x)`, the last axis stays the channels;
 * - `flatten`: the same, and the channels are repeated over positions: index `j` is of channel `j mod C`;
 * - `affine`: a batch normalization; with its mean and beta scaled as well it is as `same`.
 */
export type Passing = 'same' | 'flatten' | 'affine';

/** Identities outside of training. */
const IDENTITY =
  /^(Dropout|SpatialDropout[123]D|GaussianNoise|GaussianDropout|AlphaDropout|ActivityRegularization|Identity)$/;
/** Maxima, means, copies and zeros along the axes between batch and channels. */
const SPATIAL =
  /^((Max|Average)Pooling[123]D|Global(Max|Average)Pooling[123]D|ZeroPadding[123]D|Cropping[123]D|UpSampling[123]D)$/;
/** Activations with `f(s x) = s f(x)` for `s > 0`. */
const HOMOGENEOUS = new Set(['linear', 'relu', 'leaky_relu']);

/** Why scales do not pass an activation function; undefined where they do. */
export function activationFault(config: JsonObject): string | undefined {
  const name = activationName(config.activation);
  return HOMOGENEOUS.has(name) ? undefined : `the activation ${name}`;
}

/** How scales pass a layer without kernels, or `{ why }` they do not. */
export function passing({ className, config }: Core): Passing | { readonly why: string } {
  if (className === undefined) return { why: 'a class that is not one of Keras' };
  if (IDENTITY.test(className)) return 'same';
  if (SPATIAL.test(className))
    return config.data_format === 'channels_first' ? { why: 'channels first' } : 'same';
  if (className === 'Flatten')
    return config.data_format === 'channels_first' ? { why: 'channels first' } : 'flatten';
  if (className === 'LeakyReLU' || className === 'PReLU') return 'same';
  if (className === 'Activation') {
    const why = activationFault(config);
    return why ? { why } : 'same';
  }
  if (className === 'ReLU') {
    const most = config.max_value ?? null;
    if (most !== null) return { why: `a largest value of ${String(most)}` };
    return Number(config.threshold ?? 0) === 0
      ? 'same'
      : { why: `a threshold of ${String(config.threshold)}` };
  }
  if (/^(Sync)?BatchNormalization$/.test(className)) return 'affine';
  return { why: `the class ${className}` };
}
