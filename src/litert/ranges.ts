// Largest magnitudes that a packed file holds, by the values of a network that they are of: docs/FORMAT.md, section 2.
import { activationOf } from '../export/activations.js';
import { type Network, type NetworkNode, operationOf } from '../network/index.js';
import { wiresOf } from '../network/passes/wires.js';

/** Whether bitnibble's runtime may compute a node together with the one before it, whose name the range then has. */
const isFollowing = ({ operation, attributes, inputs }: NetworkNode): boolean =>
  inputs.length === 1 &&
  (operation === 'BatchNormalization' ||
    operationOf(operation)?.isIdentity === true ||
    activationOf(operation, attributes) !== undefined);

/**
 * Ranges by the numbers of values. What several nodes are computed in has the name of the first of them, so that values
 * between them have none: it goes on until a node has a range of its own.
 */
export function rangesOfValues(
  network: Network,
  ranges: ReadonlyMap<string, number>,
): ReadonlyMap<number, number> {
  const wires = wiresOf(network);
  const found = new Map<number, number>();
  const add = (value: number, name: string) => {
    const range = ranges.get(name);
    if (range !== undefined && !found.has(value)) found.set(value, range);
  };
  for (const { name, value } of network.inputs) add(value, name);
  const calls = new Map<string, number>();
  for (const node of network.nodes) {
    const { layer, outputs } = node;
    const call = calls.get(layer) ?? 0;
    calls.set(layer, call + 1);
    const isShared = (wires.layers.get(layer)?.length ?? 0) > 1;
    outputs.forEach((value, i) => {
      const name = `${layer}${call > 0 ? `#${call}` : ''}${i > 0 ? `:${i}` : ''}`;
      // Calls of a shared layer that another computes are not counted.
      if (isFollowing(node)) {
        if (!isShared) add(value, name);
        return;
      }
      let end = value;
      for (;;) {
        const [next, ...others] = wires.takers(end);
        const isAlone = next && others.length === 0 && !wires.isOutput(end);
        if (!isAlone || !isFollowing(next) || ranges.has(next.layer)) break;
        [end] = next.outputs as [number];
      }
      add(end, name);
    });
  }
  return found;
}
