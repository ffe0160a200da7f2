import { SingleBar } from 'cli-progress';
import type { CommonOptions } from './output.js';

export interface Progress {
  update(done: number, total: number): void;
  stop(): void;
}

/**
 * A progress bar on stderr, where that is a terminal. It neither hides the cursor nor stops lines from wrapping, so that a
 * process that ends in the middle, however it ends, leaves the terminal as it was. A line too long is cut instead, so the bar
 * leaves room for the numbers: 60 columns hold two of nine digits.
 */
export function progress(options: CommonOptions, label: string, unit: string): Progress {
  if (options.quiet || !process.stderr.isTTY) return { update: () => undefined, stop: () => undefined };
  const bar = new SingleBar({
    format: `${label} {bar} {percentage}% | {value}/{total} ${unit} | {eta_formatted} left`,
    stream: process.stderr,
    barsize: Math.max(10, Math.min(40, (process.stderr.columns || 80) - 60)),
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
