import { fromNumbers, toFloat32 } from '../../formats/dtypes.js';
import type { Dtype, ModelSource, WeightInfo } from '../../model.js';
import { biasConfig, editArchitecture } from '../../network/edit.js';
import {
  type FoldedNorm,
  findNormFolds,
  foldedBias,
  foldedRows,
  foldNorms,
  type LeftLayer,
  type NormFold,
} from '../../network/passes/fold-norms.js';
import type { Kernel } from '../../network/passes/kernel.js';
import type { Norm } from '../../network/passes/norm.js';
import type { Network } from '../../network/types.js';
import { networkOf, scalingOf, weightsOf } from './network.js';
import { type Scaling, TransformedModel } from './transformed-model.js';

export type { FoldedNorm, LeftLayer };

/** How batch normalizations are folded. */
export interface FoldOptions {
  /**
   * Keeps every layer and weight: the normalization becomes `y = x + beta`, so that the values can be written back into
   * the model's own Keras file. Default: the normalization goes, the layer before it gets a bias.
   */
  readonly keepLayers?: boolean;
}

/** A model without the normalizations that could be folded. */
export interface FoldResult {
  readonly source: TransformedModel;
  readonly folded: readonly FoldedNorm[];
  readonly left: readonly LeftLayer[];
}

/**
 * Folds batch normalizations into the layers before them: `W' = W scale`, `b' = b scale + shift` per output channel, with
 * `scale = gamma / sqrt(variance + epsilon)`, `shift = beta - mean scale`. Jacob et al., Quantization and Training of
 * Neural Networks for Efficient Integer-Arithmetic-Only Inference, CVPR 2018, section 3.2.
 *
 * Only where outputs stay the same: the layer (Dense, convolutions of all kinds) has no activation, all its calls go to
 * this normalization and nowhere else, and the normalized axis is that of its channels. Every other normalization is in
 * `left` with the reason. Tensors are computed when they are read; `source` must stay open. New values are float32.
 *
 * @throws BitnibbleError `corrupt-file` for an architecture that cannot be read
 */
export function foldBatchNorm(source: ModelSource, options: FoldOptions = {}): FoldResult {
  const network = networkOf(source);
  if (!network) return all(source, { source: new TransformedModel(source, {}), folded: [], left: [] }, false);
  return all(source, options.keepLayers === true ? kept(source, network) : gone(source, network), true);
}

/** The result with every normalization of the file in it: those that are no nodes of the network are left. */
function all(source: ModelSource, result: FoldResult, hasNetwork: boolean): FoldResult {
  const { folded, left } = result;
  const seen = new Set([...folded.map(({ norm }) => norm), ...left.map(({ layer }) => layer)]);
  const more: LeftLayer[] = [];
  for (const { layer, className } of source.weights) {
    if (seen.has(layer) || !/(^|\/)(Sync)?BatchNormalization$/.test(className)) continue;
    seen.add(layer);
    const why = hasNetwork
      ? 'it is part of another layer, or no output of the model needs it'
      : 'the file holds no architecture';
    more.push({ layer, className, why });
  }
  return { ...result, left: [...left, ...more] };
}

/** Normalizations taken out. */
function gone(source: ModelSource, network: Network): FoldResult {
  const { scaled, values, biases, folded, left } = foldNorms(network, weightsOf(source));
  if (folded.length === 0) return { source: new TransformedModel(source, {}), folded, left };
  const norms = new Set(folded.map(({ norm }) => norm));
  const biased = new Set<string>();
  const weights = source.weights.flatMap((weight): WeightInfo[] => {
    const { id, layer, config } = weight;
    if (norms.has(layer)) return [];
    if (!scaled.has(id) && !values.has(id)) return [weight];
    const own: WeightInfo = { ...weight, dtype: 'F32' };
    const bias = biases.get(id);
    if (bias === undefined) return [own];
    biased.add(layer);
    const told = config && { config: { ...config, ...biasConfig(source) } };
    const shape = [(values.get(bias) as Float64Array).length];
    return [
      { ...own, ...told },
      { ...own, ...told, id: bias, name: 'bias', shape },
    ];
  });
  const changed = new Map<string, Scaling>([...scaled].map(([id, scale]) => [id, scalingOf(scale)]));
  const architecture = editArchitecture(source, { removed: norms, biased });
  return {
    source: new TransformedModel(source, { architecture, weights, scaled: changed, values }),
    folded,
    left,
  };
}

/** Normalizations that add `beta` and nothing else. */
function kept(source: ModelSource, network: Network): FoldResult {
  const found = findNormFolds(network, weightsOf(source));
  const dtypes = new Map(source.weights.map(({ id, dtype }) => [id, dtype]));
  const classes = new Map(network.nodes.map(({ layer, className }) => [layer, className]));
  const values = new Map<string, ArrayLike<number>>();
  const scaled = new Map<string, Scaling>();
  const folded: FoldedNorm[] = [];
  const left = [...found.left];
  for (const fold of found.folds) {
    const { layer, norm, into } = fold;
    const why = keepFault(norm, dtypes.get(norm.variance) as Dtype);
    if (why !== undefined) {
      left.push({ layer, className: classes.get(layer) ?? '', why });
      continue;
    }
    for (const [id, own] of additionOf(fold)) values.set(id, own);
    for (const { kernels, bias } of into) {
      const kernel = kernels.at(-1) as Kernel;
      scaled.set(kernel.id, scalingOf({ kernel, outputs: norm.scale }));
      const unshifted = { ...norm, shift: new Float64Array(norm.scale.length) };
      if (bias !== undefined) values.set(bias, foldedBias(unshifted, source.read(bias)));
    }
    folded.push(...foldedRows(fold));
  }
  return { source: new TransformedModel(source, { scaled, values }), folded, left };
}

/** The moving variance that makes a normalization divide by 1. */
const unitVariance = ({ epsilon }: Norm) => Math.fround(1 - epsilon);

/** Why a normalization cannot be made to add `beta` and nothing else. */
function keepFault(norm: Norm, dtype: Dtype): string | undefined {
  const { epsilon } = norm;
  const [stored] = toFloat32(fromNumbers([unitVariance(norm)], dtype), dtype);
  // sqrt(variance + epsilon) has to be 1 in float32, as Keras computes it.
  const isUnit = epsilon < 1 && Math.fround((stored as number) + Math.fround(epsilon)) === 1;
  return isUnit ? undefined : `a moving variance of 1 - ${epsilon} cannot be stored as ${dtype}`;
}

/** Values of a normalization that adds its shift and nothing else. */
function additionOf({ norm }: NormFold): [id: string, values: Float64Array][] {
  const { scale, shift, gamma, beta, mean, variance } = norm;
  const filled = (value: number) => new Float64Array(scale.length).fill(value);
  return [
    ...(gamma === undefined ? [] : [[gamma, filled(1)] as [string, Float64Array]]),
    [variance, filled(unitVariance(norm))],
    ...(beta === undefined
      ? ([[mean, shift.map((value) => -value)]] as [string, Float64Array][])
      : ([
          [mean, filled(0)],
          [beta, shift],
        ] as [string, Float64Array][])),
  ];
}
