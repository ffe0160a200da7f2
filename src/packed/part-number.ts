/** Which part of how many, counted from 1. */
export interface PartNumber {
  readonly part: number;
  readonly parts: number;
}

/** The part that is all of it. */
export const WHOLE: PartNumber = { part: 1, parts: 1 };

/** Parts of a run at most. */
const MOST_PARTS = 10_000;

/** `2/4` */
export const partText = ({ part, parts }: PartNumber): string => `${part}/${parts}`;

/** Reads `2/4`; undefined for anything else, and for more than 10,000 parts. */
export function partOf(text: string): PartNumber | undefined {
  const [, part = 0, parts = 0] = (/^(\d{1,6})\/(\d{1,6})$/.exec(text) ?? []).map(Number);
  return part >= 1 && part <= parts && parts <= MOST_PARTS ? { part, parts } : undefined;
}
