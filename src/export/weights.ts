// Weights in the order that a format wants, and the scales of those that are codes.
import { bytesOf } from '../formats/dtypes.js';
import type { QuantizedTensor } from '../schemes/types.js';
import { sizeOf } from '../shape.js';
import { type Arrangement, arrange, arrangedShape, packCodes, unpackCodes } from './arrange.js';
import type { Builder } from './builder.js';
import type { GraphStore } from './store.js';
import { BITS, type CodedSource, codedWeight, scaleAxes, weightInfos } from './stored.js';
import type { Val } from './values.js';

/** A weight in the order and shape that a node wants. */
export interface Wanted extends Arrangement {
  /** Axes of the result joined or of length 1 more; the arrangement's own unless given. */
  readonly shape?: readonly number[];
  /** Multiplied with the values along an axis of the arrangement. */
  readonly factors?: { readonly axis: number; readonly values: ArrayLike<number> };
}

const keep = (rank: number): Wanted => ({ axes: Array.from({ length: rank }, (_, i) => [i]) });

/** Makes values of the weights of a model, each once. */
export abstract class Weights<G extends Builder & GraphStore = Builder & GraphStore> {
  readonly #made = new Map<string, Val>();
  readonly infoOf: ReturnType<typeof weightInfos>;
  /** Weights that are codes in the file. */
  readonly coded = new Map<string, QuantizedTensor>();

  constructor(
    readonly graph: G,
    readonly source: CodedSource,
    /** Whether codes are stored as codes, where a weight has them. */
    readonly keepsCodes: boolean,
  ) {
    this.infoOf = weightInfos(source);
  }

  /** The codes of a weight, where they are to be stored. */
  codesOf(id: string): QuantizedTensor | undefined {
    return this.keepsCodes ? codedWeight(this.source, id) : undefined;
  }

  /** Whether its scales can be multiplied by a factor for each place of these axes. */
  takesFactors(id: string): boolean {
    const coded = this.codesOf(id);
    return coded === undefined || scaleAxes(coded) !== undefined;
  }

  /** The weight as floats. @param isFolded made floats while the model loads, where low-bit was asked for too */
  value(id: string, wanted: Wanted = keep(this.infoOf(id).shape.length), isFolded = false): Val {
    const factorKey = wanted.factors ? Array.from(wanted.factors.values).join() : '';
    const key = JSON.stringify([id, wanted.axes, wanted.pick, wanted.shape, factorKey]);
    const known = this.#made.get(key);
    if (known) return known;
    const { scope } = this.graph;
    this.graph.scope = id;
    const coded = this.codesOf(id);
    const made = coded ? this.fromCodes(id, coded, wanted, isFolded) : this.#fromFloats(id, wanted);
    this.graph.scope = scope;
    this.#made.set(key, made);
    return made;
  }

  #fromFloats(id: string, wanted: Wanted): Val {
    const { shape } = this.infoOf(id);
    const own = arrangedShape(shape, wanted);
    const bytes = () => {
      const values = arrange(this.source.read(id), shape, wanted);
      return bytesOf(wanted.factors ? multiplied(values, own, wanted.factors) : values);
    };
    return this.graph.stored(id, 'float', wanted.shape ?? own, { length: 4 * sizeOf(own), bytes });
  }

  /** Stores codes and adds what makes floats of them. */
  protected abstract fromCodes(id: string, coded: QuantizedTensor, wanted: Wanted, isFolded: boolean): Val;

  /**
   * A weight with scales for groups of rows: codes as `[channels, groups, rows]`, the last group filled up, are decoded and then
   * brought into the order that is wanted.
   *
   * @param decode adds what makes floats of the codes, `[channels, groups, rows]` or of as many elements
   */
  protected grouped(coded: QuantizedTensor, wanted: Wanted, decode: (groups: GroupedCodes) => Val): Val {
    const { graph } = this;
    const { layout, shape } = coded;
    const { outer, channels, inner, groupRows } = layout;
    const rows = outer * inner;
    const groups = Math.ceil(rows / groupRows);
    const bits = BITS[coded.coding.scheme];
    const codes = () => {
      const all = unpackCodes(coded.codes, bits, sizeOf(shape));
      const turned = arrange(all, [outer, channels, inner], { axes: [[1], [0], [2]] });
      if (groups * groupRows === rows) return packCodes(turned, bits);
      const out = new Uint8Array(channels * groups * groupRows);
      for (let c = 0; c < channels; c++)
        out.set(turned.subarray(c * rows, (c + 1) * rows), c * groups * groupRows);
      return packCodes(out, bits);
    };
    const scales = arrange(coded.scales, [groups, channels], { axes: [[1], [0]] });
    const decoded = decode({ bits, codes, scales, shape: [channels, groups, groupRows] });
    const flat = graph.reshape(decoded, [channels, groups * groupRows]);
    const whole =
      groups * groupRows === rows
        ? flat
        : graph.slice(flat, [{ axis: 1, start: 0, end: rows, length: rows }]);
    const keras = graph.reshape(
      graph.transpose(graph.reshape(whole, [channels, outer, inner]), [1, 0, 2]),
      shape,
    );
    const picked = wanted.pick
      ? graph.gather(keras, graph.ints(wanted.pick.places), wanted.pick.axis)
      : keras;
    const moved = graph.transpose(picked, wanted.axes.flat());
    return graph.reshape(moved, wanted.shape ?? arrangedShape(shape, wanted));
  }
}

