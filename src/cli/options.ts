import type { Command } from 'commander';
import { parsePreprocess } from '../data/preprocess.js';
import { type PartNumber, partOf } from '../packed/part-number.js';
import type { QuantizeOptions } from '../schemes/types.js';
import type { CommonOptions } from './output.js';
import type { ScaleFlags } from './scaling.js';
import { UsageError } from './usage.js';

export { UsageError };

type Parser<T> = (text: string) => T;

/** A whole number from 0 on. @throws UsageError that names the option */
export function whole(option: string, most = Number.MAX_SAFE_INTEGER, least = 0): Parser<number> {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isSafeInteger(value) || value < least || value > most) {
      const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
      throw new UsageError(`${option} expected a whole number ${range}, got ${text}`);
    }
    return value;
  };
}

/** A whole number of at least 1. */
export const positive = (option: string): Parser<number> => whole(option, undefined, 1);

/** Which part of how many, counted from 1: `2/4`. */
export function partOption(option: string): Parser<PartNumber> {
  return (text) => {
    const number = partOf(text);
    if (!number)
      throw new UsageError(`${option} expected a part and their number, as 2/4, counted from 1, got ${text}`);
    return number;
  };
}

const UNITS = { KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };

/** A number of bytes, plain or with a unit: `500MB`, `2GiB`. */
export function byteSize(option: string): Parser<number> {
  return (text) => {
    const [, digits = '', unit = ''] = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(text.trim()) ?? [];
    const found = Object.entries(UNITS).find(([name]) => name.toLowerCase() === unit.toLowerCase());
    const value = Math.floor(Number(digits) * (unit === '' ? 1 : (found?.[1] ?? Number.NaN)));
    if (digits === '' || !Number.isSafeInteger(value) || value < 1)
      throw new UsageError(`${option} expected bytes of at least 1, as 2GB or 500MiB, got ${text}`);
    return value;
  };
}

/** A number from 0 to `most`. */
export function upTo(option: string, most: number): Parser<number> {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !(value >= 0 && value <= most))
      throw new UsageError(`${option} expected a number from 0 to ${most}, got ${text}`);
    return value;
  };
}

/** `a`, `a or b`, `a, b or c`. */
const oneOf = (names: readonly string[]) => names.join(', ').replace(/, ([^,]+)$/, ' or $1');

/** One of several names. */
export function choice<T extends string>(option: string, names: readonly T[]): Parser<T> {
  return (text) => {
    const found = names.find((name) => name === text);
    if (found === undefined) throw new UsageError(`${option} expected ${oneOf(names)}, got ${text}`);
    return found;
  };
}

/** Some of several names with commas between them, in the order of `names`. */
export function some<T extends string>(option: string, names: readonly T[], none?: string): Parser<T[]> {
  return (text) => {
    if (text === none) return [];
    const given = text.split(',').map((name) => name.trim());
    const wrong = given.find((name) => !names.some((own) => own === name));
    if (wrong !== undefined) {
      const wanted = `${none === undefined ? '' : `${none} or `}some of ${names.join(', ')}`;
      throw new UsageError(`${option} expected ${wanted}, got ${wrong}`);
    }
    return names.filter((name) => given.includes(name));
  };
}

/** A file name with one of several endings. */
export function ending(option: string, pattern: RegExp, wanted: string): Parser<string> {
  return (text) => {
    if (!pattern.test(text))
      throw new UsageError(`${option} expected a name ending in ${wanted}, got ${text}`);
    return text;
  };
}

/** A number or list that the data's reader takes; kept as it was typed. */
function preprocessing(part: 'scale' | 'mean' | 'std'): Parser<string> {
  return (text) => {
    // Factors of several inputs: image=1/255,age=1.
    const isNamed = part === 'scale' && text.includes('=');
    const parts = isNamed ? text.split(',').map((pair) => pair.slice(pair.lastIndexOf('=') + 1)) : [text];
    try {
      for (const own of parts) parsePreprocess({ [part]: own });
    } catch (error) {
      throw new UsageError((error as Error).message.replace(/^"(--\w+)"/, '$1'));
    }
    return text;
  };
}

/** Adds what every command takes. */
export function common(command: Command): Command {
  return command
    .option('--json', 'one JSON document on stdout, nothing else')
    .option('--quiet', 'no tables, remarks and progress bars')
    .option('-v, --verbose', 'on stderr, each step with its time, and where an error comes from');
}

export const SCHEMES = ['binary', 'int2', 'int4'] as const;
export const GRANULARITIES = ['tensor', 'channel', 'group'] as const;
export const SCALES = ['none', 'mean', 'absmax', 'lsq', 'hqq'] as const;

