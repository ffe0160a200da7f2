import type { Dataset, Preprocess } from '../data/index.js';
import { BitnibbleError } from '../errors.js';
import type { ModelSource } from '../model.js';
import { readNetwork, type Shape } from '../network/index.js';
import { sizeOf } from '../shape.js';
import { firstRange, type InputRange, rangeWarning } from './input-range.js';
import { outputKind } from './outputs.js';

/**
 * Looks at inputs as they go by and warns once, as soon as some are too large, or at the end too small, for what the network
 * expects.
 */
export function inputWatch(
  model: ModelSource,
  onWarning: ((text: string) => void) | undefined,
): (x: Float32Array) => void {
  let isDone = onWarning === undefined;
  let range: InputRange | undefined;
  let isKnown = false;
  return (x) => {
    if (isDone) return;
    let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (const value of x) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (!isKnown) {
      range = firstRange(model);
      isKnown = true;
    }
    const warning = rangeWarning(range, low, high);
    isDone = warning !== undefined;
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
  const fits = (own: readonly (number | null)[], other: readonly number[]) =>
    own.length === other.length && own.every((n, i) => n === null || n === other[i]);
  if (fits(wanted, data)) return [...data];
  if (wanted.length === 1 && wanted[0] === sizeOf(data)) return [sizeOf(data)];
  const [own, long] = [wanted.filter((n) => n !== 1), data.filter((n) => n !== 1)];
  if (!fits(own, long)) return undefined;
  let next = 0;
  return wanted.map((n) => (n === 1 ? 1 : (long[next++] as number)));
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
