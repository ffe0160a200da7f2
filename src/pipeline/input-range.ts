import type { Dataset } from '../data/index.js';
import { arraysOf, inputsOf } from '../data/several.js';
import { BitnibbleError } from '../errors.js';
import type { ModelSource } from '../model.js';
import { type NetworkNode, openNetwork, operationOf, readNetwork } from '../network/index.js';

/** Values that a network takes at an input, as far as its own constants tell. */
export interface InputRange {
  /**
   * - `indices`: numbers of things, as they are: an Embedding takes them, or the input is of whole numbers
   * - `unit`: about 0 to 1
   * - `bytes`: about 0 to 255
   * - `unclear`: constants stand at the input and fit neither
   */
  readonly kind: 'indices' | 'unit' | 'bytes' | 'unclear';
  /** The layers that say so, in words: `rescaling (Rescaling) shifts by 0.5 and divides by 0.5`. */
  readonly because: string;
  /** Whether a sample has three axes. Tables and sequences have columns of any size: they are not looked at. */
  readonly isImage: boolean;
}

/** Layers whose inputs are numbers of things: rows of a table, categories. */
const INDEXED = /^(?:[\w.]+>)?(Embedding|CategoryEncoding|IntegerLookup|Hashing|Discretization)$/;

/** What moves values about, or picks some of them, and changes none. */
const MOVING =
  /^(ZeroPadding[123]D|Cropping[123]D|CenterCrop|Resizing|UpSampling[123]D|MaxPooling[123]D|Masking|ops\.(Cast|ExpandDims|Squeeze|Identity|Copy))$/;

/** The same, and the last axis is another one afterwards. */
const TURNING = /^(Flatten|Reshape|Permute|ops\.(Reshape|Transpose|Moveaxis))$/;

/** `y = scale x + offset` for each channel, or one for all. */
interface Affine {
  readonly scale: readonly number[];
  readonly offset: readonly number[];
}

const IDENTITY: Affine = { scale: [1], offset: [0] };

/** What a number or list of an operation's constants is. */
const numbers = (value: unknown): number[] | undefined => {
  const list = [value].flat(Number.POSITIVE_INFINITY).map(Number);
  return value !== null && value !== undefined && list.every(Number.isFinite) && list.length > 0
    ? list
    : undefined;
};

/** `y` behind `x`. */
function after(first: Affine, { scale, offset }: Affine): Affine | undefined {
  const width = Math.max(first.scale.length, first.offset.length, scale.length, offset.length);
  const fits = [first.scale, first.offset, scale, offset].every(
    ({ length }) => length === 1 || length === width,
  );
  if (!fits) return undefined;
  const at = (list: readonly number[], c: number) => list[list.length === 1 ? 0 : c] as number;
  const each = (make: (c: number) => number) => Array.from({ length: width }, (_, c) => make(c));
  return {
    scale: each((c) => at(first.scale, c) * at(scale, c)),
    offset: each((c) => at(first.offset, c) * at(scale, c) + at(offset, c)),
  };
}

type Read = (id: string | undefined) => number[] | undefined;

/** What a node does to each value by constants; undefined where it does something else. */
function affineOf({ operation, attributes, weights, inputs }: NetworkNode, read: Read): Affine | undefined {
  if (operation === 'Rescaling') {
    const [scale, offset] = [numbers(attributes.scale), numbers(attributes.offset ?? 0)];
    return scale && offset ? { scale, offset } : undefined;
  }
  if (operation === 'Normalization' || operation === 'BatchNormalization') {
    const isBatch = operation === 'BatchNormalization';
    const mean = numbers(attributes.mean) ?? read(weights[isBatch ? 'moving_mean' : 'mean']);
    const variance = numbers(attributes.variance) ?? read(weights[isBatch ? 'moving_variance' : 'variance']);
    if (!mean || !variance) return undefined;
    const epsilon = isBatch ? Number(attributes.epsilon) : 0;
    const spread = variance.map((v) => Math.max(Math.sqrt(v + epsilon), 1e-7));
    // Its trained factor and shift say nothing of its inputs.
    return attributes.invert === true
      ? after({ scale: spread, offset: [0] }, { scale: [1], offset: mean })
      : after({ scale: [1], offset: mean.map((m) => -m) }, { scale: spread.map((s) => 1 / s), offset: [0] });
  }
  const operands = attributes.operands;
  if (!Array.isArray(operands) || operands.length !== 2 || inputs.length !== 1) return undefined;
  const isFirst = operands[0] === null;
  const constant = numbers(operands[isFirst ? 1 : 0]);
  if (!constant) return undefined;
  if (operation === 'ops.Add') return { scale: [1], offset: constant };
  if (operation === 'ops.Multiply') return { scale: constant, offset: [0] };
  if (operation === 'ops.Subtract')
    return isFirst ? { scale: [1], offset: constant.map((c) => -c) } : { scale: [-1], offset: constant };
  const divides = operation === 'ops.Divide' || operation === 'ops.TrueDivide';
  return divides && isFirst ? { scale: constant.map((c) => 1 / c), offset: [0] } : undefined;
}

