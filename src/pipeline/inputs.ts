import { arraysOf, type Batch, type Dataset, type Preprocessing, type SampleInput } from '../data/index.js';
import { BitnibbleError } from '../errors.js';
import type { ModelSource } from '../model.js';
import { readNetwork, type Shape } from '../network/index.js';
import { sizeOf } from '../shape.js';
import { extremesOf, type InputRange, rangesInOrder, rangeWarning } from './input-range.js';
import { outputKind } from './outputs.js';

/**
 * Looks at inputs as they go by and warns of each once, as soon as some are too large or too small for what the network expects.
 *
 * @returns takes the arrays of a batch in the order of the network's inputs
 */
export function inputWatch(
  model: ModelSource,
  onWarning: ((text: string) => void) | undefined,
): (arrays: readonly Float32Array[]) => void {
  const warned = new Set<number>();
  let ranges: readonly (InputRange | undefined)[] | undefined;
  return (arrays) => {
    if (!onWarning || warned.size === arrays.length) return;
    ranges ??= rangesInOrder(model);
    for (const [i, values] of arrays.entries()) {
      if (warned.has(i)) continue;
      const warning = rangeWarning(ranges[i], ...extremesOf(values));
      if (!warning) continue;
      warned.add(i);
      onWarning(warning);
    }
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

/** An input of a network. */
export interface WantedInput {
  readonly name: string;
  /** With the axis of the batch. */
  readonly shape: Shape;
}

/** An input of a network with the array of the data that it takes. */
export interface BoundInput {
  readonly name: string;
  /** Which of the data's arrays. */
  readonly from: number;
  /** Of a sample as the network takes it. */
  readonly shape: number[];
}

/**
 * The inputs of a network with what each takes of the data: the array of its name; where the data has no names, or only one array
 * and one input are there, those in the same place.
 *
 * @throws BitnibbleError `data-mismatch`, naming inputs and arrays
 */
export function bindInputs(
  wanted: readonly WantedInput[],
  file: string,
  dataset: Pick<Dataset, 'name' | 'inputShape' | 'inputs'>,
): BoundInput[] {
  const given: readonly Omit<SampleInput, 'dtype'>[] = dataset.inputs ?? [{ shape: dataset.inputShape }];
  const mismatch = (fault: string) =>
    new BitnibbleError('data-mismatch', `${file} and ${dataset.name}: ${fault}`);
  const isNamed = given.every(({ name }) => name !== undefined);
  const byName = isNamed && wanted.every(({ name }) => given.some((own) => own.name === name));
  if (!byName && (given.length !== wanted.length || (isNamed && wanted.length > 1))) {
    const names = wanted.map(({ name }) => name).join(', ');
    const got = isNamed ? given.map(({ name }) => name).join(', ') : `${given.length}`;
    throw mismatch(
      wanted.length === 1
        ? `the model has one input, ${names}, the data has ${given.length} arrays`
        : `expected an array for each of ${wanted.length} inputs, ${names}, got ${got}`,
    );
  }
  return wanted.map(({ name, shape: own }, i): BoundInput => {
    const from = byName ? given.findIndex((array) => array.name === name) : i;
    const { shape: data } = given[from] as { readonly shape: readonly number[] };
    const shape = sampleShape(own, data);
    if (shape) return { name, from, shape };
    const which = wanted.length > 1 ? ` for ${name}` : '';
    throw mismatch(
      `the model expects inputs of shape ${shapeText(own.slice(1))}${which}, the data has ${shapeText(data)}`,
    );
  });
}

/** The arrays of a batch in the order of the network's inputs. */
export const boundArrays = (bound: readonly BoundInput[], batch: Batch): readonly Float32Array[] =>
  bound.map(({ from }) => arraysOf(batch)[from] as Float32Array);

/** {@link boundArrays} by the names of the inputs. */
export const arraysByName = (
  bound: readonly BoundInput[],
  batch: Batch,
): Readonly<Record<string, Float32Array>> => {
  const arrays = boundArrays(bound, batch);
  return Object.fromEntries(bound.map(({ name }, i) => [name, arrays[i] as Float32Array]));
};

/** The inputs of a network as its architecture has them; undefined where it does not say what shapes they have. */
export function wantedInputs(model: ModelSource): WantedInput[] | undefined {
  const { inputs, values } = readNetwork(model);
  const wanted = inputs.flatMap(({ name, value }) => {
    const shape = values[value]?.shape;
    return shape ? [{ name, shape }] : [];
  });
  return wanted.length === 0 || wanted.length < inputs.length ? undefined : wanted;
}

/**
 * Refuses data that the model cannot take, from the architecture alone: before TensorFlow.js is there, which checks again.
 * Where the architecture does not say what its inputs are, nothing is refused.
 *
 * @throws BitnibbleError `data-mismatch`, `no-model-config`
 */
export function checkSamples(model: ModelSource, dataset: Dataset, preprocess?: Preprocessing): void {
  // Lists of means and deviations are held against the channels at the call.
  dataset.batches({ limit: 1, ...(preprocess ? { preprocess } : {}) });
  const wanted = wantedInputs(model);
  if (wanted) bindInputs(wanted, model.file, dataset);
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
