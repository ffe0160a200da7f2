import type { Json, JsonObject } from '../../model.js';
import type { Shape } from '../types.js';
import { type Attribute, anything, axes, Fault, int, ints, number, optional, text } from './attributes.js';
import {
  type Application,
  areKnown,
  fromStart,
  joinedType,
  joinFault,
  type Operation,
  product,
} from './operation.js';
import { concatenated } from './plain-layers.js';
import { reshaped, reshapeFault } from './reshape.js';
import { type Place, place, placesOf, sliced } from './slices.js';
import { type TensorOperation, valueType } from './tensor-operation.js';

const getItem: TensorOperation = {
  form: 'one',
  places: ['key'],
  attributes: {
    key: (value) => {
      const list = Array.isArray(value) ? value : value === undefined ? undefined : [value];
      const items = list?.map(place);
      const isPlain =
        items?.every((item) => item !== undefined) && items.filter((item) => item === '...').length < 2;
      return isPlain ? (items as Json[]) : new Fault('numbers, slices, new axes and ...');
    },
  },
  dtype: 'same',
  shape: ({ attributes, shapes: [x] }) => {
    if (!x) return undefined;
    let axis = 0;
    return [
      placesOf(attributes.key as unknown as Place[], x.length).flatMap((item): (number | null)[] => {
        if (item === null) return [1];
        const n = x[axis++] ?? null;
        return typeof item === 'number' ? [] : [sliced(n, item)];
      }),
    ];
  },
  fault: ({ attributes, shapes: [x] }) => {
    if (!x) return undefined;
    const places = placesOf(attributes.key as unknown as Place[], x.length);
    if (places.filter((item) => item !== null).length > x.length) return 'more places than axes';
    const first = places.find((item) => item !== null);
    const isWhole =
      typeof first === 'object' &&
      first !== null &&
      first.start === null &&
      first.stop === null &&
      (first.step ?? 1) === 1;
    if (!isWhole || places[0] === null) return 'a part of the batch';
    let axis = 0;
    for (const item of places) {
      if (item === null) continue;
      const n = x[axis++] ?? null;
      if (typeof item === 'number' && n !== null && (item >= n || item < -n)) return `place ${item} of ${n}`;
    }
    return undefined;
  },
};

const shapeTarget: Attribute = (value) => {
  const list = Array.isArray(value) ? value.map((n) => (n === null ? -1 : n)) : value;
  return ints('a shape of numbers')(list as Json, { isKeras3: true });
};

const axisOrNone: Attribute = optional(int(0));

const isType = (dtype: unknown) => /^(bool|(u?int|float)(8|16|32|64)|bfloat16)$/.test(String(dtype));

const cast: TensorOperation = {
  form: 'one',
  attributes: { dtype: text },
  dtype: (_, { dtype }) => valueType(dtype),
  shape: ({ shapes: [x] }) => x && [x],
  fault: ({ attributes: { dtype } }) => (isType(dtype) ? undefined : `dtype: ${String(dtype)}`),
};

/** One number wherever a tensor has one; of the tensor's type, unless another is named. */
const filled: TensorOperation = {
  ...cast,
  attributes: { dtype: optional(text) },
  dtype: (types, { dtype }) => (typeof dtype === 'string' ? valueType(dtype) : joinedType(types)),
  fault: ({ attributes: { dtype } }) =>
    dtype === null || isType(dtype) ? undefined : `dtype: ${String(dtype)}`,
};

const moved = (
  order: (rank: number, attributes: JsonObject) => readonly number[],
  attributes: Operation['attributes'],
  places?: readonly string[],
): TensorOperation => ({
  form: 'one',
  attributes,
  ...(places ? { places } : {}),
  dtype: 'same',
  shape: ({ attributes: a, shapes: [x] }) => x && [order(x.length, a).map((from) => x[from] ?? null)],
  fault: ({ attributes: a, shapes: [x] }) =>
    x && order(x.length, a)[0] !== 0 ? 'the batch to another place' : undefined,
});

function swapped(rank: number, { axis1, axis2 }: JsonObject): number[] {
  const order = Array.from({ length: rank }, (_, i) => i);
  const [a, b] = [fromStart(Number(axis1), rank), fromStart(Number(axis2), rank)];
  order[a] = b;
  order[b] = a;
  return order;
}

