import { BitnibbleError } from '../errors.js';
import type { ModelSource } from '../model.js';
import { modernWeights } from './old-weights.js';
import { readNetwork } from './read.js';
import type { Network } from './types.js';

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

/**
 * Refuses a network with layers that nobody can run, or whose weights are not those that its architecture tells of.
 *
 * @param who runs it, for the message
 * @param more further layers that this runner cannot run
 * @throws BitnibbleError `unsupported-layer`, naming every layer, its class and why; `missing-weight`, `shape-mismatch`
 */
export function requireRunnable(
  { problems }: Network,
  file: string,
  who: string,
  more: Network['problems'] = [],
): void {
  const all = [...problems, ...more];
  const layers = all.filter(({ code }) => code === 'unsupported-layer');
  if (layers.length > 0) {
    const reasons = new Map<string, string[]>();
    for (const { layer, className, reason } of layers) {
      const own = `${layer} (${className})`;
      reasons.set(own, [...(reasons.get(own) ?? []), reason]);
    }
    const list = [...reasons].map(([layer, why]) => `${layer}: ${why.join(', ')}`);
    const what = list.length === 1 ? 'the layer' : `${list.length} layers:`;
    throw new BitnibbleError('unsupported-layer', `${file}: ${who} cannot run ${what} ${list.join('; ')}`);
  }
  const [first] = all;
  if (first) throw new BitnibbleError(first.code, `${file}: ${first.reason}`);
}
