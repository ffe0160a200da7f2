import { BitnibbleError } from '../errors.js';
import type { NdArray } from '../formats/ndarray.js';
import type { Dataset } from './dataset.js';

/** @throws BitnibbleError `data-mismatch` */
export function mismatch(name: string, what: string): never {
  throw new BitnibbleError('data-mismatch', `${name}: ${what}`);
}

/** Classes as integers: of shape `[n]` or `[n, 1]`, or one-hot `[n, classes]`. */
export function labelsOf({ data, shape }: NdArray, count: number, name: string): Int32Array {
  if (shape[0] !== count || shape.length > 2) {
    mismatch(name, `expected ${count} labels, got an array of shape [${shape}]`);
  }
  const width = shape[1] ?? 1;
  const at = (i: number) => Number(data[i]);
  return Int32Array.from({ length: count }, (_, i) => {
    if (width === 1) {
      const label = at(i);
      const isClass = Number.isInteger(label) && label >= 0 && label < 2 ** 31;
      return isClass ? label : mismatch(name, `expected class numbers from 0, got ${data[i]} at index ${i}`);
    }
    return (
      hotColumn(at, i * width, width) ?? mismatch(name, `row ${i} is not one-hot: a single 1 among zeros`)
    );
  });
}

/** Column of the single 1 of a one-hot row. */
function hotColumn(at: (i: number) => number, start: number, width: number): number | undefined {
  let hot: number | undefined;
  for (let column = 0; column < width; column++) {
    const value = at(start + column);
    if (value !== 0 && (value !== 1 || hot !== undefined)) {
      return undefined;
    }
    hot = value === 1 ? column : hot;
  }
  return hot;
}

/**
 * What stands in the place of labels: classes where it can be that, else numbers to be predicted and why they are no classes.
 * @throws BitnibbleError `data-mismatch` for another number of samples, NaN and infinity
 */
export function answersOf(
  array: NdArray,
  count: number,
  name: string,
): Pick<Dataset, 'labels' | 'targets' | 'labelFault'> {
  const { data, shape } = array;
  if (shape[0] !== count) mismatch(name, `expected ${count} labels, got an array of shape [${shape}]`);
  try {
    return { labels: labelsOf(array, count, name) };
  } catch (error) {
    if (!(error instanceof BitnibbleError)) throw error;
    const values = Float32Array.from(data as ArrayLike<number | bigint>, Number);
    const odd = values.findIndex((value) => !Number.isFinite(value));
    if (odd >= 0) mismatch(name, `expected finite numbers, got ${data[odd]} at index ${odd}`);
    return { targets: { shape: shape.slice(1), values }, labelFault: error.message };
  }
}
