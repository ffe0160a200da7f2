// Runs a Sequential Keras model on operations of TensorFlow.js, one image at a time. TensorFlow.js's own layers do the
// same for every model, but a Worker that starts pays for all of them before its first answer.

import type * as core from '@tensorflow/tfjs-core';
import type { QuantizedModel } from 'bitnibble/reader';

const ACTIVATIONS = ['elu', 'relu', 'sigmoid', 'softmax', 'tanh'] as const;
type Activation = (typeof ACTIVATIONS)[number];
type Operation = 'add' | 'avgPool' | 'conv2d' | 'matMul' | 'maxPool' | 'reshape' | 'tensor' | 'tidy';

/** What is used of TensorFlow.js. */
export type TensorFlow = Pick<typeof core, Activation | Operation>;

/** A layer as Keras describes it. */
interface Layer {
  readonly class_name: string;
  readonly config: {
    readonly name: string;
    readonly activation?: unknown;
    readonly batch_shape?: readonly (number | null)[];
    readonly batch_input_shape?: readonly (number | null)[];
    readonly data_format?: string;
    readonly dilation_rate?: [number, number];
    readonly groups?: number;
    readonly keepdims?: boolean;
    readonly padding?: 'same' | 'valid';
    readonly pool_size?: [number, number];
    readonly strides?: [number, number];
  };
}

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
  const { architecture } = packed;
  if (architecture?.class_name !== 'Sequential')
    throw new Error(`the model: expected a Sequential one, got ${architecture?.class_name}`);
  const { layers } = architecture.config as unknown as { layers: readonly Layer[] };
  const input = layers[0]?.config.batch_shape ?? layers[0]?.config.batch_input_shape;
  const shape = input?.slice(1).filter((size) => size !== null) ?? [];
  if (shape.length !== 3) throw new Error(`the model: expected images of a known size, got ${input}`);
  const weights = new Map(
    packed.weights.map(({ id, shape }) => [id, tf.tensor(packed.read(id), [...shape])]),
  );
  const steps = layers.map((layer) => stepOf(layer, weights, tf));
  const scores = (values: Float32Array) =>
    tf.tidy(() => {
      const image: core.Tensor = tf.tensor(values, [1, ...shape]);
      return [...steps.reduce((x, step) => step(x), image).dataSync()];
    });
  return { shape, scores };
}

function stepOf({ class_name, config }: Layer, weights: Map<string, core.Tensor>, tf: TensorFlow): Step {
  const { name, activation, padding = 'valid', pool_size = [2, 2], strides, dilation_rate } = config;
  const fault = (what: string, wanted: string, got: unknown) =>
    new Error(`layer ${name} (${class_name}): ${what} expected ${wanted}, got ${JSON.stringify(got)}`);
  const only = (key: 'data_format' | 'groups' | 'keepdims', wanted: string | number | boolean) => {
    const got = config[key] ?? wanted;
    if (got !== wanted) throw fault(key, String(wanted), got);
  };
  const flat: Step = (x) => tf.reshape(x, [1, x.size]);

  /** What follows the products: the bias, where there is one, and the activation. */
  const finish = (product: (x: core.Tensor, kernel: core.Tensor) => core.Tensor): Step => {
    const kernel = weights.get(`${name}/kernel`);
    const bias = weights.get(`${name}/bias`);
    if (!kernel) throw fault('weights', 'a kernel', [...weights.keys()]);
    const activate = activated();
    return (x) => {
      const y = product(x, kernel);
      return activate(bias ? tf.add(y, bias) : y);
    };
  };
  const activated = (): Step => {
    if (activation === 'linear') return (x) => x;
    const found = ACTIVATIONS.find((known) => known === activation);
    if (!found) throw fault('activation', `linear, ${ACTIVATIONS.join(', ')}`, activation);
    return (x) => tf[found](x);
  };

  only('data_format', 'channels_last');
  switch (class_name) {
    case 'InputLayer':
    case 'Dropout':
      return (x) => x;
    case 'Activation':
      return activated();
    case 'Flatten':
      return flat;
    case 'Dense':
      return finish((x, kernel) => tf.matMul(x, kernel));
    case 'Conv2D':
      only('groups', 1);
      return finish((x, kernel) =>
        tf.conv2d(x as core.Tensor4D, kernel as core.Tensor4D, strides ?? 1, padding, 'NHWC', dilation_rate),
      );
    case 'MaxPooling2D':
      return (x) => tf.maxPool(x as core.Tensor4D, pool_size, strides ?? pool_size, padding);
    case 'AveragePooling2D':
      return (x) => tf.avgPool(x as core.Tensor4D, pool_size, strides ?? pool_size, padding);
    case 'GlobalAveragePooling2D':
      only('keepdims', false);
      return (x) => {
        const [, height = 1, width = 1] = x.shape;
        return flat(tf.avgPool(x as core.Tensor4D, [height, width], 1, 'valid'));
      };
    default:
      throw new Error(
        `layer ${name}: expected Conv2D, Dense or another class of network.ts, got ${class_name}`,
      );
  }
}
