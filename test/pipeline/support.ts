import type { Tensor } from '@tensorflow/tfjs';
import type { Dtype, Json, JsonObject, ModelSource, QuantizableModel, WeightInfo } from '../../src/model.js';
import { sizeOf } from '../../src/shape.js';
import { loadLayersModel } from '../../src/tfjs/load.js';
import type { TensorFlow } from '../../src/tfjs/types.js';

/** Seeded numbers in [-1, 1): a linear congruential generator. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

/** A layer of a small model: its class, config, and the shapes of its weights by name. */
export interface SmallLayer {
  readonly className: string;
  readonly config: JsonObject;
  readonly weights?: Readonly<Record<string, readonly number[]>>;
  /** Names of the layers before it, call by call; each name of the layer's first call unless `name:call`. */
  readonly calls?: readonly (readonly string[])[];
  /** Class with the wrapped one's: `TimeDistributed/Dense`. */
  readonly label?: string;
}

const history = (name: string): Json[] => {
  const [layer, call] = name.split(':');
  return [layer as string, Number(call ?? 0), 0];
};

/** A model in memory, in Keras 2's notation or in Keras 3's; variances are positive, all else in [-1, 1). */
export function smallModel(
  layers: readonly SmallLayer[],
  outputs: readonly string[],
  { version = '3.15.1', dtype = 'F32' as Dtype, seed = 1 } = {},
): ModelSource & { readonly values: ReadonlyMap<string, Float32Array> } {
  const isKeras3 = version.startsWith('3');
  const next = random(seed);
  const node = (names: readonly string[]): Json => {
    if (!isKeras3) return names.map((name) => [...history(name), {}]);
    const tensor = (name: string): Json => ({
      class_name: '__keras_tensor__',
      config: { keras_history: history(name) },
    });
    return { args: names.length === 1 ? names.map(tensor) : [names.map(tensor)], kwargs: {} };
  };
  const entries = layers.map(
    ({ className, config, calls = [] }): JsonObject => ({
      class_name: className,
      name: config.name as string,
      config: isKeras3 ? { dtype: 'float32', ...config } : config,
      inbound_nodes: calls.map(node),
    }),
  );
  const inputs = layers.filter(({ className }) => className === 'InputLayer');
  const architecture: JsonObject = {
    class_name: isKeras3 ? 'Functional' : 'Model',
    config: {
      name: 'small',
      layers: entries,
      input_layers: inputs.map(({ config }) => history(config.name as string)),
      output_layers: outputs.map(history),
    },
  };
  const weights: WeightInfo[] = [];
  const values = new Map<string, Float32Array>();
  for (const { className, config, weights: own = {}, label = className } of layers) {
    for (const [name, shape] of Object.entries(own)) {
      const layer = String(config.name);
      const id = `${layer}/${name}`;
      weights.push({ id, layer, className: label, name, shape, dtype, config });
      const isPositive = name === 'moving_variance';
      values.set(
        id,
        Float32Array.from({ length: sizeOf(shape) }, () => (isPositive ? 1 + 0.9 * next() : next())),
      );
    }
  }
  const read = (id: string) => (values.get(id) as Float32Array).slice();
  return { file: 'small', architecture, kerasVersion: version, backend: '', weights, read, values };
}

const called = (calls: readonly string[]) => calls.map((call) => [call]);

export const input = (shape: readonly (number | null)[], name = 'x'): SmallLayer => ({
  className: 'InputLayer',
  config: { name, batch_shape: [null, ...shape], batch_input_shape: [null, ...shape] },
});

/** `calls`: the layer before each call. */
export function norm(
  name: string,
  channels: number,
  calls: readonly string[],
  config: JsonObject = {},
): SmallLayer {
  const names = [
    ...(config.scale === false ? [] : ['gamma']),
    ...(config.center === false ? [] : ['beta']),
    'moving_mean',
    'moving_variance',
  ];
  return {
    className: 'BatchNormalization',
    config: { name, axis: -1, epsilon: 0.01, center: true, scale: true, ...config },
    weights: Object.fromEntries(names.map((own) => [own, [channels]])),
    calls: called(calls),
  };
}

export const dense = (
  name: string,
  shape: readonly [number, number],
  calls: readonly string[],
  config: JsonObject = {},
): SmallLayer => ({
  className: 'Dense',
  config: { name, units: shape[1], activation: 'linear', use_bias: true, ...config },
  weights: { kernel: shape, ...(config.use_bias === false ? {} : { bias: [shape[1]] }) },
  calls: called(calls),
});

/** A convolution of two axes without bias, of the class `config.class`. */
export function conv(
  name: string,
  shape: readonly number[],
  calls: readonly string[],
  { class: className = 'Conv2D', ...config }: JsonObject = {},
): SmallLayer {
  const last = shape.at(-1) as number;
  return {
    className: String(className),
    config: {
      ...{
        name,
        use_bias: false,
        activation: 'linear',
        padding: 'same',
        strides: [1, 1],
        dilation_rate: [1, 1],
      },
      kernel_size: shape.slice(0, -2),
      ...(className === 'DepthwiseConv2D' ? { depth_multiplier: last } : { filters: last }),
      ...config,
    },
    weights: { kernel: shape },
    calls: called(calls),
  };
}

export const add = (names: readonly string[], name = 'sum'): SmallLayer => ({
  className: 'Add',
  config: { name },
  calls: [names],
});

/** Outputs of a model, computed by TensorFlow.js. */
export async function outputsOf(
  tf: TensorFlow,
  source: ModelSource,
  inputs: readonly Tensor[],
): Promise<Float32Array[]> {
  const network = await loadLayersModel(tf, source);
  const result = network.predict(inputs.length === 1 ? (inputs[0] as Tensor) : [...inputs]);
  const tensors = Array.isArray(result) ? result : [result];
  const outputs = tensors.map((tensor) => tensor.dataSync() as Float32Array);
  tf.dispose(tensors);
  network.dispose();
  return outputs;
}

/** Largest difference over the largest value, of all outputs together by output. */
export function farthest(got: readonly Float32Array[], want: readonly Float32Array[]): number {
  if (got.length !== want.length || want.length === 0) throw new Error(`${got.length} outputs`);
  return want.reduce((worst, values, k) => {
    const own = got[k] as Float32Array;
    if (own.length !== values.length) throw new Error(`output ${k} has ${own.length} values`);
    const largest = values.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
    const error = values.reduce((max, v, i) => Math.max(max, Math.abs(v - (own[i] as number))), 0);
    if (!(largest > 0) || Number.isNaN(error)) throw new Error(`output ${k} is ${largest}, ${error} apart`);
    return Math.max(worst, error / largest);
  }, 0);
}

/** A model whose weights can be packed: one that can also count its parameters and give bytes. */
export function quantizable(model: ModelSource): QuantizableModel {
  return {
    ...model,
    read: (id) => model.read(id),
    parameters: model.weights.reduce((sum, { shape }) => sum + sizeOf(shape), 0),
    readBytes: (id) => new Uint8Array(model.read(id).buffer),
  };
}
