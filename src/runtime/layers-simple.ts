import { addActivation, LINEAR } from './activations.js';
import { axisOf, type Build, numbersOf, product, refuse } from './context.js';
import { channelsLast, frameOf } from './layers-products.js';
import { addBroadcast, addPermutation } from './moves.js';
import type { Program, Tensor } from './program.js';
import { COMBINATIONS, type CombinationKind } from './record.js';

const pooling =
  (isMax: boolean): Build =>
  (c) => [
    channelsLast(c, (x) => {
      const { image, kernel, strides, top, left, out } = frameOf(c, x);
      const shape = x.shape.length === 3 ? [...out, image[2]] : [out[1], image[2]];
      const made = c.program.tensor(shape);
      // No output is larger than the largest input.
      if (!c.border) c.program.shareRange(made, x);
      c.program.step([x], [made], () =>
        c.program.kernels.pool(
          ...([x.storage.at, ...image, ...kernel, ...strides, top, left, ...out] as const),
          ...([isMax ? 1 : 0, made.storage.at] as const),
        ),
      );
      return made;
    }),
  ];

const globalPooling =
  (isMax: boolean): Build =>
  (c) => [
    channelsLast(c, (x) => {
      if (c.inputs.length > 1) refuse('a mask');
      const channels = x.shape.at(-1) as number;
      const pixels = x.size / channels;
      const isKept = c.attributes.keepdims === true;
      const made = c.program.tensor([...(isKept ? x.shape.slice(0, -1).map(() => 1) : []), channels]);
      c.program.shareRange(made, x);
      c.program.step([x], [made], () =>
        c.program.kernels.pool(
          ...([x.storage.at, 1, pixels, channels, 1, pixels, 1, 1, 0, 0, 1, 1] as const),
          ...([isMax ? 1 : 0, made.storage.at] as const),
        ),
      );
      return made;
    }),
  ];

/** Two tensors element by element; either may be repeated along axes of length 1. */
export function addCombination(program: Program, x: Tensor, y: Tensor, kind: CombinationKind): Tensor {
  const rank = Math.max(x.shape.length, y.shape.length);
  const at = (t: Tensor, i: number) => t.shape[t.shape.length - rank + i] ?? 1;
  const shape = Array.from({ length: rank }, (_, i) => Math.max(at(x, i), at(y, i)));
  const left = addBroadcast(program, x, shape);
  // The second may be read over and over, where it repeats as a whole.
  const own = Array.from({ length: rank }, (_, i) => at(y, i));
  const from = own.findIndex((n) => n !== 1);
  const isSuffix = from < 0 || own.slice(from).every((n, i) => n === shape[from + i]);
  const right = isSuffix ? y : addBroadcast(program, y, shape);
  const out = program.tensor(shape);
  const number = COMBINATIONS.indexOf(kind);
  program.step(
    [left, right],
    [out],
    () => {
      const { at: to } = out.storage;
      program.kernels.combine(left.storage.at, right.storage.at, left.size, right.size, number, to);
    },
    true,
  );
  return out;
}

const merging =
  (kind: CombinationKind, isMean = false): Build =>
  (c) => {
    const [first, ...rest] = c.inputs as [Tensor, ...Tensor[]];
    const isTurned = (x: Tensor, y: Tensor) => x.size < y.size && kind !== 'subtract' && kind !== 'divide';
    const sum = rest.reduce(
      (x, y) => addCombination(c.program, ...(isTurned(x, y) ? ([y, x] as const) : ([x, y] as const)), kind),
      first,
    );
    const mean = { type: 'element', kind: 'linear', parameters: [1 / c.inputs.length, 0] } as const;
    const { activation } = isMean ? { activation: LINEAR } : c.tail(0);
    return [addActivation(c.program, isMean ? addActivation(c.program, sum, mean) : sum, activation)];
  };

