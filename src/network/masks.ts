// Masks of sequences. Keras hands them on beside the tensors; in a network they are values, made where they are used.
import type { JsonObject } from '../model.js';

/** A mask beside a tensor: a value that is made when it is used; `unclear` where Keras's rules are not followed here. */
export type Mask =
  | {
      readonly value: () => number;
      /**
       * Keras 3 does not see it while a model is built, since it comes out of a model inside: what it writes into the file
       * of layers behind goes without it, what it finds out in `predict` with it.
       */
      readonly isLate?: boolean;
    }
  | 'unclear'
  | undefined;

/** Layers whose outputs have the mask of their first input. */
const PASSING =
  /^(Activation|ReLU|LeakyReLU|PReLU|ELU|ThresholdedReLU|Dense|Dropout|SpatialDropout[123]D|GaussianNoise|GaussianDropout|AlphaDropout|ActivityRegularization|Identity|BatchNormalization|LayerNormalization|GroupNormalization|UnitNormalization|Rescaling|Normalization)$/;
/** Of these, layers of Keras 2 that drop it. */
const DROPPING_2 = /^(Identity|Rescaling|Normalization)$/;
const MERGING = /^(Add|Subtract|Multiply|Average|Maximum|Minimum)$/;
/** Merges that leave out what a mask hides: Keras 3.15 of `Multiply` takes 1 there, of the others the other input. */
const CHOOSING = /^(Multiply|Maximum|Minimum)$/;
const RECURRENT = /^(LSTM|GRU|SimpleRNN|Bidirectional|ConvLSTM[123]D)$/;

/** Attention with projections. */
export const isProjected = (operation: string): boolean =>
  /^(MultiHead|GroupQuery)Attention$/.test(operation);
const ATTENTION = /^(MultiHead|GroupQuery|Additive)?Attention$/;

/** Whether a layer computes something else with a mask. */
export const usesMask = (operation: string): boolean =>
  [RECURRENT, ATTENTION, /^(GlobalAveragePooling1D|Softmax)$/].some((kind) => kind.test(operation));

/** A call with the masks of its inputs. */
export interface MaskedCall {
  readonly operation: string;
  readonly attributes: JsonObject;
  readonly roles: readonly string[];
  readonly masks: readonly Mask[];
  /** Whether the call itself gives the mask of the first input. */
  readonly isGiven: boolean;
  readonly steps: number;
  /** Rank of the first input, where it is known. */
  readonly rank: number | undefined;
  readonly isKeras3: boolean;
}

/** What the masks of a call's inputs do. */
export interface MaskRule {
  /** Masks that become inputs, with their roles. */
  readonly used: readonly (readonly [mask: Mask, role: string])[];
  /** The mask of the outputs. */
  readonly result: Mask | 'own' | { readonly combine: 'or' | 'and' } | { readonly concatenate: number };
  /** Why it cannot be followed. */
  readonly problem?: string;
  /** Attention of Keras 3 takes the masks off the tensors that it was given, for layers that run later. */
  readonly clears?: true;
}

const NOTHING: MaskRule = { used: [], result: undefined };

/** What becomes of masks at a call. Sources: `compute_mask` of the layers, tf_keras 2.21 and Keras 3.15. */
export function maskRule(call: MaskedCall): MaskRule {
  const { operation, attributes, roles, masks, isGiven, steps, rank, isKeras3 } = call;
  const [first] = masks;
  if (operation === 'Masking' || (operation === 'Embedding' && attributes.mask_zero === true))
    return { used: [], result: 'own' };
  if (masks.every((mask) => mask === undefined)) return NOTHING;
  if (steps > 0)
    return usesMask(operation)
      ? { used: [], result: first, problem: 'a mask inside TimeDistributed' }
      : { used: [], result: first };
  if (RECURRENT.test(operation))
    return {
      // Keras 3 finds the mask of a layer's one tensor; beside initial states it looks for `sequences_mask`, which there is not,
      // and takes a mask that it is given.
      used: isKeras3 && roles.includes('state') && !isGiven ? [] : [[first, 'mask']],
      result: attributes.return_sequences === true ? first : undefined,
      ...(operation.startsWith('Conv') && first !== undefined
        ? { problem: 'a mask or an initial state' }
        : {}),
    };
  if (operation === 'GlobalAveragePooling1D') return { used: [[first, 'mask']], result: undefined };
  if (ATTENTION.test(operation)) {
    const isMulti = isProjected(operation);
    const used = roles.flatMap((role, i): [Mask, string][] =>
      role === 'query' || role === 'value' || (role === 'key' && isMulti) ? [[masks[i], `${role}_mask`]] : [],
    );
    return { used, result: first, ...(isMulti ? { clears: true } : {}) };
  }
  if (operation === 'Softmax' && first !== undefined)
    return { used: [], result: first, problem: 'a mask of its input' };
  if (PASSING.test(operation))
    return isKeras3 || !DROPPING_2.test(operation) ? { used: [], result: first } : NOTHING;
  if (!MERGING.test(operation) && operation !== 'Concatenate') return NOTHING;
  if (isKeras3 && CHOOSING.test(operation))
    return { used: [], result: 'unclear', problem: 'a mask of its inputs, by which Keras 3 chooses values' };
  const isUnclear = masks.includes(undefined) || masks.includes('unclear');
  const axis = operation === 'Concatenate' ? Number(attributes.axis) : -1;
  const isFeatures = axis === -1 || (rank !== undefined && axis === rank - 1);
  if (!isFeatures) {
    // Joined over time the masks are joined as well.
    const isTime = axis === 1 || (rank !== undefined && axis === 1 - rank);
    const isMixed = new Set(masks.map((mask) => typeof mask === 'object' && mask.isLate === true)).size > 1;
    return { used: [], result: isTime && !isUnclear && !isMixed ? { concatenate: 1 } : 'unclear' };
  }
  if (masks.every((mask) => mask === first)) return { used: [], result: first };
  // Versions of Keras differ on different masks of features side by side.
  if (isUnclear || operation === 'Concatenate') return { used: [], result: 'unclear' };
  return { used: [], result: { combine: isKeras3 ? 'or' : 'and' } };
}
