import type { JsonObject } from '../../model.js';
import type { IntegerType, Shape, ValueType } from '../types.js';
import { type Application, joinedType, type Operation } from './operation.js';

/**
 * An argument of an operation: a number, a nested list of numbers, or null, which stands for the next input.
 */
export type Operand = null | number | readonly Operand[];

/** How an operation is called: `one` tensor, `two` or `three` tensors or numbers, a `list` of tensors. */
export type Form = 'one' | 'two' | 'three' | 'list';

export interface TensorOperation extends Operation {
  readonly form: Form;
  /** Names of the arguments behind the tensors, where they may be written by place. */
  readonly places?: readonly string[];
}

/** The type of whole numbers by its name; undefined for floats, truth values and texts. */
export const integerType = (name: unknown): IntegerType | undefined =>
  /^u?int(8|16|32|64)$/.test(String(name)) ? (name as IntegerType) : undefined;

/** Number types as values of a network have them: floats of any width are float32, integers int32. */
export function valueType(name: unknown): ValueType {
  const text = String(name ?? 'float32');
  if (/^u?int\d+$/.test(text)) return 'int32';
  return text === 'bool' || text === 'string' ? text : 'float32';
}

export function operandShape(operand: Operand): Shape {
  if (!Array.isArray(operand)) return [];
  return [operand.length, ...(operand.length > 0 ? operandShape(operand[0] as Operand) : [])];
}

/** Shapes of the operands, numbers among them. */
export function operandShapes({ attributes, shapes }: Application): (Shape | undefined)[] {
  let next = 0;
  return (attributes.operands as Operand[]).map((operand) =>
    operand === null ? shapes[next++] : operandShape(operand),
  );
}

/**
 * Why operands do not belong together sample by sample: shapes are aligned at their last axes, so that the batch of a tensor
 * with fewer axes, and the first axis of numbers with as many, lie elsewhere.
 */
export function batchFault(given: Application): string | undefined {
  const ranks = new Set(given.shapes.flatMap((shape) => (shape ? [shape.length] : [])));
  if (ranks.size > 1)
    return `tensors of ${[...ranks].join(' and ')} axes, whose batches Keras aligns with other axes`;
  const [rank] = ranks;
  const numbers = (given.attributes.operands as Operand[]).filter((one) => one !== null).map(operandShape);
  return rank !== undefined &&
    numbers.some((shape) => shape.length > rank || (shape.length === rank && shape[0] !== 1))
    ? 'numbers of their own for each sample of a batch'
    : undefined;
}

/** Types of the operands: whole numbers among them are int32, as in Keras, which does not turn integers into floats for them. */
function operandTypes(operands: readonly Operand[], types: readonly ValueType[]): ValueType[] {
  let next = 0;
  const isWhole = (operand: Operand): boolean =>
    Array.isArray(operand) ? operand.every(isWhole) : Number.isInteger(operand);
  return operands.map((operand) => {
    if (operand === null) return types[next++] ?? 'float32';
    return isWhole(operand) ? 'int32' : 'float32';
  });
}

/** Type of what an operation makes of inputs of some types. */
export function outputType(
  { dtype = 'float32' }: Pick<Operation, 'dtype'>,
  attributes: JsonObject,
  types: readonly ValueType[],
): ValueType {
  if (typeof dtype === 'string' && dtype !== 'same') return dtype;
  const { operands } = attributes;
  const all = Array.isArray(operands) ? operandTypes(operands as Operand[], types) : types;
  return dtype === 'same' ? joinedType(all) : dtype(all, attributes);
}
