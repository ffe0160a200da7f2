import { type Context, numbersOf, refuse } from './context.js';
import type { Tensor } from './program.js';

/** Windows along the first of three axes: planes of an image. */
export interface Planes {
  /** Planes of the image, and of the output. */
  readonly depth: number;
  readonly out: number;
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  /** Planes of zeros before the first. */
  readonly front: number;
}

/** How windows lie over an image, over a sequence as an image of one row, or over planes of images. */
export interface Frame {
  readonly image: readonly [height: number, width: number, channels: number];
  readonly kernel: readonly [tall: number, wide: number];
  readonly strides: readonly [number, number];
  readonly dilations: readonly [number, number];
  /** Zeros above and to the left. */
  readonly top: number;
  readonly left: number;
  readonly out: readonly [rows: number, across: number];
  readonly planes?: Planes | undefined;
}

/** Windows of one axis as Keras writes them. */
export interface Windows {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly padding: unknown;
  /** Zeros that a layer before left to this one. */
  readonly before?: readonly number[] | undefined;
  readonly after?: readonly number[] | undefined;
}

/** Along an axis of n: zeros before, and how many windows there are. */
function windowsAlong(
  n: number,
  axis: number,
  w: Windows,
): { readonly before: number; readonly count: number } {
  const at = (list: readonly number[] | undefined, missing: number) => list?.[axis] ?? missing;
  const [before, after] = [at(w.before, 0), at(w.after, 0)];
  const [stride, reach] = [at(w.strides, 1), (at(w.kernel, 1) - 1) * at(w.dilations, 1) + 1];
  const length = n + before + after;
  if (w.padding === 'same') {
    const count = Math.ceil(length / stride);
    const total = Math.max((count - 1) * stride + reach - length, 0);
    return { before: before + (total >> 1), count };
  }
  const extra = w.padding === 'causal' ? reach - 1 : 0;
  return { before: before + extra, count: Math.max(Math.floor((length + extra - reach) / stride) + 1, 0) };
}

/** @param shape of the input, channels last @throws Refusal */
export function frameWith(shape: readonly number[], w: Windows): Frame {
  const inner = shape.slice(0, -1);
  const channels = shape.at(-1) as number;
  if (inner.length < 1 || inner.length > 3) refuse(`${inner.length} axes of windows`);
  const all = inner.map((n, axis) => windowsAlong(n, axis, w));
  /** Numbers of the last two axes: a row that is missing comes first. */
  const two = (list: readonly number[], missing: number): [number, number] =>
    list.length === 1 ? [missing, list[0] as number] : (list.slice(-2) as [number, number]);
  const [top, left] = two(
    all.map(({ before }) => before),
    0,
  );
  const planes = inner.length === 3 && {
    ...{ depth: inner[0] as number, out: all[0]?.count as number, front: all[0]?.before as number },
    ...{ kernel: w.kernel[0] as number, stride: w.strides[0] as number, dilation: w.dilations[0] as number },
  };
  return {
    image: [...two(inner, 1), channels],
    ...{ kernel: two(w.kernel, 1), strides: two(w.strides, 1), dilations: two(w.dilations, 1), top, left },
    out: two(
      all.map(({ count }) => count),
      1,
    ),
    ...(planes ? { planes } : {}),
  };
}

/** The frame of a layer's attributes. */
export function frameOf(c: Context, x: Tensor): Frame {
  const { attributes: a, border } = c;
  const kernel = numbersOf(a.kernel_size ?? a.pool_size);
  return frameWith(x.shape, {
    ...{ kernel, strides: numbersOf(a.strides ?? kernel), padding: a.padding },
    dilations: a.dilation_rate ? numbersOf(a.dilation_rate) : kernel.map(() => 1),
    ...(border ? { before: border.before, after: border.after } : {}),
  });
}

/** Shape of a layer's output as Keras has it: a sequence without the row. */
export const outShape = (rank: number, frame: Frame, columns: number): number[] => [
  ...(frame.planes ? [frame.planes.out] : []),
  ...(rank === 2 ? frame.out.slice(1) : frame.out),
  columns,
];
