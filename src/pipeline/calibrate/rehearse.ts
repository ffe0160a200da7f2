import type { QuantizableModel } from '../../model.js';
import type { TensorFlow } from '../../tfjs/types.js';
import { quantizeModel } from '../quantize.js';
import { type TuneOptions, tuneModel } from './tune.js';

/**
 * One step of tuning on two samples of the rounded model, for what it throws: before a calibration that takes minutes, and
 * would be in vain.
 *
 * @throws what `tuneModel` throws
 */
export async function rehearse(
  tf: TensorFlow,
  float: QuantizableModel,
  options: Omit<TuneOptions, 'onProgress'>,
): Promise<void> {
  const { kernels } = options;
  const { model } = quantizeModel(float, { default: { scheme: 'binary' } }, { kernels });
  await tuneModel(tf, float, model, { ...options, samples: 2, steps: 1, stepSize: 1 });
}
