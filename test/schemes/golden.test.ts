// The bytes that each rule for scales gives, as they were when this was written. Other tests hold the rules to what they are
// for; this one notices any change of them. Whoever means to change a rule takes the new digests over, and measures the tables of
// docs/RESULTS.md again.
import { createHash } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadLinearAlgebra } from '../../src/kernels/linalg.js';
import { emptyMoments, fitCalibrated } from '../../src/schemes/fit/calibrated.js';
import { GRIDS } from '../../src/schemes/grids.js';
import { quantizeTensor } from '../../src/schemes/quantize.js';
import type { QuantizeOptions, SchemeName } from '../../src/schemes/types.js';
import { backends, random } from '../kernels/support.js';

const digest = (...arrays: readonly ArrayBufferView[]) => {
  const hash = createHash('sha256');
  for (const { buffer, byteOffset, byteLength } of arrays)
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  return hash.digest('hex').slice(0, 16);
};

/** Near enough to a bell, one in twenty of them four times as far out; exact on every machine. */
function weightsOf(size: number): Float32Array {
  const next = random(2024);
  return Float32Array.from(
    { length: size },
    () => (next() + next() + next() - 1.5) * (next() < 0.05 ? 4 : 1),
  );
}

const GRAINS: readonly Pick<QuantizeOptions, 'granularity' | 'groupSize'>[] = [
  { granularity: 'tensor' },
  { granularity: 'channel' },
  { granularity: 'group', groupSize: 20 },
];
const RULES: readonly (readonly [SchemeName, NonNullable<QuantizeOptions['scale']>, string])[] = [
  ['binary', 'mean', '8f2d160ec0963f18'],
  ['binary', 'none', '950ccf535791955d'],
  ['binary', 'lsq', '8f2d160ec0963f18'],
  ['binary', 'hqq', '307ca8fbb21720f2'],
  ['int2', 'absmax', '782978dd13f14565'],
  ['int2', 'lsq', 'c3c7a7aae831fd37'],
  ['int2', 'hqq', 'c648c3e76d9ec39a'],
  ['int4', 'absmax', '5ea9d00238355596'],
  ['int4', 'lsq', '43794fe2c54333d7'],
  ['int4', 'hqq', '1d7835446f48867a'],
];

for (const [scheme, scale, expected] of RULES)
  test(`${scheme}, ${scale}`, () => {
    const weights = weightsOf(3 * 64 * 7);
    for (const [name, kernels] of backends.slice(0, 2)) {
      const tensors = GRAINS.flatMap((grain) =>
        [[1], [2]].map((axes) =>
          quantizeTensor(kernels, weights, [3, 64, 7], { scheme, scale, axes, ...grain }),
        ),
      );
      assert.is(digest(...tensors.flatMap(({ scales, codes }) => [scales, codes])), expected, name);
    }
  });

const CALIBRATED: readonly (readonly [SchemeName, number, string])[] = [
  ['binary', 70, '3e72281b4005f43b'],
  ['binary', 16, 'b7dceaf72e34e74d'],
  ['int2', 70, 'f6854ca7df429a75'],
  ['int2', 16, '1d3312f087b9994c'],
  ['int4', 70, '878c0dc1b50d218f'],
  ['int4', 16, 'c05dca61d8173d66'],
];

/** Inputs that lean on each other and are not centred, on more rows than a tile has. */
function momentsOf(k: number, n: number, weights: Float32Array) {
  const next = random(11);
  const moments = emptyMoments(k, n);
  for (let row = 0; row < 120; row++) {
    const x = Float64Array.from({ length: k }, () => next());
    for (let i = 1; i < k; i++) x[i] = 0.5 * (x[i - 1] as number) + (x[i] as number) - 0.3;
    x[3] = 0;
    moments.rows++;
    for (let i = 0; i < k; i++) {
      const own = x[i] as number;
      moments.sumX[i] = (moments.sumX[i] as number) + own;
      for (let m = 0; m < k; m++)
        moments.gram[i * k + m] = (moments.gram[i * k + m] as number) + own * (x[m] as number);
    }
    for (let c = 0; c < n; c++) {
      const t = x.reduce((sum, v, i) => sum + v * (weights[i * n + c] as number), 0);
      moments.sumT[c] = (moments.sumT[c] as number) + t;
      moments.sumTT[c] = (moments.sumTT[c] as number) + t * t;
      for (let i = 0; i < k; i++)
        moments.cross[i * n + c] = (moments.cross[i * n + c] as number) + (x[i] as number) * t;
    }
  }
  return moments;
}

for (const [scheme, groupRows, expected] of CALIBRATED)
  test(`calibrated ${scheme}, groups of ${groupRows} rows`, async () => {
    const [k, n] = [70, 3];
    const weights = weightsOf(k * n);
    const moments = momentsOf(k, n, weights);
    for (const backend of ['wasm', 'reference'] as const) {
      const algebra = await loadLinearAlgebra(backend === 'reference' ? { backend } : {});
      const fits = [{}, { shift: false, ridge: 0.1, rounds: 1, sweeps: 1 }].map((options) =>
        fitCalibrated(algebra, moments, weights, scheme, GRIDS[scheme], { groupRows, ...options }),
      );
      const parts = fits.flatMap((fit) => {
        assert.ok(fit);
        assert.is(fit.deadInputs, 1);
        return [fit.levels, fit.scales, Float32Array.from(fit.shift), Float32Array.of(fit.error)];
      });
      assert.is(digest(...parts), expected, backend);
    }
  });

test.run();
