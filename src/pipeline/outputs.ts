import type { ModelSource } from '../model.js';
import { operationOf, readNetwork } from '../network/index.js';

/** What a model's outputs are, which decides how the loss is taken. */
export type OutputKind =
  /** Probabilities of classes: softmax was applied. */
  | 'probabilities'
  /** One probability: sigmoid was applied. */
  | 'probability'
  /** Neither: softmax is applied here. */
  | 'logits'
  /** Neither, and the model was trained with a loss of numbers: a vector of them is no classes. */
  | 'numbers';

/** Operations that hand values on as they are, in this order or another. */
const PASSING = /^(Flatten|Reshape|ops\.(Reshape|Squeeze|ExpandDims))$/;

/** Losses of numbers that are predicted, by the names that Keras saves: `mse`, `mean_squared_error`, `MeanSquaredError`. */
const REGRESSION =
  /^(mse|mae|mape|msle|mean(squared|absolute|absolutepercentage|squaredlogarithmic)error|huber(loss)?|logcosh|poisson|cosinesimilarity)$/;

/** Whether the loss that was saved with a model, of its one output, is one of {@link REGRESSION}. */
function predictsNumbers({ trainingConfig }: ModelSource): boolean {
  let loss: unknown = trainingConfig?.loss;
  if (Array.isArray(loss) && loss.length === 1) [loss] = loss;
  if (typeof loss === 'object' && loss !== null) {
    const { class_name: name, config } = loss as {
      class_name?: unknown;
      config?: { name?: unknown } | string;
    };
    // A function is saved by its name, or as `{ class_name: 'function', config: 'mean_squared_error' }`.
    loss = name === 'function' ? (typeof config === 'string' ? config : config?.name) : name;
  }
  return typeof loss === 'string' && REGRESSION.test(loss.toLowerCase().replaceAll('_', ''));
}

/**
 * The activation that the last output of a model ends with, through dropouts and reshapes; where it ends with none of a classifier, the
 * loss that was saved with the model tells classes from numbers.
 * @throws BitnibbleError what `readNetwork` throws
 */
export function outputKind(model: ModelSource): OutputKind {
  const { nodes, outputs, values } = readNetwork(model);
  const makers = new Map(nodes.flatMap((node) => node.outputs.map((value) => [value, node] as const)));
  const other = predictsNumbers(model) ? 'numbers' : 'logits';
  let value = outputs.at(-1)?.value;
  for (;;) {
    const node = value === undefined ? undefined : makers.get(value);
    if (!node) return other;
    const { operation, attributes, inputs } = node;
    if (operationOf(operation)?.isIdentity || PASSING.test(operation)) {
      [value] = inputs;
      continue;
    }
    const name = operation === 'Softmax' || operation === 'ops.Softmax' ? 'softmax' : attributes.activation;
    if (name === 'softmax') return 'probabilities';
    const isSigmoid = name === 'sigmoid' || operation === 'ops.Sigmoid';
    const width = values[value as number]?.shape?.at(-1);
    return isSigmoid && width === 1 ? 'probability' : other;
  }
}
