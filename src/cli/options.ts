import type { Command } from 'commander';
import { codingOf } from '../schemes/quantize.js';
import type { QuantizeOptions } from '../schemes/types.js';
import type { CommonOptions } from './output.js';

/** A command line that makes no sense: exit status 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Adds `--json` and `--quiet`. */
export function common(command: Command): Command {
  return command
    .option('--json', 'one JSON document on stdout, nothing else')
    .option('--quiet', 'no tables, remarks and progress bars');
}

/** A whole number of at least 1. */
export function positive(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new UsageError(`expected a whole number of at least 1, got ${JSON.stringify(text)}`);
  }
  return value;
}

/** A flag that is a whole number from 0 on. @throws UsageError that names it */
export function whole(name: string, text: string, most = Number.MAX_SAFE_INTEGER): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isSafeInteger(value) || value < 0 || value > most) {
    const range = most === Number.MAX_SAFE_INTEGER ? 'of at least 0' : `from 0 to ${most}`;
    throw new UsageError(`--${name} expected a whole number ${range}, got ${text}`);
  }
  return value;
}

export interface CodingFlags {
  readonly scheme?: string;
  readonly granularity?: string;
  readonly groupSize?: number;
  readonly scale?: string;
  readonly scaleDtype?: string;
}

/** The flags of a coding, checked together. @throws UsageError */
export function codingFlags(flags: CodingFlags): QuantizeOptions | undefined {
  if (flags.scheme === undefined) {
    const stray = (['granularity', 'groupSize', 'scale', 'scaleDtype'] as const).find(
      (key) => flags[key] !== undefined,
    );
    if (stray)
      throw new UsageError(`--${stray.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)} needs --scheme`);
    return undefined;
  }
  const options = {
    scheme: flags.scheme,
    granularity: flags.granularity ?? (flags.groupSize === undefined ? undefined : 'group'),
    groupSize: flags.groupSize,
    scale: flags.scale,
    scaleDtype: flags.scaleDtype?.toUpperCase(),
  } as QuantizeOptions;
  try {
    codingOf(options, 1);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  return options;
}

export interface DataFlags extends CommonOptions {
  readonly data: string;
  readonly split: string;
  readonly limit?: number;
  readonly batch: number;
  readonly backend?: string;
  readonly scale?: string;
  readonly mean?: string;
  readonly std?: string;
}

/** Adds the flags of the data and its preprocessing. */
export function dataOptions(command: Command, { split = 'test', limit = 'all' } = {}): Command {
  return command
    .requiredOption(
      '--data <where>',
      'a folder with CIFAR-10 .bin or MNIST-style IDX files, an .npz file with x and y, or cifar10 or mnist to download',
    )
    .option('--split <name>', 'test or train', split)
    .option('--limit <n>', `samples at most (default: ${limit})`, positive)
    .option('--batch <n>', 'samples at a time', positive, 100)
    .option(
      '--scale <factor>',
      'inputs times this (default: 1/255 for 8-bit data, 1 where the model scales by itself)',
    )
    .option('--mean <list>', 'then minus this: one number or one per channel')
    .option('--std <list>', 'then divided by this')
    .option('--backend <name>', 'node or wasm: which TensorFlow.js (default: node where it works)');
}