/** Adds how weights are coded, but for the rule of scales. */
export function codingOptions(command: Command): Command {
  return command
    .option('--scheme <name>', 'binary, int2 or int4', choice('--scheme', SCHEMES))
    .option(
      '--granularity <name>',
      'one scale per tensor, channel or group (default: channel)',
      choice('--granularity', GRANULARITIES),
    )
    .option('--group-size <n>', 'rows that share a scale, with --granularity group', positive('--group-size'))
    .option(
      '--scale-dtype <type>',
      'f32 or f16: how scales are stored (default: f32)',
      choice('--scale-dtype', ['f32', 'f16']),
    )
    .option('--recipe <file>', 'JSON rules that choose a scheme by layer, class or weight');
}

export interface CodingFlags {
  readonly scheme?: (typeof SCHEMES)[number];
  readonly granularity?: (typeof GRANULARITIES)[number];
  readonly groupSize?: number;
  readonly scale?: (typeof SCALES)[number];
  readonly scaleDtype?: 'f32' | 'f16';
}

/** Rules for scales that each scheme knows, the default first. */
const SCALES_OF: Readonly<Record<(typeof SCHEMES)[number], readonly string[]>> = {
  binary: ['mean', 'none', 'lsq', 'hqq'],
  int2: ['lsq', 'absmax', 'hqq'],
  int4: ['absmax', 'lsq', 'hqq'],
};

/** The flags of a coding, checked together. @throws UsageError */
export function codingFlags(flags: CodingFlags): QuantizeOptions | undefined {
  const { scheme, granularity, groupSize, scale, scaleDtype } = flags;
  if (scheme === undefined) {
    const options = {
      '--granularity': granularity,
      '--group-size': groupSize,
      '--scale': scale,
      '--scale-dtype': scaleDtype,
    };
    const stray = Object.entries(options).find(([, value]) => value !== undefined);
    if (stray) throw new UsageError(`${stray[0]} needs --scheme`);
    return undefined;
  }
  if (groupSize !== undefined && granularity !== undefined && granularity !== 'group')
    throw new UsageError(`--group-size needs --granularity group, got ${granularity}`);
  if (granularity === 'group' && groupSize === undefined)
    throw new UsageError('--granularity group needs --group-size');
  if (scale !== undefined && !SCALES_OF[scheme].includes(scale))
    throw new UsageError(`--scale expected ${oneOf(SCALES_OF[scheme])} for --scheme ${scheme}, got ${scale}`);
  const resolved = granularity ?? (groupSize === undefined ? undefined : ('group' as const));
  return {
    scheme,
    ...(resolved ? { granularity: resolved } : {}),
    ...(groupSize === undefined ? {} : { groupSize }),
    ...(scale ? { scale } : {}),
    ...(scaleDtype ? { scaleDtype: scaleDtype === 'f16' ? 'F16' : 'F32' } : {}),
  };
}

/** What computes the outputs of networks; the first two are TensorFlow.js, which also gives the values between layers. */
const BACKENDS = ['node', 'wasm', 'bitnibble'] as const;
const TENSORFLOW = ['node', 'wasm'] as const;

export interface DataFlags extends CommonOptions, ScaleFlags {
  readonly data: readonly string[];
  readonly split: 'test' | 'train';
  readonly limit?: number;
  readonly batch: number;
  readonly backend?: (typeof BACKENDS)[number];
}

/** What computes. @param needsTensorFlow the command looks between layers, which the runtime does not show */
export function backendOption(command: Command, needsTensorFlow = false): Command {
  if (needsTensorFlow) {
    const about = 'node or wasm: which TensorFlow.js (default: node where it works)';
    return command.option('--backend <name>', about, choice('--backend', TENSORFLOW));
  }
  const about =
    'node or wasm: which TensorFlow.js; bitnibble: the runtime of this package (default: node where it works, else bitnibble where that can run the model, else wasm)';
  return command.option('--backend <name>', about, choice('--backend', BACKENDS));
}

/** Adds the flags of what becomes of inputs. */
export function scaleOptions(command: Command): Command {
  return command
    .option(
      '--scale <factor>',
      'inputs times this; of several inputs NAME=FACTOR,... (default: for 8-bit data 1/255, or 1 where the layers at the input expect 0 to 255 or indices)',
      preprocessing('scale'),
    )
    .option('--mean <list>', 'then minus this: one number or one per channel', preprocessing('mean'))
    .option('--std <list>', 'then divided by this', preprocessing('std'));
}

/** Adds the flags of the data and its preprocessing. */
export function dataOptions(
  command: Command,
  { split = 'test', limit = 'all', needsTensorFlow = false } = {},
): Command {
  const data = scaleOptions(
    command
      .requiredOption(
        '--data <where...>',
        'a folder of PNG or JPEG images, CIFAR-10 .bin or IDX files; an .npz, .npy, .safetensors or .csv file; a file for each input; or cifar10 or mnist to download (docs/DATA.md)',
      )
      .option('--split <name>', 'test or train', choice('--split', ['test', 'train']), split)
      .option('--limit <n>', `samples at most (default: ${limit})`, positive('--limit'))
      .option('--batch <n>', 'samples at a time', positive('--batch'), 100),
  );
  return backendOption(data, needsTensorFlow);
}
