// Fits to a layer's inputs, against exact oracles on small cases.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type LinearAlgebra, loadLinearAlgebra } from '../../src/kernels/linalg.js';
import { strideOf } from '../../src/kernels/linalg-types.js';
import {
  type CalibrateOptions,
  emptyMoments,
  fitCalibrated,
  type Moments,
} from '../../src/schemes/fit/calibrated.js';
import { descend, rescale } from '../../src/schemes/fit/descend.js';
import { factorUpper, type Matrix, solveUpper } from '../../src/schemes/fit/factor.js';
import { type Codebook, gptq, levelOf } from '../../src/schemes/fit/gptq.js';
import { GRIDS } from '../../src/schemes/grids.js';
import type { SchemeName } from '../../src/schemes/types.js';

const simd = await loadLinearAlgebra();
const backends = [simd, await loadLinearAlgebra({ backend: 'reference' })];

/** Matrices `[k, n]` of values in a room. */
function matrices(
  algebra: LinearAlgebra,
  k: number,
  ...all: [values: ArrayLike<number>, n: number][]
): Matrix[] {
  const room = algebra.room(all.reduce((sum, [, n]) => sum + 8 * k * strideOf(n) + 16, 0));
  return all.map(([values, n]) => {
    const stride = strideOf(n);
    const own = room.float64(k * stride);
    for (let i = 0; i < k * n; i++) own[Math.floor(i / n) * stride + (i % n)] = values[i] as number;
    return { values: own, stride };
  });
}

/** Levels of one column by GPTQ. */
function gptqOf(algebra: LinearAlgebra, h: Float64Array, w: Float64Array, book: Codebook): Uint8Array {
  const k = w.length;
  const none = new Float64Array(k);
  const [v, own, carried, lost] = matrices(algebra, k, [h, k], [w, 1], [none, 1], [none, 1]) as [
    Matrix,
    Matrix,
    Matrix,
    Matrix,
  ];
  factorUpper(algebra, v, k);
  return gptq(algebra, v, k, own, 1, book, { carried, lost });
}

