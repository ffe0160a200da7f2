import type { Json, JsonObject, ModelInfo, ModelSource } from '../model.js';
import { openNetwork, requireRunnable } from '../network/open.js';
import { countsWhole } from '../network/operations/integers.js';
import { readNetwork } from '../network/read.js';
import type { Network, NetworkNode, Problem, Shape } from '../network/types.js';
import { callOrder, type LayerCalls, withFloats, withoutRepeats } from './calls.js';
import { activationName } from './layers/activations.js';
import { PREFIX } from './layers/define.js';
import { LayerNames } from './names.js';
import type { Converted, Given } from './rule.js';
import { convertLayer } from './rules.js';
import { trainingConfig } from './training.js';

/** What TensorFlow.js's `loadLayersModel` takes, and what goes with it. */
export interface Topology {
  /** `{ class_name, config, keras_version, backend }` in the form of Keras 2. */
  readonly modelTopology: JsonObject;
  /** Name of each weight in TensorFlow.js -> its id in the network. */
  readonly weights: ReadonlyMap<string, string>;
  /** Name of the TensorFlow.js layer of each node, in their order. */
  readonly layers: readonly string[];
  /** Classes and activations in use that `registerLayers` provides, without their prefix, sorted. */
  readonly registered: readonly string[];
  /** What was left out without changing any output. */
  readonly remarks: readonly string[];
}

/** The file that a network is from. */
export interface Origin {
  /** For messages. */
  readonly file: string;
  readonly kerasVersion: string;
}

/** How a topology is made. */
export interface TopologyOptions {
  /** Keeps initializers and regularizers, so that the model can be trained on. Default: zeros and none. */
  readonly keepTraining?: boolean;
}

/**
 * Turns a network into the topology that TensorFlow.js's `loadLayersModel` takes: one flat model, a layer for all nodes
 * that share weights. Operations that TensorFlow.js lacks or computes otherwise become classes of `registerLayers`.
 *
 * @throws BitnibbleError `unsupported-layer`, naming every layer that cannot be run, its class, and why;
 *   `missing-weight`, `shape-mismatch` where weights are not those of the architecture
 */
export function topologyOf(network: Network, origin: Origin, options: TopologyOptions = {}): Topology {
  const converter = new Converter(network, options.keepTraining === true);
  const layers = network.nodes.map((node) => converter.convert(node));
  requireRunnable(network, origin.file, 'TensorFlow.js', [...portFaults(network), ...converter.problems]);
  const { className, config } = converter.model();
  return {
    modelTopology: {
      class_name: className,
      config,
      keras_version: origin.kerasVersion,
      backend: 'tensorflow',
    },
    weights: converter.weights,
    layers: layers.map((layer) => layer?.name ?? ''),
    registered: [...converter.registered].sort(),
    remarks: [...converter.remarks],
  };
}

/** Inputs that TensorFlow.js cannot be given: to a tensor of the batch alone it adds an axis, which the model then refuses. */
const portFaults = ({ inputs, values }: Network): Problem[] =>
  inputs.flatMap(({ name, value }): Problem[] =>
    values[value]?.shape?.length === 1
      ? [
          {
            layer: name,
            className: 'InputLayer',
            reason: 'one number for each sample, without an axis',
            code: 'unsupported-layer',
          },
        ]
      : [],
  );

/**
 * Turns a model of any Keras, from 1 on, into the topology that TensorFlow.js's `loadLayersModel` takes: one flat model, a layer
 * for all nodes that share weights. Operations that TensorFlow.js lacks or computes otherwise become classes of
 * {@link registerLayers}. Without weights (a `ModelInfo`) there are no weights in it.
 *
 * @throws BitnibbleError `no-model-config` for weights alone, `corrupt-file` for an architecture that is none; `unsupported-layer`, naming every layer
 *   that cannot be run, its class, and why; `missing-weight`, `shape-mismatch` where weights are not those of the architecture
 */
export function toTopology(model: ModelInfo | ModelSource, options: TopologyOptions = {}): Topology {
  return topologyOf('weights' in model ? openNetwork(model).network : readNetwork(model), model, options);
}

/** A layer of TensorFlow.js with its calls. */
interface TfLayer extends LayerCalls {
  readonly className: string;
  readonly config: JsonObject;
}

class Converter {
  readonly problems: Problem[] = [];
  readonly remarks = new Set<string>();
  readonly registered = new Set<string>();
  readonly weights = new Map<string, string>();
  readonly #layers: TfLayer[] = [];
  readonly #byKey = new Map<string, TfLayer>();
  readonly #paths = new Map<string, TfLayer>();
  readonly #names: LayerNames;
  readonly #inputs: readonly string[];

  constructor(
    readonly network: Network,
    readonly keepTraining: boolean,
  ) {
    const paths = network.nodes.map(({ layer }) => layer);
    this.#names = new LayerNames([...network.inputs.map(({ name }) => name), ...paths]);
    this.#inputs = network.inputs.map(({ name }) => this.#names.of(name));
  }

