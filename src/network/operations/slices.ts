import { isObject, type Json } from '../../model.js';

/** One place of `x[...]`: an index, a slice, a new axis (null) or `...`. */
export type Place =
  | number
  | null
  | '...'
  | { readonly start: number | null; readonly stop: number | null; readonly step: number | null };

export const place = (value: Json): Json | undefined => {
  if (typeof value === 'number' || value === null) return value;
  if (!isObject(value)) return undefined;
  if (value.class_name === '__ellipsis__') return '...';
  if (value.class_name !== '__slice__' || !isObject(value.config)) return undefined;
  const { start = null, stop = null, step = null } = value.config;
  const isPlain = [start, stop, step].every((n) => n === null || Number.isSafeInteger(n)) && step !== 0;
  return isPlain ? { start, stop, step } : undefined;
};

/** `x[...]` with `...` written out: a place for each axis, new axes between. */
export function placesOf(key: readonly Place[], rank: number): Exclude<Place, '...'>[] {
  const whole = { start: null, stop: null, step: null };
  const taken = key.filter((item) => item !== null && item !== '...').length;
  const rest = Array<typeof whole>(Math.max(rank - taken, 0)).fill(whole);
  const at = key.indexOf('...');
  const list = at < 0 ? [...key, ...rest] : [...key.slice(0, at), ...rest, ...key.slice(at + 1)];
  return list as Exclude<Place, '...'>[];
}

type Slice = Exclude<Place, '...' | number | null>;

/** Where a slice of `n` elements begins, how far apart its elements are, and how many it takes, as Python counts. */
export function windowOf(
  n: number,
  { start, stop, step }: Slice,
): { readonly from: number; readonly by: number; readonly count: number } {
  const by = step ?? 1;
  const bound = (value: number | null, fallback: number) => {
    if (value === null) return fallback;
    const from = value < 0 ? value + n : value;
    return by > 0 ? Math.min(Math.max(from, 0), n) : Math.min(Math.max(from, -1), n - 1);
  };
  const from = bound(start, by > 0 ? 0 : n - 1);
  const last = bound(stop, by > 0 ? n : -1);
  return { from, by, count: Math.max(Math.ceil((last - from) / by), 0) };
}

/** How many of `n` elements a slice takes: null where `n` is not known and matters. */
export const sliced = (n: number | null, slice: Slice): number | null =>
  n === null ? null : windowOf(n, slice).count;
