const whole = new Intl.NumberFormat('en');
const short = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });

/** `69,146` */
export const count = (n: number): string => whole.format(n);

/** `1 layer`, `15 layers` */
export const plural = (n: number, noun: string): string => `${count(n)} ${noun}${n === 1 ? '' : 's'}`;

/** `50.8 kB`: three digits, powers of a thousand. */
export function bytes(n: number): string {
  for (const [unit, size] of [
    ['GB', 1e9],
    ['MB', 1e6],
    ['kB', 1e3],
  ] as const) {
    // 999.6 kB would be rounded to 1,000 kB.
    if (n >= size * 0.9995) return `${short.format(n / size)} ${unit}`;
  }
  return `${n} B`;
}

/** `3 × 3 × 16 × 32` */
export const shape = (axes: readonly number[]): string => axes.join(' × ') || 'scalar';

/** `21.4 dB`; a tensor that lost nothing has no noise. */
export const decibels = (snr: number): string => (Number.isFinite(snr) ? `${snr.toFixed(1)} dB` : 'exact');

/** `0.13 ms`, `1.3 ms`, `45 ms`, `2.1 s` */
export function duration(milliseconds: number): string {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(1)} s`;
  return `${milliseconds.toFixed(milliseconds < 1 ? 2 : milliseconds < 10 ? 1 : 0)} ms`;
}

/** `98.9 %` */
export const percent = (part: number): string => `${(100 * part).toFixed(1)} %`;

/** A number of any size in few digits: `0.0312`, `-1.5`. */
export const value = (n: number): string => (n === 0 ? '0' : String(Number(n.toPrecision(3))));
