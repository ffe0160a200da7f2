import { SingleBar } from 'cli-progress';
import Table from 'cli-table3';
import picocolors from 'picocolors';

/** What every command takes. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** Colours on terminals only, NO_COLOR respected. */
export const colour = picocolors.createColors(
  Boolean(process.stdout.isTTY) && process.env.NO_COLOR === undefined && process.env.TERM !== 'dumb',
);

/** Text of a file without what a terminal would obey: control characters are shown as `\\x1b`. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** Rows that are laid out at once: cli-table3 takes time that grows with their square. */
const ROWS = 100;

/** Rows of text; columns whose cells are all numbers are set to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const numeric = (column: number) =>
    rows.every((row) => /^[-+–]?[\d.,]*( ?(%|dB|x|MB|KB|B))?$/.test(row[column] ?? ''));
  const isRight = head.map((_, column) => rows.length > 0 && numeric(column));
  const width = (text = '') => printable(text).length;
  const widths = head.map((name, column) =>
    rows.reduce((most, row) => Math.max(most, width(row[column])), width(name)),
  );
  // Padded here, so that all grids have columns of one width.
  const padded = (row: readonly string[]) =>
    row.map((text, column) => {
      const cell = printable(text);
      const pad = ' '.repeat((widths[column] ?? 0) - width(cell));
      return isRight[column] ? pad + cell : cell + pad;
    });
  const grids: string[] = [];
  for (let from = 0; from === 0 || from < rows.length; from += ROWS) {
    const heading = from === 0 ? padded(head).map((name) => colour.bold(name)) : [];
    grids.push(grid(heading, rows.slice(from, from + ROWS).map(padded)));
  }
  return grids.join('\n').replace(/ +$/gm, '');
}

function grid(head: string[], rows: string[][]): string {
  const layout = new Table({
    head,
    style: { head: [], border: [], compact: true, 'padding-left': 0 },
    chars: {
      top: '',
      'top-mid': '',
      'top-left': '',
      'top-right': '',
      bottom: '',
      'bottom-mid': '',
      'bottom-left': '',
      'bottom-right': '',
      left: '',
      'left-mid': '',
      mid: '─',
      'mid-mid': '─',
      right: '',
      'right-mid': '',
      middle: ' ',
    },
  });
  layout.push(...rows);
  return layout.toString();
}

/** Prints for people, unless `--json` or `--quiet`; a text that takes long to make is given as its maker. */
export function say(options: CommonOptions, text: string | (() => string)): void {
  if (!options.json && !options.quiet) process.stdout.write(`${typeof text === 'string' ? text : text()}\n`);
}

/** A remark on stderr, unless `--quiet`. */
export function note(options: CommonOptions, text: string): void {
  if (!options.quiet) process.stderr.write(`${text}\n`);
}

/** The one JSON document of `--json`. */
export function json(options: CommonOptions, document: unknown): void {
  if (!options.json) return;
  // Infinity (the SNR of a lossless coding) has no JSON; null stands for it.
  process.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
}

export interface Progress {
  update(done: number, total: number): void;
  stop(): void;
}

/** A progress bar on stderr, where that is a terminal. */
export function progress(options: CommonOptions, label: string, unit: string): Progress {
  if (options.quiet || !process.stderr.isTTY) return { update: () => undefined, stop: () => undefined };
  const bar = new SingleBar({
    format: `${label} {bar} {percentage}% | {value}/{total} ${unit} | {eta_formatted} left`,
    stream: process.stderr,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    hideCursor: true,
    clearOnComplete: true,
  });
  let started = false;
  return {
    update(done, total) {
      if (!started) bar.start(total, done);
      else bar.update(done);
      started = true;
    },
    stop: () => bar.stop(),
  };
}

export function count(n: number): string {
  return n.toLocaleString('en-US');
}

export function decibel(snr: number | undefined): string {
  if (snr === undefined) return '';
  return Number.isFinite(snr) ? `${snr.toFixed(1)} dB` : 'exact';
}
