import type { Command } from 'commander';
import { BitnibbleError } from '../errors.js';
import { UsageError } from './options.js';

/** Fields of the library whose option has another name. */
const OPTION_OF: Readonly<Record<string, string>> = { batchSize: 'batch' };

/**
 * An error of the library in the words of the command line: `"groupSize" expected ...` names `--group-size` where that
 * was typed. A recipe has fields of the same names, so where one was given as well both are named.
 */
export function asTyped(error: unknown, command: Command): unknown {
  if (error instanceof BitnibbleError && error.code === 'already-packed') {
    const message = `${error.message}; ${command.name()} takes the Keras file (inspect, evaluate and convert take packed files)`;
    return new BitnibbleError(error.code, message, { cause: error });
  }
  if (!(error instanceof RangeError || error instanceof TypeError)) return error;
  const [, field, rest] = /^"(\w+)" (expected [\s\S]*)$/.exec(error.message) ?? [];
  if (field === undefined || rest === undefined) return error;
  const name = OPTION_OF[field] ?? field;
  const option = command.options.find((own) => own.attributeName() === name);
  if (!option?.long || command.getOptionValueSource(name) !== 'cli') return error;
  const also = command.getOptionValueSource('recipe') === 'cli' ? ` (or "${field}" of the recipe)` : '';
  // Types of scales are typed in lower case.
  const shown = field === 'scaleDtype' ? rest.replace(/"?\bF(16|32)\b"?/g, 'f$1') : rest;
  return new UsageError(`${option.long}${also} ${shown}`, { cause: error });
}
