// Half-quadratic scales against brute force over scales.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import { dequantizeTensor, quantizeTensor } from '../../src/schemes/quantize.js';
import type { ScaleRule, SchemeName } from '../../src/schemes/types.js';
import { random } from '../kernels/support.js';

const backends = [await loadKernels(), await loadKernels({ backend: 'reference' })];
const [kernels] = backends as [(typeof backends)[0]];
const SCHEMES: readonly SchemeName[] = ['binary', 'int2', 'int4'];

/** Uniform sums, near enough to a bell, and one weight in thirty four times as far out. */
function weightsWithOutliers(size: number, seed: number): Float32Array {
  const next = random(seed);
  return Float32Array.from(
    { length: size },
    () => (next() + next() + next() - 1.5) * (next() < 1 / 30 ? 4 : 1),
  );
}

const halfEven = (x: number) => {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
};
const LEVEL: Readonly<Record<SchemeName, (x: number) => number>> = {
  binary: (x) => (x > 0 ? 1 : -1),
  int2: (x) => Math.min(1, Math.max(-2, Math.floor(x))) + 0.5,
  int4: (x) => Math.min(7, Math.max(-8, halfEven(x))),
};
const objective = (weights: Float32Array, values: ArrayLike<number>) =>
  weights.reduce((sum, w, i) => sum + Math.abs(w - (values[i] as number)) ** 0.75, 0);

for (const scheme of SCHEMES) {
  test(`${scheme}: never worse than least squares, and close to the best of all scales`, () => {
    for (const [size, share] of [
      [8, 1.08],
      [24, 1.04],
      [64, 1.03],
    ] as const) {
      let total = 0;
      let best = 0;
      for (let trial = 0; trial < 30; trial++) {
        const weights = weightsWithOutliers(size, 100 + trial);
        const costOf = (scale: ScaleRule) => {
          const tensor = quantizeTensor(kernels, weights, [size], { scheme, scale, granularity: 'tensor' });
          return objective(weights, dequantizeTensor(kernels, tensor));
        };
        const cost = costOf('hqq');
        assert.ok(cost <= costOf('lsq') * (1 + 1e-5), `${size}, ${trial}`);
        const amax = Math.max(...weights.map(Math.abs));
        let least = Number.POSITIVE_INFINITY;
        for (let s = amax / 100; s < amax * 1.2; s *= 1.003)
          least = Math.min(
            least,
            objective(
              weights,
              Array.from(weights, (w) => s * LEVEL[scheme](w / s)),
            ),
          );
        total += cost;
        best += Math.min(least, cost);
      }
      assert.ok(total <= best * share, `${size}: ${total}, the best scales give ${best}`);
    }
  });

  test(`${scheme}: weights of any size are scaled alike`, () => {
    const weights = weightsWithOutliers(96 * 5, 3);
    const options = { scheme, scale: 'hqq', granularity: 'group', groupSize: 32 } as const;
    const one = quantizeTensor(kernels, weights, [96, 5], options);
    for (const factor of [2 ** -40, 2 ** 30]) {
      const other = quantizeTensor(
        kernels,
        weights.map((w) => w * factor),
        [96, 5],
        options,
      );
      assert.equal(other.codes, one.codes);
      assert.equal(
        other.scales,
        one.scales.map((scale) => scale * factor),
      );
    }
  });

  test(`${scheme}: both backends find the same bits; blocks of zeros have scale 0`, () => {
    const weights = weightsWithOutliers(6 * 7 * 5, 4);
    for (let i = 0; i < weights.length; i++) if (Math.floor(i / 5) % 7 === 3) weights[i] = 0;
    for (const axes of [[0], [1], [2], [1, 2]]) {
      const [a, b] = backends.map((each) =>
        quantizeTensor(each, weights, [6, 7, 5], { scheme, scale: 'hqq', axes }),
      );
      assert.equal(a, b);
      if (axes[0] === 1) {
        const per = axes.length === 1 ? 1 : 5;
        assert.equal(a?.scales.subarray(3 * per, 4 * per), new Float32Array(per));
      }
    }
  });

  test(`${scheme}: the smallest and the largest floats`, () => {
    for (const weights of [
      Float32Array.of(1e-40, -1e-40, 0, 3e-40),
      Float32Array.of(3e38, -3e38, 1e38, 2e38),
    ]) {
      const tensor = quantizeTensor(kernels, weights, [4], { scheme, scale: 'hqq', granularity: 'tensor' });
      assert.ok(Number.isFinite(tensor.scales[0]) && (tensor.scales[0] as number) > 0);
    }
  });
}

test('an outlier moves the least-squares scale, and hardly the half-quadratic one', () => {
  const weights = Float32Array.from({ length: 64 }, (_, i) => (i % 2 ? 1 : -1));
  weights[0] = -100;
  const scaleOf = (scale: ScaleRule) =>
    quantizeTensor(kernels, weights, [64], { scheme: 'binary', scale, granularity: 'tensor' })
      .scales[0] as number;
  assert.ok(scaleOf('lsq') > 2.5);
  assert.ok(Math.abs(scaleOf('hqq') - 1) < 0.05);
});

test.run();
