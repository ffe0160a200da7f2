import { BitnibbleError } from '../errors.js';
import type { ModelSource, WeightInfo } from '../model.js';
import { ownWeights } from '../network/old-weights.js';
import { type OpenNetwork, openNetwork } from '../network/open.js';
import { registerLayers } from './register.js';
import { type Topology, type TopologyOptions, topologyOf } from './topology.js';
import type { LayersModel, Tensor, TensorFlow } from './types.js';

type Layer = LayersModel['layers'][number];
type Variable = Layer['weights'][number];

/** A model as TensorFlow.js takes it: its network, its topology, and where its weights are read. */
export interface Prepared extends OpenNetwork {
  readonly topology: Topology;
}

/**
 * The network and the topology of a model.
 * @throws BitnibbleError what {@link topologyOf} throws, before any weight is read
 */
export function prepare(model: ModelSource, options: TopologyOptions = {}): Prepared {
  const opened = openNetwork(model);
  return { ...opened, topology: topologyOf(opened.network, model, options) };
}

/** A model of TensorFlow.js, and which of its layers each node of the network is. */
export interface LoadedNetwork extends Prepared {
  readonly model: LayersModel;
  /** Layers by the node's place in the network. */
  readonly layers: readonly Layer[];
  /** Weights that the file stores as they are run, by name in TensorFlow.js: those of Keras 1 that are joined or turned are not. */
  readonly own: ReadonlyMap<string, WeightInfo>;
}

/**
 * Builds the TensorFlow.js model of a Keras model, float or quantized, and gives it its weights, one at a time.
 * It registers bitnibble's layers with `tf`.
 *
 * @param tf whichever TensorFlow.js package the caller uses
 * @throws BitnibbleError `unsupported-layer` before any weight is read; `missing-weight`, `shape-mismatch`
 */
export async function loadLayersModel(tf: TensorFlow, source: ModelSource): Promise<LayersModel> {
  return (await loadNetwork(tf, source)).model;
}

/**
 * {@link loadLayersModel}, with what its layers are in the network.
 * @throws BitnibbleError as {@link loadLayersModel}
 */
export async function loadNetwork(tf: TensorFlow, given: ModelSource): Promise<LoadedNetwork> {
  const prepared = prepare(given);
  const { topology, source } = prepared;
  registerLayers(tf);
  const { modelTopology } = topology;
  let model: LayersModel;
  let before: ReadonlySet<string> = new Set();
  try {
    model = await tf.loadLayersModel({
      load: async () => ({
        // TensorFlow.js asks for it and builds the model before anything else can happen.
        get modelTopology() {
          before = new Set(Object.keys(tf.engine().registeredVariables));
          return modelTopology;
        },
      }),
    });
  } catch (error) {
    for (const [name, variable] of Object.entries(tf.engine().registeredVariables))
      if (!before.has(name)) variable.dispose();
    throw new BitnibbleError(
      'unsupported-layer',
      `${source.file}: TensorFlow.js cannot build the model: ${(error as Error).message}`,
      { cause: error },
    );
  }
  const weights = new Map(source.weights.map((weight) => [weight.id, weight]));
  const pairs = new Map([...topology.weights].map(([name, id]) => [name, weights.get(id) as WeightInfo]));
  disposeShared(model, topology);
  try {
    setWeights(tf, model.weights, pairs, source);
  } catch (error) {
    model.dispose();
    throw error;
  }
  const stored = ownWeights(given, source);
  const own = new Map(
    [...pairs].flatMap(([name, { id }]) => {
      const weight = stored.get(id);
      return weight ? [[name, weight] as const] : [];
    }),
  );
  const byName = new Map(model.layers.map((layer) => [layer.name, layer]));
  const layers = topology.layers.map((name) => byName.get(name) as Layer);
  return { ...prepared, model, layers, own };
}

/**
 * Has a model give up the weights of layers that are called several times: TensorFlow.js counts their calls, and takes off
 * one when the model is disposed of.
 */
function disposeShared(model: LayersModel, { layers }: Topology): void {
  const calls = new Map<string, number>();
  for (const name of layers) calls.set(name, (calls.get(name) ?? 0) + 1);
  const shared = model.layers.filter(({ name }) => (calls.get(name) ?? 0) > 1);
  if (shared.length === 0) return;
  const dispose = model.dispose.bind(model);
  model.dispose = () => {
    const result = dispose();
    let { numDisposedVariables } = result;
    for (const layer of shared)
      for (let left = (calls.get(layer.name) ?? 1) - 1; left > 0; left--)
        numDisposedVariables += layer.dispose().numDisposedVariables;
    return { ...result, numDisposedVariables };
  };
}

function setWeights(
  tf: TensorFlow,
  variables: readonly Variable[],
  pairs: Map<string, WeightInfo>,
  source: ModelSource,
): void {
  const unused = new Set(pairs.keys());
  for (const variable of variables) {
    const name = variable.originalName;
    const weight = pairs.get(name);
    unused.delete(name);
    if (!weight) {
      throw new BitnibbleError(
        'missing-weight',
        `${source.file}: TensorFlow.js needs the weight ${name}, which no layer has`,
      );
    }
    const { shape } = variable;
    if (shape.length !== weight.shape.length || shape.some((n, axis) => n !== weight.shape[axis])) {
      throw new BitnibbleError(
        'shape-mismatch',
        `${source.file}: expected shape [${shape}], got [${weight.shape}] (tensor ${weight.id})`,
      );
    }
    const value: Tensor = tf.tensor(source.read(weight.id), [...weight.shape]);
    try {
      variable.write(value);
    } finally {
      value.dispose();
    }
  }
  for (const name of unused) {
    throw new BitnibbleError('missing-weight', `${source.file}: TensorFlow.js has no weight ${name} to set`);
  }
}
