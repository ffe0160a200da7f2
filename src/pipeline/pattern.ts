// Patterns over names. Recipes and names both come from files, so every match has a bound.
import { regularSearch } from './regular.js';

/** A glob (`*` any text, `?` one character), or a regular expression: as an object, or in text as `/pattern/flags`. */
export type Pattern = string | RegExp;

/** Longest pattern in text. */
export const MAX_PATTERN = 1024;

/** Told of the steps of a match before they are taken; throws where they are too many. */
export type Spend = (steps: number) => void;

/**
 * A pattern as a test of whole names. Globs and expressions in text take time in proportion to the name; a RegExp object
 * comes from code and is run as it is.
 *
 * @throws RangeError, SyntaxError for a pattern that cannot be matched within such a bound, or is none
 */
export function matcher(pattern: Pattern, spend: Spend = () => undefined): (name: string) => boolean {
  if (pattern instanceof RegExp) return (name) => name.search(pattern) >= 0;
  if (pattern.length > MAX_PATTERN)
    throw new RangeError(`a pattern of ${pattern.length} characters, expected at most ${MAX_PATTERN}`);
  const slashed = /^\/(.+)\/([imsu]*)$/s.exec(pattern);
  if (slashed) return regularSearch(slashed[1] as string, slashed[2] as string, spend);
  // Two stars say no more than one.
  const glob = pattern.replace(/\*{2,}/g, '*');
  return (name) => {
    let left = 0;
    return matchesGlob(glob, name, () => {
      if (--left < 0) {
        spend(name.length + 1);
        left = name.length;
      }
    });
  };
}

const STAR = 0x2a;
const ONE = 0x3f;

/**
 * Whether a glob is the whole name. What follows a star is tried at the first place; where it fails, the last star takes
 * one character more. Earlier stars need never be tried again: what stands between two stars fits best where it fits
 * first.
 */
function matchesGlob(glob: string, name: string, step: () => void): boolean {
  let [g, n] = [0, 0];
  let [star, retry] = [-1, 0];
  while (n < name.length) {
    step();
    const code = glob.charCodeAt(g);
    if (code === STAR) {
      star = g++;
      retry = n;
    } else if (g < glob.length && (code === ONE || code === name.charCodeAt(n))) {
      g++;
      n++;
    } else if (star >= 0) {
      g = star + 1;
      n = ++retry;
    } else return false;
  }
  while (glob.charCodeAt(g) === STAR) g++;
  return g === glob.length;
}
