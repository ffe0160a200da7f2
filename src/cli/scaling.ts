import { type Preprocess, parsePreprocess } from '../data/index.js';
import type { ModelSource } from '../model.js';
import { scalesItself, takesIndices } from '../pipeline/inputs.js';

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

/**
 * Settles how inputs are scaled: 8-bit data by 1/255, unless a factor was typed, the model scales by itself or takes indices.
 * @param dtype of the data; undefined where no factor is taken by default
 */
export function scalingOf(flags: ScaleFlags, model: ModelSource, dtype: string | undefined): Scaling {
  const given = parsePreprocess(flags);
  const isRaw = dtype === 'uint8' && !scalesItself(model) && !takesIndices(model);
  const scale = given.scale ?? (isRaw ? 1 / 255 : 1);
  const factor = scale === 1 / 255 ? '1/255' : String(scale);
  const steps = [`inputs x ${factor}${given.scale === undefined ? ' (by default)' : ''}`];
  if (flags.mean !== undefined) steps.push(`- ${flags.mean}`);
  if (flags.std !== undefined) steps.push(`/ ${flags.std}`);
  return { preprocess: { ...given, scale }, preprocessing: steps.join(' ') };
}
