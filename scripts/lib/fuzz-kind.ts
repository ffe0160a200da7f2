/** Hostile input of one kind: a case is a function of its number and the seed alone. */
export interface FuzzKind {
  /** Words and blanks; names of cases begin with it. */
  readonly name: string;
  /** Cases of a whole run. */
  readonly cases: number;
  /**
   * Makes the input of a case.
   * @returns what reads it: it ends, or throws a BitnibbleError, within the bounds of time and memory
   */
  prepare(number: number, seed: number): Promise<() => Promise<unknown>>;
}

export type Random = (below: number) => number;

export function pick<T>(random: Random, list: readonly T[]): T {
  return list[random(list.length)] as T;
}
