import type { NetworkNode } from '../network/types.js';
import type { LoadedNetwork } from './load.js';
import type { LayersModel, Tensor, TensorFlow } from './types.js';

export type Layer = LayersModel['layers'][number];

/** A node of a network with the layer of TensorFlow.js that computes it; nodes of a shared layer have the same. */
export interface NodeCall {
  readonly node: NetworkNode;
  readonly layer: Layer;
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

/** A network whose nodes can be run one by one. Values are numbered. */
export interface RunnableNetwork {
  readonly calls: readonly NodeCall[];
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

/** The nodes of a loaded network in the order in which they are run. */
export function callsOf({ network, layers }: LoadedNetwork): RunnableNetwork {
  return {
    calls: network.nodes.map((node, i) => ({
      ...{ node, layer: layers[i] as Layer, inputs: node.inputs, outputs: node.outputs },
    })),
    inputs: network.inputs.map(({ value }) => value),
    outputs: network.outputs.map(({ value }) => value),
  };
}

/** Runs one node in inference. */
export function runCall(tf: TensorFlow, layer: Layer, inputs: readonly Tensor[]): Tensor[] {
  return tf.tidy(() => {
    const output = layer.apply([...inputs], { training: false }) as Tensor | Tensor[];
    // A layer that hands its input on, or one tensor twice (a state that is the output), would have it disposed of twice.
    const seen = new Set(inputs);
    return (Array.isArray(output) ? output : [output]).map((tensor) => {
      if (seen.has(tensor)) return tensor.clone();
      seen.add(tensor);
      return tensor;
    });
  });
}

/** The last node that takes each value; what the network gives is taken after all. */
export function lastUses({ calls, outputs }: RunnableNetwork): Map<number, number> {
  const last = new Map<number, number>();
  for (const [index, { inputs }] of calls.entries()) for (const value of inputs) last.set(value, index);
  for (const value of outputs) last.set(value, calls.length);
  return last;
}
