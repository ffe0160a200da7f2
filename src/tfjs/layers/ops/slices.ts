import type { Json, JsonObject } from '../../../model.js';
import type { Tensor, TensorFlow } from '../../types.js';
import type { Shape } from '../define.js';
import { reversed, type TensorOperation } from './spec.js';

/** One item of an index: `x[1]`, `x[1:5:2]`, `x[..., 0]`, `x[:, None]`. */
type Item =
  | { readonly kind: 'at'; readonly at: number }
  | {
      readonly kind: 'slice';
      readonly start: number | null;
      readonly stop: number | null;
      readonly step: number;
    }
  | { readonly kind: 'new' }
  | { readonly kind: 'rest' };

const isObject = (value: Json): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isPlace = (value: Json | undefined): value is number | null | undefined =>
  value === null || value === undefined || Number.isSafeInteger(value);

/**
 * An index as Keras writes it, the second argument of a GetItem, in the notation of the attribute `index`: integers,
 * `{ start, stop, step }`, `"newaxis"` and `"ellipsis"`.
 *
 * @returns undefined for an index of another kind, by tensors or lists
 */
export function indexOf(key: Json): Json[] | undefined {
  const items = Array.isArray(key) ? key : [key];
  const out: Json[] = [];
  for (const item of items) {
    if (item === null) out.push('newaxis');
    else if (Number.isSafeInteger(item)) out.push(item);
    else if (isObject(item) && item.class_name === '__ellipsis__') out.push('ellipsis');
    else if (isObject(item) && item.class_name === '__slice__' && isObject(item.config ?? null)) {
      const { start = null, stop = null, step = null } = item.config as JsonObject;
      out.push({ start, stop, step });
    } else return undefined;
  }
  return parsed(out) ? out : undefined;
}

/** Items of the attribute `index`; undefined where they are none. */
function parsed(index: Json | undefined): Item[] | undefined {
  if (!Array.isArray(index)) return undefined;
  const items = index.map((item): Item | undefined => {
    if (item === 'newaxis') return { kind: 'new' };
    if (item === 'ellipsis') return { kind: 'rest' };
    if (typeof item === 'number') return { kind: 'at', at: item };
    if (!isObject(item) || ![item.start, item.stop, item.step].every(isPlace) || item.step === 0)
      return undefined;
    const { start, stop, step } = item as Record<string, number | null | undefined>;
    return { kind: 'slice', start: start ?? null, stop: stop ?? null, step: step ?? 1 };
  });
  const known = items.filter((item) => item !== undefined);
  return known.length === items.length && known.filter(({ kind }) => kind === 'rest').length <= 1
    ? known
    : undefined;
}

/** An item for every axis and every new one. */
function forAxes(index: Json | undefined, rank: number): Item[] {
  const items = parsed(index);
  const taken = items?.filter(({ kind }) => kind === 'at' || kind === 'slice').length ?? 0;
  if (!items || taken > rank)
    throw new RangeError(`GetItem expected an index of ${rank} axes, got ${JSON.stringify(index)}`);
  const all: Item = { kind: 'slice', start: null, stop: null, step: 1 };
  const rest = Array(rank - taken).fill(all) as Item[];
  const at = items.findIndex(({ kind }) => kind === 'rest');
  return at < 0 ? [...items, ...rest] : [...items.slice(0, at), ...rest, ...items.slice(at + 1)];
}

/** First place, number of places and step of a Python slice of `n` elements. */
function places(n: number, { start, stop, step }: Item & { kind: 'slice' }) {
  const [low, high] = step > 0 ? [0, n] : [-1, n - 1];
  const clamp = (value: number) => Math.min(Math.max(value < 0 ? value + n : value, low), high);
  const from = start === null ? (step > 0 ? 0 : n - 1) : clamp(start);
  const to = stop === null ? (step > 0 ? n : -1) : clamp(stop);
  return { from, count: Math.max(0, Math.ceil((to - from) / step)), step };
}

const isAll = (item: Item) =>
  item.kind === 'slice' && item.start === null && item.stop === null && Math.abs(item.step) === 1;

function slicedShape(shape: Shape, index: Json | undefined): Shape {
  const axes = [...shape];
  return forAxes(index, shape.length).flatMap((item): Shape => {
    if (item.kind === 'new') return [1];
    const n = axes.shift() ?? null;
    if (item.kind === 'at') return [];
    return [n === null || isAll(item) ? n : places(n, item as Item & { kind: 'slice' }).count];
  });
}

function sliced(tf: TensorFlow, x: Tensor, index: Json | undefined): Tensor {
  const items = forAxes(index, x.rank).filter(({ kind }) => kind !== 'new');
  const windows = items.map((item, axis) => {
    const n = x.shape[axis] as number;
    if (item.kind !== 'at') return places(n, item as Item & { kind: 'slice' });
    const from = item.at < 0 ? item.at + n : item.at;
    if (from < 0 || from >= n)
      throw new RangeError(`index ${item.at} is out of bounds for axis ${axis} of ${n}`);
    return { from, count: 1, step: 1 };
  });
  let out = x;
  const turned = windows.flatMap(({ step }, axis) => (step < 0 ? [axis] : []));
  if (turned.length > 0) out = reversed(tf, out, turned);
  const begin = windows.map(({ from, step }, axis) =>
    step < 0 ? (x.shape[axis] as number) - 1 - from : from,
  );
  // Whole strides, so that every `step` places are a row of their own and the first of each is kept.
  for (const [axis, { count, step }] of windows.entries()) {
    const stride = Math.abs(step);
    const size = [...out.shape];
    const start = size.map(() => 0);
    start[axis] = count === 0 ? 0 : (begin[axis] as number);
    size[axis] = count === 0 ? 0 : (count - 1) * stride + 1;
    if (size[axis] !== out.shape[axis]) out = tf.slice(out, start, size);
    if (stride === 1 || count < 2) continue;
    const padded = tf.pad(
      out,
      out.shape.map((_, i): [number, number] => [0, i === axis ? stride - 1 : 0]),
    );
    const apart = [...out.shape.slice(0, axis), count, stride, ...out.shape.slice(axis + 1)];
    const first = apart.map((n, i) => (i === axis + 1 ? 1 : n));
    const kept = tf.slice(
      tf.reshape(padded, flatter(apart, axis)),
      flatter(apart, axis).map(() => 0),
      flatter(first, axis),
    );
    out = tf.reshape(kept, [...out.shape.slice(0, axis), count, ...out.shape.slice(axis + 1)]);
  }
  return tf.reshape(out, slicedShape(x.shape, index) as number[]);
}

/** `[before, count, stride, after]` of a shape whose axis was split: TensorFlow.js pads and slices few axes only. */
function flatter(shape: readonly number[], axis: number): number[] {
  const volume = (sizes: readonly number[]) => sizes.reduce((a, b) => a * b, 1);
  return [
    volume(shape.slice(0, axis)),
    shape[axis] as number,
    shape[axis + 1] as number,
    volume(shape.slice(axis + 2)),
  ];
}

/** `x[index]` */
export const getItem: TensorOperation = {
  operands: 1,
  attributes: { index: [] },
  refuse: ({ index }) => (parsed(index) ? undefined : `the index ${JSON.stringify(index)}`),
  shape: ([shape = []], { index }) => slicedShape(shape, index),
  compute: (tf, [x], { index }) => sliced(tf, x as Tensor, index),
};