const prelu: Build = (c) => {
  const { program } = c;
  const [x] = c.inputs as [Tensor];
  const shared = c.attributes.shared_axes === null ? [] : numbersOf(c.attributes.shared_axes);
  const shape = x.shape.map((n, i) => (shared.includes(i + 1) ? 1 : n));
  const alpha = c.values('alpha') as Float32Array;
  const at = program.put(alpha);
  const from = shape.findIndex((n) => n !== 1);
  if (from >= 0 && shape.slice(from).some((n, i) => n !== x.shape[from + i]))
    refuse(`shared_axes: [${shared}]`);
  const out = program.tensor(x.shape);
  const kind = COMBINATIONS.indexOf('prelu');
  program.step(
    [x],
    [out],
    () => program.kernels.combine(x.storage.at, at, x.size, alpha.length, kind, out.storage.at),
    true,
  );
  return [out];
};

/** Mean, sum or largest over axes that lie side by side from the first or up to the last. */
const reduction =
  (how: 'mean' | 'sum' | 'max'): Build =>
  (c) => {
    const { program, attributes: a } = c;
    const [x] = c.inputs as [Tensor];
    const rank = x.shape.length;
    const axes = [...numbersOf(a.axis)].map((axis) => axisOf(axis, rank)).sort((m, n) => m - n);
    // The axes that go away come first.
    const kept = x.shape.map((_, i) => i).filter((i) => !axes.includes(i));
    const turned = addPermutation(program, x, [...axes, ...kept]);
    const count = product(axes.map((i) => x.shape[i] as number));
    const channels = x.size / count;
    const shape =
      a.keepdims === true
        ? x.shape.map((n, i) => (axes.includes(i) ? 1 : n))
        : kept.map((i) => x.shape[i] as number);
    const out = program.tensor(shape);
    program.step([turned], [out], () =>
      program.kernels.pool(
        ...([turned.storage.at, 1, count, channels, 1, count, 1, 1, 0, 0, 1, 1] as const),
        ...([how === 'max' ? 1 : 0, out.storage.at] as const),
      ),
    );
    const scale = { type: 'element', kind: 'linear', parameters: [count, 0] } as const;
    return [how === 'sum' ? addActivation(program, out, scale) : out];
  };

/** `x op y`, where either may be a number or a list of numbers. */
const tensorMerging =
  (kind: CombinationKind): Build =>
  (c) => {
    let next = 0;
    const operands = (c.attributes.operands as unknown[]).map((operand) => {
      if (operand === null) return c.inputs[next++] as Tensor;
      const list = Array.isArray(operand) ? (operand.flat(9) as number[]) : [Number(operand)];
      const tensor = c.program.tensor(shapeOfList(operand));
      const at = c.program.put(Float32Array.from(list));
      c.program.step([], [tensor], () =>
        c.program.kernels.move(at, tensor.storage.at, 1, 1, 1, 4 * list.length, 0, 0, 0, 0, 0, 0),
      );
      return tensor;
    }) as [Tensor, Tensor];
    return [addCombination(c.program, ...operands, kind)];
  };

function shapeOfList(operand: unknown): number[] {
  return Array.isArray(operand) ? [operand.length, ...shapeOfList(operand[0])] : [];
}

/** Layers without products: windows, functions, moves. */
export const SIMPLE: Readonly<Record<string, Build>> = {
  MaxPooling1D: pooling(true),
  MaxPooling2D: pooling(true),
  AveragePooling1D: pooling(false),
  AveragePooling2D: pooling(false),
  GlobalMaxPooling1D: globalPooling(true),
  GlobalMaxPooling2D: globalPooling(true),
  GlobalMaxPooling3D: globalPooling(true),
  GlobalAveragePooling1D: globalPooling(false),
  GlobalAveragePooling2D: globalPooling(false),
  GlobalAveragePooling3D: globalPooling(false),
  Add: merging('add'),
  Subtract: merging('subtract'),
  Multiply: merging('multiply'),
  Maximum: merging('maximum'),
  Minimum: merging('minimum'),
  Average: merging('add', true),
  PReLU: prelu,
  'ops.Add': tensorMerging('add'),
  'ops.Subtract': tensorMerging('subtract'),
  'ops.Multiply': tensorMerging('multiply'),
  'ops.Divide': tensorMerging('divide'),
  'ops.TrueDivide': tensorMerging('divide'),
  'ops.Maximum': tensorMerging('maximum'),
  'ops.Minimum': tensorMerging('minimum'),
  'ops.Mean': reduction('mean'),
  'ops.Sum': reduction('sum'),
  'ops.Max': reduction('max'),
  'ops.Amax': reduction('max'),
};
