// How weights lie in the file, and the nodes that make floats of codes. ONNX Runtime computes these while it loads a model,
// unless they begin with DequantizeLinear, which it leaves where it is.

import type { Arrangement } from '../export/arrange.js';
import {
  arrange,
  arrangeCodes,
  arrangedShape,
  packCodes,
  packedLength,
  unpackCodes,
} from '../export/arrange.js';
import { BITS, type CodedSource, codedWeight, scaleAxes, weightInfos } from '../export/stored.js';
import { bytesOf } from '../formats/dtypes.js';
import type { QuantizedTensor } from '../schemes/types.js';
import { sizeOf } from '../shape.js';
import type { GraphBuilder } from './graph.js';
import type { Val } from './types.js';

/** `folded`: low-bit in the file, floats in memory; `low-bit`: low-bit in memory too; `float`: floats in both. */
export type WeightStorage = 'folded' | 'low-bit' | 'float';

/** A weight in the order and shape that a node wants. */
export interface Wanted extends Arrangement {
  /** Axes of the result joined or of length 1 more; the arrangement's own unless given. */
  readonly shape?: readonly number[];
  /** Multiplied with the values along an axis of the arrangement. */
  readonly factors?: { readonly axis: number; readonly values: ArrayLike<number> };
}

const keep = (rank: number): Wanted => ({ axes: Array.from({ length: rank }, (_, i) => [i]) });

/** Makes values of the weights of a model. */
export class WeightWriter {
  readonly #made = new Map<string, Val>();
  readonly infoOf: ReturnType<typeof weightInfos>;
  /** Weights that are codes in the file, and those of them that are floats in memory though low-bit was asked for. */
  readonly coded = new Map<string, QuantizedTensor>();
  readonly widened = new Set<string>();

  constructor(
    readonly graph: GraphBuilder,
    readonly source: CodedSource,
    readonly storage: WeightStorage,
  ) {
    this.infoOf = weightInfos(source);
  }

  /** The codes of a weight, where they are to be stored. */
  codesOf(id: string): QuantizedTensor | undefined {
    return this.storage === 'float' ? undefined : codedWeight(this.source, id);
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
    const made = coded ? this.#fromCodes(id, coded, wanted, isFolded) : this.#fromFloats(id, wanted);
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
    const data = { length: 4 * sizeOf(own), bytes };
    return this.graph.initializer({ name: id, type: 'float', shape: wanted.shape ?? own, data });
  }

  #fromCodes(id: string, coded: QuantizedTensor, wanted: Wanted, isFolded: boolean): Val {
    this.coded.set(id, coded);
    const axes = scaleAxes(coded);
    if (!axes) return this.#grouped(id, coded, wanted);
    const own = arrangedShape(coded.shape, wanted);
    const shape = wanted.shape ?? own;
    const scales = arrangedScales(coded, axes, wanted, own);
    const factored = wanted.factors ? withFactors(scales, wanted.factors, own) : scales;
    const scaleShape = aligned(factored.shape, own, shape);
    const bits = BITS[coded.coding.scheme];
    const read = () => arrangeCodes(coded.codes, bits, coded.shape, wanted);
    if (this.storage === 'low-bit' && isFolded) this.widened.add(id);
    else if (this.storage === 'low-bit') {
      const made = this.#dequantized(id, bits, read, shape, scaleShape, factored.values);
      if (made) return made;
    }
    const scale = this.graph.floats(`${id}/scale`, factored.values, scaleShape);
    return this.#scaled(id, bits, read, shape, scale);
  }

  /** Codes times scales, in nodes that are computed while the model loads. */
  #scaled(id: string, bits: 1 | 2 | 4, codes: () => Uint8Array, shape: readonly number[], scale: Val): Val {
    const { graph } = this;
    const count = sizeOf(shape);
    const length = packedLength(count, bits);
    if (bits === 1) {
      const stored = graph.initializer({
        name: id,
        type: 'uint8',
        shape: [length, 1],
        data: { length, bytes: codes },
      });
      const shifts = graph.constant('uint8', [0, 1, 2, 3, 4, 5, 6, 7]);
      const shifted = graph.add('BitShift', [stored, shifts], { shape: [length, 8] }, { direction: 'RIGHT' });
      const ones = graph.add('BitwiseAnd', [shifted, graph.constant('uint8', [1], [])], {
        shape: [length, 8],
      });
      const bools = graph.cast(ones, 'bool');
      const flat = count === 8 * length ? bools : cut(graph, graph.reshape(bools, [8 * length]), count);
      return graph.where(graph.reshape(flat, shape), scale, graph.unary('Neg', scale));
    }
    const type = bits === 4 ? 'int4' : 'int2';
    const stored = graph.initializer({ name: id, type, shape, data: { length, bytes: codes } });
    const levels = graph.cast(stored, 'float');
    return graph.binary('Mul', bits === 2 ? graph.binary('Add', levels, 0.5) : levels, scale);
  }

  /** DequantizeLinear, where the scales are one, or one for each place of one axis. */
  #dequantized(
    id: string,
    bits: 1 | 2 | 4,
    codes: () => Uint8Array,
    shape: readonly number[],
    scaleShape: readonly number[],
    scales: Float32Array,
  ): Val | undefined {
    const { graph } = this;
    const long = scaleShape.flatMap((n, axis) => (n === 1 ? [] : [axis]));
    if (long.length > 1) {
      this.widened.add(id);
      return undefined;
    }
    const count = sizeOf(shape);
    // Signs as two bits, -1 and 1: DequantizeLinear knows nothing of one bit.
    const type = bits === 4 ? 'int4' : 'int2';
    const length = packedLength(count, bits === 4 ? 4 : 2);
    const bytes =
      bits === 1
        ? () =>
            packCodes(
              unpackCodes(codes(), 1, count).map((b) => (b === 1 ? 1 : 3)),
              2,
            )
        : codes;
    const stored = graph.initializer({ name: id, type, shape, data: { length, bytes } });
    const [axis] = long;
    const scale = graph.floats(`${id}/scale`, scales, axis === undefined ? [] : [scales.length]);
    const made = graph.add(
      'DequantizeLinear',
      [stored, scale],
      { shape, type: 'float' },
      axis === undefined ? {} : { axis },
    );
    if (bits !== 2) return made;
    const half = graph.floats(
      `${id}/half_scale`,
      scales.map((s) => s / 2),
      scaleShape,
    );
    return graph.binary('Add', made, half);
  }

  /**
   * Scales for groups of rows: codes as `[channels, groups, rows]`, the last group filled up, then into the order that is
   * wanted, all while the model loads.
   */
  #grouped(id: string, coded: QuantizedTensor, wanted: Wanted): Val {
    const { graph } = this;
    if (this.storage === 'low-bit') this.widened.add(id);
    const { layout, shape, scales } = coded;
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
    const turned = arrange(scales, [groups, channels], { axes: [[1], [0]] });
    const scale = graph.floats(`${id}/scale`, turned, [channels, groups, 1]);
    const decoded = this.#scaled(id, bits, codes, [channels, groups, groupRows], scale);
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

function cut(graph: GraphBuilder, x: Val, length: number): Val {
  return graph.slice(x, [{ axis: 0, start: 0, end: length, length }]);
}

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
