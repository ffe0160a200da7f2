import type { Dataset, Preprocessing } from '../../data/index.js';
import { BitnibbleError } from '../../errors.js';
import type { ModelSource } from '../../model.js';
import { readNetwork } from '../../network/index.js';
import type { LayersModel, Tensor, TensorFlow } from '../../tfjs/types.js';
import { bindInputs, boundArrays, inputWatch } from '../inputs.js';

/** Unlabelled samples to calibrate with. */
export interface SampleOptions {
  /** Samples as the model takes them after `preprocess`; labels are never read. */
  readonly dataset: Dataset;
  /** Factor, mean and standard deviation by which samples become inputs, or a list of these for each. Default: as they are. */
  readonly preprocess?: Preprocessing;
  /** Samples taken, from the first on. Default 2048. */
  readonly samples?: number;
  /** Samples at a time. Default 64. */
  readonly batchSize?: number;
}

/**
 * Calibration samples as tensors, batch by batch, each with the network's inputs in their order, and what looks wrong about them.
 *
 * @throws BitnibbleError `data-mismatch` for samples of other inputs and shapes, or not finite
 */
export function sampleBatches(
  tf: TensorFlow,
  model: LayersModel,
  source: ModelSource,
  { dataset, preprocess, samples = 2048, batchSize = 64 }: SampleOptions,
): { inputs: Tensor[][]; count: number; warnings: string[] } {
  const { inputs: ports } = readNetwork(source);
  const wanted = model.inputs.map(({ shape }, i) => ({ name: ports[i]?.name ?? '', shape }));
  const bound = bindInputs(wanted, source.file, dataset);
  const count = Math.min(samples, dataset.count);
  const warnings: string[] = [];
  const watch = inputWatch(source, (text) => warnings.push(text));
  const inputs: Tensor[][] = [];
  try {
    for (const batch of dataset.batches({ batchSize, limit: count, preprocess })) {
      const arrays = boundArrays(bound, batch);
      for (const values of arrays) {
        const odd = values.find((value) => !Number.isFinite(value));
        if (odd === undefined) continue;
        const fault = `expected finite samples, got ${odd}`;
        throw new BitnibbleError('data-mismatch', `${source.file} and ${dataset.name}: ${fault}`);
      }
      watch(arrays);
      inputs.push(
        tf.tidy(() =>
          arrays.map((x, i) => {
            const tensor = tf.tensor(x, [batch.size, ...(bound[i]?.shape ?? [])]);
            // As the model takes it when it is run as a whole.
            return tf.cast(tensor, model.inputs[i]?.dtype ?? 'float32');
          }),
        ),
      );
    }
  } catch (error) {
    tf.dispose(inputs);
    throw error;
  }
  if (count < 64) warnings.push(`${count} samples are few: 256 to 2048 are usual`);
  return { inputs, count, warnings };
}
