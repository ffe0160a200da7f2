// SIMD against reference, byte for byte: every packer, unpacker and statistic, over random layouts.

import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Difference, Kernels } from '../../src/kernels/index.js';
import { ENCODERS, SCHEMES } from '../../src/schemes/quantize.js';
import { layoutSize } from '../../src/shape.js';
import {
  backends,
  type Case,
  cases,
  columns,
  hex,
  makeValues,
  makeWeights,
  poison,
  reference,
  tensor,
} from './support.js';

type Result = ArrayBufferView | number;

/** Every method of the interface, as results of one case. */
const METHODS: Record<string, (kernels: Kernels, data: ReturnType<typeof prepare>) => Result[]> = {
  absMax: (k, { weights, layout }) => [k.absMax(weights, layout)],
  absSum: (k, { weights, layout }) => [k.absSum(weights, layout)],
  packSign: (k, { weights }) => [k.packSign(weights)],
  packSignWithAbsSum: (k, { weights, layout }) => {
    const { codes, absSum } = k.packSignWithAbsSum(weights, layout);
    return [codes, absSum];
  },
  unpackSign: (k, { signs, values, layout }) => [k.unpackSign(signs, values, layout)],
  packInt4: (k, { weights, values, layout }) => [k.packInt4(weights, values, layout)],
  packInt4WithAbsMax: (k, { weights, layout, finite }) => {
    const { codes, absMax } = k.packInt4WithAbsMax(weights, layout);
    return finite ? [codes, absMax] : [absMax]; // else the codes are unspecified
  },
  packInt4WithAbsMaxInto: (k, { weights, layout, finite }) => {
    const out = new Uint8Array(Math.ceil(weights.length / 2) + 3).fill(0xa5);
    const { absMax } = k.packInt4WithAbsMaxInto(weights, layout, out);
    return finite ? [out, absMax] : [absMax];
  },
  unpackInt4: (k, { nibbles, values, layout }) => [k.unpackInt4(nibbles, values, layout)],
  projectInt4: (k, { weights, values, layout }) => {
    const { wq, qq } = k.projectInt4(weights, values, layout);
    return [wq, qq];
  },
  packInt2: (k, { weights, values, layout }) => [k.packInt2(weights, values, layout)],
  packInt2Into: (k, { weights, values, layout }) => {
    const out = new Uint8Array(Math.ceil(weights.length / 4) + 3).fill(0xa5);
    return [k.packInt2Into(weights, values, layout, out)];
  },
  unpackInt2: (k, { pairs, values, layout }) => [k.unpackInt2(pairs, values, layout)],
  projectInt2: (k, { weights, values, layout }) => {
    const { wq, qq } = k.projectInt2(weights, values, layout);
    return [wq, qq];
  },
  difference: (k, { weights, decoded }) => told(k.difference(weights, decoded)),
  differenceSign: (k, { weights, signs, values, layout }) =>
    told(k.differenceSign(weights, signs, values, layout)),
  differenceInt2: (k, { weights, pairs, values, layout }) =>
    told(k.differenceInt2(weights, pairs, values, layout)),
  differenceInt4: (k, { weights, nibbles, values, layout }) =>
    told(k.differenceInt4(weights, nibbles, values, layout)),
};

const told = ({ signal, noise, maxError }: Difference): Result[] => [signal, noise, maxError];

function prepare({ layout, seed, offset, flavour }: Case) {
  const size = layoutSize(layout);
  const weights = makeWeights(size, seed, flavour, offset);
  const values = makeValues(layout, seed);
  const bytes = Uint8Array.from({ length: Math.ceil(size / 2) + 3 }, (_, i) => (i * 151 + seed) >> 3);
  const from = offset % 3;
  return {
    layout,
    weights,
    values,
    finite: weights.every(Number.isFinite),
    signs: bytes.subarray(from, from + Math.ceil(size / 8)),
    pairs: bytes.subarray(from, from + Math.ceil(size / 4)),
    nibbles: bytes.subarray(from, from + Math.ceil(size / 2)),
    decoded: makeWeights(size, seed + 1, 'corners', 1),
  };
}

