/** What a report computes, in numbers that are known once the float model was evaluated. */
export interface Work {
  /** Seconds that the float model took on all samples, and how many those are. */
  readonly seconds: number;
  readonly samples: number;
  /** Rows that are rounded without data. */
  readonly rounded: number;
  /** Rows that are calibrated, and the samples that each is fitted to; 0 where nothing is calibrated. */
  readonly calibrated: number;
  readonly fitted: number;
}

/** Calibrating all layers once takes as long as so many runs of the float network over the samples: measured on the digits network. */
const RUNS = 10;
/** The sensitivity of each layer fits every layer at each of three schemes. */
const SENSITIVITY = 3;

/** About how long the rest of a report takes, in seconds. Large kernels take longer, for solving grows faster than running. */
export function estimateSeconds({ seconds, samples, rounded, calibrated, fitted }: Work): number {
  const evaluated = (rounded + calibrated) * seconds;
  const fits = calibrated === 0 ? 0 : (calibrated + SENSITIVITY) * RUNS * fitted * (seconds / samples);
  return evaluated + fits;
}
