// Commands as tests of parts run them: to a good end, or to a refusal.
import * as assert from 'uvu/assert';
import { runCli } from './needs.js';

/** A command that ends well. */
export async function done(...args: string[]) {
  const result = await runCli(args);
  assert.is(result.status, 0, result.stderr);
  return result;
}

/** A command that ends with a status and says why. */
export async function refused(status: number, pattern: RegExp | string, ...args: string[]): Promise<void> {
  const result = await runCli(args);
  assert.match(result.stderr, pattern);
  assert.is(result.status, status, result.stderr);
}

/** Documents and pages without what a second run has otherwise: times. */
export const timeless = (own: string): string =>
  own.replace(/("(?:seconds|quantize|evaluate|date)": )("[^"]*"|[\d.e+-]+)/g, '$1');
