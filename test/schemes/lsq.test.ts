// Least-squares scales: how often the weights are read, what is held at one time, and the steps of the search.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { leastSquaresPasses, scalesLeastSquares } from '../../src/schemes/fit/lsq.js';
import type { EachPiece, SchemeName } from '../../src/schemes/types.js';
import { blockLayout } from '../../src/shape.js';
import { backends, random } from '../kernels/support.js';

const kernels = (backends.find(([name]) => name === 'simd') as (typeof backends)[0])[1];

/** Scales of `[rows, blocks]`, the projections in each pass over the weights, and the inverses of each projection. */
function searched(weights: Float32Array, rows: number, scheme: SchemeName) {
  const blocks = weights.length / rows;
  const layout = blockLayout([rows, blocks], 'channel', [1], undefined, 't');
  const passes: number[] = [];
  const inverses: Float32Array[] = [];
  const spy = new Proxy(kernels, {
    get(target, key) {
      if (!String(key).startsWith('project')) return Reflect.get(target, key);
      return (w: Float32Array, given: Float32Array, ...rest: [never, never]) => {
        passes[passes.length - 1] = (passes.at(-1) as number) + 1;
        if (blocks < 100) inverses.push(given.slice());
        return target[key as 'projectInt4'](w, given, ...rest);
      };
    },
  });
  const each: EachPiece = (visit) => {
    passes.push(0);
    visit(weights, layout, 0);
  };
  const { scales } = scalesLeastSquares(each, scheme, { kernels: spy, layout, context: 't' });
  return { scales, passes, inverses };
}

const numbers = (size: number) => {
  const next = random(5);
  return Float32Array.from({ length: size }, (_, i) => (next() - 0.5) * (1 + (i % 3)));
};

test('passes: one for magnitudes, those that all trials take, and two of Lloyd', () => {
  const of = (scheme: SchemeName) =>
    [0, 1, 2 ** 20 / 25, 2 ** 16, 2 ** 19, 2 ** 20, 2 ** 20 + 1, 2 ** 22].map((n) =>
      leastSquaresPasses(scheme, n),
    );
  assert.equal(of('binary'), [1, 1, 1, 1, 1, 1, 1, 1]);
  // 25 trials and 7: all at once up to 2^20 / 25 blocks, 16 at 2^16, 2 at 2^19, one at a time from 2^19 + 1 on
  assert.equal(of('int4'), [5, 5, 5, 6, 20, 35, 35, 35]);
  assert.equal(of('int2'), [5, 5, 5, 5, 13, 21, 21, 21]);
});

test('what is held for trials at one time is bounded, and passes are as many as are said', () => {
  for (const [scheme, blocks, want] of [
    ['int4', 10, [0, 25, 7, 1, 1]],
    ['int2', 10, [0, 11, 7, 1, 1]],
    ['int2', 2 ** 17, [0, 8, 3, 7, 1, 1]],
  ] as const) {
    const { passes } = searched(numbers(blocks), 1, scheme);
    assert.equal(passes, want, `${scheme}, ${blocks} blocks`);
    assert.is(passes.length, leastSquaresPasses(scheme, blocks), `${scheme}, ${blocks} blocks`);
  }
});

/** `sum (w - s l)^2` of one block, `l` the level that `s` gives `w`. */
function errorOf(weights: ArrayLike<number>, scale: number, scheme: 'int2' | 'int4'): number {
  return Array.from(weights).reduce((sum, w) => {
    const level =
      scheme === 'int4'
        ? Math.max(-8, Math.min(7, Math.round(w / scale)))
        : Math.max(-1.5, Math.min(1.5, Math.floor(w / scale) + 0.5));
    return sum + (w - scale * level) ** 2;
  }, 0);
}

test('trials: multiples of the largest magnitude and of the mean, then seven within five percent of the best', () => {
  const weights = numbers(64);
  const most = weights.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const mean = weights.reduce((a, b) => a + Math.abs(b), 0) / 64;
  for (const [scheme, divisors, from, count] of [
    ['int4', [7, 6.75, 7.25, 7.5, 7.75, 8, 8.25, 8.5, 9, 9.5, 10, 11], 0.3, 13],
    ['int2', [1.5, 1.75, 2], 0.8, 8],
  ] as const) {
    const { inverses, scales } = searched(weights, 64, scheme);
    const tried = inverses.map(([inverse]) => 1 / (inverse as number));
    const near = (a: number, b: number) =>
      assert.ok(Math.abs(a - b) <= 2e-6 * b, `${scheme}: ${a}, not ${b}`);
    const coarse = [
      ...divisors.map((divisor) => most / divisor),
      ...Array.from({ length: count }, (_, k) => mean * from * 2 ** (k / 6)),
    ];
    for (const [i, want] of coarse.entries()) near(tried[i] as number, want);
    // The seven lie around one scale, 2^(1/42) apart.
    const fine = tried.slice(coarse.length, coarse.length + 7);
    for (const [k, scale] of fine.entries()) near(scale, (fine[3] as number) * 2 ** ((k - 3) / 42));
    const [found = 0] = scales;
    const least = Math.min(...tried.map((scale) => errorOf(weights, scale, scheme)));
    assert.ok(errorOf(weights, found, scheme) <= least * (1 + 1e-6), scheme);
  }
});

test('blocks of zeros have scale 0, equal weights are exact, and others do not disturb them', () => {
  const weights = Float32Array.from({ length: 30 }, (_, i) => [0, 0.75, (i % 7) - 3][i % 3] as number);
  for (const scheme of ['int4', 'int2'] as const) {
    const { scales } = searched(weights, 10, scheme);
    assert.is(scales[0], 0);
    assert.is(errorOf(new Array(10).fill(0.75), scales[1] as number, scheme) < 1e-12, true, scheme);
    assert.ok((scales[2] as number) > 0);
  }
});

test('sums beyond float32: a scale that is finite stays', () => {
  for (const scheme of ['int4', 'int2'] as const) {
    const { scales } = searched(new Float32Array(8).fill(3e38), 8, scheme);
    assert.ok(Number.isFinite(scales[0]) && (scales[0] as number) > 0, scheme);
  }
});

test.run();
