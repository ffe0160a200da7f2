// A model as the passes over networks see it.
import { BitnibbleError } from '../../errors.js';
import { isFloat } from '../../formats/dtypes.js';
import type { ModelSource } from '../../model.js';
import { isKeras1 } from '../../network/keras1.js';
import type { KernelScale, Weights } from '../../network/passes/kernel.js';
import { scaleKernel } from '../../network/passes/kernel.js';
import { readNetwork } from '../../network/read.js';
import type { Network } from '../../network/types.js';
import { sizeOf } from '../../shape.js';
import type { Scaling } from './transformed-model.js';

/** The network of a model with its own weights; undefined where the file holds no architecture. */
export function networkOf(source: ModelSource): Network | undefined {
  if (!source.architecture) return undefined;
  try {
    return readNetwork(source, source.weights);
  } catch (error) {
    if (error instanceof BitnibbleError && error.code === 'no-model-config') return undefined;
    throw error;
  }
}

/** The weights of a model for a pass. Those that are no floats, or lie otherwise than Keras 2 has them, stay. */
export function weightsOf(source: ModelSource): Weights {
  const isOld = isKeras1(source);
  const weights = new Map(source.weights.map((weight) => [weight.id, weight]));
  return {
    read: (id) => source.read(id),
    size: (id) => {
      const weight = weights.get(id);
      return weight && sizeOf(weight.shape);
    },
    fixed: (id) => {
      const weight = weights.get(id);
      if (!weight) return 'not in the file';
      const { dtype, shape } = weight;
      if (!isFloat(dtype)) return dtype;
      // Kernels of convolutions have their axes in another order there.
      return isOld && shape.length > 2 ? 'stored as Keras 1 does' : undefined;
    },
  };
}

/** A kernel's scale for {@link TransformedModel}, which reads in pieces. */
export const scalingOf =
  (scale: KernelScale): Scaling =>
  (values, from) =>
    scaleKernel(scale, values, from);
