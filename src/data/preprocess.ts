import { expected } from '../errors.js';

/**
 * What happens to each input value before the model sees it: `(x * scale - mean) / std`, in that order, computed in
 * float64 and rounded to float32 once. `mean` and `std` are one number or one per channel (the last axis of a sample).
 */
export interface Preprocess {
  /** 1 unless stated. */
  readonly scale?: number;
  /** 0 unless stated. */
  readonly mean?: number | readonly number[];
  /** 1 unless stated. */
  readonly std?: number | readonly number[];
}

/** Texts of the command line, e.g. `{ scale: '1/255', mean: '0.485,0.456,0.406' }`. */
export interface PreprocessTexts {
  readonly scale?: string;
  readonly mean?: string;
  readonly std?: string;
}

/** A preprocess with one entry per channel, or one for all. */
export interface ChannelMap {
  /** 1, or the channels of a sample. */
  readonly channels: number;
  readonly scale: number;
  readonly mean: Float64Array;
  readonly std: Float64Array;
}

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

/**
 * Reads numbers and fractions, `0.5`, `1/255`, and for mean and std comma-separated lists: `0.485,0.456,0.406`.
 *
 * @throws RangeError naming the flag (`--scale`, `--mean`, `--std`) for text that is no finite number, a scale of zero
 *   and a standard deviation that is not above zero
 */
export function parsePreprocess({ scale, mean, std }: PreprocessTexts): Preprocess {
  return {
    ...(scale === undefined ? {} : { scale: parseNumber(scale, 'scale', scale) }),
    ...(mean === undefined ? {} : { mean: parseList(mean, 'mean') }),
    ...(std === undefined ? {} : { std: parseList(std, 'std') }),
  };
}

type Part = keyof Preprocess;

const WANTED: Readonly<Record<Part, string>> = {
  scale: 'a number other than 0, such as 0.5 or 1/255',
  mean: 'one number or one per channel, such as 0.5 or 0.485,0.456,0.406',
  std: 'one number above 0 or one per channel, such as 0.5 or 0.229,0.224,0.225',
};

function isUsable(value: number, part: Part): boolean {
  return Number.isFinite(value) && (part === 'mean' || (part === 'std' ? value > 0 : value !== 0));
}

function parseList(given: string, part: Part): number | number[] {
  const values = given.split(',').map((item) => parseNumber(item, part, given));
  return values.length === 1 ? values[0]! : values;
}

function parseNumber(item: string, part: Part, given: string): number {
  const terms = item.split('/').map((term) => term.trim());
  const isNumeric = terms.length <= 2 && terms.every((term) => NUMBER.test(term));
  const value = isNumeric ? Number(terms[0]) / Number(terms[1] ?? 1) : Number.NaN;
  if (!isUsable(value, part)) {
    throw new RangeError(expected(`--${part}`, WANTED[part], given));
  }
  return value;
}

/**
 * Spreads a preprocess over the channels of a dataset; one entry for all channels where no part has more.
 *
 * @param channels size of a sample's last axis
 * @throws RangeError for unusable values and for lists of another length than `channels`
 */
export function channelMap(preprocess: Preprocess, channels: number, context?: string): ChannelMap {
  const parts = { mean: [preprocess.mean ?? 0].flat(), std: [preprocess.std ?? 1].flat() };
  const scale = preprocess.scale ?? 1;
  for (const [part, values] of Object.entries({ scale: [scale], ...parts }) as [Part, number[]][]) {
    const bad = values.find((value) => !isUsable(value, part));
    if (bad !== undefined) {
      throw new RangeError(expected(part, WANTED[part], bad, context));
    }
    if (values.length !== 1 && values.length !== channels) {
      throw new RangeError(
        expected(part, channels === 1 ? '1 number' : `1 or ${channels} numbers`, values.length, context),
      );
    }
  }
  const width = Math.max(parts.mean.length, parts.std.length);
  const spread = (values: number[]) =>
    Float64Array.from({ length: width }, (_, c) => values[values.length === 1 ? 0 : c]!);
  return { channels: width, scale, mean: spread(parts.mean), std: spread(parts.std) };
}
