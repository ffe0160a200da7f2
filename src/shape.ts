import { expected } from './errors.js';

/**
 * How a C-order tensor is cut into blocks that share one scale.
 *
 * The tensor is seen as `[outer, channels, inner]`; row `k = o * inner + i` of channel `c` is element
 * `(o * channels + c) * inner + i`, so `K = outer * inner`. Block `b = floor(k / groupRows) * channels + c`:
 * block arrays have shape `[ceil(K / groupRows), channels]`, C order.
 *
 * - tensor: `{ outer: 1, channels: 1, inner: size, groupRows: size }`
 * - channel, last axis: `{ outer: K, channels: N, inner: 1, groupRows: K }`
 * - groups of g rows, last axis: `{ outer: K, channels: N, inner: 1, groupRows: g }`
 */
export interface BlockLayout {
  readonly outer: number;
  readonly channels: number;
  readonly inner: number;
  readonly groupRows: number;
}

/** What shares a scale: a whole tensor, a channel, or a group of rows of a channel. */
export type Granularity = 'tensor' | 'channel' | 'group';

/** Number of elements of a shape; a scalar has one. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((n, d) => n * d, 1);
}

/** Elements that a layout covers. */
export function layoutSize(layout: BlockLayout): number {
  return layout.outer * layout.channels * layout.inner;
}

/** `[groups, channels]`: the shape of the block arrays of a layout; `[0, channels]` for an empty one. */
export function blockShape(layout: BlockLayout): [groups: number, channels: number] {
  const rows = layout.outer * layout.inner;
  return [rows === 0 ? 0 : Math.ceil(rows / layout.groupRows), layout.channels];
}

/** Number of blocks, and so of scales, of a layout. */
export function blockCount(layout: BlockLayout): number {
  const [groups, channels] = blockShape(layout);
  return groups * channels;
}

/**
 * The layout of a tensor of `shape` whose output channels lie along `axes` (neighbouring axes, merged).
 *
 * @param groupSize rows of K that share a scale; needed for `group` only
 * @throws RangeError for axes that are no neighbours or out of range, or a group size below 1
 */
export function blockLayout(
  shape: readonly number[],
  granularity: Granularity,
  axes: readonly number[],
  groupSize?: number,
  context?: string,
): BlockLayout {
  const size = sizeOf(shape);
  if (granularity === 'tensor') {
    return { outer: 1, channels: 1, inner: size, groupRows: Math.max(1, size) };
  }
  const first = axes[0] ?? -1;
  const isRun = Number.isInteger(first) && axes.length > 0 && axes.every((axis, i) => axis === first + i);
  if (!isRun || first < 0 || first + axes.length > shape.length) {
    throw new RangeError(
      expected('axes', `neighbouring axes of a shape of rank ${shape.length}`, `[${axes}]`, context),
    );
  }
  const outer = sizeOf(shape.slice(0, first));
  const channels = sizeOf(shape.slice(first, first + axes.length));
  const inner = sizeOf(shape.slice(first + axes.length));
  if (granularity === 'channel') {
    return { outer, channels, inner, groupRows: Math.max(1, outer * inner) };
  }
  if (!Number.isInteger(groupSize) || (groupSize as number) < 1) {
    throw new RangeError(expected('groupSize', 'an integer of at least 1', groupSize, context));
  }
  return { outer, channels, inner, groupRows: groupSize as number };
}
