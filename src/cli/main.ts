#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { BitnibbleError } from '../errors.js';
import { addCalibrate } from './calibrate.js';
import { addCompare } from './compare.js';
import { addConvert } from './convert.js';
import { addDemo } from './demo.js';
import { addEvaluate } from './evaluate.js';
import { addInspect } from './inspect.js';
import { UsageError } from './options.js';
import { colour, printable } from './output.js';
import { addQuantize } from './quantize.js';
import { addReport } from './report.js';
import { addSensitivity } from './sensitivity.js';
import { version } from './version.js';

const program = new Command('bitnibble')
  .description('Quantizes trained Keras models to 1 bit or 4 bits per weight and measures what it costs.')
  .version(version)
  .showHelpAfterError('(add --help for the options)')
  .exitOverride();

for (const add of [
  addInspect,
  addQuantize,
  addCalibrate,
  addSensitivity,
  addEvaluate,
  addCompare,
  addReport,
  addConvert,
  addDemo,
])
  add(program);
for (const command of program.commands)
  command.exitOverride().showHelpAfterError('(add --help for the options)');

/** 0 done, 1 bad file or failed work, 2 usage. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  return error instanceof UsageError ? 2 : 1;
}

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) {
    const isExpected =
      error instanceof BitnibbleError || error instanceof UsageError || error instanceof RangeError;
    const message = isExpected ? (error as Error).message : ((error as Error)?.stack ?? String(error));
    const shown = message.slice(0, 2000).split('\n').map(printable).join('\n');
    process.stderr.write(`${colour.red('error:')} ${shown}\n`);
    if (process.argv.includes('--json')) {
      const code =
        error instanceof BitnibbleError ? error.code : error instanceof UsageError ? 'usage' : 'failed';
      process.stdout.write(`${JSON.stringify({ error: { code, message } }, undefined, 2)}\n`);
    }
  }
  process.exitCode = exitCodeOf(error);
}
