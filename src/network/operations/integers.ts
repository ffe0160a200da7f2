// Whole numbers by the width that Keras holds them in: what operations make of them, and which results wrap there.
// Seen in runs of Keras 3.15.1 and tf_keras 2.21 on TensorFlow 2.21.
import type { JsonObject } from '../../model.js';
import type { IntegerType, NetworkNode, Value } from '../types.js';
import type { Operation } from './operation.js';
import { integerType, type Operand } from './tensor-operation.js';

/** Smallest and largest number of a type. */
function limitsOf(type: IntegerType): readonly [low: number, high: number] {
  const bits = Number(type.replace(/\D/g, ''));
  return type.startsWith('u') ? [0, 2 ** bits - 1] : [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
}

/** What an operand holds: whole numbers of a type, truth values, or floats. */
type Held = IntegerType | 'bool' | 'float';

const heldBy = ({ integer, dtype }: Value): Held => integer ?? (dtype === 'bool' ? 'bool' : 'float');

/** The type of values taken together, as Keras 3 promotes them. */
function joinedHeld(all: readonly Held[]): Held {
  if (all.includes('float')) return 'float';
  const types = all.filter((type): type is IntegerType => type !== 'bool');
  const most = (prefix: string) =>
    Math.max(
      0,
      ...types.filter((type) => type.startsWith(prefix)).map((type) => Number(type.slice(prefix.length))),
    );
  const [signed, unsigned] = [most('int'), most('uint')];
  if (signed === 0) return unsigned === 0 ? 'bool' : (`uint${unsigned}` as IntegerType);
  if (signed > unsigned) return `int${signed}` as IntegerType;
  return unsigned === 64 ? 'float' : (`int${2 * unsigned}` as IntegerType);
}

/** Every number of the one is a number of the other; int64 is taken for what fits 32 bits. */
function fits(from: Held, to: IntegerType): boolean {
  if (from === 'bool') return true;
  const [low, high] = limitsOf(to);
  if (from === 'float' || from === 'int64') return low <= -(2 ** 31) && high >= 2 ** 31 - 1;
  const [least, most] = limitsOf(from);
  return least >= low && (most <= high || high >= 2 ** 31 - 1);
}

/** Sums, differences and products of elements. */
const ARITHMETIC =
  /^(Add|Subtract|Multiply|Average|ops\.(Add|Subtract|Multiply|Negative|Abs|Absolute|Square|SquaredDifference|FloorDivide|Mod))$/;
/** Of these none leaves a type without negative numbers. */
const WITHIN = /^ops\.(Abs|Absolute|FloorDivide|Mod)$/;
/** Sums of products and powers, which nobody here computes in whole numbers. */
const PRODUCTS = /^(Dot|ops\.(Matmul|Einsum|Power|Prod))$/;
/** Layers whose results Keras 3 makes whole numbers again. */
const ROUNDED = /^(LayerNormalization|RMSNormalization|GroupNormalization)$/;
/** Means that TensorFlow takes in whole numbers beneath Keras 2. */
const MEANS = /^(GlobalAveragePooling[123]D|ops\.Mean)$/;
/** Random layers, which make floats even where they do nothing. */
const RANDOM = /^(Random\w+|AugMix|CutMix|MixUp|Solarization|MaxNumBoundingBoxes)$/;
/** Operations that hand whole numbers on, beside those with the type of their operands. */
const KEEPING =
  /^(Maximum|Minimum|ReLU|Masking|ThresholdedReLU|GlobalMaxPooling[123]D|ops\.(Relu|Relu6|ReLU|Threshold|ZerosLike|OnesLike))$/;
const KEEPING_ACTIVATIONS = /^(linear|relu|relu6)$/;
/** Attributes that are among the results. */
const RESULTS = ['x_min', 'x_max', 'constant_values', 'default_value', 'max_value'] as const;

/** Whole numbers from here on are not all among those of float32, in which networks are computed. */
export const LARGEST_WHOLE = 2 ** 24;

/** Operations whose results may be larger than their operands. */
export const mayGrow = (operation: string): boolean =>
  ARITHMETIC.test(operation) || operation === 'ops.Sum' || operation === 'ops.Cast';

const isWide = (value: Value | undefined): boolean => /(32|64)$/.test(value?.integer ?? '');

/** Whether a node computes with whole numbers, or compares them, that may reach {@link LARGEST_WHOLE}. */
export function countsWhole({ operation, inputs, outputs }: NetworkNode, values: readonly Value[]): boolean {
  const given = inputs.map((at) => values[at]);
  const made = values[outputs[0] as number];
  const isMean = operation === 'Average' && given.every((value) => value?.integer ?? value?.dtype === 'bool');
  const isCounting = made?.integer
    ? mayGrow(operation)
    : isMean || (made?.dtype === 'bool' && operation.startsWith('ops.'));
  return isCounting && [...given, made].some(isWide);
}

/** Numbers among the operands. */
export const numbersIn = (operands: unknown): number[] =>
  Array.isArray(operands)
    ? (operands as Operand[]).flatMap(numbersIn)
    : typeof operands === 'number'
      ? [operands]
      : [];

/** What an operation makes of whole numbers: their type, undefined for anything else; `fault` says why it cannot be computed. */
export interface IntegerResult {
  readonly type?: IntegerType;
  readonly fault?: string;
}

const wraps = (what: string, type: IntegerType): IntegerResult => ({
  type,
  fault: `${what} of type ${type}, which wrap at its limits: cast to float32 or int32 before`,
});

/** Whether results of this type wrap where int32 does not. */
const isNarrow = (type: IntegerType): boolean => !/^int(32|64)$/.test(type);

/**
 * The type of the whole numbers that an operation makes.
 *
 * @param inputs that are no masks
 */
export function integerResult(
  operation: string,
  row: Operation | undefined,
  attributes: JsonObject,
  inputs: readonly Value[],
  isKeras3: boolean,
): IntegerResult {
  const { operands, dtype } = attributes;
  const numbers = numbersIn(operands);
  const own =
    operation === 'ops.Where' && Array.isArray(operands) && operands[0] === null ? inputs.slice(1) : inputs;
  const held = joinedHeld([
    ...own.map(heldBy),
    ...(numbers.every(Number.isInteger) ? [] : ['float' as const]),
  ]);
  // Whole numbers among the operands have the type of the tensors.
  const joined = held === 'bool' && numbers.length > 0 ? 'int32' : held;
  const named = integerType(dtype);
  if (operation === 'ops.Cast') {
    if (!named) return {};
    return fits(held, named)
      ? { type: named }
      : { type: named, fault: `a cast of ${held} to ${named}, which wraps at its limits` };
  }
  if (/^ops\.(Zeros|Ones)Like$/.test(operation) && typeof dtype === 'string')
    return named ? { type: named } : {};
  if (/^ops\.Arg(max|min)$/.test(operation)) return { type: 'int32' };
  if (joined === 'float') return {};
  if (operation === 'ops.Sum' || operation === 'ops.Prod') {
    if (held === 'bool') return { type: 'int32' };
    if (operation === 'ops.Prod') return wraps('a product of values', joined as IntegerType);
    const type = joined as IntegerType;
    if (isKeras3) return { type: type.replace(/(8|16)$/, '32') as IntegerType };
    return /(8|16)$/.test(type) ? wraps('a sum of values', type) : { type };
  }
  if (joined === 'bool') return {};
  if (PRODUCTS.test(operation)) return wraps('sums of products or powers of values', joined);
  if (ARITHMETIC.test(operation) && !(joined.startsWith('u') && WITHIN.test(operation))) {
    if (isNarrow(joined)) return wraps('arithmetic on values', joined);
    return operation === 'Average' ? {} : { type: joined };
  }
  if (!isKeras3 && MEANS.test(operation))
    return { fault: 'a mean of whole numbers, which TensorFlow rounds' };
  const isBilinear = /^UpSampling/.test(operation) && attributes.interpolation === 'bilinear';
  if (isKeras3 && (isBilinear || ROUNDED.test(operation)))
    return { fault: `values of type ${joined}, of which Keras makes whole numbers again` };
  const slope = attributes.negative_slope;
  const isKept =
    (row?.dtype === 'same' || operation === 'ops.Where' || KEEPING.test(operation)) &&
    !RANDOM.test(operation) &&
    !(typeof slope === 'number' && slope !== 0);
  const isActivation = operation === 'Activation' && KEEPING_ACTIVATIONS.test(String(attributes.activation));
  if (!isKept && !isActivation) return {};
  const [low, high] = limitsOf(joined);
  const odd = [...numbers, ...RESULTS.map((key) => attributes[key])].find(
    (n) => typeof n === 'number' && !(Number.isInteger(n) && n >= low && n <= high),
  );
  return odd === undefined
    ? { type: joined }
    : { type: joined, fault: `${String(odd)} beside values of type ${joined}` };
}
