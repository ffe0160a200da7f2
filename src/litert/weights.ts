// How weights lie in the file, and the operations that make floats of codes.
import { arrangeCodes, packedLength, signsAsInt2, unpackCodes } from '../export/arrange.js';
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

  protected fromCodes(id: string, coded: QuantizedTensor, wanted: Wanted): Val {
    this.coded.set(id, coded);
    const axes = scaleAxes(coded);
    if (!axes)
      return this.grouped(coded, wanted, ({ bits, codes, scales, shape: [channels, groups, rows] }) => {
        const count = channels * groups;
        return this.#scaled(id, bits, [count, rows], scales, [count, 1], codes);
      });
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
  return {
    type: bits === 4 ? 'int4' : 'int2',
    data: {
      length: packedLength(count, bits === 4 ? 4 : 2),
      bytes: bits === 1 ? () => signsAsInt2(codes(), count) : codes,
    },
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
