import type { CommanderError } from 'commander';

/** A command line that makes no sense: exit status 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const HINT = '(add --help for the options)';

/** What commander would print by itself: one line, and with `--json` a document, as for every other error. */
export function leave(error: CommanderError): never {
  const isHelp = error.exitCode === 0 || error.code === 'commander.help';
  // `--data a.npy model.h5` takes both names as data.
  const isTaken = error.code === 'commander.missingArgument' && process.argv.includes('--data');
  const hint = isTaken
    ? '(it stands before --data, which takes several names; add --help for the options)'
    : HINT;
  throw isHelp ? error : new UsageError(`${error.message.replace(/^error: /, '')} ${hint}`);
}

/** Where an error and what caused it come from. */
export function traceOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  return `${error.stack}\n${error.cause ? `caused by ${traceOf(error.cause)}` : ''}`;
}
