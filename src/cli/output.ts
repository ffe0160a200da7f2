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

/** Rows of text; columns whose cells are all numbers are set to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const numeric = (column: number) =>
    rows.every((row) => /^[-+–]?[\d.,]*( ?(%|dB|x|MB|KB|B))?$/.test(row[column] ?? ''));
  const grid = new Table({
    head: head.map((name) => colour.bold(name)),
    colAligns: head.map((_, column) => (rows.length > 0 && numeric(column) ? 'right' : 'left')),
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
  grid.push(...rows.map((row) => [...row]));
  return grid.toString().replace(/ +$/gm, '');
}

/** Prints for people, unless `--json` or `--quiet`. */
export function say(options: CommonOptions, text: string): void {
  if (!options.json && !options.quiet) process.stdout.write(`${text}\n`);
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
