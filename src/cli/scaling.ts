import { type Preprocess, parsePreprocess } from '../data/index.js';
import type { ModelSource } from '../model.js';
import { firstRange, type StoredRange, scaleFor } from '../pipeline/input-range.js';

/** What becomes of inputs, as it was typed. */
export interface ScaleFlags {
  readonly scale?: string;
  readonly mean?: string;
  readonly std?: string;
}

/** What becomes of inputs, and how that is said. */
export interface Scaling {
  readonly preprocess: Preprocess & { readonly scale: number };
  /** `inputs x 1/255 (by default)` */
  readonly preprocessing: string;
}

/** `1/255` where it is that. */
export const factorText = (scale: number): string => (scale === 1 / 255 ? '1/255' : String(scale));

/**
 * Settles how inputs are scaled: as typed, else as `scaleFor` finds it from the model's constants and the data.
 *
 * @param data undefined where no factor is taken by default
 * @throws BitnibbleError `data-mismatch` where it is unclear
 */
export function scalingOf(
  flags: ScaleFlags,
  model: ModelSource,
  data: (() => StoredRange) | undefined,
): Scaling {
  const given = parsePreprocess(flags);
  const found = given.scale === undefined && data ? scaleFor(model, firstRange(model), data()) : undefined;
  const scale = given.scale ?? found?.scale ?? 1;
  const byDefault = found && found.why !== '' ? ` (by default), since ${found.why}` : ' (by default)';
  const steps = [`inputs x ${factorText(scale)}${given.scale === undefined ? byDefault : ''}`];
  if (flags.mean !== undefined) steps.push(`- ${flags.mean}`);
  if (flags.std !== undefined) steps.push(`/ ${flags.std}`);
  return { preprocess: { ...given, scale }, preprocessing: steps.join(' ') };
}
