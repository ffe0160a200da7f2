import type { ClassResults, Count } from './types.js';

/** Answers of a model, sample by sample. */
export interface Answers {
  readonly labels: Int32Array;
  /** Class answered; -1 where no output was a number. */
  readonly answers: Int32Array;
}

/** Samples of each label that got each answer, those that are not 0, by label and answer. */
export function confusionOf({ labels, answers }: Answers): Count[] {
  const counts = new Map<string, number>();
  for (const [i, label] of labels.entries()) {
    const key = `${label},${answers[i]}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return sorted(counts);
}

/** `later - earlier` where they differ. */
export function movedCounts(earlier: readonly Count[], later: readonly Count[]): Count[] {
  const counts = new Map<string, number>();
  for (const [sign, list] of [
    [-1, earlier],
    [1, later],
  ] as const) {
    for (const [label, answer, samples] of list) {
      const key = `${label},${answer}`;
      counts.set(key, (counts.get(key) ?? 0) + sign * samples);
    }
  }
  return sorted(counts).filter(([, , samples]) => samples !== 0);
}

function sorted(counts: ReadonlyMap<string, number>): Count[] {
  return [...counts]
    .map(([key, samples]): Count => {
      const [label, answer] = key.split(',').map(Number) as [number, number];
      return [label, answer, samples];
    })
    .sort((a, b) => a[0] - b[0] || a[1] - b[1]);
}

/** Accuracy in each class: the diagonal over the sum of its row; null where there is no sample. */
export function accuracyByClass(confusion: readonly Count[], classes: number): (number | null)[] {
  const right = new Float64Array(classes);
  const all = new Float64Array(classes);
  for (const [label, answer, samples] of confusion) {
    all[label] = (all[label] as number) + samples;
    if (answer === label) right[label] = samples;
  }
  return [...all].map((n, label) => (n === 0 ? null : (right[label] as number) / n));
}

/** What changed between two models' answers to the same samples. */
export function compareAnswers(
  float: Answers,
  { labels, answers }: Answers,
): Pick<ClassResults, 'drop' | 'dropError' | 'changed'> {
  const changed = { broken: 0, repaired: 0, other: 0 };
  for (const [i, label] of labels.entries()) {
    const before = float.answers[i];
    const after = answers[i];
    if (before === after) continue;
    if (before === label) changed.broken++;
    else if (after === label) changed.repaired++;
    else changed.other++;
  }
  const n = labels.length;
  const { broken, repaired } = changed;
  const net = broken - repaired;
  return { drop: net / n, dropError: Math.sqrt(broken + repaired - (net * net) / n) / n, changed };
}
