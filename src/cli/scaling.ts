import {
  type Dataset,
  inputsOf,
  type Preprocess,
  type Preprocessing,
  parsePreprocess,
} from '../data/index.js';
import type { ModelSource } from '../model.js';
import {
  factorText,
  firstRange,
  type StoredRange,
  scaleFor,
  scalesFor,
  storedRanges,
} from '../pipeline/input-range.js';
import { bindInputs, wantedInputs } from '../pipeline/inputs.js';
import { UsageError } from './usage.js';

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

/** What becomes of the inputs of a dataset, one by one. */
export interface DataScaling {
  readonly preprocess: Preprocessing;
  readonly preprocessing: string;
}

/**
 * Settles how the arrays of a dataset are scaled, each for itself: `--scale 1/255` is for all, `--scale image=1/255,age=1` for those
 * that it names.
 *
 * @throws UsageError for names that no input has, and for a mean or deviation of several inputs; BitnibbleError `data-mismatch`
 */
export function dataScaling(flags: ScaleFlags, model: ModelSource, dataset: Dataset): DataScaling {
  const arrays = inputsOf(dataset);
  const wanted = wantedInputs(model);
  const bound = wanted ? bindInputs(wanted, model.file, dataset) : [];
  const names = arrays.map(
    ({ name }, i) => name ?? bound.find(({ from }) => from === i)?.name ?? `input ${i + 1}`,
  );
  const typed = typedFactors(flags.scale, names);
  if (arrays.length === 1) {
    const { scale: _, ...rest } = flags;
    const [scale] = typed.values();
    const own = scale === undefined ? rest : { ...rest, scale };
    return scalingOf(own, model, () => storedRanges(dataset)[0] as StoredRange);
  }
  if (flags.mean !== undefined || flags.std !== undefined)
    throw new UsageError(`--mean and --std expected samples of one array, got ${arrays.length}`);
  const open = names.filter((name) => !typed.has(name));
  const found =
    open.length === 0 ? [] : scalesFor(model, dataset, bound, (i) => !typed.has(names[i] as string));
  const scales = names.map((name, i) => {
    const text = typed.get(name);
    return text === undefined ? (found[i]?.scale ?? 1) : (parsePreprocess({ scale: text }).scale ?? 1);
  });
  const list = names.map((name, i) => `${name} x ${factorText(scales[i] as number)}`).join(', ');
  return {
    preprocess: scales.map((scale) => ({ scale })),
    preprocessing: `inputs ${list}${open.length > 0 ? ' (by default)' : ''}`,
  };
}

/** Factors by the names of arrays, as they were typed. */
function typedFactors(text: string | undefined, names: readonly string[]): Map<string, string> {
  if (text === undefined) return new Map();
  if (!text.includes('=')) return new Map(names.map((name) => [name, text]));
  return new Map(
    text.split(',').map((pair): [string, string] => {
      const at = pair.lastIndexOf('=');
      const name = pair.slice(0, at).trim();
      if (!names.includes(name))
        throw new UsageError(`--scale expected factors of ${names.join(', ')}, got ${pair.trim()}`);
      return [name, pair.slice(at + 1)];
    }),
  );
}
