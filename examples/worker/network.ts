// Runs a Keras model on operations of TensorFlow.js, one image at a time. TensorFlow.js's own layers do the same for every
// model, but a Worker that starts pays for all of them before its first answer.

import type * as core from '@tensorflow/tfjs-core';
import { type NetworkNode, openNetwork as open, operationOf } from 'bitnibble/network';
import type { QuantizedModel } from 'bitnibble/reader';

const ACTIVATIONS = ['elu', 'relu', 'sigmoid', 'softmax', 'tanh'] as const;
type Activation = (typeof ACTIVATIONS)[number];
type Operation = 'add' | 'avgPool' | 'conv2d' | 'matMul' | 'maxPool' | 'reshape' | 'tensor' | 'tidy';

/** What is used of TensorFlow.js. */
export type TensorFlow = Pick<typeof core, Activation | Operation>;

type Step = (x: core.Tensor) => core.Tensor;

export interface Network {
  /** Of an image: height, width, channels. */
  readonly shape: readonly number[];
  /** @param values of an image, as many as `shape` says */
  scores(values: Float32Array): number[];
}

/**
 * Decodes the weights, once.
 * @throws Error naming the first layer that this file cannot run
 */
export function openNetwork(packed: QuantizedModel, tf: TensorFlow): Network {
  const { network, source } = open(packed);
  const [input, second] = network.inputs;
  const [output] = network.outputs;
  const shape = values(network.values[input?.value ?? -1]?.shape?.slice(1));
  if (!input || second || shape.length !== 3 || shape.includes(0))
    throw new Error(`the model: expected one input, images of a known size, got [${shape}]`);
  const [problem] = network.problems;
  if (problem) throw new Error(`layer ${problem.layer} (${problem.className}): ${problem.reason}`);
  const weights = new Map(
    source.weights.map(({ id, shape }) => [id, tf.tensor(source.read(id), [...shape])]),
  );
  const steps = network.nodes.map((node) => ({ node, step: stepOf(node, weights, tf) }));
  const scores = (image: Float32Array) =>
    tf.tidy(() => {
      const made = new Map<number, core.Tensor>([[input.value, tf.tensor(image, [1, ...shape])]]);
      for (const { node, step } of steps)
        made.set(node.outputs[0] as number, step(made.get(node.inputs[0] as number) as core.Tensor));
      return [...(made.get(output?.value ?? -1) as core.Tensor).dataSync()];
    });
  return { shape, scores };
}

/** Lengths of a shape; 0 where one is not known. */
const values = (list: unknown): number[] => (list as (number | null)[] | undefined)?.map(Number) ?? [];
const pair = (list: unknown) => list as [number, number];

function stepOf(node: NetworkNode, weights: Map<string, core.Tensor>, tf: TensorFlow): Step {
  const { operation, attributes, inputs, layer, className } = node;
  const { activation, padding, pool_size, strides, dilation_rate } = attributes;
  const fault = (what: string, wanted: string, got: unknown) =>
    new Error(`layer ${layer} (${className}): ${what} expected ${wanted}, got ${JSON.stringify(got)}`);
  const only = (key: string, wanted: string | number | boolean) => {
    const got = attributes[key] ?? wanted;
    if (got !== wanted) throw fault(key, String(wanted), got);
  };
  const flat: Step = (x) => tf.reshape(x, [1, x.size]);

  const activated = (): Step => {
    if (activation === 'linear') return (x) => x;
    const found = ACTIVATIONS.find((known) => known === activation);
    if (!found) throw fault('activation', `linear, ${ACTIVATIONS.join(', ')}`, activation);
    return (x) => tf[found](x);
  };
  /** What follows the products: the bias, where there is one, and the activation. */
  const finish = (product: (x: core.Tensor, kernel: core.Tensor) => core.Tensor): Step => {
    const kernel = weights.get(node.weights.kernel ?? '');
    const bias = weights.get(node.weights.bias ?? '');
    if (!kernel) throw fault('weights', 'a kernel', Object.values(node.weights));
    const activate = activated();
    return (x) => {
      const y = product(x, kernel);
      return activate(bias ? tf.add(y, bias) : y);
    };
  };
  const pool = (name: 'maxPool' | 'avgPool'): Step => {
    const by = strides ?? pool_size;
    return (x) => tf[name](x as core.Tensor4D, pair(pool_size), pair(by), padding as 'same' | 'valid');
  };

  if (inputs.length !== 1) throw fault('inputs', '1', inputs.length);
  if (node.steps > 0) throw fault('TimeDistributed', 'none', node.steps);
  only('data_format', 'channels_last');
  if (operationOf(operation)?.isIdentity) return (x) => x;
  switch (operation) {
    case 'Activation':
      return activated();
    case 'Flatten':
      return flat;
    case 'Dense':
      return finish((x, kernel) => tf.matMul(x, kernel));
    case 'Conv2D':
      only('groups', 1);
      return finish((x, kernel) =>
        tf.conv2d(
          x as core.Tensor4D,
          kernel as core.Tensor4D,
          pair(strides),
          padding as 'same' | 'valid',
          'NHWC',
          pair(dilation_rate),
        ),
      );
    case 'MaxPooling2D':
      return pool('maxPool');
    case 'AveragePooling2D':
      return pool('avgPool');
    case 'GlobalAveragePooling2D':
      only('keepdims', false);
      return (x) => {
        const [, height = 1, width = 1] = x.shape;
        return flat(tf.avgPool(x as core.Tensor4D, [height, width], 1, 'valid'));
      };
    default:
      throw new Error(
        `layer ${layer}: expected Conv2D, Dense or another class of network.ts, got ${className}`,
      );
  }
}