/** Length of the parts of a split: a number of parts, or a list of lengths (TensorFlow) or of cuts (NumPy). */
function parts(n: number | null, { sizes, indices_or_sections: cuts }: JsonObject): (number | null)[] {
  const given = sizes ?? cuts;
  if (typeof given === 'number') return Array<number | null>(given).fill(n === null ? null : n / given);
  const list = (given ?? []) as number[];
  if (sizes !== undefined && sizes !== null) return list;
  return [...list, n].map((to, i) => (to === null ? null : to - (i === 0 ? 0 : (list[i - 1] as number))));
}

const split: TensorOperation = {
  form: 'one',
  places: ['indices_or_sections'],
  attributes: { sizes: anything, indices_or_sections: anything, axis: int(0) },
  dtype: 'same',
  shape: ({ attributes: a, shapes: [x] }) => {
    if (!x) return undefined;
    const at = fromStart(Number(a.axis), x.length);
    return parts(x[at] ?? null, a).map((n) => x.map((own, i) => (i === at ? n : own)));
  },
  fault: ({ attributes: a, shapes: [x] }) => {
    const given = a.sizes ?? a.indices_or_sections;
    const isNumber = typeof given === 'number' && Number.isSafeInteger(given) && given > 0 && given <= 4096;
    const isList =
      Array.isArray(given) &&
      given.length < 4096 &&
      given.every((n) => Number.isSafeInteger(n) && Number(n) >= 0);
    if (!isNumber && !isList) return 'parts that are no numbers';
    if (!x) return undefined;
    const at = fromStart(Number(a.axis), x.length);
    if (at === 0) return 'a part of the batch';
    const lengths = parts(x[at] ?? null, a);
    return lengths.some((n) => n !== null && (!Number.isInteger(n) || n < 0))
      ? `parts of [${lengths}]`
      : undefined;
  },
};

const withPairs = ({ attributes, shapes: [x] }: Application): readonly Shape[] | undefined => {
  const pads = attributes.pad_width as number[][];
  return x && [x.map((n, i) => (n === null ? null : n + (pads[i]?.[0] ?? 0) + (pads[i]?.[1] ?? 0)))];
};

