import type { Command } from 'commander';
import type { CommonOptions } from './output.js';
import { traceOf, UsageError } from './usage.js';

/** What a command does with its arguments, its options and itself. */
export type Work = (...args: never[]) => Promise<void>;

/** The work of a command is loaded when it runs: `--help` and `--version` take none of it. */
export function runs(command: Command, load: () => Promise<Work>, examples: readonly string[]): Command {
  const shown = examples.map((line) => `  $ npx bitnibble ${line}\n`).join('');
  command.addHelpText('after', `\nExamples:\n${shown}`);
  return command.action(async (...args: unknown[]) => {
    const { quiet, verbose } = command.opts<CommonOptions>();
    if (quiet && verbose) throw new UsageError('--quiet and --verbose exclude each other');
    try {
      const work = await load();
      await work(...(args as never[]));
    } catch (error) {
      if (verbose) process.stderr.write(traceOf(error));
      const { asTyped } = await import('./typed.js');
      throw asTyped(error, command);
    }
  });
}

/** For commands that run a network: they let the event loop turn, so that Ctrl-C is heard. */
export async function interruptibly(load: () => Promise<Work>): Promise<Work> {
  const { interruptible } = await import('./interrupt.js');
  const work = await load();
  return (...args) => interruptible(() => work(...args));
}
