import { type Mix, summaryOf } from '../pipeline/mixed.js';
import type { SensitivityReport } from '../pipeline/sensitivity.js';
import type { SchemeName } from '../schemes/types.js';
import { type CommonOptions, colour, count, say } from './output.js';
import { writeJson } from './parts.js';
import { table } from './table.js';

/** Writes the recipe of a mix. @throws BitnibbleError `not-writable` */
export const writeRecipe = (output: string, { recipe }: Mix): Promise<void> => writeJson(output, recipe);

/** What was chosen, for `--json`. */
export const chosenOf = ({ recipe, bytes, bitsPerWeight, divergence }: Mix, drop?: number) => ({
  ...{ recipe, bytes, bitsPerWeight, divergence },
  ...(drop === undefined ? {} : { drop }),
});

/** What was chosen, for people. */
export function sayMix(flags: CommonOptions, mix: Mix | undefined, output?: string, drop?: number): void {
  if (!mix) {
    if (output !== undefined) say(flags, `${colour.green('wrote')} ${output}`);
    return;
  }
  const rows = mix.chosen.map((row) => [
    row.layer,
    row.scheme,
    count(row.bytes),
    row.divergence.toPrecision(3),
  ]);
  say(flags, `\n${table(['Layer', 'Chosen', 'Bytes', 'Divergence'], rows)}`);
  say(
    flags,
    `\n${summaryOf(mix)}: ${count(mix.bytes)} bytes of codes and scales, ${mix.bitsPerWeight.toFixed(3)} bits per weight` +
      (drop === undefined ? '' : `, ${(100 * drop).toFixed(2)} points below float on the samples checked`),
  );
  if (output === undefined) say(flags, JSON.stringify(mix.recipe));
  else say(flags, `${colour.green('wrote')} ${output}, for calibrate --recipe`);
}

/** A row for each layer: what each scheme saves and costs. */
export function sensitivityTable(
  { rows }: Pick<SensitivityReport, 'rows'>,
  schemes: readonly SchemeName[],
): string {
  const layers = [...new Set(rows.map(({ layer }) => layer))];
  const body = layers.map((layer) => {
    const own = rows.filter((row) => row.layer === layer);
    const [{ parameters, fallback }] = own as [(typeof own)[number]];
    return [
      layer + (fallback ? ' (without data)' : ''),
      count(parameters),
      ...own.map(({ saved }) => count(saved)),
      ...own.map((row) => row.divergence.toPrecision(3)),
    ];
  });
  return table(
    [
      ...['Layer', 'Weights'],
      ...schemes.map((scheme) => `Saved, ${scheme}`),
      ...schemes.map((scheme) => `Divergence, ${scheme}`),
    ],
    body,
  );
}