const isIdentity = ({ scale, offset }: Affine) =>
  scale.every((value) => value === 1) && offset.every((value) => value === 0);

const short = (value: number) => String(Number(value.toPrecision(3)));
const rangeText = ([low, high]: readonly [number, number]) => `${short(low)} to ${short(high)}`;

/** From 0 and `most` in, the least and the largest out. */
function reachOf({ scale, offset }: Affine, most: number): [number, number] {
  const ends = scale.flatMap((s, c) => {
    const b = offset[offset.length === 1 ? 0 : c] as number;
    return [b, s * most + b];
  });
  return [ends.reduce((a, b) => Math.min(a, b)), ends.reduce((a, b) => Math.max(a, b))];
}

/**
 * What `y = scale x + offset` says of `x`, read as `(x - middle) / spread`. Of values from 0 to `r` no middle lies outside of
 * these and no spread is above `r`, and some channel of a standardised input comes near: a middle or a spread of 0.5 is of 0 to
 * 1, one of 117 or 58 of 0 to 255. Between, and below 0, it could be anything.
 */
function kindOf({ scale, offset }: Affine): 'unit' | 'bytes' | 'unclear' {
  const middles = scale.map((s, c) => -(offset[offset.length === 1 ? 0 : c] as number) / s || 0);
  const spreads = scale.map((s) => Math.abs(1 / s));
  const all = [...middles, ...spreads].filter(Number.isFinite);
  const top = all.reduce((a, b) => Math.max(a, b), 0);
  const low = all.reduce((a, b) => Math.min(a, b), 0);
  if (top === 0 || low < -0.1 * top) return 'unclear';
  if (top <= 1.1) return 'unit';
  return top >= 5 && top <= 300 ? 'bytes' : 'unclear';
}

/** A way from an input through layers of constants. */
interface Way {
  readonly value: number;
  readonly affine: Affine;
  readonly named: readonly NetworkNode[];
}

/**
 * What the constants at each input say about the values that it expects: those of Rescaling, Normalization and
 * BatchNormalization layers and of sums and products with numbers, taken together up to the first layer of another kind. An input
 * that nothing is said about has no entry.
 *
 * @throws BitnibbleError what `readNetwork` throws
 */
export function inputRanges(model: ModelSource): Map<string, InputRange> {
  const { network, source } = openNetwork(model);
  const takers = new Map<number, NetworkNode[]>();
  for (const node of network.nodes)
    for (const value of new Set(node.inputs)) {
      const list = takers.get(value);
      if (list) list.push(node);
      else takers.set(value, [node]);
    }
  const ids = new Set(source.weights.map(({ id }) => id));
  const read: Read = (id) => (id !== undefined && ids.has(id) ? [...source.read(id)] : undefined);
  const ranges = new Map<string, InputRange>();
  for (const { name, value } of network.inputs) {
    const found: Omit<InputRange, 'isImage'>[] = [];
    const { dtype, shape } = network.values[value] ?? {};
    const isImage = shape?.length === 4;
    // Fractions would be cut off, whatever comes behind.
    if (dtype === 'int32') {
      ranges.set(name, { kind: 'indices', because: 'the input takes whole numbers', isImage });
      continue;
    }
    const open: Way[] = [{ value, affine: IDENTITY, named: [] }];
    // Values lie in an order without circles, so this ends; more ways than this say nothing new.
    for (let steps = 0; open.length > 0 && steps < 64; steps++) {
      const way = open.pop() as Way;
      const ends = takers.get(way.value) ?? [];
      if (ends.length === 0 && !isIdentity(way.affine)) found.push(rangeOf(way));
      for (const node of ends) {
        const next = follow(node, way, read);
        if (next === 'indices')
          found.push({ kind: 'indices', because: `${node.layer} (${node.className}) takes indices` });
        else if (next) open.push(next);
        else if (!isIdentity(way.affine)) found.push(rangeOf(way));
      }
    }
    const [first, ...rest] = found;
    if (!first) continue;
    const other = rest.find(({ kind }) => kind !== first.kind);
    const unclear = other && {
      ...({ kind: 'unclear', because: `${first.because}, but ${other.because}` } as const),
    };
    ranges.set(name, { ...first, ...unclear, isImage });
  }
  return ranges;
}

