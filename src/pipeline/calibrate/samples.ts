import type { Dataset, Preprocess } from '../../data/index.js';
import { BitnibbleError } from '../../errors.js';
import type { ModelSource } from '../../model.js';
import type { LayersModel, Tensor, TensorFlow } from '../../tfjs/types.js';
import { inputShapeOf } from '../evaluate.js';
import { firstRange, rangeWarning } from '../input-range.js';

/** Unlabelled samples to calibrate with. */
export interface SampleOptions {
  /** Samples as the model takes them after `preprocess`; labels are never read. */
  readonly dataset: Dataset;
  /** Factor, mean and standard deviation by which samples become inputs. Default: as they are. */
  readonly preprocess?: Preprocess;
  /** Samples taken, from the first on. Default 2048. */
  readonly samples?: number;
  /** Samples at a time. Default 64. */
  readonly batchSize?: number;
}

/**
 * Calibration samples as tensors, batch by batch, and what looks wrong about them.
 *
 * @throws BitnibbleError `data-mismatch` for a model with several inputs, samples of another shape or not finite
 */
export function sampleBatches(
  tf: TensorFlow,
  model: LayersModel,
  source: ModelSource,
  { dataset, preprocess, samples = 2048, batchSize = 64 }: SampleOptions,
): { inputs: Tensor[]; count: number; warnings: string[] } {
  const { file } = source;
  const mismatch = (fault: string) =>
    new BitnibbleError('data-mismatch', `${file} and ${dataset.name}: ${fault}`);
  const shape = inputShapeOf(model, file, dataset);
  const count = Math.min(samples, dataset.count);
  const warnings: string[] = [];
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  const inputs: Tensor[] = [];
  try {
    for (const { x, size } of dataset.batches({ batchSize, limit: count, preprocess })) {
      for (const value of x) {
        if (!Number.isFinite(value)) throw mismatch(`expected finite samples, got ${value}`);
        if (value < low) low = value;
        if (value > high) high = value;
      }
      inputs.push(tf.tensor(x, [size, ...shape]));
    }
  } catch (error) {
    tf.dispose(inputs);
    throw error;
  }
  const warning = rangeWarning(firstRange(source), low, high);
  if (warning) warnings.push(warning);
  if (count < 64) warnings.push(`${count} samples are few: 256 to 2048 are usual`);
  return { inputs, count, warnings };
}
