import { BitnibbleError } from '../errors.js';
import { isObject, type LayerNode, layerTree, requireArchitecture } from '../keras/config.js';
import { outputShapes, type TensorShape } from '../keras/shapes.js';
import type { Json, JsonObject, ModelInfo } from '../model.js';
import { cleanConfig, dtypeOf } from './config.js';
import { callOrder, type Graph, type GraphLayer, liveCalls, type Ref, withoutRepeats } from './graph.js';
import { fromKeras1, isKeras1 } from './keras1.js';
import { PREFIX } from './layers/define.js';
import { type Masked, withMasks } from './masks.js';
import { isModel, nameOf, readGraph } from './read-graph.js';
import { incomplete } from './required.js';
import { type Converted, INSIDE } from './rule.js';
import { convertLayer } from './rules.js';

/** A layer's weights on both sides. */
export interface LayerWeightNames {
  /** The layer in Keras, sub-models before it: {@link WeightInfo.layer}. */
  readonly layer: string;
  readonly className: string;
  /** Full names in TensorFlow.js in the order in which Keras stores the values; null: not needed. */
  readonly names: readonly (string | null)[] | 'any';
}

/** What TensorFlow.js's `loadLayersModel` takes, and what goes with it. */
export interface Topology {
  /** `{ class_name, config, keras_version, backend }` in the form of Keras 2. */
  readonly modelTopology: JsonObject;
  readonly weights: readonly LayerWeightNames[];
  /** Classes and activations in use that `registerLayers` provides, without their prefix, sorted. */
  readonly registered: readonly string[];
  /** What was left out without changing any output. */
  readonly remarks: readonly string[];
}

export interface TopologyOptions {
  /** Keeps initializers and regularizers, so that the model can be trained on. Default: zeros and none. */
  readonly keepTraining?: boolean;
}

/** Names that Keras gave a class before. */
const OLD_NAMES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    BatchNormalizationV1: 'BatchNormalization',
    BatchNormalizationV2: 'BatchNormalization',
    LSTMV2: 'LSTM',
    GRUV2: 'GRU',
    Convolution1D: 'Conv1D',
    Convolution2D: 'Conv2D',
    Convolution3D: 'Conv3D',
    Conv2DTransposeV2: 'Conv2DTranspose',
    Deconvolution2D: 'Conv2DTranspose',
    MaxPool1D: 'MaxPooling1D',
    MaxPool2D: 'MaxPooling2D',
    AvgPool2D: 'AveragePooling2D',
    Convolution2DTranspose: 'Conv2DTranspose',
    SeparableConvolution1D: 'SeparableConv1D',
    SeparableConvolution2D: 'SeparableConv2D',
  }),
);

/**
 * Turns the architecture of any Keras, from 1 on, into the topology that TensorFlow.js's `loadLayersModel` takes: `batch_shape`,
 * dtype policies, module and registered-name wrappers and `__keras_tensor__` nodes become their Keras 2 forms, masks
 * become inputs, and classes that TensorFlow.js lacks or computes otherwise become those of `registerLayers`.
 *
 * @throws BitnibbleError `unsupported-layer`, naming every layer that cannot be run, its class, and why; `corrupt-file`
 *   for layers that call each other in a circle
 */
export function toTopology(model: ModelInfo, options: TopologyOptions = {}): Topology {
  const converter = new Converter(model, options.keepTraining === true);
  const top = converter.model(converter.architecture, '', 'model');
  if (converter.problems.length > 0) {
    const list = converter.problems;
    const what = list.length === 1 ? 'the layer' : `${list.length} layers:`;
    throw new BitnibbleError(
      'unsupported-layer',
      `${model.file}: TensorFlow.js cannot run ${what} ${list.join('; ')}`,
    );
  }
  return {
    modelTopology: { ...top, keras_version: model.kerasVersion, backend: 'tensorflow' },
    weights: converter.weights,
    registered: [...converter.registered].sort(),
    remarks: [...converter.remarks],
  };
}

/** Why a configuration is none that TensorFlow.js could be given, whatever its class. */
function foreignReason(config: JsonObject): string | undefined {
  if (config.padding === 'full') return 'padding: full';
  const keras1 = ['W_regularizer', 'W_constraint', 'nb_filter'].some((key) => key in config);
  if (keras1) return 'its configuration is that of Keras 1: load the model with Keras 2 and save it again';
  const policy =
    isObject(config.dtype) && isObject(config.dtype.config) ? config.dtype.config.mode : undefined;
  return typeof policy === 'string' ? `its weights were quantized by Keras (${policy})` : undefined;
}

const SAFE_NAME = /^[A-Za-z0-9][-A-Za-z0-9._/]*$/;