function rangeOf({ affine, named }: Way): Omit<InputRange, 'isImage'> {
  const layers = named.map(({ layer, className }) => `${layer} (${className})`).join(' and ');
  const [bytes, unit] = [reachOf(affine, 255), reachOf(affine, 1)];
  const because = `${layers} makes ${rangeText(unit)} of 0 to 1, ${rangeText(bytes)} of 0 to 255`;
  return { kind: kindOf(affine), because };
}

/** The way behind a node; undefined where it ends there. */
function follow(node: NetworkNode, way: Way, read: Read): Way | 'indices' | undefined {
  const { operation, outputs } = node;
  if (INDEXED.test(operation)) return 'indices';
  const [value] = outputs;
  if (value === undefined) return undefined;
  if (operationOf(operation)?.isIdentity || MOVING.test(operation)) return { ...way, value };
  if (TURNING.test(operation)) return way.affine.scale.length === 1 ? { ...way, value } : undefined;
  const own = affineOf(node, read);
  const affine = own && after(way.affine, own);
  if (!affine) return undefined;
  return { value, affine, named: own && isIdentity(own) ? way.named : [...way.named, node] };
}

/** Names of the inputs that are token ids or the like. */
export function indexedInputs(model: ModelSource): Set<string> {
  const ranges = inputRanges(model);
  return new Set([...ranges].flatMap(([name, { kind }]) => (kind === 'indices' ? [name] : [])));
}

/** Values as they are stored, of one input. */
export interface StoredRange {
  readonly dtype: 'uint8' | 'float32';
  /** The least and the largest of some samples. */
  readonly range: readonly [number, number];
  /** For messages. */
  readonly name: string;
}

/** A factor and why it is that one. */
export interface InputScale {
  readonly scale: number;
  /** Empty where nothing but custom speaks for it. */
  readonly why: string;
}

/** Samples whose factor nobody but the one who has them can know. */
export interface UnclearScale {
  /** What is at odds. */
  readonly unclear: string;
  /** What could be meant. */
  readonly readings: readonly {
    readonly scale: number;
    /** What the samples are then, or are to be. */
    readonly when: string;
  }[];
}

/**
 * The factor for samples where nobody states one:
 *
 * | stored | the input's constants say | factor |
 * |---|---|---:|
 * | bytes | indices, or 0 to 255 | 1 |
 * | bytes, one above 1 | 0 to 1, or nothing | 1/255 |
 * | bytes, 0 and 1 alone | 0 to 1, or nothing | 1 |
 * | floats | anything | 1 |
 *
 * It is unclear for bytes where the constants fit neither reading, and for images in floats that lie in the other one.
 */
export function readScale(input: InputRange | undefined, data: StoredRange): InputScale | UnclearScale {
  const [low, high] = data.range;
  const { kind, because } = input ?? { kind: undefined, because: '' };
  if (kind === 'indices') return { scale: 1, why: because };
  if (data.dtype !== 'uint8') {
    const isImage = input?.isImage && low >= 0;
    const asTheyAre = { scale: 1, when: 'they are right as they are' };
    if (isImage && kind === 'unit' && high > 30 && high <= 255)
      return {
        unclear: `the samples reach ${short(high)}, and the network expects 0 to 1 (${because})`,
        readings: [{ scale: 1 / 255, when: 'they are 0 to 255' }, asTheyAre],
      };
    if (isImage && kind === 'bytes' && high > 0 && high <= 1)
      return {
        unclear: `the samples lie in ${rangeText(data.range)}, and the network expects 0 to 255 (${because})`,
        readings: [{ scale: 255, when: 'they are 0 to 1' }, asTheyAre],
      };
    return { scale: 1, why: '' };
  }
  if (kind === 'bytes') return { scale: 1, why: because };
  if (kind === 'unclear')
    return {
      unclear: `whether 8-bit samples are to be 0 to 255 or 0 to 1 is unclear (${because})`,
      readings: [
        { scale: 1, when: 'they are to be 0 to 255' },
        { scale: 1 / 255, when: 'they are to be 0 to 1' },
      ],
    };
  if (high <= 1) return { scale: 1, why: 'they are 0 and 1 alone' };
  return { scale: 1 / 255, why: kind === 'unit' ? because : '' };
}

