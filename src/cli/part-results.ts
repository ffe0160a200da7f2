import { BitnibbleError } from '../errors.js';
import type { OpenPart } from '../node/parts.js';
import type { CommonOptions } from './output.js';

/** What `merge` takes. */
export interface MergeFlags extends CommonOptions {
  readonly output: string;
  /** Of `quantize`. */
  readonly shardSize?: number;
  /** Of `sensitivity`: the budget that a recipe is chosen for. */
  readonly bits?: number;
}

/** What a value of a part has to be: a test of it, a list of such values, or an object with such fields. */
export type Shape = ((value: unknown) => boolean) | readonly [Shape] | { readonly [field: string]: Shape };

export const isText = (value: unknown): boolean => typeof value === 'string';
export const isNumber = (value: unknown): boolean => typeof value === 'number';
export const isTruth = (value: unknown): boolean => typeof value === 'boolean';
export const isRecord = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
export const areTexts = (value: unknown): boolean =>
  isRecord(value) && Object.values(value as object).every(isText);
export const isAny = (): boolean => true;
/** A value that may be missing. */
export const maybe =
  (shape: Shape): Shape =>
  (value) =>
    value === undefined || faultIn(value, shape, '') === undefined;
/** A number, or null for what JSON cannot hold. */
export const isMeasure = (value: unknown): boolean => value === null || isNumber(value);
/** Which of several: from 0 on. */
export const isIndex = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

/** The first field that is not as it has to be. */
function faultIn(value: unknown, shape: Shape, where: string): string | undefined {
  if (typeof shape === 'function') return shape(value) ? undefined : where;
  if (isList(shape)) {
    if (!Array.isArray(value)) return where;
    for (const [i, item] of value.entries()) {
      const fault = faultIn(item, shape[0], `${where}[${i}]`);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return where;
  for (const [field, own] of Object.entries(shape)) {
    const inside = Object.hasOwn(value, field) ? (value as Record<string, unknown>)[field] : undefined;
    const fault = faultIn(inside, own, where === '' ? field : `${where}.${field}`);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

const isList = (shape: Shape): shape is readonly [Shape] => Array.isArray(shape);

/**
 * The result of a part, whose fields are those that its command writes.
 * @throws BitnibbleError `corrupt-file`, naming the part and the field
 */
export function resultOf<T>({ name, info }: OpenPart, shape: Shape): T {
  const fault = faultIn(info.result, shape, '');
  if (fault === undefined) return info.result as unknown as T;
  throw new BitnibbleError(
    'corrupt-file',
    `${name}: damaged part: its ${fault === '' ? 'result' : fault} is none of ${info.command}`,
  );
}
