import type { PartNumber } from '../packed/part-number.js';
import type { Augmentation } from '../pipeline/calibrate/augment.js';
import type { Metric } from '../pipeline/calibrate/check.js';
import type { CodingFlags, DataFlags } from './options.js';

/** What `calibrate` takes. */
export interface CalibrateFlags extends DataFlags, Omit<CodingFlags, 'scale'> {
  readonly output: string;
  readonly recipe?: string;
  readonly seed: number;
  readonly fold: boolean;
  /** Steps, or true for the usual number. */
  readonly tune?: number | true;
  readonly augment?: readonly Augmentation[];
  readonly storeRanges?: boolean;
  /** Where the samples to check on are; absent: some of the data, or behind it. */
  readonly check?: readonly string[];
  readonly metric?: Metric;
  /** Some of the models are calibrated. */
  readonly shard?: PartNumber;
}