/** Codes in groups of rows. */
export interface GroupedCodes {
  readonly bits: 1 | 2 | 4;
  readonly codes: () => Uint8Array;
  /** `[channels, groups]` */
  readonly scales: Float32Array;
  readonly shape: readonly [channels: number, groups: number, rows: number];
}

/** Codes, their scales, and where they stand in the order that is wanted. */
export interface ArrangedCodes {
  readonly shape: readonly number[];
  readonly scales: Float32Array;
  /** Of the scales: as many axes, 1 where they are the same. */
  readonly scaleShape: readonly number[];
}

/** Scales of a weight whose rows are not grouped, in the order that is wanted, factors in them. */
export function arrangedCodes(
  coded: QuantizedTensor,
  axes: readonly number[],
  wanted: Wanted,
): ArrangedCodes {
  const own = arrangedShape(coded.shape, wanted);
  const shape = wanted.shape ?? own;
  const plain = arrangedScales(coded, axes, wanted, own);
  const { values, shape: ownShape } = wanted.factors ? withFactors(plain, wanted.factors, own) : plain;
  return { shape, scales: values, scaleShape: aligned(ownShape, own, shape) };
}

/** Scales as a tensor. */
interface Scales {
  readonly values: Float32Array;
  readonly shape: readonly number[];
}

/** Scales of channels along some axes as a tensor that spreads over the arranged weight. */
function arrangedScales(
  { scales, shape }: QuantizedTensor,
  axes: readonly number[],
  wanted: Wanted,
  own: readonly number[],
): Scales {
  if (axes.length === 0) return { values: scales, shape: own.map(() => 1) };
  // An axis of the result has scales of its own where it runs over a channel axis.
  const isOwn = wanted.axes.map((list) => list.some((axis) => axes.includes(axis)));
  const kept = wanted.axes.map((list, i) => (isOwn[i] ? list : []));
  const used = new Set(kept.flat());
  // Scales are repeated along axes that are joined with theirs.
  const shapeOf = shape.map((n, axis) => (used.has(axis) || axes.includes(axis) ? n : 1));
  const full = new Float32Array(sizeOf(shapeOf));
  const strides = shapeOf.map((_, axis) => sizeOf(shapeOf.slice(axis + 1)));
  for (let i = 0; i < full.length; i++) {
    let at = 0;
    for (const axis of axes)
      at =
        at * (shape[axis] as number) + (Math.floor(i / (strides[axis] as number)) % (shape[axis] as number));
    full[i] = scales[at] as number;
  }
  const pick = wanted.pick && used.has(wanted.pick.axis) ? { pick: wanted.pick } : {};
  const arrangement = { axes: kept, ...pick };
  return { values: arrange(full, shapeOf, arrangement), shape: arrangedShape(shapeOf, arrangement) };
}

function withFactors(
  { values, shape }: Scales,
  factors: NonNullable<Wanted['factors']>,
  own: readonly number[],
): Scales {
  const { axis } = factors;
  const length = own[axis] as number;
  const wide = shape.map((n, i) => (i === axis ? length : n));
  const inner = sizeOf(shape.slice(axis + 1));
  const isLong = shape[axis] === length;
  const out = Float32Array.from({ length: sizeOf(wide) }, (_, i) => {
    const [before, at, after] = [Math.floor(i / (inner * length)), Math.floor(i / inner) % length, i % inner];
    const from = isLong ? i : before * inner + after;
    return (values[from] as number) * (factors.values[at] as number);
  });
  return { values: out, shape: wide };
}

function multiplied(
  values: Float32Array,
  shape: readonly number[],
  factors: NonNullable<Wanted['factors']>,
): Float32Array {
  const inner = sizeOf(shape.slice(factors.axis + 1));
  const n = shape[factors.axis] as number;
  return values.map((v, i) => v * (factors.values[Math.floor(i / inner) % n] as number));
}

/** The shape of scales where the result has axes of length 1 more than the arrangement. */
function aligned(
  scales: readonly number[],
  own: readonly number[],
  shape: readonly number[],
): readonly number[] {
  if (own.length === shape.length && own.every((n, i) => n === shape[i])) return scales;
  let at = 0;
  const out = shape.map((n) => {
    while (at < own.length && own[at] !== n && own[at] === 1) at++;
    if (n === own[at]) return scales[at++] as number;
    return 1;
  });
  if (sizeOf(out) !== sizeOf(scales))
    throw new RangeError(`"shape" expected axes of [${own}], got [${shape}]`);
  return out;
}
