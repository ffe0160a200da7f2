import type { BlockLayout } from '../shape.js';

/** Weights as codes and scales. */
export interface CodedWeight {
  readonly bits: 1 | 2 | 4;
  readonly codes: Uint8Array;
  readonly scales: Float32Array;
  readonly layout: BlockLayout;
}

/** A weight in the form that it is stored in. */
export type Weight = CodedWeight | Float32Array;

/** A matrix `[K, N]` of levels and scales: element (k, n) is level `k * N + n` of the codes. */
export interface LevelMatrix {
  readonly bits: 1 | 2 | 4;
  readonly codes: Uint8Array;
  /** `[groups, N]`, the value of one level. */
  readonly scales: Float32Array;
  /** Rows of K that share a scale; K where all do. */
  readonly groupRows: number;
}

export const isCoded = (weight: Weight): weight is CodedWeight => !(weight instanceof Float32Array);

/** One scale for all weights. */
const isWhole = ({ channels, groupRows, outer, inner }: BlockLayout): boolean =>
  channels === 1 && groupRows >= outer * inner;

/** Whether {@link levelMatrix} takes a weight whose last axis is that of its output channels. */
export function hasLevels(
  weight: (Pick<CodedWeight, 'layout'> & { shape: readonly number[] }) | undefined,
): boolean {
  if (!weight) return false;
  const { layout, shape } = weight;
  return isWhole(layout) || (layout.channels === shape.at(-1) && layout.inner === 1);
}

/** Levels of int2 are halves of a scale apart from each other twice: 2 q + 1. */
const unitOf = (bits: number) => (bits === 2 ? 0.5 : 1);

/**
 * A coded weight whose last axes are its N output channels as a matrix; undefined where its scales lie otherwise.
 *
 * @param factors multiplied with the scale of each column: a normalization that is folded in
 */
export function levelMatrix(
  weight: CodedWeight,
  rows: number,
  columns: number,
  factors?: Float32Array,
): LevelMatrix | undefined {
  const { bits, codes, layout } = weight;
  const isOne = isWhole(layout);
  const isMatrix = layout.channels === columns && layout.inner === 1 && layout.outer === rows;
  if (!isOne && !isMatrix) return undefined;
  const groups = isOne ? 1 : Math.max(1, Math.ceil(rows / layout.groupRows));
  const scales = new Float32Array(groups * columns);
  for (let i = 0; i < scales.length; i++) {
    const scale = (weight.scales[isOne ? 0 : i] as number) * unitOf(bits);
    scales[i] = scale * (factors?.[i % columns] ?? 1);
  }
  return { bits, codes, scales, groupRows: isOne ? rows : Math.min(rows, layout.groupRows) };
}

/** Floats up to a multiple of eight, zeros behind the last. */
export function paddedToEight(values: ArrayLike<number> | undefined, length: number): Float32Array {
  const out = new Float32Array(Math.ceil(length / 8) * 8);
  if (values) out.set(values);
  return out;
}
