// The whole of `fitCalibrated` against its six steps by their definitions, column by column, in plain sums.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadLinearAlgebra } from '../../src/kernels/linalg.js';
import { type LinearAlgebra, strideOf } from '../../src/kernels/linalg-types.js';
import {
  type CalibrateOptions,
  emptyMoments,
  fitCalibrated,
  type Moments,
} from '../../src/schemes/fit/calibrated.js';
import { GRIDS, topOf } from '../../src/schemes/grids.js';
import type { SchemeName } from '../../src/schemes/types.js';

const algebra = await loadLinearAlgebra();
const SCHEMES = ['binary', 'int2', 'int4'] as const;

/** Numbers in [-1, 1) from a seed, each a multiple of 2^-7, so that float32 holds products of two. */
function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 24) / 128 - 1;
  };
}

/** Samples of inputs, not centred and of unlike size, and of the outputs for them. */
interface Samples {
  readonly x: number[][];
  readonly t: number[][];
  readonly weights: number[][];
}

function samples(k: number, n: number, seed: number, rows = 64): Samples {
  const next = numbers(seed);
  const weights = Array.from({ length: k }, () => Array.from({ length: n }, next));
  const x = Array.from({ length: rows }, () => {
    const common = next();
    // Inputs of two sizes, so that rows of the Hessian are no longer in order, and some alike.
    return Array.from({ length: k }, (_, i) => (i % 3 === 1 ? 2 : 1) * (0.25 + (i % 2) * common + next()));
  });
  const t = x.map((row) =>
    Array.from({ length: n }, (_, c) =>
      row.reduce((sum, v, i) => sum + v * (weights[i]?.[c] as number), 0.5 * c + next() / 4),
    ),
  );
  return { x, t, weights };
}

function momentsOf({ x, t }: Samples): Moments {
  const k = (x[0] as number[]).length;
  const n = (t[0] as number[]).length;
  const moments = emptyMoments(k, n);
  moments.rows = x.length;
  x.forEach((row, r) => {
    const out = t[r] as number[];
    row.forEach((v, i) => {
      moments.sumX[i]! += v;
      row.forEach((other, m) => {
        moments.gram[i * k + m]! += v * other;
      });
      out.forEach((value, c) => {
        moments.cross[i * n + c]! += v * value;
      });
    });
    out.forEach((value, c) => {
      moments.sumT[c]! += value;
      moments.sumTT[c]! += value * value;
    });
  });
  return moments;
}

