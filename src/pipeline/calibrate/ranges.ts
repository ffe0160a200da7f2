import { openNetwork } from '../../network/index.js';
import type { QuantizedModel } from '../../packed/quantized-model.js';
import { withRanges } from '../../packed/ranges.js';
import { arraysByName, bindInputs } from '../inputs.js';
import { turns } from '../turns.js';
import type { SampleOptions } from './samples.js';

/**
 * The model with the largest magnitude of each tensor that a layer makes, over the samples: what the runtime needs to run with
 * `ranges: 'stored'`, and an exported model that computes with integers. The network is run as it will be, from its codes.
 *
 * @returns undefined where the runtime cannot run the model, and why
 * @throws BitnibbleError `data-mismatch`
 */
export async function storeRanges(
  model: QuantizedModel,
  { dataset, preprocess, samples = 2048, batchSize = 64 }: SampleOptions,
): Promise<{ readonly model: QuantizedModel; readonly tensors: number } | { readonly reason: string }> {
  const { loadNetwork, NotFiniteError, whyNotRunnable } = await import('../../runtime/index.js');
  const { inputs, values } = openNetwork(model).network;
  const wanted = inputs.map(({ name, value }) => ({ name, shape: values[value]?.shape ?? [] }));
  const bound = bindInputs(wanted, model.file, dataset);
  const given = Object.fromEntries(bound.map(({ name, shape }) => [name, shape]));
  const reason = await whyNotRunnable(model, given);
  if (reason !== undefined) return { reason };
  const network = await loadNetwork(model, { shapes: given, measures: 'all' });
  const ranges = new Map<string, number>();
  const turn = turns();
  try {
    for (const batch of dataset.batches({ batchSize, limit: Math.min(samples, dataset.count), preprocess })) {
      for (const [name, most] of network.largest(arraysByName(bound, batch)))
        ranges.set(name, Math.max(ranges.get(name) ?? 0, most));
      await turn();
    }
  } catch (error) {
    if (!(error instanceof NotFiniteError)) throw error;
    return { reason: error.message };
  } finally {
    network.dispose();
  }
  return { model: withRanges(model, ranges), tensors: ranges.size };
}
