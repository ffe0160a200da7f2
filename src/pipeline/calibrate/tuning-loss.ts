import type { LoadedNetwork } from '../../tfjs/load.js';
import type { LayersModel, Scalar, Tensor, TensorFlow } from '../../tfjs/types.js';
import type { OutputKind } from '../outputs.js';
import { isClassifier, klSum } from './divergence.js';
import { inverseVariances, stageLoss, withStages } from './stages.js';

/** What tuning descends on. */
export interface TuningLoss {
  /** Ends of stages that are compared; 0 where outputs alone are. */
  readonly stages: number;
  /** What the float network makes of a batch, in one pass: outputs, and what is compared within it. */
  wanted(x: readonly Tensor[]): Tensor[];
  /** How far the quantized network is from it. */
  of(x: readonly Tensor[], wanted: readonly Tensor[]): Scalar;
}

/**
 * The Kullback-Leibler divergence of classes or the squared error of other outputs; of networks that give one vector of classes for an
 * image, plus `stageWeight` times {@link stageLoss}.
 */
export function tuningLoss(
  tf: TensorFlow,
  exact: LoadedNetwork,
  rounded: LoadedNetwork,
  { kind, stageWeight }: { readonly kind: OutputKind; readonly stageWeight: number },
): TuningLoss {
  const { inputs, outputs } = exact.model;
  const count = outputs.length;
  const isStaged =
    stageWeight > 0 &&
    inputs.length === 1 &&
    inputs[0]?.shape.length === 4 &&
    outputs[0]?.shape.length === 2 &&
    isClassifier(outputs as { shape: number[] }[], kind);
  const [teacher, student] = isStaged
    ? [withStages(tf, exact), withStages(tf, rounded)]
    : [exact.model, rounded.model];
  const stages = student.outputs.length - count;
  const apply = (model: LayersModel, x: readonly Tensor[]) =>
    [model.apply(x.length === 1 ? (x[0] as Tensor) : [...x], { training: false })].flat() as Tensor[];
  return {
    stages,
    wanted: (x) => {
      const values = apply(teacher, x);
      return [...values, ...inverseVariances(tf, values.slice(count))];
    },
    of: (x, wanted) => {
      const values = apply(student, x);
      const error = outputError(tf, wanted.slice(0, count), values.slice(0, count), kind);
      if (stages === 0) return error;
      const inner = stageLoss(
        tf,
        wanted.slice(count, count + stages),
        wanted.slice(count + stages),
        values.slice(count),
      );
      return tf.add(error, tf.mul(inner, stageWeight)).asScalar();
    },
  };
}

function outputError(
  tf: TensorFlow,
  wanted: readonly Tensor[],
  outputs: readonly Tensor[],
  kind: OutputKind,
): Scalar {
  if (isClassifier(outputs, kind)) {
    const [p, q] = [wanted[0] as Tensor, outputs[0] as Tensor];
    return tf.div(klSum(tf, p, q, kind), p.size / (p.shape.at(-1) as number)).asScalar();
  }
  return tf.addN(outputs.map((q, i) => tf.mean(tf.squaredDifference(wanted[i] as Tensor, q)))).asScalar();
}
