import { operationOf } from '../operations/index.js';
import type { NetworkNode } from '../types.js';
import { isChannelsFirst } from './kernel.js';
import { isNorm } from './norm.js';

/**
 * What a node does to tensors whose channels are scaled by positive numbers:
 *
 * - `same`: `f(s x) = s f(x)`, the last axis stays the channels;
 * - `flatten`: the same, and the channels are repeated over positions: index `j` is of channel `j mod C`;
 * - `affine`: a batch normalization; with its mean and beta scaled as well it is as `same`.
 */
export type Passing = 'same' | 'flatten' | 'affine';

/** Maxima, means, copies and zeros along the axes between batch and channels. */
const SPATIAL =
  /^((Max|Average)Pooling[123]D|Global(Max|Average)Pooling[123]D|ZeroPadding[123]D|Cropping[123]D|UpSampling[123]D)$/;
/** Identities that are so whatever the values are: random augmentation of images is none for every range. */
const IDENTITY = /^(.*Dropout.*|GaussianNoise|ActivityRegularization|Identity)$/;
/** Activations with `f(s x) = s f(x)` for `s > 0`. */
const HOMOGENEOUS = new Set(['linear', 'relu', 'leaky_relu']);

/** Why scales do not pass the activation of a node; undefined where they do. */
export function activationFault({ attributes }: NetworkNode): string | undefined {
  const name = String(attributes.activation);
  return HOMOGENEOUS.has(name) ? undefined : `the activation ${name}`;
}

/** How scales pass a node without kernels, or `{ why }` they do not. */
export function passing(node: NetworkNode): Passing | { readonly why: string } {
  const { operation, attributes, className } = node;
  const row = operationOf(operation);
  if (!row)
    return { why: className.includes('>') ? 'a class that is not one of Keras' : `the class ${className}` };
  if (row.isIdentity && IDENTITY.test(operation)) return 'same';
  if (SPATIAL.test(operation)) return isChannelsFirst(node) ? { why: 'channels first' } : 'same';
  if (operation === 'Flatten') return isChannelsFirst(node) ? { why: 'channels first' } : 'flatten';
  if (operation === 'LeakyReLU' || operation === 'PReLU') return 'same';
  if (operation === 'Activation') {
    const why = activationFault(node);
    return why ? { why } : 'same';
  }
  if (operation === 'ReLU') {
    const most = attributes.max_value ?? null;
    if (most !== null) return { why: `a largest value of ${String(most)}` };
    return Number(attributes.threshold ?? 0) === 0
      ? 'same'
      : { why: `a threshold of ${String(attributes.threshold)}` };
  }
  if (isNorm(node)) return 'affine';
  return { why: `the class ${className}` };
}
