import { expected } from '../errors.js';

/** `(x * scale - mean) / std`; mean and std for all channels or for each. */
export interface Preprocess {
  readonly scale?: number;
  readonly mean?: number | readonly number[];
  readonly std?: number | readonly number[];
}

/** A number or a fraction: `0.5`, `1/255`. */
function parseNumber(text: string, flag: string): number {
  const [over = '', under = '1', ...rest] = text.split('/').map((part) => part.trim());
  const value = over === '' || under === '' ? Number.NaN : Number(over) / Number(under);
  if (rest.length > 0 || !Number.isFinite(value)) {
    throw new RangeError(expected(flag, 'a number or a fraction like 1/255', text));
  }
  return value;
}

function parseList(text: string, flag: string): number | number[] {
  const values = text.split(',').map((part) => parseNumber(part, flag));
  return values.length === 1 ? (values[0] as number) : values;
}

/**
 * Preprocessing from texts of a command line: `{ scale: '1/255', mean: '0.485,0.456,0.406' }`.
 * @throws RangeError naming the flag
 */
export function parsePreprocess(texts: { scale?: string; mean?: string; std?: string }): Preprocess {
  const { scale, mean, std } = texts;
  const parsedStd = std === undefined ? undefined : parseList(std, '--std');
  if (parsedStd !== undefined && [parsedStd].flat().includes(0)) {
    throw new RangeError(expected('--std', 'numbers other than 0', std));
  }
  return {
    ...(scale === undefined ? {} : { scale: parseNumber(scale, '--scale') }),
    ...(mean === undefined ? {} : { mean: parseList(mean, '--mean') }),
    ...(parsedStd === undefined ? {} : { std: parsedStd }),
  };
}

/**
 * Preprocessing as one multiplication and one addition per channel.
 * @throws RangeError where lists have another length than there are channels
 */
export function steps(
  { scale = 1, mean = 0, std = 1 }: Preprocess,
  channels: number,
  name: string,
): { factor: Float64Array; offset: Float64Array } {
  const perChannel = (value: number | readonly number[], what: string): readonly number[] => {
    const list = typeof value === 'number' ? new Array<number>(channels).fill(value) : value;
    if (list.length !== channels) {
      throw new RangeError(expected(what, `1 or ${channels} numbers`, list.length, name));
    }
    return list;
  };
  const means = perChannel(mean, 'mean');
  const stds = perChannel(std, 'std');
  return {
    factor: Float64Array.from(stds, (s) => scale / s),
    offset: Float64Array.from(stds, (s, c) => -(means[c] as number) / s),
  };
}
