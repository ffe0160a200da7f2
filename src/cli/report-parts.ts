// Parts of `report`: what one holds, and the page of all.
import type { OpenPart } from '../node/parts.js';
import { mergeReports, type PartialReport } from '../pipeline/report/parts.js';
import type { Report } from '../pipeline/report/types.js';
import type { ReportDocument } from '../report/types.js';
import { colour, note, say } from './output.js';
import { noteReplaced } from './outputs.js';
import {
  areTexts,
  isIndex,
  isMeasure,
  isNumber,
  isText,
  isTruth,
  type MergeFlags,
  maybe,
  resultOf,
  type Shape,
} from './part-results.js';
import { requireEnding, writeJson } from './parts.js';
import { giveReport, loadRenderer } from './report-output.js';
import { commandLine } from './reproduce.js';

/** What `report` makes its document of. */
export interface ReportResult extends Pick<ReportDocument, 'within' | 'reproduce'> {
  readonly measured: PartialReport;
  /** Where the samples to calibrate with are from, where nobody said so. */
  readonly remark?: string;
}

/** The document of a report. */
export function documentOf(report: Report, { remark, within, reproduce }: Omit<ReportResult, 'measured'>) {
  const document: ReportDocument = {
    ...report,
    ...(remark ? { warnings: [...report.warnings, remark] } : {}),
    ...(within === undefined ? {} : { within }),
    reproduce,
  };
  return document;
}

/**
 * The arguments of a part without its number, its name and how it prints: those of one run, to which its output is added.
 */
export function wholeCommand(args: readonly string[]): string[] {
  const own = /^(--shard|--output|-o)$/;
  const alone = /^(--(shard|output)=.*|-o.+|--quiet|--json|--verbose|-v)$/;
  return args.filter((word, i) => !own.test(word) && !own.test(args[i - 1] ?? '') && !alone.test(word));
}

const COUNTS: Shape = [(value) => Array.isArray(value) && value.length === 3 && value.every(isNumber)];

const ROW: Shape = {
  ...{
    name: isText,
    kind: isText,
    isMain: isTruth,
    bytes: isNumber,
    ratio: isNumber,
    bitsPerWeight: isNumber,
  },
  ...{ divergence: isMeasure, seconds: { quantize: isNumber, evaluate: isNumber } },
  classes: maybe({
    ...{ top1: isNumber, top5: maybe(isNumber), loss: isMeasure, drop: isNumber, dropError: isNumber },
    ...{
      perClass: [isMeasure],
      changed: { broken: isNumber, repaired: isNumber, other: isNumber },
      moved: COUNTS,
    },
  }),
  tensors: [
    {
      id: isText,
      scheme: isText,
      bytes: isNumber,
      snrDb: isMeasure,
      error: maybe(isMeasure),
      fallback: maybe(isText),
    },
  ],
};

const RANGE = { min: isNumber, low: isNumber, high: isNumber, max: isNumber, zeros: isNumber };

const RESULT: Shape = {
  ...{ remark: maybe(isText), within: maybe(isNumber) },
  reproduce: {
    ...{ command: isText, date: isText, preprocessing: isText, backend: isText, versions: areTexts },
    files: [{ name: isText, bytes: isNumber, sha256: isText }],
    machine: { cpu: isText, cores: isNumber, platform: isText, memoryBytes: isNumber },
  },
  measured: {
    about: {
      ...{ file: isText, parameters: isNumber, floatBytes: isNumber, folded: isNumber, seed: isNumber },
      ...{
        data: { name: isText, samples: isNumber },
        distance: isText,
        left: [isText],
        confusion: maybe(COUNTS),
      },
      task: { kind: isText, outputs: maybe(isText), classNames: maybe([isText]), why: maybe(isText) },
    },
    ...{ done: [isIndex], count: isIndex, float: ROW, rows: [{ place: isIndex, row: ROW }] },
    ...{ warnings: [{ place: isIndex, text: isText }], seconds: [{ part: isText, seconds: isNumber }] },
    calibration: maybe({
      ...{ data: isText, samples: isNumber, compared: isNumber, granularity: isText },
      sensitivity: [{ layer: isText, scheme: isText, bytes: isNumber, divergence: isMeasure }],
    }),
    activations: maybe([{ layer: isText, className: isText, samples: isNumber, ...RANGE }]),
    weights: maybe([
      {
        ...{ id: isText, layer: isText, className: isText, shape: [isNumber], parameters: isNumber },
        histograms: [
          {
            ...{ scheme: isText, unit: isText, from: isNumber, to: isNumber, counts: [isNumber] },
            levels: [{ value: isNumber, count: isNumber }],
          },
        ],
      },
    ]),
  },
};

/** The page of all parts, or its document. */
export async function mergeReportParts(
  parts: readonly OpenPart[],
  flags: MergeFlags,
  replaces: boolean,
): Promise<void> {
  const { output } = flags;
  requireEnding(output, /\.(html?|json)$/i, '.html, or .json for its numbers alone,', 'report');
  const isPage = !/\.json$/i.test(output);
  const render = isPage ? await loadRenderer(false) : undefined;
  const results = parts.map((part) => resultOf<ReportResult>(part, RESULT));
  const [first] = results as [ReportResult];
  const report = mergeReports(
    results.map(({ measured }) => measured),
    parts.map(({ name }) => name),
  );
  const { reproduce } = first;
  // One run gives this.
  const command = `${reproduce.command} ${isPage ? commandLine(['-o', output]).replace(/^bitnibble /, '') : '--json'}`;
  const document = documentOf(report, { ...first, reproduce: { ...reproduce, command } });
  for (const warning of report.warnings) note(flags, warning);
  if (!render) {
    if (replaces) noteReplaced(flags, output);
    await writeJson(output, document);
  }
  await giveReport(flags, document, render ? { output, replaces, text: render(document) } : undefined);
  if (!render) say(flags, `${colour.green('wrote')} ${output}`);
}