/** Operations that move and copy what is there. */
export const TENSOR_SHAPES: Readonly<Record<string, TensorOperation>> = {
  Concatenate: {
    form: 'list',
    attributes: { axis: int(0) },
    dtype: 'same',
    shape: ({ attributes: a, shapes }) =>
      areKnown(shapes) ? [concatenated(shapes, Number(a.axis))] : undefined,
    fault: ({ attributes: a, shapes }) => joinFault(shapes, Number(a.axis)),
  },
  Stack: {
    form: 'list',
    attributes: { axis: int(0) },
    dtype: 'same',
    shape: ({ attributes: a, shapes }) => {
      if (!areKnown(shapes)) return undefined;
      const [x] = shapes as [Shape];
      const at = fromStart(Number(a.axis), x.length + 1);
      return [[...x.slice(0, at), shapes.length, ...x.slice(at)]];
    },
    fault: ({ attributes: a, shapes }) => (a.axis === 0 ? 'a new axis before the batch' : joinFault(shapes)),
  },
  ExpandDims: {
    form: 'one',
    attributes: { axis: axes(-1) },
    dtype: 'same',
    shape: ({ attributes: a, shapes: [x] }) => {
      if (!x) return undefined;
      const given = a.axis as number[];
      const rank = x.length + given.length;
      const at = given.map((one) => fromStart(one, rank));
      let next = 0;
      return [Array.from({ length: rank }, (_, i) => (at.includes(i) ? 1 : (x[next++] ?? null)))];
    },
    fault: ({ attributes: a, shapes: [x] }) =>
      (a.axis as number[]).some((one) => one === 0 || (x && one === -x.length - 1))
        ? 'a new axis before the batch'
        : undefined,
  },
  Squeeze: {
    form: 'one',
    attributes: { axis: axes(null) },
    dtype: 'same',
    shape: ({ attributes: a, shapes: [x] }) => {
      if (!x) return undefined;
      const given = a.axis as number[] | null;
      const at = given
        ? given.map((one) => fromStart(one, x.length))
        : x.flatMap((n, i) => (n === 1 ? [i] : []));
      return [x.filter((_, i) => !at.includes(i))];
    },
    fault: ({ attributes: a, shapes: [x] }) => {
      const wrong = (a.axis as number[] | null)?.find((one) => (x?.[fromStart(one, x.length)] ?? 1) !== 1);
      return wrong === undefined
        ? undefined
        : `axis ${wrong} of length ${String(x?.[fromStart(wrong, x.length)])}`;
    },
  },
  Reshape: {
    form: 'one',
    places: ['newshape'],
    attributes: { newshape: shapeTarget },
    dtype: 'same',
    shape: ({ attributes: a, shapes: [x] }) => {
      if (!x) return undefined;
      const [first, ...rest] = a.newshape as number[];
      // With the batch in front, which is not known, the lengths behind it are those of a sample.
      return [[first === -1 ? null : (first ?? null), ...reshaped(rest, product(x.slice(1)))]];
    },
    fault: ({ attributes: a, shapes: [x] }) => {
      const [first, ...rest] = a.newshape as number[];
      if (first !== -1) return `a shape that begins with ${String(first)} instead of the batch`;
      const total = x ? product(x.slice(1)) : null;
      const sum = rest.includes(-1) ? null : rest.reduce((n, d) => n * d, 1);
      return total !== null && sum !== null && total !== sum
        ? 'a shape that mixes samples of a batch'
        : reshapeFault(rest, total);
    },
  },
  Transpose: moved(
    (rank, a) =>
      (a.axes as number[] | null)?.map((n) => fromStart(n, rank)) ??
      Array.from({ length: rank }, (_, i) => rank - 1 - i),
    { axes: optional(ints('a list of axes')) },
    ['axes'],
  ),
  Swapaxes: moved(swapped, { axis1: int(1), axis2: int(2) }, ['axis1', 'axis2']),
  Flip: {
    form: 'one',
    attributes: { axis: axes(null) },
    dtype: 'same',
    shape: ({ shapes: [x] }) => x && [x],
  },
  Repeat: {
    form: 'one',
    places: ['repeats'],
    attributes: { repeats: int(1), axis: axisOrNone },
    dtype: 'same',
    shape: ({ attributes: a, shapes: [x] }) => {
      if (!x || a.axis === null) return undefined;
      const at = fromStart(Number(a.axis), x.length);
      return [x.map((n, i) => (i === at && n !== null ? n * Number(a.repeats) : n))];
    },
    fault: ({ attributes: a }) =>
      a.axis === null || a.axis === 0 ? 'samples of a batch repeated' : undefined,
  },
  Tile: {
    form: 'one',
    places: ['repeats'],
    attributes: { repeats: ints('a list of numbers') },
    dtype: 'same',
    shape: ({ attributes: a, shapes: [x] }) => {
      const times = a.repeats as number[];
      return x && [x.map((n, i) => (n === null ? null : n * (times[times.length - x.length + i] ?? 1)))];
    },
    fault: ({ attributes: a, shapes: [x] }) =>
      x &&
      ((a.repeats as number[]).length > x.length ||
        ((a.repeats as number[]).length === x.length && (a.repeats as number[])[0] !== 1))
        ? 'samples of a batch repeated'
        : undefined,
  },
  Pad: {
    form: 'one',
    places: ['pad_width'],
    attributes: {
      pad_width: (value) => {
        const list = Array.isArray(value) ? value : undefined;
        const isRight = list?.every(
          (pair) =>
            Array.isArray(pair) &&
            pair.length === 2 &&
            pair.every((n) => Number.isSafeInteger(n) && Number(n) >= 0),
        );
        return isRight ? (list as Json[]) : new Fault('pairs of numbers');
      },
      mode: (value) => ((value ?? 'constant') === 'constant' ? 'constant' : new Fault('constant')),
      constant_values: number(0),
    },
    dtype: 'same',
    shape: withPairs,
    fault: ({ attributes: a }) =>
      ((a.pad_width as number[][])[0] ?? []).some((n) => n > 0) ? 'samples added to a batch' : undefined,
  },
  Split: split,
  Cast: cast,
  ZerosLike: filled,
  OnesLike: filled,
  GetItem: getItem,
};
