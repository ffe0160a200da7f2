// How weights lie in the file, and the nodes that make floats of codes. ONNX Runtime computes these while it loads a model,
// unless they begin with DequantizeLinear, which it leaves where it is.

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

/** `folded`: low-bit in the file, floats in memory; `low-bit`: low-bit in memory too; `float`: floats in both. */
export type WeightStorage = 'folded' | 'low-bit' | 'float';

/** Makes values of the weights of a model. */
export class WeightWriter extends Weights<GraphBuilder> {
  /** Weights that are floats in memory though low-bit was asked for. */
  readonly widened = new Set<string>();

  constructor(
    graph: GraphBuilder,
    source: CodedSource,
    readonly storage: WeightStorage,
  ) {
    super(graph, source, storage !== 'float');
  }

  protected stored(id: string, shape: readonly number[], data: LazyBytes): Val {
    return this.graph.initializer({ name: id, type: 'float', shape, data });
  }

  protected fromCodes(id: string, coded: QuantizedTensor, wanted: Wanted, isFolded: boolean): Val {
    this.coded.set(id, coded);
    const axes = scaleAxes(coded);
    if (!axes) return this.#grouped(id, coded, wanted);
    const { shape, scales, scaleShape } = arrangedCodes(coded, axes, wanted);
    const bits = BITS[coded.coding.scheme];
    const read = () => arrangeCodes(coded.codes, bits, coded.shape, wanted);
    if (this.storage === 'low-bit' && isFolded) this.widened.add(id);
    else if (this.storage === 'low-bit') {
      const made = this.#dequantized(id, bits, read, shape, scaleShape, scales);
      if (made) return made;
    }
    const scale = this.graph.floats(`${id}/scale`, scales, scaleShape);
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
