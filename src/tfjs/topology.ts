import { BitnibbleError } from '../errors.js';
import { isObject, requireArchitecture } from '../keras/config.js';
import type { Json, JsonObject, ModelInfo } from '../model.js';

/** Names that Keras and TensorFlow.js spell differently; anything else is the same in both. */
const ACTIVATIONS: Readonly<Record<string, string>> = {
  log_softmax: 'logSoftmax',
  silu: 'swish',
  hard_sigmoid: 'hardSigmoid',
};
const CLASSES: Readonly<Record<string, string>> = {
  BatchNormalizationV1: 'BatchNormalization',
  BatchNormalizationV2: 'BatchNormalization',
  LSTMV2: 'LSTM',
  GRUV2: 'GRU',
  Convolution1D: 'Conv1D',
  Convolution2D: 'Conv2D',
  Convolution3D: 'Conv3D',
};
const INERT = /_(initializer|regularizer|constraint)$/;

/** What keeps a model from being run, layer by layer. */
interface Problem {
  readonly layer: string;
  readonly className: string;
  readonly reason: string;
}

/**
 * Turns the architecture of any Keras into the topology that TensorFlow.js's `loadLayersModel` takes:
 * Keras 3's `batch_shape`, dtype policies, module wrappers and `__keras_tensor__` nodes become their Keras 2 forms.
 * Initializers become zeros and regularizers and constraints go: weights are set afterwards, and nothing trains.
 *
 * @param isKnown whether TensorFlow.js has a layer of a class
 * @throws BitnibbleError `unsupported-layer`, naming every layer that cannot be run, and why
 */
export function toTopology(model: ModelInfo, isKnown: (className: string) => boolean): JsonObject {
  const problems: Problem[] = [];
  const converter = new Converter(model, isKnown, problems);
  const topology = converter.layer(requireArchitecture(model), 'model');
  if (problems.length > 0) {
    const list = problems.map(({ layer, className, reason }) => `${layer} (${className}): ${reason}`);
    throw new BitnibbleError(
      'unsupported-layer',
      `${model.file}: TensorFlow.js cannot run ${list.length === 1 ? 'the layer' : `${list.length} layers`} ${list.join('; ')}`,
    );
  }
  return { ...topology, keras_version: model.kerasVersion, backend: 'tensorflow' };
}

class Converter {
  readonly #isKeras3: boolean;

  constructor(
    model: ModelInfo,
    readonly isKnown: (className: string) => boolean,
    readonly problems: Problem[],
  ) {
    this.#isKeras3 = Number.parseInt(model.kerasVersion, 10) >= 3;
  }

  /** A layer's or model's entry, all that it holds included. */
  layer(entry: JsonObject, fallbackName: string): JsonObject {
    const given = String(entry.class_name);
    const className = CLASSES[given] ?? given;
    const raw = entry.config;
    const config: JsonObject = Array.isArray(raw) ? { layers: raw } : isObject(raw) ? { ...raw } : {};
    const name = String(config.name ?? entry.name ?? fallbackName);
    config.name = name;
    const problem = (reason: string) => this.problems.push({ layer: name, className: given, reason });
    if (Array.isArray(config.layers)) this.#model(className, config);
    else this.#plain(className, config, problem);
    const isModel = Array.isArray(config.layers);
    if (!isModel && !this.isKnown(className)) {
      const isCode = className === 'Lambda' || className === 'TFOpLambda';
      problem(isCode ? 'it holds code, which is never executed' : 'TensorFlow.js has no such layer');
    }
    const kind = isModel ? (className === 'Sequential' ? 'Sequential' : 'Model') : className;
    return { class_name: kind, config };
  }

