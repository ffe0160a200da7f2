import type { Dataset, Preprocess } from '../data/index.js';
import { BitnibbleError } from '../errors.js';
import type { ModelSource } from '../model.js';
import { readNetwork, type Shape } from '../network/index.js';
import { sizeOf } from '../shape.js';
import { outputKind } from './outputs.js';

/** Larger inputs than this look as if nobody had scaled them. */
const LARGEST = 30;

/** Whether the model scales its own inputs: a Rescaling or Normalization layer. */
export function scalesItself(model: ModelSource): boolean {
  return readNetwork(model).nodes.some(({ operation }) => /^(Rescaling|Normalization)$/.test(operation));
}

/** Layers whose inputs are numbers of things: rows of a table, categories. */
const INDEXED = /^(?:[\w.]+>)?(Embedding|CategoryEncoding|IntegerLookup|Hashing|Discretization)$/;

/** Names of the inputs that are token ids or the like: an Embedding takes them as they come. */
export function indexedInputs(model: ModelSource): Set<string> {
  const { nodes, inputs } = readNetwork(model);
  const taken = new Set(nodes.flatMap((node) => (INDEXED.test(node.operation) ? node.inputs : [])));
  return new Set(inputs.filter(({ value }) => taken.has(value)).map(({ name }) => name));
}

/** Whether some of the model's inputs are {@link indexedInputs}. */
export const takesIndices = (model: ModelSource): boolean => indexedInputs(model).size > 0;

/** What looks wrong about inputs as large as `most` in magnitude, or nothing. */
export function unscaled(model: ModelSource, most: number): string | undefined {
  if (!(most > LARGEST) || scalesItself(model) || takesIndices(model)) return undefined;
  return `inputs reach ${most.toPrecision(3)}: they look unscaled; most networks expect 0 to 1, or a deviation of 1`;
}

/** Looks at inputs as they go by and warns once, as soon as one is too large. */
export function inputWatch(
  model: ModelSource,
  onWarning: ((text: string) => void) | undefined,
): (x: Float32Array) => void {
  let isDone = onWarning === undefined;
  return (x) => {
    if (isDone) return;
    const most = x.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    if (!(most > LARGEST)) return;
    isDone = true;
    const warning = unscaled(model, most);
    if (warning) onWarning?.(warning);
  };
}

/**
 * The data's shape as the model has it: the same, flattened to a vector, or with axes of length 1 more or fewer.
 *
 * @param model with the axis of the batch
 */
export function sampleShape(
  model: readonly (number | null)[],
  data: readonly number[],
): number[] | undefined {
  const wanted = model.slice(1);
  if (wanted.length === data.length && wanted.every((n, i) => n === null || n === data[i])) return [...data];
  const longer = (shape: readonly (number | null)[]) => shape.filter((n) => n !== 1).join();
  const isFlat = wanted.length === 1 && wanted[0] === sizeOf(data);
  return isFlat || longer(wanted) === longer(data) ? (wanted as number[]) : undefined;
}

/** `[None,8]`: axes of any length as Keras names them. */
const shapeText = (shape: Shape) => `[${shape.map((n) => n ?? 'None')}]`;

/**
 * {@link sampleShape}, or an error that names both.
 *
 * @param wanted of each input of the model, with the axis of the batch
 * @throws BitnibbleError `data-mismatch`
 */
export function requireSampleShape(
  wanted: readonly Shape[],
  file: string,
  dataset: Pick<Dataset, 'name' | 'inputShape'>,
): number[] {
  const mismatch = (fault: string) =>
    new BitnibbleError('data-mismatch', `${file} and ${dataset.name}: ${fault}`);
  const [input] = wanted;
  if (wanted.length !== 1 || !input) throw mismatch(`expected a model with one input, got ${wanted.length}`);
  const shape = sampleShape(input, dataset.inputShape);
  if (shape) return shape;
  throw mismatch(
    `the model expects inputs of shape ${shapeText(input.slice(1))}, the data has ${shapeText(dataset.inputShape)}`,
  );
}

/**
 * Refuses data that the model cannot take, from the architecture alone: before TensorFlow.js is there, which checks again.
 * Where the architecture does not say what its inputs are, nothing is refused.
 *
 * @throws BitnibbleError `data-mismatch`, `no-model-config`
 */
export function checkSamples(model: ModelSource, dataset: Dataset, preprocess?: Preprocess): void {
  // Lists of means and deviations are held against the channels at the call.
  dataset.batches({ limit: 1, ...(preprocess ? { preprocess } : {}) });
  const { inputs, values } = readNetwork(model);
  const wanted = inputs.flatMap(({ value }) => {
    const shape = values[value]?.shape;
    return shape ? [shape] : [];
  });
  if (wanted.length === 0 || wanted.length < inputs.length) return;
  requireSampleShape(wanted, model.file, dataset);
}

/**
 * Refuses labels that the model's output has no class for, and models of several outputs, from the architecture alone.
 * Where it does not say how many classes there are, nothing is refused.
 *
 * @param limit samples at most, from the first on
 * @throws BitnibbleError `data-mismatch`
 */
export function checkLabels(model: ModelSource, { name, labels }: Dataset, limit: number): void {
  const { outputs, values } = readNetwork(model);
  const mismatch = (fault: string) =>
    new BitnibbleError('data-mismatch', `${model.file} and ${name}: ${fault}`);
  const [output] = outputs;
  if (outputs.length !== 1 || !output)
    throw mismatch(`expected a model with one output, got ${outputs.length}`);
  const sizes = values[output.value]?.shape?.slice(1) ?? [null];
  const width = sizes.reduce<number>((n, size) => n * (size ?? Number.NaN), 1);
  const classes = outputKind(model) === 'probability' ? 2 : width;
  const strange = labels?.subarray(0, limit).find((label) => label < 0 || label >= classes);
  if (strange !== undefined) throw mismatch(`label ${strange}, the model has ${classes} classes`);
}
