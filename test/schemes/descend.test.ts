// Coordinate descent and new scales, of several columns and groups, held against the same steps with whole sums.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadLinearAlgebra } from '../../src/kernels/linalg.js';
import { descend, rescale } from '../../src/schemes/fit/descend.js';
import type { Codebook } from '../../src/schemes/fit/gptq.js';
import { GRIDS } from '../../src/schemes/grids.js';
import type { SchemeName } from '../../src/schemes/types.js';

const algebra = await loadLinearAlgebra();

/** Numbers in [-1, 1) from a seed, each a multiple of 2^-10, so that float32 holds them. */
function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 21) / 1024 - 1;
  };
}

interface Setting {
  readonly k: number;
  readonly n: number;
  /** `[k, k]`, symmetric and positive definite. */
  readonly h: number[][];
  /** `[k, n]`. */
  readonly w: number[][];
  readonly levels: number[][];
  readonly book: Codebook;
}

function setting(scheme: SchemeName, k: number, n: number, groups: number, seed: number): Setting {
  const next = numbers(seed);
  const half = Array.from({ length: k }, () => Array.from({ length: k }, () => Math.round(8 * next()) / 8));
  const h = half.map((a, i) =>
    half.map((b, j) => a.reduce((sum, x, m) => sum + x * (b[m] as number), i === j ? 0.5 : 0)),
  );
  const w = Array.from({ length: k }, () => Array.from({ length: n }, () => 2 * next()));
  const count = GRIDS[scheme].levels;
  const levels = w.map((row) => row.map(() => Math.floor(((next() + 1) / 2) * count)));
  // Rows of a group are not neighbours.
  const groupOf = Uint32Array.from({ length: k }, (_, i) => (i * 7 + 3) % groups);
  const scales = Float64Array.from({ length: groups * n }, () => 0.3 + Math.abs(next()));
  return { k, n, h, w, levels, book: { grid: GRIDS[scheme], groupOf, scales } };
}

const levelValue = ({ book: { grid } }: Setting, level: number) => grid.offset + grid.step * level;
const scaleOf = ({ book, n }: Setting, i: number, c: number) =>
  book.scales[(book.groupOf[i] as number) * n + c] as number;

/** `H (w - q)` of a column. */
function residualOf(given: Setting, levels: number[][], c: number): number[] {
  const lost = given.w.map(
    (row, i) =>
      (row[c] as number) - scaleOf(given, i, c) * levelValue(given, (levels[i] as number[])[c] as number),
  );
  return given.h.map((row) => row.reduce((sum, x, m) => sum + x * (lost[m] as number), 0));
}

/** Descent by its definition: the level of the least error of all, one row after the other. */
function slowly(given: Setting, c: number, sweeps: number): { levels: number[][]; changed: number } {
  const levels = given.levels.map((row) => [...row]);
  let changed = 0;
  for (let sweep = 0; sweep < sweeps; sweep++)
    for (let i = 0; i < given.k; i++) {
      const s = scaleOf(given, i, c);
      if (s === 0) continue;
      const own = levels[i] as number[];
      const r = residualOf(given, levels, c)[i] as number;
      const target = s * levelValue(given, own[c] as number) + r / ((given.h[i] as number[])[i] as number);
      let best = 0;
      for (let level = 1; level < given.book.grid.levels; level++)
        if (Math.abs(target - s * levelValue(given, level)) < Math.abs(target - s * levelValue(given, best)))
          best = level;
      if (best !== own[c]) changed++;
      own[c] = best;
    }
  return { levels, changed };
}

function descended(given: Setting, c: number, sweeps: number) {
  const { k, n, h } = given;
  const room = algebra.room(4 * k * k + 8 * k + 32);
  const single = room.float32(k * k);
  single.set(h.flat());
  const rows = h.map((_, i) => single.subarray(i * k, (i + 1) * k));
  const residual = room.float64(k);
  residual.set(residualOf(given, given.levels, c));
  const levels = Uint8Array.from(given.levels, (row) => row[c] as number);
  const diagonal = Float64Array.from(h, (row, i) => row[i] as number);
  const changed = descend(algebra, rows, diagonal, residual, levels, c, n, given.book, sweeps);
  return { changed, levels: [...levels], residual: [...residual] };
}

const near = (a: ArrayLike<number>, b: ArrayLike<number>, what: string) => {
  assert.is(a.length, b.length);
  for (let i = 0; i < a.length; i++)
    assert.ok(Math.abs((a[i] as number) - (b[i] as number)) < 1e-5, `${what}, ${i}: ${a[i]}, ${b[i]}`);
};

for (const scheme of ['binary', 'int2', 'int4'] as const)
  test(`${scheme}: each sweep takes the steps of the definition, counts them and keeps the residual`, () => {
    for (let seed = 1; seed <= 8; seed++) {
      const given = setting(scheme, 5 + seed, 3, 1 + (seed % 4), seed);
      for (let c = 0; c < 3; c++)
        for (const sweeps of [0, 1, 2, 20]) {
          const { levels, changed } = slowly(given, c, sweeps);
          const found = descended(given, c, sweeps);
          const what = `seed ${seed}, column ${c}, ${sweeps} sweeps`;
          assert.equal(
            found.levels,
            levels.map((row) => row[c]),
            what,
          );
          assert.is(found.changed, changed, what);
          near(found.residual, residualOf(given, levels, c), what);
        }
    }
  });