  /** Sequential and functional models: layers, nodes, inputs and outputs. */
  #model(className: string, config: JsonObject): void {
    const entries = (config.layers as Json[]).filter(isObject);
    const layers = entries.map((entry, i) => this.layer(entry, `layer_${i}`));
    if (className === 'Sequential') {
      const first = layers[0];
      const shape = config.build_input_shape ?? null;
      const hasInput =
        first?.class_name === 'InputLayer' || (isObject(first?.config) && first.config.batch_input_shape);
      if (!hasInput && Array.isArray(shape)) {
        const input = {
          name: `${config.name}_input`,
          batch_input_shape: shape,
          dtype: 'float32',
          sparse: false,
        };
        layers.unshift({ class_name: 'InputLayer', config: input });
      }
      config.layers = layers;
      return;
    }
    const names = layers.map(({ config: layer }) => String((layer as JsonObject).name));
    const models = new Set(
      names.filter((_, i) => isObject(layers[i]?.config) && 'layers' in (layers[i]?.config ?? {})),
    );
    config.layers = layers.map((layer, i) => ({
      ...layer,
      name: names[i] as string,
      inbound_nodes: this.#nodes(entries[i]?.inbound_nodes, models),
    }));
    config.input_layers = this.#tensors(config.input_layers, new Set());
    config.output_layers = this.#tensors(config.output_layers, models);
  }

  #nodes(nodes: Json | undefined, models: ReadonlySet<string>): Json[] {
    if (!Array.isArray(nodes)) return [];
    return nodes.map((node) => {
      if (!isObject(node)) return this.#tensors(node, models);
      const found: Json[] = [];
      collectTensors([node.args ?? [], node.kwargs ?? {}], found);
      return found.map((tensor) => this.#reindexed(tensor as Json[], models));
    });
  }

  /** One `[layer, node, tensor]` or any nesting of them, as a flat list. */
  #tensors(value: Json | undefined, models: ReadonlySet<string>): Json[] {
    if (isObject(value)) return Object.values(value).flatMap((item) => this.#tensors(item, models));
    if (!Array.isArray(value)) return [];
    if (typeof value[0] === 'string') return [this.#reindexed(value, models)];
    return value.flatMap((item) => this.#tensors(item, models));
  }

  /**
   * A model inside a model has node 0 of its own in Keras 2 and TensorFlow.js, linking its inputs to its outputs;
   * Keras 3 counts calls from 0.
   */
  #reindexed([layer, node, tensor, ...rest]: Json[], models: ReadonlySet<string>): Json[] {
    const shift = this.#isKeras3 && models.has(String(layer)) ? 1 : 0;
    return [layer as Json, Number(node) + shift, tensor as Json, ...rest];
  }

  #plain(className: string, config: JsonObject, problem: (reason: string) => void): void {
    if (Array.isArray(config.batch_shape)) {
      config.batch_input_shape = config.batch_shape;
      delete config.batch_shape;
    }
    if (isObject(config.dtype)) config.dtype = dtypeOf(config.dtype);
    for (const key of Object.keys(config)) {
      if (INERT.test(key)) {
        config[key] = key.endsWith('_initializer') ? { class_name: 'Zeros', config: {} } : null;
      } else if (key === 'activation' || key === 'recurrent_activation') {
        config[key] = this.#activation(config[key] as Json, problem);
      } else if (key === 'layer' || key === 'backward_layer') {
        const inner = config[key];
        if (isObject(inner)) config[key] = this.layer(inner, `${String(config.name)}_${key}`);
      }
    }
    if (typeof config.groups === 'number' && config.groups > 1)
      problem(`grouped convolution (groups: ${config.groups})`);
    if (config.keepdims === true) problem('keepdims: true');
    if (className === 'BatchNormalization' && Array.isArray(config.axis))
      config.axis = config.axis[0] as Json;
    if (className === 'ReLU' && (config.threshold || config.negative_slope)) {
      problem('a threshold or a negative slope');
    }
    if (className === 'GRU' && config.reset_after === true) problem('reset_after: true');
  }

  /** Activations by name; Keras 3 writes objects, `{ class_name: 'function', config: 'relu' }`. */
  #activation(value: Json, problem: (reason: string) => void): Json {
    const name = isObject(value)
      ? typeof value.config === 'string'
        ? value.config
        : value.class_name
      : value;
    if (typeof name !== 'string') return name ?? null;
    if (name === 'hard_sigmoid' && this.#isKeras3)
      problem('hard_sigmoid, which Keras 3 defines as relu6(x + 3) / 6');
    if (name === 'gelu') problem('gelu, which TensorFlow.js approximates');
    return ACTIVATIONS[name] ?? name;
  }
}

/** `{ class_name: 'DTypePolicy', config: { name: 'mixed_float16' } }` to the type that it computes weights in. */
function dtypeOf(policy: JsonObject): string {
  const name = isObject(policy.config) ? policy.config.name : undefined;
  return typeof name === 'string' && /^(float|int|bool|complex)\d*$/.test(name) && name !== 'float16'
    ? name
    : 'float32';
}

/** `[layer, node, tensor]` of each `__keras_tensor__`, wherever it stands among the arguments, in order. */
function collectTensors(value: Json, found: Json[]): void {
  if (Array.isArray(value)) {
    for (const item of value) collectTensors(item, found);
  } else if (isObject(value)) {
    const history = isObject(value.config) ? value.config.keras_history : undefined;
    if (value.class_name === '__keras_tensor__' && Array.isArray(history)) found.push(history);
    else for (const item of Object.values(value)) collectTensors(item, found);
  }
}
