import type { Network, NetworkNode, Shape } from '../../network/types.js';
import type { LoadedNetwork } from '../../tfjs/load.js';
import type { LayersModel, Scalar, Tensor, TensorFlow } from '../../tfjs/types.js';

/** Default of `TuneOptions.stageWeight`; shared by all stages. */
export const STAGE_WEIGHT = 0.03;

/**
 * The last value of each spatial size of a network of images before something of half as many positions or fewer is made of it:
 *
 *     32 x 32          16 x 16        8 x 8
 *     conv ... conv -> pool ... conv -> pool ... conv -> global pool -> dense
 *                 ^                ^                ^
 *
 * Values that no weight has a part in are left out: quantization does not change them.
 */
export function stageEnds({ nodes, values }: Network): number[] {
  const ends = new Map<string, number>();
  const weighed = new Set<number>();
  const shapeOf = (value: number) => values[value]?.shape ?? [];
  for (const node of nodes) {
    const after = sizeOfImage(shapeOf(node.outputs[0] as number), node);
    for (const value of node.inputs) {
      const before = sizeOfImage(shapeOf(value), node);
      if (weighed.has(value) && 2 * area(after) <= area(before)) ends.set(before.join(), value);
    }
    if (Object.keys(node.weights).length > 0 || node.inputs.some((value) => weighed.has(value)))
      for (const value of node.outputs) weighed.add(value);
  }
  return [...ends.values()];
}

/** Height and width as a node takes them; of a value of other than four axes `[1, 1]`. */
function sizeOfImage(shape: Shape, { attributes }: NetworkNode): [height: number, width: number] {
  if (shape.length !== 4) return [1, 1];
  const first = attributes.data_format === 'channels_first' ? 2 : 1;
  // Of a length that is not fixed nothing can be said: comparisons with NaN are false.
  return [shape[first] ?? Number.NaN, shape[first + 1] ?? Number.NaN];
}

const area = ([height, width]: readonly [number, number]) => height * width;

/**
 * A model that gives the values at the ends of its stages behind its outputs. It has the layers of the given one, which alone is to be
 * disposed of. Values of layers that are called more than once are left out: TensorFlow.js does not tell their calls apart by node.
 */
export function withStages(tf: TensorFlow, { model, network, layers }: LoadedNetwork): LayersModel {
  const outputs = stageEnds(network).flatMap((value) => {
    const index = network.nodes.findIndex((node) => node.outputs.includes(value));
    const layer = layers[index];
    if (layer?.inboundNodes.length !== 1) return [];
    return [layer.output].flat()[network.nodes[index]?.outputs.indexOf(value) as number] ?? [];
  });
  return outputs.length === 0
    ? model
    : tf.model({ inputs: model.inputs, outputs: [...model.outputs, ...outputs] });
}

/** What each value's squared error is multiplied by: the inverse of its variance, 0 where it is the same everywhere. */
export function inverseVariances(tf: TensorFlow, values: readonly Tensor[]): Tensor[] {
  return values.map((value) => tf.tidy(() => tf.divNoNan(1, tf.moments(value).variance)));
}

/**
 * The mean of the squared errors of the activations at the ends of stages, each over its variance in the float network, as
 * BRECQ (Li et al., ICLR 2021, arXiv 2102.05426) compares what blocks give, though here all at once:
 *
 *     1/K sum over k of  mean((f_k - q_k)^2) / var(f_k)
 *
 * @param inverses of {@link inverseVariances}, for the float activations
 */
export function stageLoss(
  tf: TensorFlow,
  floats: readonly Tensor[],
  inverses: readonly Tensor[],
  quantized: readonly Tensor[],
): Scalar {
  const errors = floats.map((value, k) =>
    tf.mul(tf.mean(tf.squaredDifference(value, quantized[k] as Tensor)), inverses[k] as Tensor),
  );
  return tf.div(tf.addN(errors), errors.length).asScalar();
}
