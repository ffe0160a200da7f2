// A report that is measured in parts: what each part takes, and the report of all.
import { BitnibbleError } from '../../errors.js';
import { dealtOut } from '../../packed/part.js';
import type { PartNumber } from '../../packed/part-number.js';
import { SENSITIVITY } from './estimate.js';
import { placeRows, type Unplaced } from './rows.js';
import type { ActivationRange, Report, ReportCalibration, ReportWeight } from './types.js';

/** What one of several parts measured of a report. JSON as it stands. */
export interface PartialReport {
  /** What every part knows. */
  readonly about: Omit<Report, 'rows' | 'weights' | 'calibration' | 'activations' | 'seconds' | 'warnings'>;
  /** Pieces of the work that this part did, by their places among all `count`. */
  readonly done: readonly number[];
  readonly count: number;
  /** The float model, as this part evaluated it. */
  readonly float: Unplaced;
  /** Rows, with the place of the work that gave each. */
  readonly rows: readonly { readonly place: number; readonly row: Unplaced }[];
  readonly warnings: readonly { readonly place: number; readonly text: string }[];
  /** In every part that has mixed rows. */
  readonly calibration?: ReportCalibration;
  readonly activations?: readonly ActivationRange[];
  readonly weights?: readonly ReportWeight[];
  readonly seconds: Report['seconds'];
}

/** What a report is made of beside the float model, in the order in which one run measures it. */
export interface ReportWork {
  /** Rows that are rounded without data. */
  readonly rounded: number;
  /** Samples evaluated. */
  readonly evaluated: number;
  /** Absent where nothing is calibrated. */
  readonly calibration?: {
    readonly samples: number;
    readonly rows: number;
    readonly mixes: number;
  };
}

/** Places of the pieces of work. */
export interface ReportPlaces {
  readonly calibrated: readonly number[];
  readonly rounded: readonly number[];
  /** Of the sensitivities of all layers: one of the parts that measure them. */
  readonly sensitivity: readonly number[];
  readonly mixes: readonly number[];
  readonly activations: readonly number[];
  readonly histograms: readonly number[];
}

/** Where each piece of work stands in the order of one run, the float model at 0. */
export function placesOf({ rounded, calibration }: ReportWork): ReportPlaces & { readonly count: number } {
  let next = 1;
  const take = (count: number) => Array.from({ length: count }, () => next++);
  const first = take(calibration ? 1 : 0);
  const own = { rounded: take(rounded), sensitivity: take(calibration ? 1 : 0) };
  const calibrated = [...first, ...take(calibration ? calibration.rows - 1 : 0)];
  return {
    ...{ ...own, calibrated, mixes: take(calibration?.mixes ?? 0) },
    ...{ activations: take(calibration ? 1 : 0), histograms: take(1), count: next },
  };
}

/** Calibrating takes so many times as long as evaluating the same samples, on the CIFAR-10 network of 17 layers. */
const CALIBRATING = 15;

/**
 * What one of several parts does, so that the longest takes as little as can be. Mixed rows follow from the sensitivities of all
 * layers, and parts do not talk to each other: whoever measures a mixed row measures these before. So mixed rows are in as many parts
 * as pay.
 */
export function shareOf(work: ReportWork, { part, parts }: PartNumber): ReportPlaces {
  const places = placesOf(work);
  const { evaluated, calibration } = work;
  const calibrating = CALIBRATING * (calibration?.samples ?? 0);
  const single = [
    ...places.calibrated.map((place) => ({ places: [place], cost: calibrating + evaluated })),
    ...places.rounded.map((place) => ({ places: [place], cost: evaluated })),
    ...[...places.activations, ...places.histograms].map((place) => ({
      places: [place],
      cost: evaluated / 4,
    })),
  ];
  let best: { readonly longest: number; readonly mine: number[] } | undefined;
  for (let bundles = 1; bundles <= Math.min(parts, Math.max(1, places.mixes.length)); bundles++) {
    const pieces = [...single];
    for (let bundle = 0; bundle < bundles && calibration; bundle++) {
      const mixes = places.mixes.filter((_, i) => i % bundles === bundle);
      pieces.push({
        places: [...(bundle === 0 ? places.sensitivity : []), ...mixes],
        cost: SENSITIVITY * calibrating + mixes.length * (calibrating + evaluated),
      });
    }
    const dealt = dealtOut(
      pieces.map(({ cost }) => cost),
      parts,
    );
    const loads = Array.from({ length: parts }, (_, i) =>
      pieces.reduce((sum, { cost }, at) => sum + (dealt[at] === i + 1 ? cost : 0), 0),
    );
    const longest = Math.max(...loads);
    if (!best || longest < best.longest)
      best = { longest, mine: pieces.flatMap((piece, at) => (dealt[at] === part ? piece.places : [])) };
  }
  const mine = new Set(best?.mine);
  const ownOf = (all: readonly number[]) => all.filter((place) => mine.has(place));
  return {
    calibrated: ownOf(places.calibrated),
    rounded: ownOf(places.rounded),
    sensitivity: ownOf(places.sensitivity),
    mixes: ownOf(places.mixes),
    activations: ownOf(places.activations),
    histograms: ownOf(places.histograms),
  };
}

/**
 * The report of all parts, in any order.
 *
 * @param names of the parts, for errors
 * @throws BitnibbleError `part-mismatch` where a piece of the work is missing or doubled, or sensitivities differ: sums of another
 *   processor are rounded in another order
 */
export function mergeReports(parts: readonly PartialReport[], names: readonly string[] = []): Report {
  const [first] = parts as [PartialReport];
  const done = parts.flatMap((part) => part.done).sort((a, b) => a - b);
  if (done.length !== first.count - 1 || done.some((place, i) => place !== i + 1))
    throw new BitnibbleError(
      'part-mismatch',
      `report: expected each of ${first.count - 1} pieces of work once, got ${done.length}: ${done.join(', ')}`,
    );
  const measured = parts.flatMap(({ calibration }, i) =>
    calibration ? [{ name: names[i], calibration, text: JSON.stringify(calibration.sensitivity) }] : [],
  );
  const [calibrated] = measured;
  const other = measured.find(({ text }) => text !== calibrated?.text);
  if (other)
    throw new BitnibbleError(
      'part-mismatch',
      `${other.name}: sensitivities of layers are other ones than in ${calibrated?.name}: expected parts of one kind of machine, on which the mixtures are the same`,
    );
  const confusion = first.about.confusion;
  const { file, parameters, floatBytes, folded, data, task, distance, seed, left } = first.about;
  const inOrder = <T extends { readonly place: number }>(all: readonly T[]) =>
    [...all].sort((a, b) => a.place - b.place);
  const rows = inOrder(parts.flatMap((part) => part.rows)).map(({ row }) => row);
  const activations = parts.find((part) => part.activations)?.activations;
  const texts = inOrder(parts.flatMap((part) => part.warnings)).map(({ text }) => text);
  return {
    ...{ file, parameters, floatBytes, folded, data, task, distance },
    rows: placeRows([first.float, ...rows]),
    ...(confusion ? { confusion } : {}),
    weights: parts.find((part) => part.weights)?.weights ?? [],
    ...(calibrated ? { calibration: calibrated.calibration } : {}),
    ...(activations ? { activations } : {}),
    seed,
    seconds: first.seconds.map(({ part }) => ({
      part,
      seconds: parts
        .flatMap((own) => own.seconds)
        .reduce((sum, own) => sum + (own.part === part ? own.seconds : 0), 0),
    })),
    warnings: [...new Set(texts)],
    left,
  };
}
