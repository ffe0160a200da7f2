import type { LayersModel, Tensor } from '@tensorflow/tfjs';
import { BitnibbleError } from '../errors.js';
import type { ModelSource, WeightInfo } from '../model.js';
import { modernWeights, ownWeights } from './old-weights.js';
import { registerLayers } from './register.js';
import { type Topology, toTopology } from './topology.js';
import type { TensorFlow } from './types.js';

type Layer = LayersModel['layers'][number];
type Variable = Layer['weights'][number];

/**
 * Pairs the weights of a model with those of its topology: by layer, and within a layer by position, since both sides
 * list trainable weights before the others.
 *
 * @returns name in TensorFlow.js -> weight of the model
 * @throws BitnibbleError `missing-weight` where a layer has another number of weights than its class needs
 */
export function pairWeights(source: ModelSource, { weights: layers }: Topology): Map<string, WeightInfo> {
  const byLayer = new Map<string, WeightInfo[]>();
  for (const weight of source.weights) {
    const list = byLayer.get(weight.layer);
    if (list) list.push(weight);
    else byLayer.set(weight.layer, [weight]);
  }
  const pairs = new Map<string, WeightInfo>();
  for (const { layer, className, names } of layers) {
    if (names === 'any') continue;
    const found = byLayer.get(layer) ?? [];
    const needed = names.filter((name) => name !== null).length;
    if (found.length !== names.length && found.length !== needed) {
      throw new BitnibbleError(
        'missing-weight',
        `${source.file}: layer ${layer} (${className}) expected ${needed} weights, got ${found.length}`,
      );
    }
    for (const [i, weight] of found.entries()) {
      const name = names[i];
      if (name) pairs.set(name, weight);
    }
  }
  return pairs;
}

/**
 * {@link pairWeights} of the weights that a model stores as TensorFlow.js runs them. Those of Keras 1 that are joined,
 * transposed or turned round are left out.
 */
export function pairOwnWeights(source: ModelSource): Map<string, WeightInfo> {
  const modern = modernWeights(source);
  const own = ownWeights(source, modern);
  const pairs = new Map<string, WeightInfo>();
  for (const [name, { id }] of pairWeights(modern, toTopology(source))) {
    const weight = own.get(id);
    if (weight) pairs.set(name, weight);
  }
  return pairs;
}

/**
 * Builds the TensorFlow.js model of a Keras model, float or quantized, and gives it its weights, one at a time.
 * It registers bitnibble's layers with `tf`.
 *
 * @param tf whichever TensorFlow.js package the caller uses
 * @throws BitnibbleError `unsupported-layer` before any weight is read; `missing-weight`, `shape-mismatch`
 */
export async function loadLayersModel(tf: TensorFlow, given: ModelSource): Promise<LayersModel> {
  const topology = toTopology(given);
  const source = modernWeights(given);
  const pairs = pairWeights(source, topology);
  registerLayers(tf);
  const { modelTopology } = topology;
  let model: LayersModel;
  try {
    model = await tf.loadLayersModel({ load: async () => ({ modelTopology }) });
  } catch (error) {
    throw new BitnibbleError(
      'unsupported-layer',
      `${source.file}: TensorFlow.js cannot build the model: ${(error as Error).message}`,
      { cause: error },
    );
  }
  try {
    setWeights(tf, model.weights, pairs, source);
  } catch (error) {
    model.dispose();
    throw error;
  }
  return model;
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
    variable.write(value);
    value.dispose();
  }
  for (const name of unused) {
    throw new BitnibbleError('missing-weight', `${source.file}: TensorFlow.js has no weight ${name} to set`);
  }
}
