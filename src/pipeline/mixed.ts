import { BitnibbleError } from '../errors.js';
import type { Kernels } from '../kernels/types.js';
import type { QuantizableModel } from '../model.js';
import { type PackedWeight, QuantizedModel } from '../packed/quantized-model.js';
import { writePacked } from '../packed/write.js';
import type { SchemeName } from '../schemes/types.js';
import { quantizeModel } from './quantize.js';
import type { Recipe, Rule } from './recipe.js';
import type { SensitivityRow } from './sensitivity.js';

/** A scheme for every layer, and what it is expected to cost. */
export interface Mix {
  /** A rule for each layer, in the order of the graph. */
  readonly recipe: Recipe;
  readonly chosen: readonly SensitivityRow[];
  /** Codes and scales. */
  readonly bytes: number;
  readonly bitsPerWeight: number;
  /** Sum of the divergences that each layer causes alone: what they cause together if they do not interact. */
  readonly divergence: number;
}

/** Steps of the budget that are told apart; sizes are rounded up to them, so that a mix never exceeds it. */
const STEPS = 1 << 16;

/**
 * The scheme of each layer that makes the sum of the divergences least while codes and scales stay within `bytes`: the
 * multiple-choice knapsack, by dynamic programming over the budget,
 *
 *     D[l][b] = min over schemes s of  d(l, s) + D[l-1][b - bytes(l, s)]
 *
 * Kellerer, Pferschy, Pisinger, Knapsack Problems, 2004, section 11.5. Layers are taken to act independently, as in HAWQ-V3
 * (Yao et al. 2021), section 3.3.
 *
 * @param rows every layer at the same schemes, from `measureSensitivity`
 * @throws BitnibbleError `budget` where the smallest choice is above the budget
 */
export function chooseSchemes(rows: readonly SensitivityRow[], bytes: number): Mix {
  const layers = byLayer(rows);
  const smallest = layers.map((own) => own.reduce((a, b) => (b.bytes < a.bytes ? b : a)));
  const least = sum(smallest, ({ bytes: own }) => own);
  if (least > bytes) {
    throw new BitnibbleError(
      'budget',
      `a budget of ${Math.floor(bytes)} bytes for codes and scales: expected at least ${least}, all of ${layers.length} layers at their smallest`,
    );
  }
  // Only what a layer takes beyond its smallest choice is counted in steps, so the least budget is always met.
  const room = bytes - least;
  const most = sum(layers, (own) => Math.max(...own.map((row) => row.bytes))) - least;
  const unit = Math.max(1, Math.min(room, most) / STEPS);
  const highest = sum(layers, (own, l) =>
    Math.max(...own.map((row) => costOf(row, smallest[l] as SensitivityRow, unit))),
  );
  const steps = room >= most ? highest : Math.min(highest, Math.floor(room / unit));
  let best = new Float64Array(steps + 1);
  const picks = layers.map((own, l) => {
    const next = new Float64Array(steps + 1).fill(Number.POSITIVE_INFINITY);
    const pick = new Uint8Array(steps + 1);
    own.forEach((row, s) => {
      const cost = costOf(row, smallest[l] as SensitivityRow, unit);
      for (let b = cost; b <= steps; b++) {
        const total = weightOf(row) + (best[b - cost] as number);
        if (total >= (next[b] as number)) continue;
        next[b] = total;
        pick[b] = s;
      }
    });
    best = next;
    return pick;
  });
  let left = steps;
  const chosen = layers
    .map((own, l) => ({ own, l }))
    .reverse()
    .map(({ own, l }) => {
      const row = own[(picks[l] as Uint8Array)[left] as number] as SensitivityRow;
      left -= costOf(row, smallest[l] as SensitivityRow, unit);
      return row;
    })
    .reverse();
  return mixOf(chosen);
}

/** A layer whose outputs are not finite at a scheme takes it only where the budget leaves no other. */
const weightOf = ({ divergence }: SensitivityRow) => (Number.isFinite(divergence) ? divergence : 1e30);

const costOf = (row: SensitivityRow, smallest: SensitivityRow, unit: number) =>
  Math.ceil((row.bytes - smallest.bytes) / unit);

/** {@link chooseSchemes} for an average of `bits` per weight, scales included. */
export function chooseForBits(rows: readonly SensitivityRow[], bits: number): Mix {
  return chooseSchemes(rows, (bits * parametersOf(rows)) / 8);
}

/** Bits per weight, scales included, of all layers at their smallest: scales of small layers may be half of it. */
export const leastBits = (rows: readonly SensitivityRow[]): number =>
  (8 * leastOf(rows)) / parametersOf(rows);

const parametersOf = (rows: readonly SensitivityRow[]) =>
  sum(byLayer(rows), ([first]) => (first as SensitivityRow).parameters);

