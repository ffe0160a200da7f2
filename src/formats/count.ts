/** A count in digits with commas, as `toLocaleString('en-US')` has it, which takes ten milliseconds the first time. */
export function count(n: number): string {
  return Number.isInteger(n) && Math.abs(n) < 1e21
    ? String(n).replace(/\B(?=(?:\d{3})+$)/g, ',')
    : n.toLocaleString('en-US');
}
