import { fromNumbers } from '../../formats/dtypes.js';
import { floatToHalf, halfToFloat } from '../../formats/float16.js';
import type { Kernels } from '../../kernels/types.js';
import type { QuantizableModel } from '../../model.js';
import type { PackedWeight, QuantizedModel } from '../../packed/quantized-model.js';
import { nearestLevel } from '../../schemes/fit/gptq.js';
import { GRIDS, type Grid } from '../../schemes/grids.js';
import { packLevels, unpackLevels } from '../../schemes/levels.js';
import type { QuantizedTensor } from '../../schemes/types.js';
import { blockShape } from '../../shape.js';
import { prepare } from '../../tfjs/load.js';
import type { LayersModel, Tensor, Tensor2D, TensorFlow, Variable } from '../../tfjs/types.js';

type LayerVariable = LayersModel['weights'][number];

/** A weight of the student as a function of variables. */
export interface Tunable {
  /** Latent levels; absent for a vector that is kept in float. */
  readonly latent?: Variable;
  /** The logarithm of what the scales are multiplied by, or the vector itself. */
  readonly other: Variable;
  /** A new step: what was computed in the last one is forgotten. */
  begin(): void;
  /** What it is now. */
  assemble(weight: PackedWeight): PackedWeight;
  dispose(): void;
}

/** Every weight that tuning moves, by id; the student's layers read what its variables say. */
export function tunablesOf(
  tf: TensorFlow,
  student: LayersModel,
  float: QuantizableModel,
  quantized: QuantizedModel,
  kernels: Kernels,
): Map<string, Tunable> {
  const { weights } = prepare(quantized).topology;
  const tunables = new Map<string, Tunable>();
  for (const variable of student.weights) {
    const id = weights.get(variable.originalName);
    const weight = id === undefined ? undefined : quantized.weight(id);
    if (weight?.kind === 'quantized')
      tunables.set(weight.id, codedTunable(tf, variable, weight.tensor, float.read(weight.id), kernels));
    else if (weight && /^(bias|gamma|beta)$/.test(weight.name) && variable.dtype === 'float32')
      tunables.set(weight.id, vectorTunable(tf, variable));
  }
  return tunables;
}

function vectorTunable(tf: TensorFlow, variable: LayerVariable): Tunable {
  const other = tf.variable(variable.read(), true);
  variable.read = () => other;
  return {
    other,
    begin: () => undefined,
    assemble: (weight) => {
      if (weight.kind === 'quantized') return weight;
      const values = other.dataSync() as Float32Array;
      return { ...weight, changed: true, bytes: () => fromNumbers(values, weight.dtype) };
    },
    dispose: () => other.dispose(),
  };
}

function codedTunable(
  tf: TensorFlow,
  variable: LayerVariable,
  tensor: QuantizedTensor,
  floats: Float32Array,
  kernels: Kernels,
): Tunable {
  const { coding, layout, shape, scales } = tensor;
  const grid = GRIDS[coding.scheme];
  const { outer, channels, inner, groupRows } = layout;
  const [groups] = blockShape(layout);
  const levels = unpackLevels(kernels, coding.scheme, tensor.codes, floats.length);
  const start = new Float32Array(floats.length);
  const groupOf = new Int32Array(outer * inner);
  for (let o = 0, at = 0; o < outer; o++) {
    for (let c = 0; c < channels; c++) {
      for (let i = 0; i < inner; i++, at++) {
        const group = Math.floor((o * inner + i) / groupRows);
        groupOf[o * inner + i] = group;
        start[at] = latentOf(
          grid,
          floats[at] as number,
          scales[group * channels + c] as number,
          levels[at] as number,
        );
      }
    }
  }
  const latent = tf.tidy(() => tf.variable(tf.tensor3d(start, [outer, channels, inner]), true));
  // The scale is exp(v) times what it was: steps are relative, and its sign stays.
  const other = tf.tidy(() => tf.variable(tf.zeros([groups, channels]), true));
  const given = tf.tensor2d(scales, [groups, channels]);
  // Rows of 0 and one 1: a product spreads the scales over their rows, and unlike `gather` every backend differentiates it.
  const ones = new Float32Array(groups === 1 ? 0 : groupOf.length * groups);
  if (groups > 1) for (const [row, group] of groupOf.entries()) ones[row * groups + group] = 1;
  const members = groups === 1 ? undefined : tf.tensor2d(ones, [groupOf.length, groups]);
  const round = tf.customGrad((u, save) => {
    (save as (tensors: Tensor[]) => void)([u as Tensor]);
    return {
      value: rounded(tf, u as Tensor, grid),
      gradFunc: (dy, [saved]) => masked(tf, dy, saved as Tensor, grid),
    };
  });
  let value: Tensor | undefined;
  const compute = () => {
    const own = tf.mul(given, tf.exp(other));
    const spread = members
      ? tf.transpose(tf.reshape(tf.matMul(members, own as Tensor2D), [outer, inner, channels]), [0, 2, 1])
      : tf.reshape(own, [1, channels, 1]);
    return tf.reshape(tf.mul(round(latent), spread), [...shape]);
  };
  variable.read = () => {
    // Kept, for a layer that is called twice ends what it made with its first call.
    value ??= tf.keep(compute());
    return value as ReturnType<LayerVariable['read']>;
  };
  return {
    latent,
    other,
    begin: () => {
      value?.dispose();
      value = undefined;
    },
    assemble: (weight) => {
      const u = latent.dataSync() as Float32Array;
      const now = tf.tidy(() => tf.mul(given, tf.exp(other)).dataSync()) as Float32Array;
      const codes = packLevels(
        kernels,
        coding.scheme,
        Uint8Array.from(u, (x) => nearestLevel(grid, x)),
      );
      const tuned = coding.scaleDtype === 'F16' ? halfToFloat(floatToHalf(now)) : Float32Array.from(now);
      return { ...weight, kind: 'quantized', tensor: { ...tensor, codes, scales: tuned } } as PackedWeight;
    },
    dispose: () => tf.dispose([latent, other, given, members, value].filter((own) => own !== undefined)),
  };
}

/** The level of `w / s` as a real number where it rounds to the code's, else the nearest that does, a tenth inside. */
function latentOf({ offset, step, levels }: Grid, weight: number, scale: number, level: number): number {
  if (scale === 0) return level;
  const low = level === 0 ? 0 : level - 0.4;
  const high = level === levels - 1 ? level : level + 0.4;
  return Math.min(high, Math.max(low, (weight / scale - offset) / step));
}

/** The value of the nearest level, as `nearestLevel` takes it. */
function rounded(tf: TensorFlow, latent: Tensor, { offset, step, levels }: Grid): Tensor {
  // Not clipByValue: the WebAssembly backend's makes the lowest level of what is not a number.
  const level = tf.minimum(tf.maximum(tf.ceil(tf.sub(latent, 0.5)), 0), levels - 1);
  return tf.add(tf.mul(level, step), offset);
}

/** The gradient passes where the latent level lies within half a step of the grid's ends. */
function masked(tf: TensorFlow, dy: Tensor, latent: Tensor, { step, levels }: Grid): Tensor {
  const isWithin = tf.logicalAnd(tf.greaterEqual(latent, -0.5), tf.lessEqual(latent, levels - 0.5));
  return tf.mul(dy, tf.mul(tf.cast(isWithin, 'float32'), step));
}
