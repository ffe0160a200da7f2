export { count } from '../formats/count.js';

import type { ReportRow } from '../pipeline/report/types.js';
import type { SchemeName } from '../schemes/types.js';

export const percent = (share: number, digits = 2): string => `${(100 * share).toFixed(digits)}\u00a0%`;

/** With a sign, and a true minus. */
export const signed = (value: number, digits: number): string => {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return `${value < 0 ? '\u2212' : '+'}${text}`;
};

/** Three digits, without exponents where they can be read without. */
export function digits(value: number | null | undefined): string {
  if (value === null || value === undefined) return '\u2013';
  if (value === 0) return '0';
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
  return text.replace('-', '\u2212').replace('e+', 'e');
}

/** `23 kB`, for axes and sentences; tables have bytes. */
export function size(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${unit === 0 || value >= 100 ? Math.round(value) : Number(value.toPrecision(2))} ${units[unit]}`;
}

/** The scheme of a row as colours tell it. */
export function familyOf({ kind, tensors }: ReportRow): SchemeName | 'float' | 'mixed' {
  if (kind === 'float') return 'float';
  const schemes = new Set(tensors.map(({ scheme }) => scheme));
  return schemes.size === 1 ? ([...schemes][0] as SchemeName) : 'mixed';
}

export const FAMILY_NAMES: Readonly<Record<ReturnType<typeof familyOf>, string>> = {
  float: 'float32',
  int4: '4 bits',
  int2: '2 bits',
  binary: '1 bit',
  mixed: 'mixed',
};

/** Rows from the most bits to the fewest, those of one scheme in their order. */
export const byBits = (rows: readonly ReportRow[]): readonly ReportRow[] =>
  [...rows].sort((a, b) => b.bitsPerWeight - a.bitsPerWeight);

/** Schemes as legends have them: from the most bits to the fewest. */
export const FAMILIES = ['float', 'int4', 'int2', 'binary', 'mixed'] as const;
