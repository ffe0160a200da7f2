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

/** A layer that ends with an activation. */
type Activated = Layer & {
  activation: { apply(x: Tensor): Tensor };
  readonly bias?: { read(): Tensor } | null;
};

/** Whether a layer is one of TensorFlow.js's own that adds a bias and applies an activation to a product with its kernel. */
const isActivated = (layer: Layer): layer is Activated =>
  /^(Dense|Conv[123]D)$/.test(layer.getClassName()) && 'activation' in layer;

/** What a layer gives before its activation, and the activation. */
export interface Bare {
  readonly output: Tensor;
  /** What the output has of the bias, which stays the layer's. */
  readonly bias?: Tensor;
  readonly finish: (x: Tensor) => Tensor;
}

/** Runs a dense layer or a convolution without its activation; undefined for layers of other classes. */
export function runBare(tf: TensorFlow, layer: Layer, input: Tensor): Bare | undefined {
  if (!isActivated(layer)) return undefined;
  const { activation } = layer;
  const { activation: linear } = tf.layers.activation({ activation: 'linear' }) as unknown as Activated;
  layer.activation = linear;
  try {
    const [output] = runCall(tf, layer, [input]) as [Tensor];
    const bias = layer.bias ? { bias: layer.bias.read() } : {};
    return { output, ...bias, finish: (x) => tf.tidy(() => activation.apply(x)) };
  } finally {
    layer.activation = activation;
  }
}

/** The last node that takes each value; what the network gives is taken after all. */
export function lastUses({ calls, outputs }: RunnableNetwork): Map<number, number> {
  const last = new Map<number, number>();
  for (const [index, { inputs }] of calls.entries()) for (const value of inputs) last.set(value, index);
  for (const value of outputs) last.set(value, calls.length);
  return last;
}
