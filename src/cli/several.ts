import type { Command } from 'commander';
import { BitnibbleError } from '../errors.js';
import type { Job } from './inputs.js';
import { type CommonOptions, colour, errorLine, json, printable, say } from './output.js';
import { asTyped } from './typed.js';
import { UsageError } from './usage.js';

interface How {
  readonly flags: CommonOptions;
  readonly command: Command;
  /** Whether several files were asked for, though it may be one: what is printed says of which. */
  readonly isList: boolean;
  /** What is done to a file: `quantized`. */
  readonly done: string;
}

/**
 * Does the work of one file after the other. One that is no good does not keep the others; the exit status is 1 then.
 *
 * @param work gives what `--json` says of a file
 * @returns what was given for each file, or its error; and how many of them are no good
 */
export async function eachFile(
  jobs: readonly Job[],
  work: (job: Job, index: number) => Promise<object>,
  { flags, command, isList, done }: How,
): Promise<{ readonly results: readonly object[]; readonly failed: number }> {
  const results: object[] = [];
  let failed = 0;
  for (const [i, job] of jobs.entries()) {
    try {
      if (isList) say(flags, `${i === 0 ? '' : '\n'}${colour.bold(printable(job.input))}`);
      results.push(await work(job, i));
    } catch (error) {
      const typed = asTyped(error, command);
      if (!isList || !(typed instanceof BitnibbleError || typed instanceof UsageError)) throw error;
      failed++;
      const { message } = typed;
      process.stderr.write(errorLine(message));
      results.push({
        ...job,
        error: { code: typed instanceof BitnibbleError ? typed.code : 'usage', message },
      });
    }
  }
  json(flags, isList ? { files: results } : results[0]);
  if (failed > 0) {
    process.stderr.write(errorLine(`${failed} of ${jobs.length} files were not ${done}`));
    process.exitCode = 1;
  }
  return { results, failed };
}
