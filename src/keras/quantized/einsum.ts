import type { JsonObject } from '../../model.js';
import { sizeOf } from '../../shape.js';

/** The kernel of an einsum equation `x,k->y`: which of its axes the output has, and their strides among these alone. */
export interface EinsumKernel {
  readonly letters: string;
  /** Place of each letter among those that kernel and output share, in the order of the output; -1 for summed ones. */
  readonly places: readonly number[];
}

const FORM = /^(\.\.\.)?([a-zA-Z]+)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)(\.\.\.)?$/;

/** Terms of an equation of the forms that EinsumDense takes; undefined for others. */
export function einsumKernel(equation: unknown): EinsumKernel | undefined {
  const match = FORM.exec(String(equation).replace(/\s/g, ''));
  const [, , , , letters, , output] = match ?? [];
  if (letters === undefined || output === undefined) return undefined;
  const shared = [...output].filter((letter) => letters.includes(letter));
  return { letters, places: [...letters].map((letter) => shared.indexOf(letter)) };
}

/** Rows of the matrix that Keras makes of a kernel: those of its axes that are summed; undefined for other equations. */
export function einsumRows(equation: unknown, shape: readonly number[]): number | undefined {
  const kernel = einsumKernel(equation);
  if (kernel?.letters.length !== shape.length) return undefined;
  return sizeOf(shape.filter((_, axis) => (kernel.places[axis] as number) < 0));
}

/** Strides of scales that lie in the order of the output, along each axis of the kernel; 0 along summed axes. */
export function scaleStrides({ places }: EinsumKernel, shape: readonly number[]): number[] {
  const lengths = new Map(places.map((place, axis) => [place, shape[axis] as number]));
  return places.map((place) => {
    if (place < 0) return 0;
    let stride = 1;
    for (let next = place + 1; lengths.has(next); next++) stride *= lengths.get(next) as number;
    return stride;
  });
}

/**
 * The shape of a kernel that is stored flat: from the output's shape, the bias and the input's shape where they say it,
 * the last unknown axis from the number of values. Undefined where two axes are unknown or the numbers disagree.
 *
 * @param input the shape that the layer was built with, batch first
 */
export function einsumShape(
  config: JsonObject,
  input: unknown,
  bias: readonly number[] | undefined,
  size: number,
): number[] | undefined {
  const match = FORM.exec(String(config.equation).replace(/\s/g, ''));
  const [, left, inputLetters, right, letters, , output] = match ?? [];
  if (letters === undefined || output === undefined || inputLetters === undefined) return undefined;
  const known = new Map<string, number>();
  const note = (term: string, lengths: unknown, isRight: boolean) => {
    if (!Array.isArray(lengths)) return;
    const from = isRight ? lengths.length - term.length : 0;
    [...term].forEach((letter, i) => {
      const length: unknown = lengths[from + i];
      if (typeof length === 'number' && length > 0 && !known.has(letter)) known.set(letter, length);
    });
  };
  const given = config.output_shape;
  const outputShape = Array.isArray(given) ? given : [given];
  if (right) note(output.slice(1), outputShape, false);
  else note(output, outputShape, true);
  note(inputLetters, input, left !== undefined || !right);
  const biasAxes = typeof config.bias_axes === 'string' ? config.bias_axes : '';
  const first = Math.min(...[...biasAxes].map((letter) => output.indexOf(letter)).filter((at) => at >= 0));
  if (bias && Number.isFinite(first) && bias.length === output.length - first)
    [...output.slice(first)].forEach((letter, i) => {
      if (biasAxes.includes(letter)) known.set(letter, bias[i] as number);
    });
  return withOneUnknown(
    [...letters].map((letter) => known.get(letter)),
    size,
  );
}

/** Lengths of all axes, from all but one and the number of values. */
export function withOneUnknown(lengths: readonly (number | undefined)[], size: number): number[] | undefined {
  const product = sizeOf(lengths.filter((length) => length !== undefined));
  const unknown = lengths.filter((length) => length === undefined).length;
  const rest = size / product;
  if (unknown > 1 || !Number.isInteger(rest) || rest < 1 || (unknown === 0 && rest !== 1)) return undefined;
  return lengths.map((length) => length ?? rest);
}
