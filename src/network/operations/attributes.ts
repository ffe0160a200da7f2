import { isObject, type Json, type JsonObject } from '../../model.js';
import { classOf, withoutKeras } from '../config.js';

/** What is known of the file that an attribute is from. */
export interface Origin {
  /** Keras 3 gives some defaults and names another meaning. */
  readonly isKeras3: boolean;
}

/** An attribute that is not what it has to be. */
export class Fault {
  /** @param expected what it has to be */
  constructor(readonly expected: string) {}
}

/** Reads an attribute out of a configuration, where undefined stands for none; null is none as well. */
export type Attribute = (value: Json | undefined, origin: Origin) => Json | Fault;

/** Keras 3 wraps NumPy arrays, tuples and numbers: `{ class_name: '__numpy__', config: { value } }`. */
export function plain(value: Json | undefined): Json | undefined {
  if (!isObject(value)) return value;
  if (value.type === 'ndarray') return value.value ?? null;
  if (value.class_name === '__numpy__' || value.class_name === '__tensor__')
    return isObject(value.config) ? (value.config.value ?? null) : null;
  if (value.class_name === '__tuple__' && Array.isArray(value.items)) return value.items;
  return value;
}

const isNone = (value: Json | undefined): value is null | undefined => value === undefined || value === null;
const isInt = (value: Json | undefined): value is number => Number.isSafeInteger(value);
const isSize = (value: Json | undefined): value is number => isInt(value) && value > 0;

/** A positive integer that has to be there. */
export const size: Attribute = (value) => (isSize(value) ? value : new Fault('a positive integer'));

/** A whole number. */
export const int =
  (fallback: number): Attribute =>
  (value) =>
    isNone(value) ? fallback : isInt(value) ? value : new Fault('a whole number');

export const number =
  (fallback: number, least = Number.NEGATIVE_INFINITY): Attribute =>
  (value) => {
    if (isNone(value)) return fallback;
    return typeof value === 'number' && value >= least ? value : new Fault('a number');
  };

export const flag =
  (fallback: boolean): Attribute =>
  (value) =>
    isNone(value)
      ? fallback
      : typeof value === 'boolean'
        ? value
        : value === 0 || value === 1
          ? value === 1
          : new Fault('true or false');

/** A positive integer for each of `rank` axes, written as one for all or as a list. */
export const sizes =
  (rank: number, fallback?: number): Attribute =>
  (value) => {
    if (isNone(value) && fallback !== undefined) return Array<number>(rank).fill(fallback);
    const list = Array.isArray(value) ? value : [value];
    if (!list.every(isSize) || (list.length !== 1 && list.length !== rank))
      return new Fault(list.every(isSize) ? `${rank} positive integers` : 'positive integers');
    return list.length === rank ? list : Array<number>(rank).fill(list[0] as number);
  };

/** As {@link sizes}, or null for none. */
export const optionalSizes =
  (rank: number): Attribute =>
  (value, origin) =>
    isNone(value) ? null : sizes(rank)(value, origin);

export const choice =
  (names: readonly string[], fallback: string): Attribute =>
  (value) =>
    isNone(value)
      ? fallback
      : typeof value === 'string' && names.includes(value.toLowerCase())
        ? value.toLowerCase()
        : new Fault(names.join(' or '));

export const text: Attribute = (value) => (typeof value === 'string' ? value : new Fault('a text'));

/** Null for none. */
export const optional =
  (attribute: Attribute): Attribute =>
  (value, origin) =>
    isNone(value) ? null : attribute(value, origin);

/** One axis or several, as a list; null for none. */
export const axes =
  (fallback: number | null): Attribute =>
  (value) => {
    if (isNone(value)) return fallback === null ? null : [fallback];
    const list = Array.isArray(value) ? value : [value];
    return list.every(isInt) ? list : new Fault('an axis or a list of axes');
  };

/** Axes of a softmax, the last one unless stated: without any, Keras 3 takes all samples together. */
export const statedAxes: Attribute = (value, origin) =>
  value === null && origin.isKeras3 ? new Fault('an axis or a list of axes') : axes(-1)(value, origin);

/** A list of whole numbers. */
export const ints =
  (what: string): Attribute =>
  (value) => {
    const list = isInt(value) ? [value] : value;
    return Array.isArray(list) && list.every(isInt) ? list : new Fault(what);
  };

