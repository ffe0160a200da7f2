// How weights lie in the file, and the operations that make floats of codes.
import {
  arrange,
  arrangeCodes,
  arrangedShape,
  packCodes,
  packedLength,
  unpackCodes,
} from '../export/arrange.js';
import { BITS, type CodedSource, scaleAxes } from '../export/stored.js';
import type { LazyBytes, Val } from '../export/values.js';
import { arrangedCodes, type Wanted, Weights } from '../export/weights.js';
import type { QuantizedTensor } from '../schemes/types.js';
import { sizeOf } from '../shape.js';
import type { GraphBuilder } from './graph.js';

/** `exact`: 4 or 2 bits in the file, floats in memory; `fast`: integers in both; `float`: floats in both. */
export type WeightStorage = 'exact' | 'fast' | 'float';

/** Makes values of the weights of a model. */
export class WeightWriter extends Weights<GraphBuilder> {
  constructor(
    graph: GraphBuilder,
    source: CodedSource,
    readonly storage: WeightStorage,
  ) {
    super(graph, source, storage !== 'float');
  }

  protected stored(id: string, shape: readonly number[], data: LazyBytes): Val {
    return this.graph.stored(id, 'float', shape, data);
  }

  protected fromCodes(id: string, coded: QuantizedTensor, wanted: Wanted): Val {
    this.coded.set(id, coded);
    const axes = scaleAxes(coded);
    if (!axes) return this.#grouped(id, coded, wanted);
    const { shape, scales, scaleShape } = arrangedCodes(coded, axes, wanted);
    const bits = BITS[coded.coding.scheme];
    return this.#scaled(id, bits, shape, scales, scaleShape, () =>
      arrangeCodes(coded.codes, bits, coded.shape, wanted),
    );
  }

  /** DEQUANTIZE of codes with a scale for all, or one for each place of an axis; others are multiplied behind it. */
  #scaled(
    id: string,
    bits: 1 | 2 | 4,
    shape: readonly number[],
    scales: Float32Array,
    scaleShape: readonly number[],
    codes: () => Uint8Array,
  ): Val {
    const { graph } = this;
    const long = scaleShape.flatMap((n, axis) => (n === 1 ? [] : [axis]));
    const isDirect = long.length < 2;
    const own = isDirect ? scales : Float32Array.of(1);
    const stored =
      this.storage === 'fast' ? asBytes(bits, shape, own, codes) : asCodes(bits, shape, own, codes);
    const quantization = { scales: stored.scales, zero: 0, axis: long[0] ?? 0 };
    const tensor = graph.stored(id, stored.type, shape, stored.data, quantization);
    const levels = graph.add('DEQUANTIZE', [tensor], shape, {}, 'float');
    const scale = isDirect ? undefined : graph.floats(`${id}/scale`, scales, scaleShape);
    // Levels of two bits lie half a scale above their codes.
    const half =
      stored.type === 'int2' && bits === 2
        ? graph.floats(
            `${id}/half_scale`,
            own.map((s) => s / 2),
            isDirect ? scaleShape : [1],
          )
        : undefined;
    const moved = half ? graph.binary('Add', levels, half) : levels;
    return scale ? graph.binary('Mul', moved, scale) : moved;
  }

  /** Scales for groups of rows: codes as `[channels * groups, rows]`, the last group filled up, then as they are wanted. */
  #grouped(id: string, coded: QuantizedTensor, wanted: Wanted): Val {
    const { graph } = this;
    const { layout, shape, scales } = coded;
    const { outer, channels, inner, groupRows } = layout;
    const rows = outer * inner;
    const groups = Math.ceil(rows / groupRows);
    const bits = BITS[coded.coding.scheme];
    const codes = () => {
      const all = unpackCodes(coded.codes, bits, sizeOf(shape));
      const turned = arrange(all, [outer, channels, inner], { axes: [[1], [0], [2]] });
      const out = new Uint8Array(channels * groups * groupRows);
      for (let c = 0; c < channels; c++)
        out.set(turned.subarray(c * rows, (c + 1) * rows), c * groups * groupRows);
      return packCodes(out, bits);
    };
    const turned = arrange(scales, [groups, channels], { axes: [[1], [0]] });
    const count = channels * groups;
    const decoded = this.#scaled(id, bits, [count, groupRows], turned, [count, 1], codes);
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

/** Codes as they lie in the file, and what they are multiplied with. */
interface StoredCodes {
  readonly type: 'int2' | 'int4' | 'int8';
  readonly data: LazyBytes;
  readonly scales: Float32Array;
}

type Bits = 1 | 2 | 4;

/** Codes of 4 and 2 bits as they are; there is no type of one bit: signs are -1 and 1 of two. */
function asCodes(
  bits: Bits,
  shape: readonly number[],
  scales: Float32Array,
  codes: () => Uint8Array,
): StoredCodes {
  const count = sizeOf(shape);
  const signs = () =>
    packCodes(
      unpackCodes(codes(), 1, count).map((b) => (b === 1 ? 1 : 3)),
      2,
    );
  return {
    type: bits === 4 ? 'int4' : 'int2',
    data: { length: packedLength(count, bits === 4 ? 4 : 2), bytes: bits === 1 ? signs : codes },
    scales,
  };
}

/** The levels as whole numbers of 8 bits: `q` of 4 bits, `2 q + 1` of 2 with half the scale, -1 and 1 of one. */
function asBytes(
  bits: Bits,
  shape: readonly number[],
  scales: Float32Array,
  codes: () => Uint8Array,
): StoredCodes {
  const count = sizeOf(shape);
  const level = (code: number): number => {
    if (bits === 1) return 2 * code - 1;
    const sign = 1 << (bits - 1);
    const q = (code ^ sign) - sign;
    return bits === 2 ? 2 * q + 1 : q;
  };
  return {
    type: 'int8',
    data: { length: count, bytes: () => unpackCodes(codes(), bits, count).map(level) },
    scales: bits === 2 ? scales.map((s) => s / 2) : scales,
  };
}
