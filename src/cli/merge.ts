import { BitnibbleError } from '../errors.js';
import { isIndexName, isPackedName } from '../node/packed.js';
import { mergeQuantized, type OpenPart, withParts } from '../node/parts.js';
import type { ComparisonRow } from '../pipeline/compare.js';
import { reportOf, type TensorReport } from '../pipeline/quantize.js';
import { type Comparison, sayComparison } from './compare.js';
import { expandFiles } from './inputs.js';
import { colour, json, say } from './output.js';
import { checkOutput, noteReplaced, sizeLine, writtenBytes } from './outputs.js';
import { isAny, isMeasure, isNumber, isText, type MergeFlags, resultOf, type Shape } from './part-results.js';
import { requireEnding, writeJson } from './parts.js';
import { foldingLine, reportTable, weightsLine } from './quantize.js';
import { UsageError } from './usage.js';

async function mergeQuantize(
  parts: readonly OpenPart[],
  flags: MergeFlags,
  replaces: boolean,
): Promise<void> {
  const { output, shardSize } = flags;
  const isSharded = shardSize !== undefined || isIndexName(output);
  if (!isPackedName(output) || (isSharded && !isIndexName(output)))
    throw new UsageError(
      `--output expected a name ending in .safetensors${isSharded ? '.index.json, for shards' : ' or .safetensors.index.json'}, got ${output}`,
    );
  const { input, inputBytes, folded, equalized, lines } = resultOf<{
    input: string;
    inputBytes: number;
    folded: unknown[];
    equalized: unknown[];
    lines: string[];
  }>(parts[0] as OpenPart, {
    input: isText,
    inputBytes: isNumber,
    folded: [isAny],
    equalized: [isAny],
    lines: [isText],
  });
  const rows = await mergeQuantized(parts, output, {
    ...(shardSize === undefined ? {} : { shardSize }),
    onWritten: () => {
      if (replaces) noteReplaced(flags, output);
    },
  });
  const report = reportOf(rows.map(finiteAgain));
  const outputBytes = writtenBytes(output);
  say(flags, () => reportTable(report));
  for (const line of lines) say(flags, line);
  if (folded.length > 0) say(flags, foldingLine(folded.length));
  if (equalized.length > 0) say(flags, `${equalized.length} pairs of layers were equalized`);
  say(flags, weightsLine(report));
  say(flags, `${colour.green('wrote')} ${output}, ${sizeLine(outputBytes, input, inputBytes)}`);
  json(flags, { input, output, replaces, inputBytes, outputBytes, folded, equalized, ...report });
}

/** JSON has no Infinity, the ratio where nothing was lost. */
const finiteAgain = (row: TensorReport): TensorReport =>
  row.snrDb === null ? { ...row, snrDb: Number.POSITIVE_INFINITY } : row;

/** A row of a comparison. */
const COMPARED: Shape = {
  ...{ name: isText, bytes: isNumber, ratio: isNumber, bitsPerWeight: isNumber, top1: isNumber },
  ...{ loss: isMeasure, notes: [isText] },
};

async function mergeCompare(parts: readonly OpenPart[], flags: MergeFlags, replaces: boolean): Promise<void> {
  requireEnding(flags.output, /\.json$/i, '.json', 'compare');
  const results = parts.map((part) =>
    resultOf<Comparison>(part, {
      ...{
        file: isText,
        bytes: isNumber,
        data: isText,
        preprocess: isAny,
        backend: isText,
        samples: isNumber,
      },
      ...{ rows: [COMPARED], warnings: [isText] },
    }),
  );
  const [first] = results as [Comparison];
  const rows: ComparisonRow[] = [];
  // Parts took rows in turn.
  const most = Math.max(...results.map((result) => result.rows.length));
  for (let i = 0; i < most; i++)
    for (const result of results) {
      const row = result.rows[i];
      // What a part compared with was its own first row.
      if (row)
        rows.push({
          ...row,
          // JSON has no NaN, the loss where an output is none.
          loss: row.loss ?? Number.NaN,
          drop: (rows[0] ?? row).top1 - row.top1,
        });
    }
  const warnings = [...new Set(results.flatMap((result) => [...result.warnings]))];
  const merged: Comparison = { ...first, rows, warnings };
  if (replaces) noteReplaced(flags, flags.output);
  await writeJson(flags.output, merged);
  json(flags, merged);
  sayComparison(flags, merged);
  say(flags, `${colour.green('wrote')} ${flags.output}`);
}

type Merge = (parts: readonly OpenPart[], flags: MergeFlags, replaces: boolean) => Promise<void>;

/** What makes the output of the parts of each command, and the options of `merge` that it takes. */
const MERGERS: Readonly<
  Record<string, { readonly load: () => Promise<Merge>; readonly options: readonly (keyof MergeFlags)[] }>
> = {
  quantize: { load: async () => mergeQuantize, options: ['shardSize'] },
  compare: { load: async () => mergeCompare, options: [] },
  calibrate: { load: async () => (await import('./calibrate-parts.js')).mergeCalibrated, options: [] },
  report: { load: async () => (await import('./report-parts.js')).mergeReportParts, options: [] },
  sensitivity: {
    load: async () => (await import('./sensitivity-parts.js')).mergeSensitivityParts,
    options: ['bits'],
  },
};

/** Options that are for the parts of one command. */
const OPTIONS = { shardSize: '--shard-size', bits: '--bits' } as const;

/** The command `merge`: the output that one run would have given, of the parts that `--shard` wrote. */
export async function merge(given: readonly string[], flags: MergeFlags): Promise<void> {
  const replaces = checkOutput(flags.output, {});
  const files = await expandFiles(given);
  await withParts(files, async (parts) => {
    const [{ name, info }] = parts as [OpenPart];
    const own = Object.hasOwn(MERGERS, info.command) ? MERGERS[info.command] : undefined;
    if (!own)
      throw new BitnibbleError(
        'corrupt-file',
        `${name}: damaged part: of the unknown command ${info.command.slice(0, 40)}`,
      );
    for (const option of ['shardSize', 'bits'] as const) {
      if (flags[option] === undefined || own.options.includes(option)) continue;
      const [command] = Object.entries(MERGERS).find(([, { options }]) => options.includes(option)) ?? [];
      throw new UsageError(`${OPTIONS[option]} is for parts of ${command}, got parts of ${info.command}`);
    }
    const work = await own.load();
    await work(parts, flags, replaces);
  });
}
