import { addActivation } from './activations.js';
import { axisOf, type Build, type Context, numberOf, product } from './context.js';
import type { Program, Tensor } from './program.js';
import { COMBINATIONS } from './record.js';

/** `x * scale + shift` along the channels, which come last. */
export function addAffine(program: Program, x: Tensor, scale: Float32Array, shift: Float32Array): Tensor {
  const out = program.tensor(x.shape);
  const [a, b] = [program.put(scale), program.put(shift)];
  const [multiply, add] = [COMBINATIONS.indexOf('multiply'), COMBINATIONS.indexOf('add')];
  program.step(
    [x],
    [out],
    () => {
      const { at } = out.storage;
      program.kernels.combine(x.storage.at, a, x.size, scale.length, multiply, at);
      program.kernels.combine(at, b, x.size, shift.length, add, at);
    },
    true,
  );
  return out;
}

/** A batch normalization as factors and what is added, in float64. */
export function affineOf(
  c: Context['values'],
  epsilon: number,
): { scale: Float64Array; shift: Float64Array } {
  const mean = c('moving_mean') as Float32Array;
  const variance = c('moving_variance') as Float32Array;
  const gamma = c('gamma');
  const beta = c('beta');
  const scale = Float64Array.from(variance, (v, i) => (gamma?.[i] ?? 1) / Math.sqrt(v + epsilon));
  const shift = Float64Array.from(mean, (m, i) => (beta?.[i] ?? 0) - m * (scale[i] as number));
  return { scale, shift };
}

const batchNormalization: Build = (c) => {
  const [x] = c.inputs as [Tensor];
  const axis = axisOf(c.attributes.axis, x.shape.length);
  const { scale, shift } = affineOf(c.values, numberOf(c.attributes.epsilon));
  // Channels that do not come last: a factor for each element behind them.
  const inner = product(x.shape.slice(axis + 1));
  const wide = (values: Float64Array) =>
    Float32Array.from({ length: values.length * inner }, (_, i) => values[Math.floor(i / inner)] as number);
  const out = addAffine(c.program, x, wide(scale), wide(shift));
  return [addActivation(c.program, out, c.tail(0).activation)];
};

/** Factors and offsets along the channels. */
export const AFFINE: Readonly<Record<string, Build>> = { BatchNormalization: batchNormalization };