/** Numbers before and behind each of `rank` axes, written as one, one for each axis, or pairs. */
export const pairs =
  (rank: number, fallback: number): Attribute =>
  (value) => {
    const given = isNone(value) ? fallback : value;
    const list = Array.isArray(given) ? given : Array<Json>(rank).fill(given);
    // Of one axis a pair may stand without the list around it.
    const perAxis = rank === 1 && list.length === 2 ? [list] : list;
    const found = perAxis.map((item) => (Array.isArray(item) ? item : [item, item]));
    const isRight =
      found.length === rank &&
      found.every((pair) => pair.length === 2 && pair.every((n) => isInt(n) && n >= 0));
    return isRight ? (found as Json[]) : new Fault(`${rank} pairs of whole numbers of at least 0`);
  };

/** Any value of JSON; undefined is null. */
export const anything: Attribute = (value) => value ?? null;

/**
 * Activations by Keras 3's names. `hard_sigmoid` is `relu6(x + 3) / 6` in Keras 3; Keras 1 and 2 mean
 * `clip(0.2 x + 0.5, 0, 1)` by that name, which is `hard_sigmoid_2` here.
 */
export const ACTIVATIONS: ReadonlySet<string> = new Set([
  'linear',
  'relu',
  'relu6',
  'elu',
  'selu',
  'celu',
  'sigmoid',
  'hard_sigmoid',
  'hard_sigmoid_2',
  'log_sigmoid',
  'softplus',
  'softsign',
  'tanh',
  'hard_tanh',
  'tanh_shrink',
  'hard_shrink',
  'soft_shrink',
  'squareplus',
  'softmax',
  'log_softmax',
  'gelu',
  'mish',
  'silu',
  'hard_silu',
  'leaky_relu',
  'exponential',
  'sparse_plus',
  'sparse_sigmoid',
  'sparsemax',
  'threshold',
  'glu',
]);
const SYNONYMS: ReadonlyMap<string, string> = new Map(
  Object.entries({ swish: 'silu', hard_swish: 'hard_silu', sparse_sigmoid: 'sparse_sigmoid' }),
);

/** Name of an activation function as it is written, with its package where that is not Keras: `relu`, `{ class_name: 'function', config: 'Custom>relu' }`. */
export function activationText(value: Json | undefined): string {
  if (isNone(value)) return 'linear';
  if (!isObject(value)) return String(value);
  const { config, class_name: className, module } = value;
  const name = (typeof config === 'string' ? config : className) ?? '';
  const written = classOf({ class_name: name, ...(module === undefined ? {} : { module }) });
  return withoutKeras(written);
}

/** An activation by its name in {@link ACTIVATIONS}; none is `linear`. */
export const activation =
  (fallback = 'linear'): Attribute =>
  (value, { isKeras3 }) => {
    const written = isNone(value) ? fallback : activationText(value);
    const name = SYNONYMS.get(written) ?? written;
    if (name === 'hard_sigmoid') return isKeras3 ? name : 'hard_sigmoid_2';
    return ACTIVATIONS.has(name) ? name : new Fault('an activation of Keras');
  };

/** Keys of plain layers that say nothing about what a layer computes outside of training. */
const ASIDE: ReadonlySet<string> = new Set(
  'name trainable dtype batch_input_shape batch_shape input_shape batch_size sparse ragged autocast seed module class_name registered_name build_config compile_config quantization_config synchronized virtual_batch_size fused momentum renorm_clipping renorm_momentum optional rate noise_shape stddev l1 l2 data_format supports_masking'.split(
    ' ',
  ),
);
const ASIDE_ENDINGS = /_(initializer|regularizer|constraint)$/;

/** Values that switch nothing on. */
const isOff = (value: Json | undefined) =>
  value === null || value === undefined || value === false || value === 0;

/** The attributes that a configuration has, and the keys with what is wrong with them; undefined for those that are not known. */
export interface TakenAttributes {
  readonly attributes: JsonObject;
  readonly wrong: ReadonlyMap<string, Fault | undefined>;
}

/**
 * Reads the attributes of an operation out of a layer's configuration. A key that the operation does not have, and that
 * switches something on, is wrong: it may change what the layer computes.
 *
 * @param isAside keys that other layers than plain ones may have besides
 */
export function takeAttributes(
  table: Readonly<Record<string, Attribute>>,
  config: JsonObject,
  origin: Origin,
  isAside = (_key: string) => false,
): TakenAttributes {
  const attributes: JsonObject = {};
  const wrong = new Map<string, Fault | undefined>();
  for (const [key, read] of Object.entries(table)) {
    const found = read(plain(config[key]), origin);
    if (found instanceof Fault) wrong.set(key, found);
    else attributes[key] = found;
  }
  for (const [key, value] of Object.entries(config)) {
    const isKnown = key in table || ASIDE.has(key) || ASIDE_ENDINGS.test(key) || isAside(key);
    if (!isKnown && !isOff(value) && !(key === 'groups' && value === 1)) wrong.set(key, undefined);
  }
  return { attributes, wrong };
}
