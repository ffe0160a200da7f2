import { BitnibbleError } from '../errors.js';
import type { Network } from './types.js';

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
