// A layer in a float network and in another one, and moments of it by hand.
import type { Tensor } from '@tensorflow/tfjs';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import type { JsonObject } from '../../src/model.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { algebraFor } from '../../src/pipeline/calibrate/algebra.js';
import { plansOf } from '../../src/pipeline/calibrate/calibrate.js';
import { momentsOf } from '../../src/pipeline/calibrate/layer.js';
import { randomNumbers } from '../../src/pipeline/calibrate/linear.js';
import type { LayerPlan } from '../../src/pipeline/calibrate/types.js';
import { decide } from '../../src/pipeline/recipe.js';
import type { Moments } from '../../src/schemes/fit/calibrated.js';
import { sizeOf } from '../../src/shape.js';
import { loadNetwork } from '../../src/tfjs/load.js';
import { type Bare, callsOf, type Layer } from '../../src/tfjs/run.js';
import { random, type SmallLayer, smallModel } from './support.js';

const { tf } = await loadTensorFlow();
const algebra = await algebraFor(tf, { kernels: await loadKernels() });

/**
 * A layer in two networks with weights of their own, and how it is to be fitted.
 * @param inner config of the layer inside, where it is a wrapper
 */
export async function layerOf(layers: readonly SmallLayer[], inner?: JsonObject, version = '3.15.1') {
  const last = (layers.at(-1) as SmallLayer).config.name as string;
  const [model, other] = [1, 2].map((seed) => smallModel(layers, [last], { seed, version }));
  if (!model || !other) throw new Error('two models');
  if (inner) for (const weight of model.weights) Object.assign(weight, { config: inner });
  const [exact, rounded] = [await loadNetwork(tf, model), await loadNetwork(tf, other)];
  const networks = [callsOf(exact), callsOf(rounded)] as const;
  const pairs = exact.own;
  const decisions = decide({ default: { scheme: 'int4' } }, model.weights, 'small');
  const plans = plansOf(networks[0], networks[1], pairs, decisions);
  const own = networks.map(({ calls }) => calls.at(-1)?.layer) as [Layer, Layer];
  const plan = plans.get(own[0]);
  const dispose = () => {
    exact.model.dispose();
    rounded.model.dispose();
  };
  return { plan, exact: own[0], rounded: own[1], dispose, model, other };
}

export const tensorOf = (shape: readonly number[], seed: number): Tensor => {
  const next = random(seed);
  return tf.tensor(Float32Array.from({ length: sizeOf(shape) }, next), [...shape]);
};

export interface Rows {
  /** Rows of each group, `[rows][k]`, and what the float layer gives, `[rows][n]`. */
  readonly x: readonly (readonly number[])[];
  readonly t: readonly (readonly number[])[];
}

export function assertMoments(moments: Moments, { x, t }: Rows, what: string): void {
  const near = (got: number, want: number, part: string) =>
    assert.ok(
      Math.abs(got - want) <= 2e-4 * (1 + Math.abs(want)),
      `${what}, ${part}: ${got}, by hand ${want}`,
    );
  const { k, n } = moments;
  assert.is(moments.rows, x.length, what);
  assert.ok(x.length > 0 && x.some((row) => row.some((v) => v !== 0)), what);
  const sum = (f: (row: number) => number) => x.reduce((total, _, row) => total + f(row), 0);
  const at = (m: readonly (readonly number[])[], row: number, i: number) => m[row]?.[i] as number;
  for (let i = 0; i < k; i++) {
    near(
      moments.sumX[i] as number,
      sum((r) => at(x, r, i)),
      `sum of input ${i}`,
    );
    for (let j = 0; j < k; j++)
      near(
        moments.gram[i * k + j] as number,
        sum((r) => at(x, r, i) * at(x, r, j)),
        `gram ${i}, ${j}`,
      );
    for (let c = 0; c < n; c++)
      near(
        moments.cross[i * n + c] as number,
        sum((r) => at(x, r, i) * at(t, r, c)),
        `cross ${i}, ${c}`,
      );
  }
  for (let c = 0; c < n; c++) {
    near(
      moments.sumT[c] as number,
      sum((r) => at(t, r, c)),
      `sum of output ${c}`,
    );
    near(
      moments.sumTT[c] as number,
      sum((r) => at(t, r, c) ** 2),
      `sum of squares ${c}`,
    );
  }
}

export const momentsFor = (
  plan: LayerPlan,
  stage: number,
  float: readonly Tensor[],
  quantized: readonly Tensor[],
  targets?: readonly Bare[],
) =>
  momentsOf(
    tf,
    algebra,
    plan,
    stage,
    [quantized.map((x, i) => ({ float: float[i] ? [float[i] as Tensor] : [], quantized: [x] }))],
    { positions: 1e9 },
    randomNumbers(0),
    targets,
  );
