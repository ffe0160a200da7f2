import { createRequire } from 'node:module';
import type * as CliProgress from 'cli-progress';
import { type CommonOptions, count } from './output.js';

/** Loaded for the first bar alone. */
const load = (): typeof CliProgress => createRequire(import.meta.url)('cli-progress');

export interface Progress {
  update(done: number, total: number): void;
  stop(): void;
}

/** Where progress goes, and what time it is. */
export interface ProgressHost {
  readonly stream: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
  /** Milliseconds. */
  now(): number;
}

const HOST: ProgressHost = { stream: process.stderr, now: () => performance.now() };

/** Milliseconds between lines: a log of an hour has some hundred, and a short command has none. */
const PAUSE = 30_000;

/**
 * A progress bar on stderr where that is a terminal, else a line from time to time, for logs. The bar neither hides the cursor nor stops
 * lines from wrapping, so that a process that ends in the middle, however it ends, leaves the terminal as it was. A line too long is cut
 * instead, so the bar leaves room for the numbers: 60 columns hold two of nine digits.
 */
export function progress(
  options: CommonOptions,
  label: string,
  unit: string,
  host: ProgressHost = HOST,
): Progress {
  if (options.quiet) return { update: () => undefined, stop: () => undefined };
  if (!host.stream.isTTY) return progressLines(label, unit, host);
  const bar = new (load().SingleBar)({
    format: `${label} {bar} {percentage}% | {value}/{total} ${unit} | {eta_formatted} left`,
    stream: host.stream,
    barsize: Math.max(10, Math.min(40, (host.stream.columns || 80) - 60)),
    barCompleteChar: '█',
    barIncompleteChar: '░',
    hideCursor: false,
    linewrap: true,
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

/** `12 s`, `5 min`, `1.5 h`. */
export function duration(seconds: number): string {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function progressLines(label: string, unit: string, { stream, now }: ProgressHost): Progress {
  const start = now();
  let last = start;
  return {
    update(done, total) {
      const time = now();
      if (time - last < PAUSE) return;
      last = time;
      const share = total > 0 ? Math.min(1, done / total) : 0;
      const left = share > 0 ? `, about ${duration(((time - start) * (1 / share - 1)) / 1000)} left` : '';
      const counts = `${count(done)} of ${count(total)} ${unit}`;
      stream.write(`${label}: ${Math.floor(100 * share)} %, ${counts}${left}\n`);
    },
    stop: () => undefined,
  };
}
