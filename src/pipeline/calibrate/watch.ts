import type { LayersModel, Tensor, TensorFlow } from '../../tfjs/types.js';
import type { OutputKind } from '../outputs.js';
import { divergence, type Output } from './divergence.js';

/**
 * How far the outputs of a network whose layers are being fitted are from the float network's, on one batch. Layers that are not fitted
 * yet are rounded without data:
 *
 *     layers fitted   none             some       all
 *     divergence      of rounding ...  between    of the calibrated network
 *
 * @param inputs of the batch, in the network's order; they stay the caller's
 * @returns takes it anew
 */
export function watchDivergence(
  tf: TensorFlow,
  float: LayersModel,
  quantized: LayersModel,
  inputs: readonly Tensor[],
  kind: OutputKind,
): () => number {
  const run = (model: LayersModel): Output[] => {
    const tensors = [model.predict([...inputs])].flat();
    const outputs = tensors.map((tensor) => {
      const values = Float32Array.from(tensor.dataSync());
      return { shape: tensor.shape, dataSync: () => values };
    });
    tf.dispose(tensors);
    return outputs;
  };
  const exact = run(float);
  return () =>
    divergence(
      [...run(quantized).entries()].map(([i, own]) => ({ float: [exact[i] as Output], quantized: [own] })),
      kind,
    );
}
