import type { LayersModel, Tensor } from '@tensorflow/tfjs';
import { BitnibbleError } from '../errors.js';
import type { ModelSource, WeightInfo } from '../model.js';
import { toTopology } from './topology.js';
import type { TensorFlow } from './types.js';

type Layer = LayersModel['layers'][number];

/**
 * Builds the TensorFlow.js model of a Keras model, float or quantized, and gives it its weights, one at a time.
 *
 * @param tf whichever TensorFlow.js package the caller uses
 * @throws BitnibbleError `unsupported-layer` before any weight is read; `missing-weight`, `shape-mismatch`
 */
export async function loadLayersModel(tf: TensorFlow, source: ModelSource): Promise<LayersModel> {
  const { classNameMap } = tf.serialization.SerializationMap.getMap();
  const modelTopology = toTopology(source, (className) => className in classNameMap);
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
  for (const [path, layer] of leaves(model.layers, '')) {
    const weights = source.weights.filter(
      ({ layer: owner }) => owner === path || owner.startsWith(`${path}/`),
    );
    setWeights(tf, layer, weights, path, source);
  }
  return model;
}

/** Layers that hold weights themselves, with their path through sub-models; a shared sub-model once for each place. */
function* leaves(layers: readonly Layer[], prefix: string): Generator<[string, Layer]> {
  for (const layer of layers) {
    const path = prefix + layer.name;
    const inner = (layer as unknown as { layers?: Layer[] }).layers;
    if (Array.isArray(inner)) yield* leaves(inner, `${path}/`);
    else yield [path, layer];
  }
}

/** Both sides list trainable weights before the others, so they pair by position; shapes must agree. */
function setWeights(
  tf: TensorFlow,
  layer: Layer,
  weights: readonly WeightInfo[],
  path: string,
  source: ModelSource,
): void {
  const targets = layer.weights;
  if (weights.length !== targets.length) {
    throw new BitnibbleError(
      'missing-weight',
      `${source.file}: layer ${path} (${layer.getClassName()}) expected ${targets.length} weights, got ${weights.length}`,
    );
  }
  const tensors: Tensor[] = [];
  try {
    for (const [i, weight] of weights.entries()) {
      const shape = targets[i]?.shape ?? [];
      if (shape.length !== weight.shape.length || shape.some((n, axis) => n !== weight.shape[axis])) {
        throw new BitnibbleError(
          'shape-mismatch',
          `${source.file}: expected shape [${shape}], got [${weight.shape}] (tensor ${weight.id})`,
        );
      }
      tensors.push(tf.tensor(source.read(weight.id), [...weight.shape]));
    }
    layer.setWeights(tensors);
  } finally {
    for (const tensor of tensors) tensor.dispose();
  }
}