/** The same data for every method and backend: only read, and worth making once. */
const small = new Map<string, ReturnType<typeof prepare>>();

function smallOf(size: number, layout: Case['layout']): ReturnType<typeof prepare> {
  const key = JSON.stringify(layout);
  const data = small.get(key) ?? prepare({ layout, seed: size, offset: size % 4, flavour: 'corners' });
  small.set(key, data);
  return data;
}

/** Results of one method, from an arena that held nothing but NaN. */
function results(kernels: Kernels, method: string, data: ReturnType<typeof prepare>): (string | number)[] {
  poison();
  return show(METHODS[method]!(kernels, data));
}

const show = (results: Result[]) => results.map((r) => (typeof r === 'number' ? r : hex(r)));

for (const [name, kernels] of backends.slice(1)) {
  for (const method of Object.keys(METHODS)) {
    const check = (most: number, numRuns: number) => {
      fc.assert(
        fc.property(cases(most), (c) => {
          const data = prepare(c);
          assert.equal(results(kernels, method, data), results(reference, method, data));
        }),
        { numRuns, seed: 20240607 },
      );
    };
    test(`${method}: ${name} equals reference, small layouts`, () => check(130, 300));
    test(`${method}: ${name} equals reference, across tiles`, () => check(12_000, 30));

    test(`${method}: ${name} equals reference, lengths 0 to 130`, () => {
      for (let size = 0; size <= 130; size++) {
        for (const layout of [tensor(size), columns(1, size), columns(size, 2, 3)]) {
          assert.equal(
            results(kernels, method, smallOf(size, layout)),
            results(reference, method, smallOf(size, layout)),
            JSON.stringify(layout),
          );
        }
      }
    });
  }
}

/** Packing in place, and its errors. */
const CODED = (['binary', 'int2', 'int4'] as const).map((name) => {
  const { packInto: pack, difference } = ENCODERS[name];
  return { bytes: (n: number) => Math.ceil((n * SCHEMES[name].bits) / 8), pack, difference };
});

// What lies in lent memory is worked on in place: the same results, nothing else written, codes where they are wanted.
for (const [name, kernels] of backends) {
  test(`${name}: the same results in lent memory`, () => {
    fc.assert(
      fc.property(cases(3000), (c) => {
        const data = prepare(c);
        const most = Math.ceil(data.weights.length / 2);
        const expected = Object.keys(METHODS).map((method) => results(reference, method, data));
        poison();
        const lent = kernels.lend(data.weights.length, most);
        lent.weights.set(data.weights);
        const own = { ...data, weights: lent.weights };
        for (const [i, method] of Object.keys(METHODS).entries()) {
          assert.equal(show(METHODS[method]!(kernels, own)), expected[i], method);
        }
        const { weights, values, layout } = own;
        for (const { bytes, pack, difference } of CODED) {
          const out = lent.codes.fill(0xa5).subarray(0, bytes(weights.length));
          pack(kernels, weights, values, layout, out);
          const packed = pack(reference, data.weights, values, layout, new Uint8Array(out.length));
          assert.is(hex(out), hex(packed));
          assert.ok(lent.codes.subarray(out.length).every((byte) => byte === 0xa5));
          const found = told(difference(kernels, weights, out, values, layout));
          assert.equal(found, told(difference(reference, data.weights, packed, values, layout)));
        }
        assert.is(hex(lent.weights), hex(data.weights));
      }),
      { numRuns: 60, seed: 20240607 },
    );
  });
}

test('largest magnitudes go on from piece to piece', () => {
  for (const [, kernels] of backends)
    for (const layout of [columns(401, 7), { outer: 9, channels: 4, inner: 33, groupRows: 9 * 33 }]) {
      const unit = layout.channels * layout.inner;
      const weights = makeWeights(layoutSize(layout), 3, 'corners', 1);
      const max = new Float32Array(layout.channels);
      for (let row = 0; row < layout.outer; row += 4) {
        const outer = Math.min(4, layout.outer - row);
        const piece = { ...layout, outer, groupRows: outer * layout.inner };
        const part = weights.subarray(row * unit, (row + outer) * unit);
        assert.is(kernels.absMax(part, piece, max), max);
      }
      assert.is(hex(max), hex(reference.absMax(weights, layout)));
      assert.throws(() => kernels.absMax(weights, layout, new Float32Array(1)), /"max" expected/);
    }
});

