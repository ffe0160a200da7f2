import type { ModelSource } from '../model.js';
import { modernWeights } from './old-weights.js';
import { readNetwork } from './read.js';
import type { Network } from './types.js';

export { requireRunnable } from './runnable.js';

/** A network and the model that its weights are read from. */
export interface OpenNetwork {
  readonly network: Network;
  /** Weights by the ids that the network's nodes have: those of the model given, or its Keras 1 or Theano ones turned. */
  readonly source: ModelSource;
}

/**
 * The network of a model, float or quantized, with its weights.
 * @throws BitnibbleError what {@link readNetwork} throws
 */
export function openNetwork(model: ModelSource): OpenNetwork {
  const source = modernWeights(model);
  return { network: readNetwork(model, source.weights), source };
}
