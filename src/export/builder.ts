// What the layers ask of a graph: elementary operations, which every format has or makes of its own. Their names are ONNX's.
import type { Dim, ElementType, Shape, Val } from './values.js';

/** Functions of each element. */
export type Unary =
  | 'Abs'
  | 'Acos'
  | 'Acosh'
  | 'Asin'
  | 'Asinh'
  | 'Atan'
  | 'Atanh'
  | 'Ceil'
  | 'Celu'
  | 'Cos'
  | 'Cosh'
  | 'Elu'
  | 'Erf'
  | 'Exp'
  | 'Floor'
  | 'HardSigmoid'
  | 'HardSwish'
  | 'Identity'
  | 'LeakyRelu'
  | 'Log'
  | 'Mish'
  | 'Neg'
  | 'Not'
  | 'Reciprocal'
  | 'Relu'
  | 'Round'
  | 'Selu'
  | 'Shrink'
  | 'Sigmoid'
  | 'Sign'
  | 'Sin'
  | 'Sinh'
  | 'Softplus'
  | 'Softsign'
  | 'Sqrt'
  | 'Tan'
  | 'Tanh';

/** Functions of two values, element by element, the smaller one spread. */
export type Binary =
  | 'Add'
  | 'And'
  | 'Div'
  | 'Equal'
  | 'Greater'
  | 'GreaterOrEqual'
  | 'Less'
  | 'LessOrEqual'
  | 'Max'
  | 'Min'
  | 'Mul'
  | 'Or'
  | 'Pow'
  | 'Sub'
  | 'Xor';

/** Functions of all values along some axes. */
export type Reduction =
  | 'ReduceL1'
  | 'ReduceL2'
  | 'ReduceLogSumExp'
  | 'ReduceMax'
  | 'ReduceMean'
  | 'ReduceMin'
  | 'ReduceProd'
  | 'ReduceSum';

/** A part of an axis: `start:end:step`, ends beyond it being its own, and the length that comes out. */
export interface Part {
  readonly axis: number;
  readonly start: number;
  readonly end: number;
  readonly step?: number;
  readonly length: Dim;
}

/** Numbers that are put before and behind an axis. */
export interface Edge {
  readonly axis: number;
  readonly pair: readonly [before: number, after: number];
}

/** A graph while it is put together: each method adds what is needed and gives the value that comes out. */
export interface Builder {
  /** What names begin with: the path of the Keras layer. */
  scope: string;
  /** A name that is not taken: the wanted one, or that with a number. */
  unique(wanted: string): string;
  /** A value that is given from outside. */
  input(name: string, type: ElementType, shape: Shape): Val;
  /** The same value by another name, for the outside. */
  rename(val: Val, name: string): Val;

  /** Floats that are stored under a name; a list unless a shape is given. */
  floats(name: string, values: Float32Array, shape?: readonly number[]): Val;
  /** A small constant, the same for all who want it; a list unless a shape is given. */
  constant(type: 'float' | 'int32' | 'bool', values: readonly number[], shape?: readonly number[]): Val;
  /** Places or lengths, in the number type that the format has for them. */
  ints(values: readonly number[], shape?: readonly number[]): Val;
  /** A number beside values of a type. */
  scalar(value: number, type?: ElementType): Val;
  /** A number in a shape whose first length is that of a value. */
  filled(like: Val, rest: readonly number[], value?: number): Val;

  /** @param numbers those of the function: `alpha` of Elu, LeakyRelu, ...; `bias` and `lambd` of Shrink */
  unary(op: Unary, x: Val, numbers?: Readonly<Record<string, number>>): Val;
  /** Of the type of `x` unless said otherwise. */
  binary(op: Binary, x: Val, y: Val | number, type?: ElementType): Val;
  /** `min(max(x, low), high)` */
  clip(x: Val, low: number | undefined, high: number | undefined): Val;
  gelu(x: Val, isApproximate: boolean): Val;
  softmax(x: Val, axis: number, isLog?: boolean): Val;
  /** `slope * x` below 0, slopes spread over it. */
  prelu(x: Val, slope: Val): Val;
  cast(x: Val, type: ElementType): Val;
  where(condition: Val, x: Val, y: Val): Val;

  matmul(x: Val, y: Val): Val;
  einsum(equation: string, x: Val, y: Val, shape: Shape): Val;

  reduce(op: Reduction, x: Val, axes: readonly number[], keep: boolean): Val;
  /** The first place of the largest or smallest along an axis. */
  place(op: 'ArgMax' | 'ArgMin', x: Val, axis: number, keep: boolean): Val;

  transpose(x: Val, perm: readonly number[]): Val;
  /** A shape of the same elements; lengths that are not known have to stand where they stood, but for one. */
  reshape(x: Val, shape: Shape): Val;
  /** `[batch, all the rest]` */
  flatten(x: Val): Val;
  unsqueeze(x: Val, axes: readonly number[]): Val;
  squeeze(x: Val, axes: readonly number[]): Val;
  /** Axes of length 1 made longer. */
  repeat(x: Val, times: readonly number[]): Val;
  tile(x: Val, times: readonly number[]): Val;
  concat(xs: readonly Val[], axis: number): Val;
  split(x: Val, lengths: readonly number[], axis: number): Val[];
  slice(x: Val, parts: readonly Part[]): Val;
  /** Places of an axis by their numbers. */
  gather(x: Val, indices: Val, axis: number): Val;
  pad(x: Val, ends: readonly Edge[], value?: number): Val;
}