  /** The layer of a node; nodes that share weights share it. */
  convert(node: NetworkNode): TfLayer | undefined {
    const found = this.#converted(node);
    if (typeof found === 'string') {
      if (found) this.#problem(node, found);
      return undefined;
    }
    const { className, config, weights } = found;
    const key = `${node.layer}\n${className}\n${JSON.stringify(config)}`;
    let layer = this.#byKey.get(key);
    if (!layer) {
      const ids = Object.values(node.weights);
      if (this.#paths.has(node.layer) && ids.length > 0) {
        this.#problem(node, 'calls with different arguments');
        return undefined;
      }
      const name = this.#names.of(node.layer);
      layer = { name, className, config: { ...config, name }, calls: [] };
      this.#byKey.set(key, layer);
      this.#paths.set(node.layer, layer);
      this.#layers.push(layer);
      ids.forEach((id, i) => {
        this.weights.set(`${name}/${weights[i]}`, id);
      });
      this.#register(className, config);
    }
    layer.calls.push({ inputs: node.inputs, outputs: node.outputs });
    return layer;
  }

  #problem({ layer, className }: NetworkNode, reason: string): void {
    const isKnown = [...this.network.problems, ...this.problems].some(
      (known) => known.layer === layer && known.reason === reason,
    );
    if (!isKnown) this.problems.push({ layer, className, reason, code: 'unsupported-layer' });
  }

  #register(className: string, config: JsonObject): void {
    if (className.startsWith(PREFIX)) this.registered.add(className.slice(PREFIX.length));
    for (const value of [config.activation, config.recurrent_activation])
      if (typeof value === 'string' && value.startsWith(PREFIX))
        this.registered.add(value.slice(PREFIX.length));
    const { layer } = config;
    if (typeof layer !== 'object' || layer === null || Array.isArray(layer)) return;
    this.#register(String(layer.class_name), layer.config as JsonObject);
  }

  /** What a node becomes, without its name; why not; empty where the network says why. */
  #converted(node: NetworkNode): Converted | string {
    const { operation, attributes, roles, outputs, steps, training, layer } = node;
    if (this.network.problems.some((known) => known.layer === layer)) return '';
    const wrong = this.#wholeFault(node);
    if (wrong) return wrong;
    const isWhole = countsWhole(node, this.network.values);
    const config: JsonObject = {
      ...attributes,
      ...trainingConfig(training, {
        keepTraining: this.keepTraining,
        remark: (text) => this.remarks.add(`${layer}: ${text}`),
      }),
      // Operations on tensors have the type of their tensors, where they name none.
      ...(operation.startsWith('ops.') ? {} : { dtype: attributes.dtype ?? 'float32' }),
    };
    for (const key of ['activation', 'recurrent_activation']) {
      if (!(key in attributes)) continue;
      const name = activationName(String(attributes[key]));
      if (name === undefined) return `activation ${String(attributes[key])}`;
      config[key] = name;
    }
    const outer = this.network.values[outputs[0] as number]?.shape;
    const shape: Shape | undefined = outer && [outer[0] ?? null, ...outer.slice(steps + 1)];
    const first = this.network.values[node.inputs[0] as number]?.shape;
    const inputShape = first && [first[0] ?? null, ...first.slice(steps + 1)];
    const given: Given = { className: operation, config, roles, shape, inputShape, isWhole };
    const found = this.#areMixed(node)
      ? convertLayer({ ...given, className: 'ops.Concatenate', config: joined(node) })
      : isWhole && MERGES.test(operation)
        ? this.#merged(node, given)
        : convertLayer(given);
    return typeof found === 'string' || steps === 0 ? found : distributed(found, node);
  }

  /** Why TensorFlow.js cannot compute with whole numbers of a node. */
  #wholeFault({ operation, inputs }: NetworkNode): string | undefined {
    const isWhole = this.network.values[inputs[0] as number]?.dtype === 'int32';
    return /^MaxPooling[12]D$/.test(operation) && isWhole ? 'whole numbers' : undefined;
  }

  /** A merge of whole numbers as the operation that looks at their size. */
  #merged({ operation, inputs }: NetworkNode, given: Given): Converted | string {
    const ranks = new Set(inputs.map((value) => this.network.values[value]?.shape?.length));
    if (inputs.length !== 2 || ranks.size !== 1)
      return 'more than two inputs of whole numbers, or of several ranks';
    return convertLayer({ ...given, className: `ops.${operation}`, config: { operands: [null, null] } });
  }

  /** Whether tensors of several types are joined: TensorFlow.js's layer makes whole numbers of all where the first has them. */
  #areMixed({ operation, inputs }: NetworkNode): boolean {
    const types = new Set(inputs.map((value) => this.network.values[value]?.dtype));
    return operation === 'Concatenate' && types.size > 1;
  }

  /** The model of all layers that were converted. */
  model(): { readonly className: string; readonly config: JsonObject } {
    const { inputs, outputs, values } = this.network;
    const starts = inputs.map((port, i): TfLayer => {
      const { shape, dtype } = values[port.value] as Network['values'][number];
      const config: JsonObject = {
        name: this.#inputs[i] as string,
        batch_input_shape: shape ? [...shape] : null,
        dtype,
        sparse: false,
      };
      return { name: this.#inputs[i] as string, className: 'InputLayer', config, calls: [] };
    });
    const name = this.network.name;
    const isWhole = (value: number) => values[value]?.dtype === 'int32';
    const own = withFloats(this.#layers, isWhole, (value) => this.#names.of(`float${value}`)).map(complete);
    if (this.#isChain(own)) {
      const layers = [...starts, ...own].map((layer) => entryOf(layer));
      return { className: 'Sequential', config: { name, layers } };
    }
    const makers = new Map<number, Json[]>(
      inputs.map((port, i) => [port.value, [this.#inputs[i] as string, 0, 0]]),
    );
    const copyName = (value: number) => this.#names.of(`copy${value}`);
    const { layers: listedLayers, values: ends } = withoutRepeats(
      own,
      isWhole,
      copyName,
      outputs.map(({ value }) => value),
    );
    const layers = listedLayers.map(complete);
    const order = callOrder(layers, new Set(makers.keys()));
    for (const layer of layers)
      (order.get(layer.name) ?? []).forEach((at, index) => {
        layer.calls[at]?.outputs.forEach((value, tensor) => {
          makers.set(value, [layer.name, index, tensor]);
        });
      });
    const reference = (value: number): Json[] => makers.get(value) ?? [];
    const entries = layers.map((layer) => ({
      ...entryOf(layer),
      name: layer.name,
      inbound_nodes: (order.get(layer.name) ?? []).map((at) =>
        (layer.calls[at]?.inputs ?? []).map((value) => [...reference(value), {}]),
      ),
    }));
    return {
      className: 'Model',
      config: {
        name,
        layers: [
          ...starts.map((layer) => ({ ...entryOf(layer), name: layer.name, inbound_nodes: [] })),
          ...entries,
        ],
        input_layers: inputs.map(({ value }) => reference(value)),
        output_layers: ends.map(reference),
      },
    };
  }

  /** Whether each layer takes what the one before it gives, and nothing else. */
  #isChain(layers: readonly TfLayer[]): boolean {
    const { inputs, outputs } = this.network;
    if (inputs.length !== 1 || outputs.length !== 1 || layers.length === 0) return false;
    let value = inputs[0]?.value;
    for (const { calls } of layers) {
      const [call, second] = calls;
      if (!call || second || call.inputs.length !== 1 || call.inputs[0] !== value) return false;
      if (call.outputs.length !== 1) return false;
      [value] = call.outputs;
    }
    return value === outputs[0]?.value;
  }
}

const complete = ({ className = '', config = {}, ...layer }: LayerCalls): TfLayer => ({
  ...layer,
  className,
  config,
});

const entryOf = ({ className, config }: TfLayer): JsonObject => ({ class_name: className, config });

/** Operations that do to every step what they do to the whole, whatever the axes before the last are. */
const STEPLESS =
  /^(Dense|Embedding|Activation|ReLU|LeakyReLU|ELU|ThresholdedReLU|Rescaling|Add|Subtract|Multiply|Average|Maximum|Minimum|Dropout|SpatialDropout[123]D|GaussianNoise|GaussianDropout|AlphaDropout|ActivityRegularization|Identity|Masking|Random\w+)$/;

/** Layers that compute with several tensors. */
const MERGES = /^(Add|Subtract|Multiply)$/;

/** A layer that joins tensors as the operation that does. */
const joined = ({ attributes, inputs }: NetworkNode): JsonObject => ({
  operands: inputs.map(() => null),
  axis: attributes.axis ?? -1,
});

/** A layer applied step by step, as TimeDistributed does. */
function distributed(
  found: Converted,
  { operation, attributes, inputs, steps }: NetworkNode,
): Converted | string {
  if (STEPLESS.test(operation)) return found;
  if (operation === 'Concatenate') {
    const axis = Number(attributes.axis);
    return { ...found, config: { ...found.config, axis: axis > 0 ? axis + steps : axis } };
  }
  if (inputs.length !== 1) return 'several inputs inside TimeDistributed';
  let { className, config } = found;
  for (let i = 0; i < steps; i++) {
    const layer = { class_name: className, config: { ...config, name: 'layer' } };
    [className, config] = [
      'TimeDistributed',
      { dtype: 'float32', trainable: config.trainable ?? true, layer },
    ];
  }
  return { ...found, className, config };
}