/**
 * {@link chooseSchemes} for a whole packed file of at most `bytes`, once it is calibrated.
 *
 * @throws BitnibbleError `budget`
 */
export function chooseForFile(
  rows: readonly SensitivityRow[],
  bytes: number,
  model: QuantizableModel,
  kernels: Kernels,
): Mix {
  let budget = Math.max(leastOf(rows), bytes);
  for (;;) {
    const mix = chooseSchemes(rows, budget);
    const { model: base } = quantizeModel(model, mix.recipe, { kernels });
    const weights = base.weights.map((weight): PackedWeight => {
      if (weight.kind === 'kept') return { ...weight, changed: true };
      const { tensor } = weight;
      return { ...weight, tensor: { ...tensor, coding: { ...tensor.coding, scale: 'calibrated' } } };
    });
    let file = 0;
    for (const piece of writePacked(new QuantizedModel(base, weights, base.kernels))) file += piece.length;
    if (file <= bytes) return mix;
    const rest = file - mix.bytes;
    if (mix.bytes === leastOf(rows)) {
      throw new BitnibbleError(
        'budget',
        `${model.file}: a packed file of ${bytes} bytes: expected at least ${file}, ${rest} of them without codes and scales`,
      );
    }
    budget = Math.max(leastOf(rows), Math.min(mix.bytes - 1, bytes - rest));
  }
}

const leastOf = (rows: readonly SensitivityRow[]) =>
  sum(byLayer(rows), (own) => Math.min(...own.map(({ bytes }) => bytes)));

/** Every mix that some budget leads to, from the smallest to the largest, at most `count`. */
export function mixesOf(rows: readonly SensitivityRow[], count = 64): Mix[] {
  const layers = byLayer(rows);
  const least = leastOf(rows);
  const most = sum(layers, (own) => Math.max(...own.map(({ bytes }) => bytes)));
  const mixes: Mix[] = [];
  for (let i = 0; i < count; i++) {
    const mix = chooseSchemes(rows, least + ((most - least) * i) / Math.max(1, count - 1));
    if (mix.bytes !== mixes.at(-1)?.bytes) mixes.push(mix);
  }
  return mixes;
}

/**
 * The smallest of mixes in ascending order whose measured drop is at most `maxDrop`, by bisection: `log2` of their number
 * measurements, on the premise that more bytes do not cost accuracy.
 *
 * @param dropOf measures a mix: accuracy of the float model less its own
 * @throws BitnibbleError `budget` where even the largest drops by more
 */
export async function smallestWithin(
  mixes: readonly Mix[],
  maxDrop: number,
  dropOf: (mix: Mix) => Promise<number>,
): Promise<{ mix: Mix; drop: number }> {
  let found: { mix: Mix; drop: number } | undefined;
  let low = 0;
  let high = mixes.length - 1;
  let last = 0;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const mix = mixes[middle] as Mix;
    last = await dropOf(mix);
    if (last <= maxDrop) {
      found = { mix, drop: last };
      high = middle - 1;
    } else low = middle + 1;
  }
  if (!found) {
    const bits = mixes.at(-1)?.bitsPerWeight.toFixed(2);
    throw new BitnibbleError(
      'budget',
      `a drop of at most ${maxDrop}: the largest mix (${bits} bits per weight) drops by ${last.toPrecision(3)}`,
    );
  }
  return found;
}

function mixOf(chosen: readonly SensitivityRow[]): Mix {
  const bytes = sum(chosen, (row) => row.bytes);
  const rules = chosen.map(
    ({ layer, scheme, granularity }): Rule => ({ layer: exactly(layer), scheme, granularity }),
  );
  return {
    recipe: { rules },
    chosen,
    bytes,
    bitsPerWeight: (8 * bytes) / sum(chosen, ({ parameters }) => parameters),
    divergence: sum(chosen, (row) => row.divergence),
  };
}

/** How often each scheme was chosen: `9 binary, 4 int2, 2 int4`. */
export function summaryOf({ chosen }: Mix): string {
  const counts = new Map<SchemeName, number>();
  for (const { scheme } of chosen) counts.set(scheme, (counts.get(scheme) ?? 0) + 1);
  return [...counts].map(([scheme, n]) => `${n} ${scheme}`).join(', ');
}

/** A pattern that matches this name alone. */
function exactly(name: string): string {
  if (!/[*?]|^\//.test(name)) return name;
  return `/^${name.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')}$/`;
}

function byLayer(rows: readonly SensitivityRow[]): SensitivityRow[][] {
  const layers = new Map<string, SensitivityRow[]>();
  for (const row of rows) {
    const own = layers.get(row.layer);
    if (own) own.push(row);
    else layers.set(row.layer, [row]);
  }
  return [...layers.values()];
}

const sum = <T>(items: readonly T[], of: (item: T, index: number) => number) =>
  items.reduce((total, item, index) => total + of(item, index), 0);
