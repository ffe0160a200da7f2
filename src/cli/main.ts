#!/usr/bin/env node
import { BitnibbleError } from '../errors.js';
import { colour, printable } from './output.js';
import { isSystemError, watchStreams } from './streams.js';
import { UsageError } from './usage.js';
import { version } from './version.js';

/** Commander's own, known by its name: it is loaded for commands and their help alone. */
const isCommanderError = (error: unknown): error is Error & { readonly exitCode: number } =>
  (error as Error)?.name === 'CommanderError';

async function main(): Promise<void> {
  const [first, ...rest] = process.argv.slice(2);
  if ((first === '-V' || first === '--version') && rest.length === 0) {
    process.stdout.write(`${version}\n`);
    return;
  }
  const { buildProgram } = await import('./program.js');
  await buildProgram(version).parseAsync();
}

/** 0 done, 1 bad file or failed work, 2 usage. */
function exitCodeOf(error: unknown): number {
  if (isCommanderError(error)) return error.exitCode === 0 ? 0 : 2;
  return error instanceof UsageError ? 2 : 1;
}

function complain(message: string): void {
  process.stderr.write(`${colour.red('error:')} ${message}\n`);
}

watchStreams(complain);
try {
  await main();
} catch (error) {
  if (!isCommanderError(error)) {
    const isExpected =
      error instanceof BitnibbleError ||
      error instanceof UsageError ||
      error instanceof RangeError ||
      isSystemError(error);
    const message = isExpected ? (error as Error).message : ((error as Error)?.stack ?? String(error));
    const shown = message.slice(0, 2000).split('\n').map(printable).join('\n');
    complain(shown);
    if (process.argv.includes('--json')) {
      const code =
        error instanceof BitnibbleError ? error.code : error instanceof UsageError ? 'usage' : 'failed';
      process.stdout.write(`${JSON.stringify({ error: { code, message } }, undefined, 2)}\n`);
    }
  }
  process.exitCode = exitCodeOf(error);
}
