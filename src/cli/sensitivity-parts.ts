// Parts of `sensitivity`: what one holds beside its rows, and what all of them make.
import type { OpenPart } from '../node/parts.js';
import { chooseForBits } from '../pipeline/mixed.js';
import type { SensitivityRow } from '../pipeline/sensitivity.js';
import { mergeSensitivity, type SensitivityPart } from '../pipeline/sensitivity-parts.js';
import type { SchemeName } from '../schemes/types.js';
import { SCHEMES } from './options.js';
import { json, note, say } from './output.js';
import { noteReplaced } from './outputs.js';
import {
  isAny,
  isIndex,
  isNumber,
  isText,
  type MergeFlags,
  maybe,
  resultOf,
  type Shape,
} from './part-results.js';
import { jsonOf, requireEnding, writeJson } from './parts.js';
import { chosenOf, sayMix, sensitivityTable, writeRecipe } from './sensitivity-output.js';

/** What was measured, and on what. */
export interface Measured {
  readonly file: string;
  readonly data: string;
  readonly preprocess: unknown;
  readonly backend: string;
}

type Result = Measured & { readonly schemes: readonly SchemeName[] } & SensitivityPart;

/** JSON has no NaN and no infinities: they are text. */
const toText = (value: number) => (Number.isFinite(value) ? value : String(value));
const fromText = (value: number | string) => Number(value);

const eachNumber = <T extends number | string, U>(row: SensitivityRow, of: (value: T) => U) => ({
  ...row,
  divergence: of(row.divergence as T),
  ...(row.error === undefined ? {} : { error: of(row.error as T) }),
});

/** The result of a part. */
export const sensitivityResult = (
  measured: Measured,
  schemes: readonly SchemeName[],
  { rows, ...rest }: SensitivityPart,
) =>
  jsonOf({
    ...{ ...measured, schemes, ...rest },
    rows: rows.map(({ place, row }) => ({ place, row: eachNumber(row, toText) })),
  });

const isScheme = (value: unknown) => SCHEMES.some((name) => name === value);
const isValue = (value: unknown) =>
  isNumber(value) || ['NaN', 'Infinity', '-Infinity'].includes(String(value));

const ROW: Shape = {
  ...{ layer: isText, className: isText, weights: [isText], parameters: isNumber, scheme: isScheme },
  granularity: (value: unknown) => value === 'channel' || value === 'tensor',
  ...{
    divergence: isValue,
    bytes: isNumber,
    saved: isNumber,
    error: maybe(isValue),
    fallback: maybe(isText),
  },
};

/** The document of `sensitivity --json` of all parts; with `--bits` the recipe that it chooses. */
export async function mergeSensitivityParts(
  parts: readonly OpenPart[],
  flags: MergeFlags,
  replaces: boolean,
): Promise<void> {
  const { output, bits } = flags;
  requireEnding(output, /\.json$/i, '.json', 'sensitivity');
  const results = parts.map((part) => {
    const { rows, ...result } = resultOf<Result>(part, {
      ...{ file: isText, data: isText, preprocess: isAny, backend: isText, schemes: [isScheme] },
      ...{ count: isIndex, samples: isNumber, compared: isNumber, seconds: isNumber, warnings: [isText] },
      rows: [{ place: isIndex, row: ROW }],
    });
    return { ...result, rows: rows.map(({ place, row }) => ({ place, row: eachNumber(row, fromText) })) };
  });
  const [{ file, data, preprocess, backend, schemes }] = results as [(typeof results)[number]];
  const report = mergeSensitivity(results);
  const mix = bits === undefined ? undefined : chooseForBits(report.rows, bits);
  const document = {
    ...{ file, data, preprocess, backend, ...report },
    ...(mix ? { output, replaces, chosen: chosenOf(mix) } : {}),
  };
  for (const warning of report.warnings) note(flags, warning);
  if (replaces) noteReplaced(flags, output);
  if (mix) await writeRecipe(output, mix);
  else await writeJson(output, document);
  json(flags, document);
  say(flags, () => sensitivityTable(report, schemes));
  sayMix(flags, mix, output);
}
