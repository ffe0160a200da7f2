/** The largest error of values: of each, or of a hundredth of the largest. Infinity where one is no number. */
export function worstOf(got: readonly number[], want: readonly number[]): number {
  const floor = Math.max(...want.map(Math.abs), 1e-30) / 100;
  return want.reduce((worst, value, at) => {
    const error = Math.abs((got[at] as number) - value) / Math.max(Math.abs(value), floor);
    return Math.max(worst, Number.isNaN(error) ? Number.POSITIVE_INFINITY : error);
  }, 0);
}
