import { isFloat } from '../../formats/dtypes.js';
import type { Dtype } from '../../model.js';

/** What tells a stored variable: its number type and shape. */
export interface Variable {
  readonly shape: readonly number[];
  readonly dtype: Dtype;
}

/** State of float8 training, in the order of the file, after kernel and bias: scalars and histories in turn. */
export const FLOAT8_STATE: readonly string[] = [
  'inputs_scale',
  'inputs_amax_history',
  'kernel_scale',
  'kernel_amax_history',
  'outputs_grad_scale',
  'outputs_grad_amax_history',
];

/**
 * Names of the variables of a layer that Keras quantized, as it stores them under numbers; undefined where the number
 * types are not those of its quantization. Files do not always state the mode (an EinsumDense inside of an attention
 * layer has none in any configuration), so the types decide:
 *
 * | mode | variables |
 * |---|---|
 * | int8, int4 | int8 `kernel`, `bias`, `kernel_scale`; by blocks int8 `kernel_zero`, `g_idx` |
 * | gptq | `bias`, uint8 `kernel`, `kernel_scale`, uint8 `kernel_zero`, `g_idx` |
 * | awq | `bias`, uint8 `kernel`, `kernel_scale`, uint8 `kernel_zero`, `awq_scales`, `g_idx` |
 * | float8 | `kernel`, `bias`, three scales and three histories |
 *
 * `bias` may be missing; `kernel_zero` of GPTQ and AWQ always is, since Keras 3.15 does not write it. A ReversibleEmbedding
 * may store `reverse_embeddings` and its scale, and by blocks its zero, after the rest. Source: `variable_serialization_spec`
 * and `save_own_variables` of Dense, EinsumDense, Embedding and ReversibleEmbedding, Keras 3.15.
 *
 * @param base `kernel`, or `embeddings` of a layer that has these
 */
export function quantizedNames(
  base: 'kernel' | 'embeddings',
  variables: readonly Variable[],
): string[] | undefined {
  const kinds = variables.map(({ dtype }) =>
    isFloat(dtype) ? 'f' : ({ I8: 'i', U8: 'u' }[dtype as string] ?? '?'),
  );
  const ranks = variables.map(({ shape }) => shape.length);
  const pattern = kinds.join('');
  if (base === 'embeddings') return embeddingNames(variables, pattern);
  const signed = /^if(f?)(if)?$/.exec(pattern);
  if (signed && (ranks[0] as number) >= 2 && ranks.every((rank) => rank > 0)) {
    const [, hasBias, isGrouped] = signed;
    return [
      'kernel',
      ...(hasBias ? ['bias'] : []),
      'kernel_scale',
      ...(isGrouped ? ['kernel_zero', 'g_idx'] : []),
    ];
  }
  const unsigned = /^(f?)uf(u?)f(f?)$/.exec(pattern);
  if (unsigned && ranks[unsigned[1] ? 1 : 0] === 2) {
    const [, hasBias, hasZero, isAwq] = unsigned;
    return [
      ...(hasBias ? ['bias'] : []),
      'kernel',
      'kernel_scale',
      ...(hasZero ? ['kernel_zero'] : []),
      ...(isAwq ? ['awq_scales'] : []),
      'g_idx',
    ];
  }
  const isState = ranks.slice(-6).join() === '0,1,0,1,0,1';
  if (isState && /^f{7,8}$/.test(pattern))
    return ['kernel', ...(pattern.length === 8 ? ['bias'] : []), ...FLOAT8_STATE];
  return undefined;
}

function embeddingNames(variables: readonly Variable[], pattern: string): string[] | undefined {
  const shape = (i: number) => String(variables[i]?.shape);
  if (!/^i(f|f.*f)$/.test(pattern)) return undefined;
  const isGrouped = pattern.startsWith('ifif') && shape(2) === shape(1);
  const own = ['embeddings', 'embeddings_scale', ...(isGrouped ? ['embeddings_zero', 'g_idx'] : [])];
  const reverse = pattern.slice(own.length);
  if (!/^(iff?)?$/.test(reverse)) return undefined;
  const more = ['reverse_embeddings', 'reverse_embeddings_scale', 'reverse_embeddings_zero'];
  return [...own, ...more.slice(0, reverse.length)];
}