/** `1/255` where it is that. */
export const factorText = (scale: number): string => (scale === 1 / 255 ? '1/255' : String(scale));

/**
 * {@link readScale}, or an error with both readings.
 * @throws BitnibbleError `data-mismatch` where it is unclear
 */
export function scaleFor(model: ModelSource, input: InputRange | undefined, data: StoredRange): InputScale {
  const found = readScale(input, data);
  if ('scale' in found) return found;
  const settle = found.readings.map(({ scale, when }) => `--scale ${factorText(scale)} where ${when}`);
  throw new BitnibbleError(
    'data-mismatch',
    `${model.file} and ${data.name}: ${found.unclear}: give ${settle.join(', ')}`,
  );
}

/** Larger inputs than this look as if nobody had scaled them. */
const LARGEST = 30;

/**
 * What looks wrong about inputs from `low` to `high`, or nothing.
 * @param range what the input's constants say of it
 */
export function rangeWarning(range: InputRange | undefined, low: number, high: number): string | undefined {
  const most = Math.max(Math.abs(low), Math.abs(high));
  if (range?.kind === 'indices' || range?.kind === 'unclear') return undefined;
  if (range?.kind === 'unit')
    return most > LARGEST && range.isImage
      ? `inputs reach ${most.toPrecision(3)}, and the network expects 0 to 1: ${range.because}`
      : undefined;
  if (range?.kind === 'bytes')
    return range.isImage && low >= 0 && high > 0 && high <= 1
      ? `inputs reach ${high.toPrecision(3)}, and the network expects 0 to 255: ${range.because}`
      : undefined;
  if (!(most > LARGEST)) return undefined;
  return `inputs reach ${most.toPrecision(3)}: they look unscaled; most networks expect 0 to 1, or a deviation of 1`;
}

/** Whether the model scales bytes by itself: constants at its first input that expect 0 to 255. */
export const scalesItself = (model: ModelSource): boolean => firstRange(model)?.kind === 'bytes';

/** The least and the largest. */
export function extremesOf(values: ArrayLike<number>): [low: number, high: number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** Samples that are looked at, spread over all. */
const LOOKED_AT = 256;

/**
 * The least and the largest value of up to 256 samples, of each array that they are made of.
 * @throws BitnibbleError `data-mismatch` for NaN and infinity
 */
export function storedRanges(dataset: Dataset): StoredRange[] {
  const { name, count } = dataset;
  const taken = Math.min(count, LOOKED_AT);
  const indices = Uint32Array.from({ length: taken }, (_, i) => Math.floor((i * count) / taken));
  const ranges = inputsOf(dataset).map(() => [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
  for (const batch of dataset.batches({ indices, batchSize: 32 }))
    for (const [i, values] of arraysOf(batch).entries()) {
      const [low, high] = extremesOf(values);
      const [least, most] = ranges[i] as [number, number];
      ranges[i] = [Math.min(low, least), Math.max(high, most)];
    }
  return inputsOf(dataset).map(({ dtype, name: own }, i) => ({
    ...{ name: own === undefined ? name : `${name}: ${own}`, dtype },
    range: ranges[i] as [number, number],
  }));
}

/** What is said of each of a model's inputs, in their order. */
export function rangesInOrder(model: ModelSource): (InputRange | undefined)[] {
  const ranges = inputRanges(model);
  return readNetwork(model).inputs.map(({ name }) => ranges.get(name));
}

/** What is said of a model's first input. */
export const firstRange = (model: ModelSource): InputRange | undefined => rangesInOrder(model)[0];

/**
 * The factor of each array of a dataset where nobody states one, in the order of the arrays: {@link scaleFor} of each.
 *
 * @param bound which input each array belongs to
 * @param isOpen which arrays are asked for; the others get 1
 * @throws BitnibbleError `data-mismatch`
 */
export function scalesFor(
  model: ModelSource,
  dataset: Dataset,
  bound: readonly { readonly name: string; readonly from: number }[],
  isOpen: (array: number) => boolean = () => true,
): InputScale[] {
  const ranges = inputRanges(model);
  return storedRanges(dataset).map((stored, i) => {
    const own = bound.find(({ from }) => from === i);
    if (!isOpen(i)) return { scale: 1, why: '' };
    return scaleFor(model, own && ranges.get(own.name), stored);
  });
}
