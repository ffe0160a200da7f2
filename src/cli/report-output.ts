import { BitnibbleError } from '../errors.js';
import { writeFile } from '../node/files.js';
import { TENSORFLOW_PACKAGES } from '../node/tfjs.js';
import type { ReportRow } from '../pipeline/report/types.js';
import type { ReportDocument } from '../report/types.js';
import { type CommonOptions, colour, count, json, say } from './output.js';
import { noteReplaced } from './outputs.js';
import { table } from './table.js';

export type Renderer = (report: ReportDocument) => string;

/**
 * Loaded before the work: it would be a pity to miss it afterwards.
 * @param lacksTensorFlow what calibration needs is missing, too
 * @throws BitnibbleError `no-plot`
 */
export async function loadRenderer(lacksTensorFlow: boolean): Promise<Renderer> {
  try {
    return (await import('../report/page.js')).renderReport;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ERR_MODULE_NOT_FOUND') throw error;
    // What calibration lacks as well is said at once.
    const too = lacksTensorFlow ? ` ${TENSORFLOW_PACKAGES}` : '';
    throw new BitnibbleError(
      'no-plot',
      `the figures need two packages that did not load (${message.split('\n', 1)[0]}): run "npm install @observablehq/plot linkedom${too}", or take the numbers alone with --json and without --output`,
      { cause: error },
    );
  }
}

function rowCells(row: ReportRow): string[] {
  const { classes } = row;
  return [
    row.isPareto ? '*' : '',
    row.name,
    count(row.bytes),
    `${row.ratio.toFixed(1)}x`,
    row.bitsPerWeight.toFixed(2),
    classes ? classes.top1.toFixed(4) : '',
    classes ? (100 * classes.drop).toFixed(2) : '',
    row.divergence === null ? 'not finite' : row.divergence.toPrecision(3),
  ];
}

/** The table of rows, and what is said below it. */
export function sayRows(
  flags: CommonOptions,
  { rows, left }: { readonly rows: readonly ReportRow[]; readonly left: readonly string[] },
): void {
  const names = ['', 'Weights', 'Bytes', 'Ratio', 'Bits', 'Accuracy', 'Drop, points', 'Divergence'];
  say(flags, () => table(names, rows.map(rowCells)));
  say(flags, '\n*: on the Pareto front of bytes and accuracy (without classes: of bytes and divergence).');
  for (const text of left) say(flags, `Left out: ${text}`);
}

/** Writes the page, prints the document or the table. @throws BitnibbleError `not-writable` */
export async function giveReport(
  flags: CommonOptions,
  document: ReportDocument,
  page: { readonly output: string; readonly replaces: boolean; readonly text: string } | undefined,
): Promise<void> {
  if (page) {
    if (page.replaces) noteReplaced(flags, page.output);
    await writeFile(page.output, [new TextEncoder().encode(page.text)]);
  }
  json(flags, document);
  sayRows(flags, document);
  if (page) say(flags, `${colour.green('wrote')} ${page.output}`);
}
