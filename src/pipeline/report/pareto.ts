/** A row as the front sees it. */
export interface Placed {
  readonly bytes: number;
  /** More is better; NaN is worse than all else. */
  readonly quality: number;
}

/**
 * Whether each row is on the Pareto front: no other row has at most its bytes and at least its quality, one of the two
 * strictly. Equal rows are on it together.
 */
export function paretoFront(rows: readonly Placed[]): boolean[] {
  const value = ({ quality }: Placed) => (Number.isNaN(quality) ? Number.NEGATIVE_INFINITY : quality);
  return rows.map((row) =>
    rows.every(
      (other) =>
        other.bytes > row.bytes ||
        value(other) < value(row) ||
        (other.bytes === row.bytes && value(other) === value(row)),
    ),
  );
}