/** Gaussian elimination with pivots. */
function solve(h: number[][], b: number[]): number[] {
  const k = b.length;
  const a = h.map((row, i) => [...row, b[i] as number]);
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

const times = (h: number[][], v: number[]) =>
  h.map((row) => row.reduce((sum, x, i) => sum + x * (v[i] as number), 0));
const dot = (a: number[], b: number[]) => a.reduce((sum, x, i) => sum + x * (b[i] as number), 0);
const sum = (a: readonly number[]) => a.reduce((all, x) => all + x, 0);
const centred = (a: number[], isShifted: boolean) => {
  const mean = isShifted ? sum(a) / a.length : 0;
  return a.map((x) => x - mean);
};

/** One column by the definition. Rows of `h`, `w` and `groups` are in the order of coding. */
function column(
  h: number[][],
  w: number[],
  groups: number[],
  scheme: SchemeName,
  { rounds, sweeps }: { readonly rounds: number; readonly sweeps: number },
) {
  const { offset, step, levels: count } = GRIDS[scheme];
  const grid = Array.from({ length: count }, (_, level) => offset + step * level);
  /** The grid's value nearest to `x / s`; half of the way counts down. */
  const nearest = (x: number, s: number) =>
    grid.reduce((best, v) => (Math.abs(x / s - v) < Math.abs(x / s - best) ? v : best), grid[0] as number);
  const all = [...new Set(groups)].sort((a, b) => a - b);
  const scales: number[] = [];
  for (const g of all) {
    const own = w.flatMap((x, i) => (groups[i] === g ? [[x, h[i]![i]!] as const] : []));
    const sizes = own.map(([x]) => Math.abs(x));
    const tried = Array.from(
      { length: 31 },
      (_, c) => ((0.25 + 0.025 * c) * Math.max(...sizes)) / topOf(scheme),
    );
    const errorOf = (s: number) => sum(own.map(([x, d]) => d * (x - s * nearest(x, s)) ** 2));
    scales[g] =
      scheme === 'binary'
        ? sum(sizes) / sizes.length
        : tried.reduce((best, s) => (errorOf(s) < errorOf(best) ? s : best));
  }
  let best = { loss: Number.POSITIVE_INFINITY, units: [] as number[], scales };
  const valuesOf = (units: number[]) => units.map((u, i) => u * scales[groups[i]!]!);
  const lostOf = (units: number[]) => valuesOf(units).map((q, i) => w[i]! - q);
  for (let round = 0; round < rounds; round++) {
    // Optimal brain surgeon: a row is fixed, and the rest solved for exactly.
    const units: number[] = [];
    for (let i = 0; i < w.length; i++) {
      const part = h.slice(i).map((row) => row.slice(i));
      const fixed = lostOf(units);
      const side = h.slice(i).map((row) => -dot(fixed, row.slice(0, i)));
      units.push(nearest(w[i]! - solve(part, side)[0]!, scales[groups[i]!]!));
    }
    for (let turn = 0; turn < 3; turn++) {
      for (let sweep = 0; sweep < sweeps; sweep++)
        for (let i = 0; i < w.length; i++) {
          const s = scales[groups[i]!]!;
          units[i] = nearest(s * units[i]! + times(h, lostOf(units))[i]! / h[i]![i]!, s);
        }
      for (const g of all) {
        const own = units.map((u, i) => (groups[i] === g ? u : 0));
        const after = scales[g]! + dot(own, times(h, lostOf(units))) / dot(own, times(h, own));
        if (after > 0) scales[g] = after;
      }
    }
    const lost = lostOf(units);
    const loss = dot(lost, times(h, lost));
    if (loss < best.loss) best = { loss, units, scales: [...scales] };
  }
  return best;
}

/** Levels, scales, shift and error by the definition. */
function slowly(given: Samples, scheme: SchemeName, options: CalibrateOptions = {}) {
  const { x, t, weights } = given;
  const k = weights.length;
  const n = weights[0]!.length;
  const { groupRows = k, ridge = 0.01, rounds = 4, sweeps = 10, shift = true } = options;
  const gram = x[0]!.map((_, i) => x[0]!.map((__, m) => sum(x.map((row) => row[i]! * row[m]!))));
  const lambda = (ridge * sum(gram.map((row, i) => row[i]!))) / k;
  const order = gram.map((_, i) => i).sort((a, b) => gram[b]![b]! - gram[a]![a]! || a - b);
  const h = order.map((i, at) => order.map((m, other) => gram[i]![m]! + (at === other ? lambda : 0)));
  const groups = order.map((row) => Math.floor(row / groupRows));
  const out = {
    levels: new Array<number>(k * n).fill(-1),
    scales: new Array<number>(Math.ceil(k / groupRows) * n).fill(-1),
    shift: [] as number[],
    error: 0,
  };
  const { offset, step } = GRIDS[scheme];
  let [lost, total] = [0, 0];
  for (let c = 0; c < n; c++) {
    const target = t.map((row) => row[c]!);
    const b = order.map(
      (i) =>
        dot(
          x.map((row) => row[i]!),
          target,
        ) +
        lambda * weights[i]![c]!,
    );
    const found = column(h, solve(h, b), groups, scheme, { rounds, sweeps });
    const q = new Array<number>(k).fill(0);
    order.forEach((row, i) => {
      out.levels[row * n + c] = Math.round((found.units[i]! - offset) / step);
      q[row] = found.units[i]! * found.scales[groups[i]!]!;
    });
    const y = times(x, q);
    const [cy, ct] = [centred(y, shift), centred(target, shift)];
    const ratio = dot(cy, ct) / dot(cy, cy);
    const a = dot(cy, cy) > 1e-9 * dot(y, y) && ratio > 0 ? ratio : 1;
    found.scales.forEach((s, g) => {
      out.scales[g * n + c] = a * s;
    });
    out.shift.push(shift ? sum(target) / t.length - (a * sum(y)) / t.length : 0);
    lost += sum(ct.map((v, r) => (v - a * cy[r]!) ** 2));
    total += dot(ct, ct);
  }
  return { ...out, error: lost / total };
}

const fast = (given: Samples, scheme: SchemeName, options?: CalibrateOptions, by: LinearAlgebra = algebra) =>
  fitCalibrated(by, momentsOf(given), given.weights.flat(), scheme, GRIDS[scheme], options);

const near = (a: ArrayLike<number>, b: readonly number[], what: string) => {
  assert.is(a.length, b.length, what);
  b.forEach((value, i) => {
    assert.ok(Math.abs(a[i]! - value) < 1e-4 * (1 + Math.abs(value)), `${what}, ${i}: ${a[i]}, ${value}`);
  });
};

function compare(
  given: Samples,
  scheme: SchemeName,
  options: CalibrateOptions | undefined,
  what: string,
): void {
  const found = fast(given, scheme, options);
  const wanted = slowly(given, scheme, options);
  assert.ok(found, what);
  assert.equal([...found.levels], wanted.levels, `${what}: levels`);
  near(found.scales, wanted.scales, `${what}: scales`);
  near(found.shift, wanted.shift, `${what}: shift`);
  near([found.error], [wanted.error], `${what}: error`);
  assert.is(found.deadInputs, 0);
}

for (const scheme of SCHEMES)
  test(`${scheme}: levels, scales, shift and error are those of the six steps`, () => {
    for (let seed = 1; seed <= 6; seed++) {
      const given = samples(4 + 2 * (seed % 3), 3, 50 * seed);
      const cases: (CalibrateOptions | undefined)[] = [
        ...[undefined, { shift: false }, { ridge: 0.25, rounds: 1 }, { rounds: 2, sweeps: 1 }],
        ...[{ sweeps: 0 }, { groupRows: 3 }, { groupRows: 2, rounds: 3, sweeps: 2, shift: false }],
      ];
      for (const options of cases) compare(given, scheme, options, `seed ${seed} ${JSON.stringify(options)}`);
    }
  });

test('without a word the ridge is 0.01, in at most 4 rounds of 10 sweeps; of 12 rows a sign needs them', () => {
  let differ = 0;
  for (let seed = 1; seed <= 12; seed++) {
    const given = samples(12, 4, 7000 + seed);
    compare(given, 'binary', undefined, `seed ${seed}`);
    const [four, five] = [4, 5].map((rounds) => fast(given, 'binary', { rounds }));
    if (String(four?.levels) !== String(five?.levels) || String(four?.scales) !== String(five?.scales))
      differ++;
  }
  assert.ok(differ > 0);
});

test('inputs of the same size are coded in their order', () => {
  const base = samples(6, 3, 99, 16);
  // Each input is another one turned round by some samples: all sums of squares are the same.
  const x = base.x.map((_, r) => Array.from({ length: 6 }, (__, i) => base.x[(r + 3 * i) % 16]![0]!));
  const t = x.map((row) =>
    [0, 1, 2].map((c) =>
      dot(
        row,
        base.weights.map((own) => own[c]!),
      ),
    ),
  );
  for (const scheme of SCHEMES) compare({ ...base, x, t }, scheme, { ridge: 0.125 }, scheme);
});

test('what cannot be fitted gives no fit', () => {
  const given = samples(2, 1, 5);
  const fitOf = (change: (moments: Moments) => void, options?: CalibrateOptions) => {
    const moments = momentsOf(given);
    change(moments);
    return fitCalibrated(algebra, moments, given.weights.flat(), 'int4', GRIDS.int4, options);
  };
  assert.ok(fitOf(() => {}));
  assert.is(
    fitOf((m) => (m.rows = 0)),
    undefined,
  );
  assert.is(
    fitOf((m) => m.gram.fill(0)),
    undefined,
  );
  assert.is(
    fitOf((m) => (m.gram[0] = Number.POSITIVE_INFINITY)),
    undefined,
  );
  assert.is(
    fitOf((m) => (m.gram[3] = Number.NaN)),
    undefined,
  );
  assert.is(
    fitOf((m) => m.gram.set([-1, 0, 0, -1])),
    undefined,
  );
  assert.is(
    fitOf((m) => (m.cross[1] = Number.NEGATIVE_INFINITY)),
    undefined,
  );
  // No Hessian: its first or its last pivot is negative.
  assert.is(
    fitOf((m) => m.gram.set([4, 6, 6, 4])),
    undefined,
  );
  assert.is(
    fitOf((m) => m.gram.set([9, 0, 0, -1])),
    undefined,
  );
  // Two inputs that are one are held apart by the ridge alone.
  assert.is(
    fitOf((m) => m.gram.fill(1), { ridge: 0 }),
    undefined,
  );
  assert.ok(fitOf((m) => m.gram.fill(1)));
});

test('the room that it asks for is the sum that docs/CALIBRATION.md states, and enough', () => {
  for (const [k, n] of [
    [1, 1],
    [5, 3],
    [12, 4],
  ] as const) {
    const asked: number[] = [];
    const counting = Object.create(algebra, {
      room: {
        value: (bytes: number) => {
          asked.push(bytes);
          return algebra.room(bytes);
        },
      },
    }) as LinearAlgebra;
    assert.ok(fast(samples(k, n, 11), 'int2', {}, counting));
    const [strideK, strideN] = [strideOf(k), strideOf(n)];
    assert.equal(asked, [8 * k * strideK + 4 * k ** 2 + 24 * k * strideN + 8 * k + 96]);
  }
});

test('dead inputs, and channels whose output never changes, keep what rounding gives', () => {
  const base = samples(4, 2, 31);
  const x = base.x.map((row) => row.map((v, i) => (i === 1 ? 0 : v)));
  const t = x.map((row) =>
    [0, 1].map((c) =>
      c === 0
        ? 3
        : dot(
            row,
            base.weights.map((own) => own[c]!),
          ),
    ),
  );
  const moments = momentsOf({ ...base, x, t });
  const fit = fitCalibrated(algebra, moments, base.weights.flat(), 'int4', GRIDS.int4, { ridge: 0.5 });
  assert.ok(fit);
  assert.is(fit.deadInputs, 1);
  assert.ok([...fit.scales, ...fit.shift, fit.error].every(Number.isFinite));
  // Inputs that never change: each output is a constant, which the shift takes over with the scale as it is.
  const still = { ...base, x: base.x.map(() => base.x[0]!), t: base.t.map(() => base.t[0]!) };
  const constant = fast(still, 'int4');
  assert.ok(constant);
  assert.is(constant.error, 0);
  const q = base.weights.map((_, i) =>
    [0, 1].map(
      (c) => constant.scales[c]! * (GRIDS.int4.offset + GRIDS.int4.step * constant.levels[2 * i + c]!),
    ),
  );
  near(
    constant.shift,
    [0, 1].map(
      (c) =>
        still.t[0]![c]! -
        dot(
          still.x[0]!,
          q.map((row) => row[c]!),
        ),
    ),
    'shift',
  );
});

test('a channel whose refit has no sense keeps its scales: constant outputs, and such as run against the targets', () => {
  for (const scheme of SCHEMES)
    for (let seed = 1; seed <= 3; seed++) {
      const base = samples(5, 3, 400 + seed);
      // The ridge holds the codes at weights that say the contrary of the targets.
      const against = { ...base, t: base.t.map((row) => row.map((v) => -v)) };
      compare(against, scheme, { ridge: 64 }, `against, ${seed}`);
      compare(against, scheme, { ridge: 64, shift: false }, `against without a shift, ${seed}`);
      const still = { ...base, x: base.x.map(() => base.x[0]!) };
      compare(still, scheme, { ridge: 0.5 }, `constant, ${seed}`);
    }
});

test('moments begin with no samples', () => {
  const { rows, k, n, gram, cross, sumX, sumT, sumTT } = emptyMoments(2, 3);
  assert.equal([rows, k, n], [0, 2, 3]);
  assert.equal(
    [gram, cross, sumX, sumT, sumTT].map((all) => [...all]),
    [4, 6, 2, 3, 3].map((length) => new Array(length).fill(0)),
  );
});

test('outputs that are all zero: no error, and nothing is divided by 0', () => {
  const base = samples(3, 2, 17);
  const zero = {
    x: base.x,
    t: base.t.map((row) => row.map(() => 0)),
    weights: base.weights.map((r) => r.map(() => 0)),
  };
  for (const scheme of SCHEMES) {
    const fit = fast(zero, scheme);
    assert.ok(fit);
    assert.equal([fit.error, ...fit.scales, ...fit.shift], [0, 0, 0, 0, 0], scheme);
  }
});

test.run();
