import type { ModelInfo } from '../model.js';
import { declaredShape } from './declared.js';
import { entriesOf, isModel, modelIn, nameOf } from './notation.js';
import { readNetwork } from './read.js';
import type { Network, Shape } from './types.js';

/**
 * Output shapes of the layers of a model by their paths, of models inside too, as far as they follow: of the first call of
 * a layer, and of its first output.
 *
 * @throws BitnibbleError what {@link readNetwork} throws
 */
export function layerShapes(model: ModelInfo): ReadonlyMap<string, Shape> {
  const { architecture } = model;
  if (!architecture || !isModel(architecture)) return new Map();
  const network = readNetwork(model);
  const shapes = new Map<string, Shape>();
  for (const { layer, outputs } of network.nodes) {
    const shape = network.values[outputs[0] as number]?.shape;
    if (shape && !shapes.has(layer)) shapes.set(layer, shape);
  }
  const visit = (entry: typeof architecture, prefix: string): void => {
    for (const [i, own] of entriesOf(entry).entries()) {
      const path = prefix + nameOf(own, `layer_${i}`);
      const declared = declaredShape(own);
      if (declared && own.class_name === 'InputLayer') shapes.set(path, declared);
      const inner = modelIn(own);
      if (!inner) continue;
      visit(inner, `${path}/`);
      const shape = resultOf(network, `${path}/`);
      if (shape) shapes.set(path, shape);
    }
  };
  visit(architecture, '');
  return shapes;
}

/** Shape of what leaves the nodes under a path: the first value that they make and others take. */
function resultOf({ nodes, outputs, values }: Network, prefix: string): Shape | undefined {
  const isInside = (layer: string) => layer.startsWith(prefix);
  const taken = new Set(nodes.flatMap(({ layer, inputs }) => (isInside(layer) ? [] : inputs)));
  for (const { value } of outputs) taken.add(value);
  for (const { layer, outputs: made } of nodes) {
    const value = isInside(layer) ? made.find((one) => taken.has(one)) : undefined;
    if (value !== undefined) return values[value]?.shape;
  }
  return undefined;
}