/** Normal numbers from a seed. */
function normals(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

const fill = (n: number, next: () => number) => Float64Array.from({ length: n }, next);

/** A well-conditioned Hessian with correlated rows. */
function hessian(k: number, next: () => number): Float64Array {
  const x = fill(2 * k * k, next);
  for (let row = 0; row < 2 * k; row++)
    for (let i = 1; i < k; i++) x[row * k + i] = 0.7 * x[row * k + i - 1]! + x[row * k + i]!;
  const h = new Float64Array(k * k);
  for (let i = 0; i < k; i++)
    for (let j = 0; j < k; j++) {
      for (let row = 0; row < 2 * k; row++) h[i * k + j]! += x[row * k + i]! * x[row * k + j]!;
      if (i === j) h[i * k + j]! += 0.1;
    }
  return h;
}

/** Gaussian elimination: the oracle of the factor. */
function solve(h: ArrayLike<number>, b: ArrayLike<number>): number[] {
  const k = b.length;
  const a = Array.from({ length: k }, (_, i) => [...Array.from(h).slice(i * k, (i + 1) * k), b[i] as number]);
  for (let i = 0; i < k; i++) {
    for (let r = i + 1; r < k; r++) {
      const f = a[r]![i]! / a[i]![i]!;
      for (let c = i; c <= k; c++) a[r]![c]! -= f * a[i]![c]!;
    }
  }
  const x = new Array<number>(k).fill(0);
  for (let i = k - 1; i >= 0; i--) {
    x[i] = a[i]![k]!;
    for (let c = i + 1; c < k; c++) x[i]! -= a[i]![c]! * x[c]!;
    x[i]! /= a[i]![i]!;
  }
  return x;
}

function loss(h: Float64Array, w: ArrayLike<number>, q: ArrayLike<number>): number {
  const k = w.length;
  let sum = 0;
  for (let i = 0; i < k; i++)
    for (let j = 0; j < k; j++) sum += (w[i]! - q[i]!) * h[i * k + j]! * (w[j]! - q[j]!);
  return sum;
}

const valuesOf = (scheme: SchemeName, levels: ArrayLike<number>, s: number) =>
  Array.from(levels, (level) => s * (GRIDS[scheme].offset + GRIDS[scheme].step * level));

const bookOf = (scheme: SchemeName, k: number, s: number): Codebook => ({
  grid: GRIDS[scheme],
  groupOf: new Uint32Array(k),
  scales: Float64Array.of(s),
});

/** Optimal brain surgeon, step by step: a row is fixed, and the rest solved for exactly. */
function surgeon(h: Float64Array, w: Float64Array, book: Codebook): number[] {
  const k = w.length;
  const s = book.scales[0] as number;
  const fixed: number[] = [];
  for (let i = 0; i < k; i++) {
    const rest = Array.from({ length: k - i }, (_, m) => i + m);
    const part = rest.flatMap((r) => rest.map((c) => h[r * k + c]!));
    // H_rr (w_r - x_r) = -H_rf (w_f - q_f)
    const side = rest.map((r) => -fixed.reduce((sum, q, f) => sum + h[r * k + f]! * (w[f]! - q), 0));
    const target = w[i]! - solve(part, side)[0]!;
    fixed.push(s * (book.grid.offset + book.grid.step * levelOf(book.grid, target, s)));
  }
  return fixed;
}

test('levels: the nearest, ties and zero downwards, the ends clamped, scale 0 the level nearest to 0', () => {
  const binary = GRIDS.binary;
  assert.equal(
    [-2, -0, 0, 1e-3, 3].map((v) => levelOf(binary, v, 1)),
    [0, 0, 0, 1, 1],
  );
  assert.equal(
    [-9, -1, -0.9, 0.1, 0.9, 1.1, 9].map((v) => levelOf(GRIDS.int2, v, 1)),
    [0, 0, 1, 2, 2, 3, 3],
  );
  assert.equal(
    [-99, -8.4, 0.2, 7.6].map((v) => levelOf(GRIDS.int4, v, 1)),
    [0, 0, 8, 15],
  );
  assert.is(levelOf(GRIDS.int4, 5, 0), 8);
});

for (const algebra of backends)
  test(`${algebra.backend}: the factor is upper triangular with H = V V', and solves`, () => {
    for (const k of [1, 2, 7, 33, 64, 65, 128, 150]) {
      const next = normals(k);
      const h = hessian(k, next);
      const b = fill(k * 3, next);
      const [v, x] = matrices(algebra, k, [h, k], [b, 3]) as [Matrix, Matrix];
      assert.is(factorUpper(algebra, v, k), -1);
      for (let i = 0; i < k; i++)
        for (let j = i; j < k; j++) {
          let sum = 0;
          for (let m = j; m < k; m++) sum += v.values[i * v.stride + m]! * v.values[j * v.stride + m]!;
          assert.ok(Math.abs(sum - h[i * k + j]!) < 1e-9 * h[i * k + i]! + 1e-9);
        }
      solveUpper(algebra, v, k, x, 3);
      for (let c = 0; c < 3; c++) {
        const own = solve(
          h,
          b.filter((_, at) => at % 3 === c),
        );
        own.forEach((value, i) => {
          assert.ok(Math.abs(value - x.values[i * x.stride + c]!) < 1e-8);
        });
      }
    }
    const pivotOf = (h: number[], k: number) =>
      factorUpper(algebra, matrices(algebra, k, [h, k])[0] as Matrix, k);
    assert.is(pivotOf([1, 2, 2, 1], 2), 0);
    assert.is(pivotOf([1, 0, 0, Number.NaN], 2), 1);
  });

test('GPTQ takes the steps of the exact optimal brain surgeon', () => {
  for (const scheme of ['binary', 'int2', 'int4'] as const)
    for (let seed = 1; seed <= 20; seed++) {
      // One across the edge of a tile, too.
      const k = seed === 20 ? 70 : 1 + (seed % 9);
      const next = normals(seed);
      const h = hessian(k, next);
      const w = fill(k, next);
      const book = bookOf(scheme, k, scheme === 'int4' ? 0.3 : 0.8);
      const levels = gptqOf(simd, h, w, book);
      const expected = surgeon(h, w, book);
      valuesOf(scheme, levels, book.scales[0]!).forEach((q, i) => {
        assert.ok(Math.abs(q - expected[i]!) < 1e-12, `${scheme} ${seed} row ${i}`);
      });
    }
});

test('GPTQ rounds each column by itself, with the scale of its group, whatever lies in the memory that it works in', () => {
  const n = 3;
  for (const k of [5, 70]) {
    const next = normals(400 + k);
    const h = hessian(k, next);
    const w = fill(k * n, next);
    const groupOf = Uint32Array.from({ length: k }, (_, i) => Math.floor((2 * i) / k));
    const scales = Float64Array.from({ length: 2 * n }, (_, i) => 0.2 + 0.1 * i);
    const grid = GRIDS.int4;
    const junk = new Float64Array(k * n).fill(9);
    const [v, own, carried, lost] = matrices(simd, k, [h, k], [w, n], [junk, n], [junk, n]) as [
      Matrix,
      Matrix,
      Matrix,
      Matrix,
    ];
    factorUpper(simd, v, k);
    const levels = gptq(simd, v, k, own, n, { grid, groupOf, scales }, { carried, lost });
    // The memory is taken again for the next problem.
    const after = lost.values.slice();
    for (let c = 0; c < n; c++) {
      const column = w.filter((_, at) => at % n === c);
      const book = { grid, groupOf, scales: Float64Array.of(scales[c] as number, scales[n + c] as number) };
      assert.equal(
        levels.filter((_, at) => at % n === c),
        gptqOf(simd, h, column, book),
        `${k}: ${c}`,
      );
      column.forEach((value, i) => {
        const s = book.scales[groupOf[i] as number] as number;
        const q = s * (grid.offset + grid.step * (levels[i * n + c] as number));
        assert.ok(Math.abs((after[i * lost.stride + c] as number) - (value - q)) < 1e-12);
      });
    }
  }
});

test('descent ends where no single code is better, and near the best of all codes', () => {
  for (const scheme of ['binary', 'int2'] as const) {
    let within = 0;
    const cases = 40;
    for (let seed = 1; seed <= cases; seed++) {
      const k = scheme === 'binary' ? 8 : 5;
      const { levels: count } = GRIDS[scheme];
      const next = normals(100 + seed);
      const h = hessian(k, next);
      const w = fill(k, next);
      const book = bookOf(scheme, k, 0.8);
      const levels = gptqOf(simd, h, w, book);
      const start = loss(h, w, valuesOf(scheme, levels, 0.8));
      const q = valuesOf(scheme, levels, 0.8);
      const room = simd.room(4 * k * k + 8 * k + 32);
      const single = room.float32(k * k);
      single.set(h);
      const rows = Array.from(w, (_, i) => single.subarray(i * k, (i + 1) * k));
      const residual = room.float64(k);
      w.forEach((_, i) => {
        residual[i] = w.reduce((sum, x, m) => sum + h[i * k + m]! * (x - q[m]!), 0);
      });
      const diagonal = Float64Array.from(w, (_, i) => h[i * k + i]!);
      descend(simd, rows, diagonal, residual, levels, 0, 1, book, 50);
      const end = loss(h, w, valuesOf(scheme, levels, 0.8));
      assert.ok(end <= start * (1 + 1e-5) + 1e-9);
      for (let i = 0; i < k; i++)
        for (let level = 0; level < count; level++) {
          const other = levels.slice();
          other[i] = level;
          assert.ok(loss(h, w, valuesOf(scheme, other, 0.8)) >= end * (1 - 1e-4) - 1e-6);
        }
      let best = Number.POSITIVE_INFINITY;
      for (let code = 0; code < count ** k; code++) {
        const all = Array.from({ length: k }, (_, i) => Math.floor(code / count ** i) % count);
        best = Math.min(best, loss(h, w, valuesOf(scheme, all, 0.8)));
      }
      assert.ok(end >= best - 1e-6);
      if (end <= 1.5 * best) within++;
    }
    assert.ok(within >= 0.8 * cases, `${scheme}: ${within} of ${cases} within half of the optimum`);
  }
});

test('a new scale is the least-squares one, group by group', () => {
  const k = 6;
  const next = normals(5);
  const h = hessian(k, next);
  const w = fill(k, next);
  const levels = Uint8Array.from(w, (x) => (x > 0 ? 1 : 0));
  const groupOf = Uint32Array.of(0, 1, 0, 1, 0, 1);
  const book: Codebook = { grid: GRIDS.binary, groupOf, scales: Float64Array.of(0.5, 0.5) };
  const signs = Array.from(levels, (level) => 2 * level - 1);
  const products = [0, 1].map((group) =>
    Float64Array.from(w, (_, i) =>
      signs.reduce((sum, q, m) => sum + (groupOf[m] === group ? h[i * k + m]! * q : 0), 0),
    ),
  );
  const residuals = Float64Array.from(w, (_, i) =>
    w.reduce((sum, x, m) => sum + h[i * k + m]! * (x - 0.5 * signs[m]!), 0),
  );
  rescale((group) => products[group] as Float64Array, 2, residuals, levels, 1, book);
  const at = (a: number, b: number) =>
    loss(
      h,
      w,
      signs.map((q, i) => q * (groupOf[i] === 0 ? a : b)),
    );
  const [a, b] = book.scales as unknown as [number, number];
  for (const step of [-0.01, 0.01]) assert.ok(at(a, b + step) > at(a, b));
  for (const step of [-0.01, 0.01]) assert.ok(at(a + step, 0.5) > at(a, 0.5));
  residuals.forEach((r, i) => {
    const exact = w.reduce(
      (sum, x, m) => sum + h[i * k + m]! * (x - (groupOf[m] === 0 ? a : b) * signs[m]!),
      0,
    );
    assert.ok(Math.abs(r - exact) < 1e-4);
  });
});

/** Moments of random inputs, of which `dead` are zero, and of the outputs of `w` plus `shift`. */
function momentsOf(k: number, n: number, rows: number, w: Float64Array, seed: number, dead = 0): Moments {
  const next = normals(seed);
  const moments = emptyMoments(k, n);
  for (let row = 0; row < rows; row++) {
    const x = fill(k, next).map((v, i) => (i < dead ? 0 : Math.max(0, v)));
    moments.rows++;
    for (let i = 0; i < k; i++) {
      moments.sumX[i]! += x[i]!;
      for (let m = 0; m < k; m++) moments.gram[i * k + m]! += x[i]! * x[m]!;
    }
    for (let c = 0; c < n; c++) {
      const t = x.reduce((sum, v, i) => sum + v * w[i * n + c]!, 0);
      moments.sumT[c]! += t;
      moments.sumTT[c]! += t * t;
      for (let i = 0; i < k; i++) moments.cross[i * n + c]! += x[i]! * t;
    }
  }
  return moments;
}

test('weights that a scheme can hold are found exactly, whatever the scale of a channel', () => {
  for (const scheme of ['binary', 'int2', 'int4'] as const) {
    const [k, n] = [12, 5];
    const next = normals(9);
    const { offset, step, levels } = GRIDS[scheme];
    const wanted = Uint8Array.from({ length: k * n }, () =>
      Math.min(levels - 1, Math.max(0, Math.round(levels / 2 + (levels / 4) * next()))),
    );
    // The ends of the range occur in each channel, so that its scale can be told.
    for (let c = 0; c < n; c++) wanted[c] = levels - 1;
    const w = Float64Array.from(wanted, (level, at) => 2 ** ((at % n) - 2) * (offset + step * level));
    const fit = fitCalibrated(simd, momentsOf(k, n, 300, w, 3), w, scheme, GRIDS[scheme]);
    assert.ok(fit);
    assert.ok(fit.error < 1e-6, `${scheme}: ${fit.error}`);
    for (let at = 0; at < k * n; at++) {
      const value = fit.scales[at % n]! * (offset + step * fit.levels[at]!);
      assert.ok(Math.abs(value - w[at]!) < 1e-3 * Math.abs(w[at]!) + 1e-6);
    }
  }
});

test('better than rounding at the outputs; groups better than channels; the refit shifts the bias', () => {
  const [k, n] = [48, 6];
  const w = fill(k * n, normals(21));
  const moments = momentsOf(k, n, 600, w, 22);
  const fit = (options: CalibrateOptions) =>
    fitCalibrated(simd, moments, w, 'binary', GRIDS.binary, { ridge: 1e-6, ...options });
  // Without a shift the error is that of the outputs themselves, which the descent lowers.
  const one = fit({ shift: false });
  const groups = fit({ shift: false, groupRows: 8 });
  const plain = fit({ shift: false, rounds: 1, sweeps: 0 });
  const shifted = fit({});
  assert.ok(one && groups && plain && shifted);
  assert.is(groups.scales.length, 6 * n);
  assert.ok(one.error < plain.error, `${one.error} against ${plain.error} by GPTQ alone`);
  assert.ok(groups.error < one.error, `${groups.error} by groups against ${one.error}`);
  assert.ok(shifted.shift.some((value) => value !== 0));
  assert.ok(one.shift.every((value) => value === 0));
});

test('dead inputs are counted; useless moments give no fit', () => {
  const w = fill(6 * 2, normals(31));
  const fit = fitCalibrated(simd, momentsOf(6, 2, 50, w, 32, 2), w, 'int4', GRIDS.int4);
  assert.ok(fit);
  assert.is(fit.deadInputs, 2);
  assert.ok(fit.scales.every((s) => Number.isFinite(s) && s > 0));
  const none = (moments: Moments) => fitCalibrated(simd, moments, w, 'int4', GRIDS.int4);
  assert.is(none(emptyMoments(6, 2)), undefined);
  assert.is(none(momentsOf(6, 2, 20, w, 33, 6)), undefined);
  const spoilt = momentsOf(6, 2, 20, w, 34);
  spoilt.cross[3] = Number.NaN;
  assert.is(none(spoilt), undefined);
});

test.run();