test('codes of a group whose scale is 0 stay as they are', () => {
  const given = setting('int4', 8, 2, 2, 40);
  given.book.scales[1] = 0;
  given.book.scales[2] = 1e-3;
  const { levels } = descended(given, 1, 5);
  for (let i = 0; i < 8; i++)
    if (given.book.groupOf[i] === 0) assert.is(levels[i], given.levels[i]?.[1], String(i));
  assert.equal(
    levels,
    slowly(given, 1, 5).levels.map((row) => row[1]),
  );
});

/** `H[:, g] q_g` without scales, `[k, n]`. */
const productOf = (given: Setting, group: number) =>
  Float64Array.from(
    given.h.flatMap((row) =>
      Array.from({ length: given.n }, (_, c) =>
        row.reduce(
          (sum, x, m) =>
            given.book.groupOf[m] === group
              ? sum + x * levelValue(given, (given.levels[m] as number[])[c] as number)
              : sum,
          0,
        ),
      ),
    ),
  );

function rescaled(given: Setting, product = (group: number) => productOf(given, group)) {
  const { levels, n, book } = given;
  const columns = Array.from({ length: n }, (_, c) => residualOf(given, levels, c));
  const residuals = Float64Array.from(
    levels.flatMap((row, i) => row.map((_, c) => columns[c]?.[i] as number)),
  );
  rescale(product, Math.max(...book.groupOf) + 1, residuals, Uint8Array.from(levels.flat()), n, book);
  return residuals;
}

/** `(w - q)' H (w - q)` of a column. */
const lossOf = (given: Setting, c: number) =>
  residualOf(given, given.levels, c).reduce(
    (sum, r, i) =>
      sum +
      r *
        ((given.w[i]?.[c] as number) -
          scaleOf(given, i, c) * levelValue(given, given.levels[i]?.[c] as number)),
    0,
  );

test('new scales are the least-squares ones, group after group, or stay where that is none', () => {
  let stayed = 0;
  for (const scheme of ['binary', 'int2', 'int4'] as const)
    for (let seed = 1; seed <= 12; seed++) {
      const given = setting(scheme, 9, 3, 3, 100 + seed);
      // The same with sums: the loss is a parabola of one scale, whose least point three values tell.
      const other = { ...given, book: { ...given.book, scales: given.book.scales.slice() } };
      for (let group = 0; group < 3; group++)
        for (let c = 0; c < 3; c++) {
          const at = group * 3 + c;
          const s = other.book.scales[at] as number;
          const loss = (scale: number) => {
            other.book.scales[at] = scale;
            return lossOf(other, c);
          };
          const [low, middle, high] = [loss(s - 1), loss(s), loss(s + 1)];
          const least = s + (low - high) / (2 * (low - 2 * middle + high));
          other.book.scales[at] = least > 0 ? least : s;
          if (!(least > 0)) stayed++;
        }
      const residuals = rescaled(given);
      near(given.book.scales, other.book.scales, `${scheme}, seed ${seed}`);
      for (let c = 0; c < 3; c++)
        near(
          residuals.filter((_, at) => at % 3 === c),
          residualOf(given, given.levels, c),
          `${scheme}, seed ${seed}, column ${c}`,
        );
    }
  assert.ok(stayed > 5, `${stayed}`);
});

test('a group without a norm, and one whose norm is negative, keeps its scale and its residual', () => {
  const given = setting('int4', 6, 2, 2, 7);
  // Level 8 of int4 stands for 0.
  for (const [i, group] of given.book.groupOf.entries()) if (group === 1) given.levels[i]?.fill(8);
  const before = given.book.scales.slice();
  rescaled(given);
  assert.equal([...given.book.scales.slice(2)], [...before.slice(2)]);
  assert.not.equal([...given.book.scales.slice(0, 2)], [...before.slice(0, 2)]);

  // Rounding in float32 can make a small norm negative.
  const negative = setting('binary', 6, 1, 1, 8);
  const [scale] = negative.book.scales;
  const was = residualOf(negative, negative.levels, 0);
  const residuals = rescaled(negative, (group) => productOf(negative, group).map((x) => -x));
  assert.is(negative.book.scales[0], scale);
  near(residuals, was, 'residual');

  // A product of zeros beside residuals that are none.
  near(
    rescaled(negative, (group) => productOf(negative, group).fill(0)),
    was,
    'residual',
  );
  assert.is(negative.book.scales[0], scale);
});

test('a scale never becomes 0, and each group is asked for once, in order', () => {
  const book: Codebook = {
    ...{ grid: GRIDS.binary, groupOf: Uint32Array.of(0, 1) },
    scales: Float64Array.of(0.5, 0.5),
  };
  const asked: number[] = [];
  const products = [Float64Array.of(1, 0), Float64Array.of(0, 1)];
  const residuals = Float64Array.of(-0.5, 0.25);
  const product = (group: number) => {
    asked.push(group);
    return products[group] as Float64Array;
  };
  // The least-squares scales of +1 for the weights 0 and 0.75.
  rescale(product, 2, residuals, Uint8Array.of(1, 1), 1, book);
  assert.equal([...book.scales], [0.5, 0.75]);
  assert.equal([...residuals], [-0.5, 0]);
  assert.equal(asked, [0, 1]);
});

test.run();
