import { isObject, type Json, type JsonObject } from '../../model.js';
import type { Form, Operand } from './tensor-operation.js';
import { TENSOR_TABLE } from './tensors.js';

const COUNTS: Readonly<Record<Form, number>> = { one: 1, two: 2, three: 3, list: 1 };

/** A tensor's place in the arguments, as `notation.ts` writes it. */
const isTensor = (value: Json | undefined): boolean => isObject(value) && typeof value.tensor === 'number';

function operandOf(value: Json): Operand | undefined {
  if (isTensor(value)) return null;
  if (typeof value === 'number') return value;
  if (typeof value === 'boolean') return value ? 1 : 0;
  const list =
    isObject(value) && isObject(value.config) && /^__(numpy|tensor)__$/.test(String(value.class_name))
      ? value.config.value
      : value;
  if (typeof list === 'number') return list;
  if (!Array.isArray(list) || list.some((item) => !isNumbers(item))) return undefined;
  return list as Operand[];
}

const isNumbers = (value: Json): boolean =>
  typeof value === 'number' || (Array.isArray(value) && value.every(isNumbers));

/**
 * The configuration of an operation on tensors with its arguments in it: `operands`, and what is written by place or by
 * name, by name.
 *
 * @returns why not, as text
 */
export function operationConfig(
  name: string,
  config: JsonObject,
  args: readonly Json[],
  kwargs: JsonObject,
): JsonObject | string {
  const operation = Object.hasOwn(TENSOR_TABLE, name) ? TENSOR_TABLE[name] : undefined;
  if (!operation) return 'an operation that is not known';
  const { name: _, ...own } = config;
  const count = COUNTS[operation.form];
  // `concatenate([a, b])`, `einsum('...', a, b)`.
  const tensors =
    operation.form === 'list' ? (Array.isArray(args[0]) ? args[0] : args) : args.slice(0, count);
  const behind = operation.form === 'list' && !Array.isArray(args[0]) ? [] : args.slice(count);
  const operands = tensors.map(operandOf);
  if (
    operands.includes(undefined) ||
    operands.every((operand) => operand !== null) ||
    (operation.form !== 'list' && operands.length !== count)
  )
    return 'arguments other than tensors and numbers';
  const places = operation.places ?? [];
  if (behind.length > places.length) return 'more arguments than it takes';
  const placed = Object.fromEntries(behind.map((value, i) => [places[i] as string, value]));
  const merged = { ...own, ...placed, ...kwargs, operands: operands as unknown as Json };
  const isElsewhere = Object.values({ ...placed, ...kwargs }).some((value) =>
    JSON.stringify(value).includes('{"tensor":'),
  );
  return isElsewhere ? 'a tensor where a number is expected' : merged;
}
