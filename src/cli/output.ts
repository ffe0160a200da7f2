import picocolors from 'picocolors';

export { count } from '../formats/count.js';

/** What every command takes. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  /** Standard output carries a file: what is for people goes to stderr. */
  readonly isPiped?: boolean;
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

/** Prints for people, unless `--json` or `--quiet`; a text that takes long to make is given as its maker. */
export function say(options: CommonOptions, text: string | (() => string)): void {
  if (options.json || options.quiet) return;
  const stream = options.isPiped ? process.stderr : process.stdout;
  stream.write(`${typeof text === 'string' ? text : text()}\n`);
}

/** A remark on stderr, unless `--quiet`. */
export function note(options: CommonOptions, text: string): void {
  if (!options.quiet) process.stderr.write(`${text}\n`);
}

/** An error as a line of stderr. */
export const errorLine = (message: string): string =>
  `${colour.red('error:')} ${message.slice(0, 2000).split('\n').map(printable).join('\n')}\n`;

/** A step with the seconds since the process began, on stderr, with `--verbose`. */
export function trace(options: CommonOptions, text: string): void {
  if (options.verbose) process.stderr.write(`[${process.uptime().toFixed(2)} s] ${text}\n`);
}

/** The one JSON document of `--json`. */
export function json(options: CommonOptions, document: unknown): void {
  if (!options.json) return;
  // Infinity (the SNR of a lossless coding) has no JSON; null stands for it.
  process.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
}

export function decibel(snr: number | undefined): string {
  if (snr === undefined) return '';
  return Number.isFinite(snr) ? `${snr.toFixed(1)} dB` : 'exact';
}
