import type { ModelSource } from '../model.js';
import { operationOf, readNetwork } from '../network/index.js';

/** What a model's outputs are, which decides how the loss is taken. */
export type OutputKind =
  /** Probabilities of classes: softmax was applied. */
  | 'probabilities'
  /** One probability: sigmoid was applied. */
  | 'probability'
  /** Neither: softmax is applied here. */
  | 'logits';

/** Operations that hand values on as they are, in this order or another. */
const PASSING = /^(Flatten|Reshape|ops\.(Reshape|Squeeze|ExpandDims))$/;

/**
 * The activation that the last output of a model ends with, through dropouts and reshapes.
 * @throws BitnibbleError what `readNetwork` throws
 */
export function outputKind(model: ModelSource): OutputKind {
  const { nodes, outputs, values } = readNetwork(model);
  const makers = new Map(nodes.flatMap((node) => node.outputs.map((value) => [value, node] as const)));
  let value = outputs.at(-1)?.value;
  for (;;) {
    const node = value === undefined ? undefined : makers.get(value);
    if (!node) return 'logits';
    const { operation, attributes, inputs } = node;
    if (operationOf(operation)?.isIdentity || PASSING.test(operation)) {
      [value] = inputs;
      continue;
    }
    const name = operation === 'Softmax' || operation === 'ops.Softmax' ? 'softmax' : attributes.activation;
    if (name === 'softmax') return 'probabilities';
    const isSigmoid = name === 'sigmoid' || operation === 'ops.Sigmoid';
    const width = values[value as number]?.shape?.at(-1);
    return isSigmoid && width === 1 ? 'probability' : 'logits';
  }
}
