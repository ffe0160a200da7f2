import type { JsonObject } from '../../model.js';
import type { Shape, ValueType } from '../types.js';
import type { Attribute } from './attributes.js';

/** What an operation is applied to. */
export interface Application {
  readonly attributes: JsonObject;
  /** Shapes of the inputs, without the axes that TimeDistributed adds; undefined: not known. */
  readonly shapes: readonly (Shape | undefined)[];
  readonly roles: readonly string[];
  /** Of the writer, which adds vectors in a way of its own: `vectorFault`. */
  readonly isKeras3?: boolean;
}

/** A weight of an operation in the order in which Keras stores them. */
export interface WeightRole {
  readonly role: string;
  /** As far as it follows from attributes and inputs; null: not known. */
  readonly shape?: Shape | undefined;
  /** Stored by Keras and of no use outside of training. */
  readonly isUnused?: true;
}

/** One row of the table of operations. */
export interface Operation {
  readonly attributes: Readonly<Record<string, Attribute>>;
  /** Shapes of the outputs; undefined where they do not follow. */
  readonly shape: (given: Application) => readonly Shape[] | undefined;
  /** Why an application cannot be computed, beyond faults of attributes. */
  readonly fault?: (given: Application) => string | undefined;
  /** Its weights, the first of which must be stored. Default: none. `any`: whatever is stored is of no use. */
  readonly weights?: ((given: Application) => readonly WeightRole[]) | 'any';
  /** Type of the outputs. Default: float32. `same`: that of all operands together, as Keras promotes them. */
  readonly dtype?: ValueType | 'same' | ((types: readonly ValueType[], attributes: JsonObject) => ValueType);
  /** Whether `training=True` makes it compute something else. */
  readonly isTrained?: (config: JsonObject) => boolean;
  /** Hands its first input on as it is. */
  readonly isIdentity?: true;
}

/** The table of operations, by name. */
export type Operations = Readonly<Record<string, Operation>>;

/** The type of values taken together, as Keras promotes them: floats before whole numbers before truth values. */
export const joinedType = (types: readonly ValueType[]): ValueType =>
  (['float32', 'int32', 'bool', 'string'] as const).find((type) => types.includes(type)) ?? 'float32';

/** The first input's shape. */
export const sameShape = ({ shapes: [first] }: Application): readonly Shape[] | undefined => first && [first];

export const product = (dims: Shape): number | null =>
  dims.includes(null) ? null : (dims as number[]).reduce((a, b) => a * b, 1);

/** An axis counted from the start. */
export const fromStart = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

/** Shapes aligned at their last axes; 1 gives way to any length. */
export function broadcast(shapes: readonly Shape[]): Shape {
  const rank = Math.max(...shapes.map(({ length }) => length));
  return Array.from({ length: rank }, (_, i) => {
    const all = shapes
      .map((shape) => shape[shape.length - rank + i])
      .filter((n) => n !== undefined && n !== 1);
    return all.length === 0 ? 1 : ((all.find((n) => n !== null) ?? null) as number | null);
  });
}

const shown = (shapes: readonly Shape[]): string =>
  shapes.map((shape) => `[${shape.map((n) => n ?? '?').join(', ')}]`).join(' and ');

/** Why shapes do not go together by {@link broadcast}, as far as they are known. */
export function broadcastFault(given: readonly (Shape | undefined)[]): string | undefined {
  const shapes = given.filter((shape) => shape !== undefined);
  const rank = Math.max(0, ...shapes.map(({ length }) => length));
  const fits = Array.from({ length: rank }, (_, i) => shapes.map((shape) => shape[shape.length - rank + i]));
  const isOne = (all: readonly (number | null | undefined)[]) =>
    new Set(all.filter((n) => typeof n === 'number' && n !== 1)).size <= 1;
  return fits.every(isOne) ? undefined : `inputs of ${shown(shapes)}`;
}

/**
 * Why a vector of `length` along `axis` of `x` is added elsewhere: Keras 3 on TensorFlow squeezes what it adds, and takes a
 * vector for a bias of the last axis where the lengths are equal, else of axis 1 (`add` in its backend's `numpy.py`). Convolutions
 * with channels first are spared in `predict`, which is compiled; a single call of the model adds their bias along the width.
 */
export function vectorFault(
  x: Shape | undefined,
  length: number | null | undefined,
  axis: number,
): string | undefined {
  if (!x || typeof length !== 'number' || length === 1) return undefined;
  const at = x.at(-1) === length ? x.length - 1 : x[1] === length ? 1 : axis;
  return at === axis
    ? undefined
    : `a vector along axis ${axis} of ${shown([x])}, which Keras 3 on TensorFlow adds along axis ${at}, as long`;
}

/** Why shapes cannot be joined along an axis, or along a new one where none is given, as far as they are known. */
export function joinFault(given: readonly (Shape | undefined)[], axis?: number): string | undefined {
  const shapes = given.filter((shape) => shape !== undefined);
  const [first = []] = shapes;
  const at = axis === undefined ? undefined : fromStart(axis, first.length);
  const isLike = (shape: Shape) =>
    shape.length === first.length &&
    shape.every((n, i) => i === at || n === null || first[i] === null || n === first[i]);
  return shapes.every(isLike) ? undefined : `inputs of ${shown(shapes)}`;
}

/** Whether all shapes are known. */
export const areKnown = (shapes: readonly (Shape | undefined)[]): shapes is readonly Shape[] =>
  shapes.length > 0 && shapes.every((shape) => shape !== undefined);

/** A bias of the given length, where the layer has one. */
export const biasOf = (attributes: JsonObject, length: number | null): readonly WeightRole[] =>
  attributes.use_bias === false ? [] : [{ role: 'bias', shape: [length] }];

/** A shape without the axes of TimeDistributed. */
export function withoutSteps(shape: Shape | undefined, steps: number): Shape | undefined {
  if (!shape || steps === 0) return shape;
  return shape.length > steps + 1 ? [shape[0] ?? null, ...shape.slice(steps + 1)] : undefined;
}
