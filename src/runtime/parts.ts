import type { Program } from './program.js';
import type { RunParts, Share, SharedFields } from './sharing.js';

export type { Part, SharedFields } from './sharing.js';

/** Multiply-adds that are worth a second thread. */
const LEAST_MACS = 50_000;

/** In how many parts a layer is computed. @param most rows or panels that it has */
export const partsOf = (threads: number, macs: number, most: number): number =>
  Math.max(1, Math.min(threads, most, Math.floor(macs / LEAST_MACS)));

/** Where part `i` of `parts` begins, of n things. */
export const startOf = (n: number, parts: number, i: number): number => Math.floor((n * i) / parts);

/** Shares of a record: all of it where one thread runs the program. */
export const shareRecord = (program: Program, macs: number, fields: SharedFields): readonly Share[] =>
  program.sharing?.splitRecord(program.threads, macs, fields) ?? [{ fields, x: 0, out: 0 }];

/** On threads where there are several. */
export const runParts: RunParts<[program: Program]> = (
  program,
  kernel,
  parts,
  x,
  out,
  factor,
  isPositive,
  own,
) => {
  const { kernels, crew, sharing } = program;
  if (parts.length > 1 && crew && sharing) {
    sharing.runTogether(program, crew, kernel, parts, x, out, factor, isPositive, own);
    return;
  }
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] as (typeof parts)[number];
    const [from, to] = [x + part.x, out + part.out];
    if (kernel === 'convolve') kernels.convolve(part.record, from, to, factor, own);
    else if (kernel === 'convolveWinograd')
      kernels.convolveWinograd(part.record, from, to, factor, isPositive, own);
    else kernels[kernel](part.record, from, to, own);
  }
};
