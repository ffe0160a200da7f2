import type { Shape, ValueType } from '../types.js';
import type { Application, Operation } from './operation.js';

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

export const DTYPES: Readonly<Record<string, ValueType>> = { bool: 'bool' };

/** Number types as values of a network have them: floats of any width are float32, integers int32. */
export function valueType(name: unknown): ValueType {
  const text = String(name ?? 'float32');
  if (/^u?int\d+$/.test(text)) return 'int32';
  return DTYPES[text] ?? (text === 'string' ? 'string' : 'float32');
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
