/** What is left of a report to compute, and how long its parts took when they were done once. */
export interface Work {
  /** Seconds that evaluating one row took. */
  readonly evaluation: number;
  /** Rows left that are rounded without data. */
  readonly rounded: number;
  /** Absent where nothing is calibrated. */
  readonly calibration?: {
    /** Seconds that calibrating one row took. */
    readonly seconds: number;
    /** Rows left that are calibrated. */
    readonly rows: number;
    /** Whether sensitivities are left, too. Default: true. */
    readonly sensitivity?: boolean;
  };
}

/**
 * The sensitivity of each layer takes as long as so many calibrations: it fits every layer at three schemes, and the rest of the
 * network runs for each fit. Measured: 3 on the 17 layers of the CIFAR-10 network, 1.2 to 1.4 on the digits network, which is
 * soon done in any case.
 */
export const SENSITIVITY = 3;

/** About how long the rest of a report takes, in seconds. */
export function estimateSeconds({ evaluation, rounded, calibration }: Work): number {
  if (!calibration) return rounded * evaluation;
  const { seconds, rows, sensitivity = true } = calibration;
  return (rounded + rows) * evaluation + (rows + (sensitivity ? SENSITIVITY : 0)) * seconds;
}
