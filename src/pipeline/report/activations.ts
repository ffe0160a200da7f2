import type { ModelSource } from '../../model.js';
import { operationOf } from '../../network/index.js';
import { loadNetwork } from '../../tfjs/load.js';
import { callsOf } from '../../tfjs/run.js';
import type { Tensor, TensorFlow } from '../../tfjs/types.js';
import { Activations, type Batches } from '../calibrate/activations.js';
import { type SampleOptions, sampleBatches } from '../calibrate/samples.js';
import { stateless } from '../calibrate/stateless.js';
import { rangeOf } from './ranges.js';
import type { ActivationRange } from './types.js';

/** Layers that hand their values on as they are, in this order or another. */
const PASSING =
  /^(Flatten|Reshape|Permute|RepeatVector|ComputeMask|CombineMasks|ConcatenateMasks|ops\.(Reshape|Squeeze|ExpandDims|Transpose|GetItem))$/;

export interface ActivationRangeOptions extends SampleOptions {
  /** Bytes of activations held at most, but for one batch at least. */
  readonly bytes: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * The range of what each layer of a network gives, and of its input, which comes first. Layers that hand values on as
 * they are, and outputs that nothing takes, are left out.
 *
 * @throws what `sampleBatches` and `loadLayersModel` throw
 */
export async function measureActivations(
  tf: TensorFlow,
  model: ModelSource,
  { bytes, onProgress, ...samples }: ActivationRangeOptions,
): Promise<ActivationRange[]> {
  const loaded = await loadNetwork(tf, stateless(model));
  const float = loaded.model;
  let inputs: Tensor[][] = [];
  let activations: Activations | undefined;
  try {
    const network = callsOf(loaded);
    ({ inputs } = sampleBatches(tf, float, model, samples));
    activations = new Activations(tf, network, network, inputs, { bytes, isChanged: () => false });
    const rows: ActivationRange[] = [];
    const { calls } = network;
    const take = (tensors: readonly Tensor[], layer: string, className: string) => {
      const range = rangeOf(() => valuesOf(tensors));
      const count = tensors.reduce((sum, { shape }) => sum + (shape[0] as number), 0);
      if (range) rows.push({ layer, className, ...range, samples: count });
    };
    for (const [i, { name }] of loaded.network.inputs.entries()) {
      const own = inputs.map((batch) => batch[i] as Tensor);
      take(own, loaded.network.inputs.length === 1 ? 'input' : name, 'InputLayer');
    }
    for (const [index, { node, outputs }] of calls.entries()) {
      activations.hold(index, index + 1);
      activations.run(index);
      onProgress?.(index + 1, calls.length);
      if (PASSING.test(node.operation) || operationOf(node.operation)?.isIdentity) continue;
      for (const value of outputs) {
        const known: Batches | undefined = activations.of(value);
        if (known) take(known.float, node.layer, node.className);
      }
    }
    return rows;
  } finally {
    activations?.dispose();
    tf.dispose(inputs);
    float.dispose();
  }
}

function* valuesOf(tensors: readonly Tensor[]) {
  for (const tensor of tensors) yield tensor.dataSync();
}
