// A part of a job that several machines share: a safetensors file whose metadata says of which run it is, and which part of it.
import { BitnibbleError } from '../errors.js';
import { JSON_LIMIT, parseJson } from '../formats/json.js';
import {
  layoutSafetensors,
  type SafetensorsEntry,
  type SafetensorsHeader,
  type SafetensorsLayout,
  type TensorHead,
} from '../formats/safetensors.js';
import { isObject, type Json, type JsonObject } from '../model.js';
import { type PartNumber, partOf, partText } from './part-number.js';

export const PART_FORMAT = 'bitnibble-part';
const PART_VERSION = '1';
/** What every part says of itself. */
export interface PartInfo extends PartNumber {
  /** `quantize`, `compare`, ... */
  readonly command: string;
  /** What the run is made of: version, digests of its input, options. Equal in all parts of a run. */
  readonly run: JsonObject;
  /** The result of this part, as its command needs it. */
  readonly result: Json;
}

/** The tensor of bytes that is the result: JSON in UTF-8, which may end in spaces. */
export const RESULT = 'bitnibble-part.result';

/**
 * Lays out a part.
 *
 * @param tensors what it holds beside its result
 * @param room bytes for the result
 */
export const layoutPart = (
  info: Omit<PartInfo, 'result'>,
  tensors: readonly TensorHead[],
  room: number,
): SafetensorsLayout =>
  layoutSafetensors(
    [...tensors, { name: RESULT, dtype: 'U8', shape: [room] }],
    [
      ['format', PART_FORMAT],
      ['format_version', PART_VERSION],
      ['command', info.command],
      ['part', partText(info)],
      ['run', JSON.stringify(info.run)],
    ],
  );

/**
 * Reads what a part says of itself.
 *
 * @param read gives the bytes of a tensor
 * @param what names the file in errors
 * @throws BitnibbleError `unknown-format`, `unsupported-version`, `corrupt-file`, `too-large`
 */
export function readPart(
  { metadata, tensors }: Pick<SafetensorsHeader, 'metadata' | 'tensors'>,
  read: (entry: SafetensorsEntry) => Uint8Array,
  what: string,
): PartInfo {
  if (metadata.get('format') !== PART_FORMAT) {
    throw new BitnibbleError(
      'unknown-format',
      `${what}: expected a part that --shard wrote, got a safetensors file of another kind`,
    );
  }
  const version = metadata.get('format_version');
  if (version !== PART_VERSION)
    throw new BitnibbleError('unsupported-version', `${what}: expected parts of version 1, got ${version}`);
  const damaged = (fault: string) => new BitnibbleError('corrupt-file', `${what}: damaged part: ${fault}`);
  const text = (key: string): string => {
    const value = metadata.get(key);
    if (value === undefined) throw damaged(`no ${key} in the metadata`);
    return value;
  };
  const command = text('command');
  const number = partOf(text('part'));
  if (!number) throw damaged('its number is none');
  const run = parseJson(text('run'), `${what}: run`);
  if (!isObject(run)) throw damaged('run is not an object');
  const entry = tensors.get(RESULT);
  if (entry?.dtype !== 'U8') throw damaged('it has no result');
  if (entry.end - entry.start > JSON_LIMIT)
    throw new BitnibbleError(
      'too-large',
      `${what}: a result of ${entry.end - entry.start} bytes, expected at most ${JSON_LIMIT}`,
    );
  const result = parseJson(new TextDecoder().decode(read(entry)), `${what}: result`);
  return { command, ...number, run, result };
}

/** A part and the name of its file. */
export interface NamedPart {
  readonly name: string;
  readonly info: PartInfo;
}

/**
 * The parts of one run in their order, each once.
 * @throws BitnibbleError `part-mismatch`, naming the file that is of another run and by what, doubled, or the number missing
 */
export function orderParts<T extends NamedPart>(given: readonly T[]): T[] {
  const [first] = given;
  if (!first) throw new BitnibbleError('part-mismatch', 'expected parts to merge, got none');
  const { parts } = first.info;
  const places = new Map<number, T>();
  for (const own of given) {
    const difference = differenceOf(first.info, own.info);
    if (difference !== undefined) {
      throw new BitnibbleError(
        'part-mismatch',
        `${own.name}: a part of another run than ${first.name}: ${difference}`,
      );
    }
    const twin = places.get(own.info.part);
    if (twin)
      throw new BitnibbleError(
        'part-mismatch',
        `${own.name}: part ${partText(own.info)} again, as ${twin.name}`,
      );
    places.set(own.info.part, own);
  }
  const numbers = Array.from({ length: parts }, (_, i) => i + 1);
  const missing = numbers.filter((number) => !places.has(number));
  if (missing.length > 0) {
    const shown = missing.slice(0, 20).map((part) => partText({ part, parts }));
    const more = missing.length > 20 ? ` and ${missing.length - 20} more` : '';
    throw new BitnibbleError('part-mismatch', `parts are missing: ${shown.join(', ')}${more}`);
  }
  return numbers.map((number) => places.get(number) as T);
}

/** By what two parts are of different runs. */
function differenceOf(a: PartInfo, b: PartInfo): string | undefined {
  const pairs: [string, Json | undefined, Json | undefined][] = [
    ['command', a.command, b.command],
    ['number of parts', a.parts, b.parts],
    ...[...new Set([...Object.keys(a.run), ...Object.keys(b.run)])].map(
      (key): [string, Json | undefined, Json | undefined] => [key, a.run[key], b.run[key]],
    ),
  ];
  for (const [what, x, y] of pairs) {
    const [own, other] = [JSON.stringify(y), JSON.stringify(x)];
    if (own !== other)
      return `its ${what} is ${String(own).slice(0, 200)}, not ${String(other).slice(0, 200)}`;
  }
  return undefined;
}

/**
 * Cuts a list into contiguous stretches of about the same weight, in order: which stretch each element is in, counted from 1.
 * Elements go where their middle lies; a stretch may be empty.
 */
export function stretchesOf(sizes: readonly number[], parts: number): number[] {
  const total = sizes.reduce((sum, size) => sum + size, 0);
  let at = 0;
  return sizes.map((size) => {
    const middle = total === 0 ? 0 : (at + size / 2) / total;
    at += size;
    return Math.min(parts, Math.floor(middle * parts) + 1);
  });
}

/**
 * Deals work out to parts so that they take about as long as each other: the longest first, each to the part that has least by
 * then (Graham, Bounds on multiprocessing timing anomalies, 1969). Which part each piece is in, counted from 1; the same on
 * every machine.
 */
export function dealtOut(costs: readonly number[], parts: number): number[] {
  const loads = new Float64Array(parts);
  const dealt = costs.map(() => 1);
  const order = costs.map((_, i) => i).sort((a, b) => (costs[b] as number) - (costs[a] as number) || a - b);
  for (const i of order) {
    let least = 0;
    for (let part = 1; part < parts; part++)
      if ((loads[part] as number) < (loads[least] as number)) least = part;
    loads[least] = (loads[least] as number) + (costs[i] as number);
    dealt[i] = least + 1;
  }
  return dealt;
}
