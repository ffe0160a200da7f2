// How weights lie in the file, and the nodes that make floats of codes. ONNX Runtime computes these while it loads a model,
// unless they begin with DequantizeLinear, which it leaves where it is.

import { arrangeCodes, packedLength, signsAsInt2 } from '../export/arrange.js';
import { BITS, type CodedSource, scaleAxes } from '../export/stored.js';
import type { Val } from '../export/values.js';
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

  protected fromCodes(id: string, coded: QuantizedTensor, wanted: Wanted, isFolded: boolean): Val {
    this.coded.set(id, coded);
    const axes = scaleAxes(coded);
    if (!axes) {
      if (this.storage === 'low-bit') this.widened.add(id);
      return this.grouped(coded, wanted, ({ bits, codes, scales, shape }) => {
        const scale = this.graph.floats(`${id}/scale`, scales, [...shape.slice(0, 2), 1]);
        return this.#scaled(id, bits, codes, shape, scale);
      });
    }
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
      const stored = graph.stored(id, 'uint8', [length, 1], { length, bytes: codes });
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
    const stored = graph.stored(id, type, shape, { length, bytes: codes });
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
    const bytes = bits === 1 ? () => signsAsInt2(codes(), count) : codes;
    const stored = graph.stored(id, type, shape, { length, bytes });
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
}

function cut(graph: GraphBuilder, x: Val, length: number): Val {
  return graph.slice(x, [{ axis: 0, start: 0, end: length, length }]);
}