// Sums that go on from piece to piece: the bits of the whole tensor, as Kernels.absSum promises.
for (const [name, kernels] of backends) {
  test(`sums of a tensor in pieces are those of the whole (${name})`, () => {
    const of =
      (k: Kernels, weights: Float32Array, values: Float32Array, layout: Case['layout']) =>
      (sums?: Float64Array[]) =>
        [
          k.absSum(weights, layout, sums?.[0]),
          ...Object.values(k.projectInt2(weights, values, layout, sums && { wq: sums[1]!, qq: sums[2]! })),
          ...Object.values(k.projectInt4(weights, values, layout, sums && { wq: sums[3]!, qq: sums[4]! })),
        ] as Float64Array[];
    for (const [layout, step] of [
      [columns(401, 7), 64],
      [columns(200, 301), 128],
      [{ outer: 9, channels: 16, inner: 64, groupRows: 9 * 64 }, 2],
    ] as const) {
      const unit = layout.channels * layout.inner;
      const weights = makeWeights(layoutSize(layout), 3, 'corners', 1);
      const values = makeValues(layout, 5);
      const whole = of(reference, weights, values, layout)();
      let sums: Float64Array[] | undefined;
      for (let from = 0; from < layout.outer; from += step) {
        const outer = Math.min(step, layout.outer - from);
        const piece = { ...layout, outer, groupRows: outer * layout.inner };
        const part = weights.subarray(from * unit, (from + outer) * unit);
        const next = of(kernels, part, values, piece)(sums);
        for (const [i, sum] of (sums ?? []).entries()) assert.is(next[i], sum);
        sums = next;
      }
      assert.equal(show(sums!), show(whole));
    }
    assert.throws(
      () => kernels.absSum(makeWeights(4, 1, 'plain'), tensor(4), new Float64Array(2)),
      /"sums" expected 1 doubles, got 2/,
    );
  });
}

// Layouts of real networks: whole steps and four streams, their remainders, tiles that end within a row.
const REAL: readonly (readonly [what: string, layout: Case['layout']])[] = [
  ['a convolution', columns(1152, 128)],
  ['its groups of 32', columns(1152, 128, 32)],
  ['an odd matrix', columns(1999, 101)],
  ['its groups of 7', columns(1999, 101, 7)],
  ['a classifier', columns(4096, 10)],
  ['a wide matrix', columns(9, 30_001)],
  ['a wider one than the arena allows', columns(3, 70_001, 2)],
  ['an embedding', { outer: 1, channels: 700, inner: 300, groupRows: 300 }],
  ['an embedding in groups', { outer: 1, channels: 700, inner: 300, groupRows: 32 }],
  ['a transposed convolution', { outer: 9, channels: 64, inner: 96, groupRows: 9 * 96 }],
  ['its groups of 50', { outer: 9, channels: 64, inner: 96, groupRows: 50 }],
  ['one tensor', tensor(250_001)],
];

for (const [what, layout] of REAL) {
  // Of one layout at a time, made for the first backend: together they are too large to be kept.
  let made: { data: ReturnType<typeof prepare>; expected: Map<string, (string | number)[]> } | undefined;
  const make = () => {
    const data = prepare({ layout, seed: 7, offset: 1, flavour: 'corners' });
    const of = (method: string) => [method, results(reference, method, data)] as const;
    return { data, expected: new Map(Object.keys(METHODS).map(of)) };
  };
  for (const [at, [name, kernels]] of backends.slice(1).entries()) {
    test(`${name} equals reference: ${what}`, () => {
      made ??= make();
      const { data, expected } = made;
      if (at === backends.length - 2) made = undefined;
      for (const method of Object.keys(METHODS)) {
        const wanted = expected.get(method) as (string | number)[];
        const found = results(kernels, method, data);
        assert.is(found.length, wanted.length, method);
        assert.ok(
          found.every((result, i) => Object.is(result, wanted[i])),
          method,
        );
      }
    });
  }
}

test.run();
