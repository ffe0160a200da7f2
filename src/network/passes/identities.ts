import { operationOf } from '../operations/index.js';
import type { Network, NetworkNode } from '../types.js';
import { withoutNodes } from './wires.js';

/**
 * The network without the nodes that hand their input on as it is: dropout, noise, random augmentation, `Identity`, and
 * `Activation` with `linear`. One that cannot be run, such as a dropout called with `training=True`, stays.
 */
export function dropIdentities(network: Network): Network {
  const faulty = new Set(network.problems.map(({ layer }) => layer));
  const typeOf = (value: number | undefined) => network.values[value ?? -1]?.dtype;
  const isIdentity = ({ operation, attributes, layer, inputs, outputs }: NetworkNode) =>
    outputs.length === 1 &&
    !faulty.has(layer) &&
    typeOf(inputs[0]) === typeOf(outputs[0]) &&
    (operationOf(operation)?.isIdentity === true ||
      (operation === 'Activation' && attributes.activation === 'linear'));
  return withoutNodes(network, new Set(network.nodes.filter(isIdentity)));
}