class Converter {
  readonly problems: string[] = [];
  readonly remarks = new Set<string>();
  readonly registered = new Set<string>();
  readonly weights: LayerWeightNames[] = [];
  readonly architecture: JsonObject;
  readonly #isKeras3: boolean;
  readonly #shapes = new Map<JsonObject, TensorShape>();
  /** Names of layers with weights; TensorFlow.js tells weights apart by the name of their layer alone. */
  readonly #names = new Set<string>();

  constructor(
    model: ModelInfo,
    readonly keepTraining: boolean,
  ) {
    this.#isKeras3 = Number.parseInt(model.kerasVersion, 10) >= 3;
    const given = requireArchitecture(model);
    this.architecture = isKeras1(model) ? fromKeras1(given) : given;
    const layers = layerTree(this.architecture, model.file);
    const shapes: Map<LayerNode, TensorShape> = outputShapes(layers, String(this.architecture.class_name));
    for (const [node, shape] of shapes) this.#shapes.set(node.entry, shape);
  }

  /** A model's entry. `path` is that of its layers: empty, or the names of the models around them, each with `/`. */
  model(entry: JsonObject, path: string, fallbackName: string): JsonObject {
    const name = nameOf(entry, fallbackName);
    const isSequential = entry.class_name === 'Sequential';
    const graph = readGraph(entry, name, this.#isKeras3);
    const [start] = graph.layers;
    if (isSequential && !(start?.isModel || start?.entry.class_name === 'InputLayer'))
      this.#problem(path.slice(0, -1) || name, entry, 'it does not say which shape its input has');
    const { graph: followed, masked } = this.#masks(graph);
    if (isSequential && masked.size === 0) {
      const layers = followed.layers.map((layer) => this.#entry(layer, path).entry);
      return { class_name: 'Sequential', config: { name, layers } };
    }
    return { class_name: 'Model', config: { name, ...this.#emit(followed, path) } };
  }

  /** Follows masks through what is alive. */
  #masks(graph: Graph): Masked {
    const live = liveCalls(graph);
    const layers = graph.layers.filter(({ name }) => live.has(name));
    const report = (layer: GraphLayer, reason: string) => this.#problem(layer.name, layer.entry, reason);
    const followed = withMasks({ ...graph, layers }, ({ entry }) => makesMasks(entry), report);
    return { ...followed, graph: withoutRepeats(followed.graph) };
  }

  #problem(name: string, entry: JsonObject, reason: string): void {
    const text = `${name} (${String(entry.class_name)}): ${reason}`;
    if (!this.problems.includes(text)) this.problems.push(text);
  }

  /** Layers with their calls, inputs and outputs, in the notation of Keras 2. */
  #emit(graph: Graph, path: string): JsonObject {
    const order = callOrder(graph.layers);
    if (!order)
      this.problems.push(
        `${path.slice(0, -1) || 'model'}: its layers cannot be called in order: one is called on an output that is not there, or they are listed far out of it`,
      );
    const done = graph.layers.map((layer) => this.#entry(layer, path));
    const names = new Map(graph.layers.map(({ name }, i) => [name, done[i]?.name ?? name]));
    const models = new Set(graph.layers.filter((layer) => layer.isModel).map(({ name }) => name));
    const reference = ({ layer, call, tensor }: Ref): Json[] => {
      const at = order?.get(layer)?.indexOf(call) ?? call;
      const index = Math.max(at, 0) + (models.has(layer) ? 1 : 0);
      return [names.get(layer) ?? layer, index, tensor];
    };
    const layers = graph.layers.map(({ name, calls }, i) => ({
      ...(done[i]?.entry ?? {}),
      name: names.get(name) ?? name,
      inbound_nodes: (order?.get(name) ?? []).map((k) =>
        (calls[k]?.inputs ?? []).map((ref) => [...reference(ref), {}]),
      ),
    }));
    return { layers, input_layers: graph.inputs.map(reference), output_layers: graph.outputs.map(reference) };
  }

  /** One layer or inner model; its weights are noted. */
  #entry(layer: GraphLayer, path: string): { name: string; entry: JsonObject } {
    const { name, entry, calls } = layer;
    const live = calls[0];
    if (layer.isModel) {
      for (const reason of calls.flatMap(({ problems }) => problems))
        this.#problem(path + name, entry, reason);
      return { name, entry: { name, ...this.model(entry, `${path}${name}/`, name) } };
    }
    const roles = live?.roles ?? [];
    if (calls.some((call) => call.roles.join() !== roles.join() && call.roles.some((role) => role !== 'x'))) {
      this.#problem(path + name, entry, 'calls with different arguments');
    }
    const shape = this.#shapes.get(entry);
    const owner = path + name;
    const problem = (reason: string, inner = '') =>
      this.#problem(owner, { class_name: `${String(entry.class_name)}${inner}` }, reason);
    const converted = this.#layer(entry, name, {
      roles,
      flags: live?.flags ?? {},
      shape,
      path: `${owner}/`,
      problem,
    });
    if (!converted) return { name, entry: {} };
    for (const reason of calls.flatMap(({ problems }) => problems)) problem(reason);
    const { weights } = converted;
    const hasWeights = weights === 'any' ? false : weights.length > 0;
    const own = hasWeights || !SAFE_NAME.test(name) ? this.#uniqueName(name, path) : name;
    const names = weights === 'any' ? weights : weights.map((weight) => weight && `${own}/${weight}`);
    this.weights.push({ layer: owner, className: String(entry.class_name), names });
    return {
      name: own,
      entry: { class_name: converted.className, config: { ...converted.config, name: own } },
    };
  }

  /** The layer's own name, or, where another layer with weights has it, that of its model with it. */
  #uniqueName(name: string, path: string): string {
    const safe = name.replace(/[^-A-Za-z0-9._/]/g, '_').replace(/^(?![A-Za-z0-9])/, 'layer');
    const candidates = [safe, `${path.replace(/[^-A-Za-z0-9]/g, '_')}${safe}`];
    let free = candidates.find((candidate) => !this.#names.has(candidate));
    for (let n = 2; free === undefined; n++)
      if (!this.#names.has(`${candidates[1]}_${n}`)) free = `${candidates[1]}_${n}`;
    this.#names.add(free);
    return free;
  }

  #layer(
    entry: JsonObject,
    name: string,
    place: {
      roles: readonly string[];
      flags: JsonObject;
      shape: TensorShape | undefined;
      path: string;
      /** `inner`: classes inside the wrapper, each after a `/`. */
      problem: (reason: string, inner?: string) => void;
    },
  ): (Converted & { config: JsonObject }) | undefined {
    const { roles, flags, shape, path, problem } = place;
    const given = String(entry.class_name).replace(/^.*>/, '');
    const className = OLD_NAMES.get(given) ?? given;
    const config = isObject(entry.config) ? entry.config : {};
    if (className === 'InputLayer') {
      const batch = config.batch_shape ?? config.batch_input_shape ?? null;
      if (!Array.isArray(batch)) problem('an input without a shape');
      const dtype = dtypeOf(config.dtype, problem);
      return { className, config: { name, batch_input_shape: batch, dtype, sparse: false }, weights: [] };
    }
    const foreign = foreignReason(config);
    if (foreign) {
      problem(foreign);
      return undefined;
    }
    const found: string[] = [];
    const clean = cleanConfig(config, {
      isKeras3: this.#isKeras3,
      keepTraining: this.keepTraining,
      problem: (reason) => found.push(reason),
      remark: (text) => this.remarks.add(`${path.slice(0, -1)}: ${text}`),
    });
    // Types of strings and the like show in the dtype policy.
    dtypeOf(config.dtype, (reason) => found.push(reason));
    const inner = (value: Json | undefined): Converted | undefined => {
      if (!isObject(value)) return undefined;
      const innerName = nameOf(value, `${name}_layer`);
      if (!isModel(value)) {
        const report = (reason: string, deeper = '') =>
          problem(reason, `/${String(value.class_name)}${deeper}`);
        return this.#layer(value, innerName, { roles, flags: {}, shape: undefined, path, problem: report });
      }
      return this.#innerModel(value, path, innerName);
    };
    const converted = convertLayer({
      className,
      config: { ...clean, name },
      isKeras3: this.#isKeras3,
      roles,
      flags,
      shape,
      inner,
    });
    if (typeof converted === 'string') {
      if (converted !== INSIDE) problem(converted);
      return undefined;
    }
    // Keys that a rule fills in are those of the converted layer.
    const missing = incomplete(className, { ...clean, ...converted.config });
    if (missing && found.length === 0) found.push(missing);
    for (const reason of found) problem(reason);
    if (converted.className.startsWith(PREFIX)) this.registered.add(converted.className.slice(PREFIX.length));
    for (const value of [converted.config.activation, converted.config.recurrent_activation]) {
      if (typeof value === 'string' && value.startsWith(PREFIX))
        this.registered.add(value.slice(PREFIX.length));
    }
    return converted;
  }

  /** A model inside a wrapper: its layers name their weights themselves. */
  #innerModel(entry: JsonObject, path: string, name: string): Converted {
    const { class_name: className, config } = this.model(entry, path, name);
    return { className: String(className), config: config as JsonObject, weights: [] };
  }
}

/** Whether masks that a model makes inside may reach its outputs. */
function makesMasks(entry: JsonObject): boolean {
  const text = JSON.stringify(entry);
  return text.includes('"mask_zero":true') || text.includes('"Masking"');
}
