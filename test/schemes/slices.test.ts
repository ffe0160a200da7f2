// In slices or whole, on small tensors; test/slow/slices.test.ts has more shapes, larger ones and every kind of scale.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { BitnibbleError } from '../../src/errors.js';
import { dequantizeTensor, ENCODERS, quantizeTensor } from '../../src/schemes/quantize.js';
import { decodedSlices, isLarge, quantizeInSlices, type ReadSlice } from '../../src/schemes/slices.js';
import type { QuantizeOptions, ScaleRule, SchemeName } from '../../src/schemes/types.js';
import { sizeOf } from '../../src/shape.js';
import { backends, random } from '../kernels/support.js';
import { throws } from '../support/throws.js';

const kernels = (backends.find(([name]) => name === 'simd') as (typeof backends)[0])[1];

function numbers(size: number): Float32Array {
  const next = random(7);
  return Float32Array.from({ length: size }, (_, i) => (next() - 0.5) * (1 + (i % 5)));
}

/** The ranges that are read, in turn, for each cut of a tensor. */
function readsOf(shape: readonly number[], options: QuantizeOptions, most: number): [number, number][] {
  const weights = numbers(sizeOf(shape));
  const reads: [number, number][] = [];
  const read = (from: number, to: number) => {
    reads.push([from, to]);
    return weights.slice(from, to);
  };
  quantizeInSlices(kernels, read, shape, options, 't', undefined, most);
  return reads;
}

test('a tensor above 2^22 weights, 16 MiB, is large', () => {
  assert.is(isLarge([2 ** 11, 2 ** 11]), false);
  assert.is(isLarge([2 ** 22 + 1]), true);
  assert.is(isLarge([]), false);
});

test('where blocks lie in one slice each is read once; where they span all, once for each pass and once for the codes', () => {
  const binary = { scheme: 'binary' } as const;
  // 100 rows of 10, blocks of 32 rows: 32 rows at least, since a cut lies between groups
  const groups = { ...binary, granularity: 'group', groupSize: 32 } as const;
  assert.equal(readsOf([100, 10], groups, 64), [
    [0, 320],
    [320, 640],
    [640, 960],
    [960, 1000],
  ]);
  assert.equal(readsOf([100, 10], groups, 640), [
    [0, 640],
    [640, 1000],
  ]);
  assert.equal(readsOf([100, 10], groups, 639), [
    [0, 320],
    [320, 640],
    [640, 960],
    [960, 1000],
  ]);
  // one block for each channel spans all rows; sums of float32 go on at every 64th row
  const channels = readsOf([100, 10], binary, 64);
  assert.equal(channels, [
    [0, 640],
    [640, 1000],
    [0, 640],
    [640, 1000],
  ]);
  assert.is(readsOf([100, 10], { scheme: 'int4', scale: 'lsq' }, 64).length, 2 * (5 + 1));
  assert.is(readsOf([100, 10], { scheme: 'int4', scale: 'hqq' }, 64).length, 2 * (28 + 1));
  // channels lie along the first axis: rows of 10 are blocks, four of them whole bytes
  const rows = readsOf([10, 10], { ...binary, axes: [0] }, 1);
  assert.is(rows.length, 1, 'a slice of few weights holds 512 rows, after which float32 sums go on');
  assert.equal(readsOf([3, 1024], { ...binary, axes: [0] }, 1), [
    [0, 1024],
    [1024, 2048],
    [2048, 3072],
  ]);
  assert.equal(readsOf([3, 1024], { ...binary, axes: [0] }, 2048), [
    [0, 2048],
    [2048, 3072],
  ]);
  // one block in all
  assert.equal(readsOf([2500], { ...binary, granularity: 'tensor' }, 1), [
    ...([
      [0, 1024],
      [1024, 2048],
      [2048, 2500],
      [0, 1024],
      [1024, 2048],
      [2048, 2500],
    ] as [number, number][]),
  ]);
  assert.equal(readsOf([2500], { ...binary, granularity: 'tensor' }, 1e6), [
    [0, 2500],
    [0, 2500],
  ]);
});

/** `[0, step)`, `[step, 2 step)`, ... to the end. */
const cuts = (size: number, step: number): [number, number][] =>
  Array.from({ length: Math.ceil(size / step) }, (_, i) => [i * step, Math.min((i + 1) * step, size)]);

test('cuts lie where bytes of codes, groups and sums end, and no further apart', () => {
  const group = (axes: number[], groupSize: number): QuantizeOptions => ({
    ...{ scheme: 'binary', granularity: 'group', axes, groupSize },
  });
  // [9, 2, 512]: 512 rows for each of 9 steps, groups of 768 end at every third; a group of 2304 at the ninth.
  assert.equal(readsOf([9, 2, 512], group([1], 768), 1), cuts(9216, 3072));
  assert.equal(readsOf([9, 2, 512], group([1], 2304), 1), cuts(9216, 9216));
  // Channels one after the other: their groups lie within them.
  assert.equal(readsOf([5, 1024], group([0], 768), 1), cuts(5120, 1024));
  assert.equal(readsOf([2, 1024], group([0], 768), 1), cuts(2048, 1024));
  // One channel: groups of 768, whole bytes, sums at every 1024.
  assert.equal(readsOf([1, 10000], group([0], 768), 1), cuts(10000, 3072));
  // Rows of 8 channels are whole bytes: groups of 25 rows.
  assert.equal(readsOf([100, 8], group([1], 25), 1), cuts(800, 200));
  const binary: QuantizeOptions = { scheme: 'binary' };
  const twice = (list: [number, number][]) => [...list, ...list];
  // A single column is no matrix; two rows are cut along their axis, one is not.
  assert.equal(readsOf([2500, 1], binary, 1), twice(cuts(2500, 1024)));
  assert.equal(readsOf([2, 16], binary, 1), twice([[0, 32]]));
  assert.equal(readsOf([4, 512], { ...binary, axes: [0] }, 1), cuts(2048, 1024));
});

test('sums go on at every 64th row unless 64 rows are more than 2^24 weights', () => {
  const binary: QuantizeOptions = { scheme: 'binary' };
  assert.equal(readsOf([2, 2 ** 18], binary, 1).slice(0, 2), [
    [0, 2 ** 19],
    [0, 2 ** 19],
  ]);
  const channels = 2 ** 18 + 1;
  assert.equal(readsOf([9, channels], binary, 1).slice(0, 2), cuts(9 * channels, 8 * channels));
});

test('two groups: in one slice, and in one each', () => {
  const options: QuantizeOptions = { scheme: 'int4', granularity: 'group', groupSize: 64 };
  const weights = numbers(1000);
  const whole = quantizeTensor(kernels, weights, [100, 10], options);
  for (const most of [64, 1e6]) {
    const read = (from: number, to: number) => weights.slice(from, to);
    assert.equal(quantizeInSlices(kernels, read, [100, 10], options, 't', undefined, most).tensor, whole);
  }
});

test('the share of the work that is done, slice by slice and pass by pass', () => {
  const sharesOf = (options: QuantizeOptions) => {
    const weights = numbers(1000);
    const shares: number[] = [];
    const read = (from: number, to: number) => weights.slice(from, to);
    quantizeInSlices(kernels, read, [100, 10], options, 't', (share) => shares.push(share), 64);
    return shares.map((share) => Number(share.toFixed(6)));
  };
  assert.equal(sharesOf({ scheme: 'binary', granularity: 'group', groupSize: 32 }), [0.32, 0.64, 0.96, 1]);
  assert.equal(sharesOf({ scheme: 'binary' }), [0.32, 0.5, 0.82, 1]);
});

test('codes are those of the inverse that the rule gives, and not of the stored scale', () => {
  // 7 / amax and 1 / (amax / 7) differ in their last bit, and a weight lies between what they round to.
  const found: number[] = [];
  for (let n = 1; found.length === 0; n++) {
    const most = Math.fround(1 + n / 4096);
    const [given, again] = [Math.fround(7 / most), Math.fround(1 / Math.fround(most / 7))];
    for (const half of [0.5, 1.5, 2.5, 3.5, 4.5, 5.5])
      for (const w of [Math.fround(half / given), Math.fround(half / again)]) {
        const rounded = [given, again].map((inverse) => Math.fround(w * inverse));
        const isApart = rounded.some((x) => x > half) !== rounded.every((x) => x > half);
        if (isApart) found.push(most, w);
      }
  }
  const [most = 0, w = 0] = found;
  const weights = Float32Array.from({ length: 256 }, (_, i) => (i === 0 ? most : w));
  const options: QuantizeOptions = { scheme: 'int4', scale: 'absmax' };
  const whole = quantizeTensor(kernels, weights, [256, 1], options);
  const read = (from: number, to: number) => weights.slice(from, to);
  assert.equal(quantizeInSlices(kernels, read, [256, 1], options).tensor, whole);
});

test('slices are read into memory that the kernels lend, for one at a time', () => {
  const lent: number[][] = [];
  const spy = new Proxy(kernels, {
    get(target, key) {
      if (key !== 'lend') return Reflect.get(target, key);
      return (...sizes: [number, number]) => {
        lent.push(sizes);
        return target.lend(...sizes);
      };
    },
  });
  const weights = numbers(1000);
  const read: ReadSlice = (from, to, memory) => {
    assert.is(memory.length, to - from);
    assert.ok(memory.buffer.byteLength > 2 ** 20);
    memory.set(weights.subarray(from, to));
    return memory;
  };
  const options: QuantizeOptions = { scheme: 'int4', granularity: 'group', groupSize: 32 };
  for (const own of [
    options,
    { ...options, granularity: 'channel', groupSize: undefined } as QuantizeOptions,
  ]) {
    const { tensor } = quantizeInSlices(spy, read, [100, 10], own, 't', undefined, 64);
    assert.equal(tensor, quantizeTensor(kernels, weights, [100, 10], own));
  }
  assert.equal(lent, [
    [320, 160],
    [640, 320],
  ]);
});

const SHAPES: [shape: number[], axes: number[]][] = [
  [[131, 3], [1]],
  [[5, 130], [0]],
  [
    [70, 4, 2],
    [1, 2],
  ],
  [[9, 2, 64], [1]],
  [[1100], [0]],
];
const GRAINS: Pick<QuantizeOptions, 'granularity' | 'groupSize'>[] = [
  { granularity: 'tensor' },
  { granularity: 'channel' },
  { granularity: 'group', groupSize: 6 },
];
const RULES = (Object.keys(ENCODERS) as SchemeName[]).flatMap((scheme) =>
  (Object.keys(ENCODERS[scheme].rules) as ScaleRule[]).map((scale) => [scheme, scale] as const),
);

for (const [scheme, scale] of RULES)
  test(`${scheme}, ${scale}: cuts give what the whole tensor gives, its error and its values`, () => {
    for (const [shape, axes] of scale === 'hqq' ? SHAPES.slice(0, 2) : SHAPES)
      for (const grain of GRAINS) {
        const weights = numbers(sizeOf(shape));
        const scaleDtype = grain.granularity === 'channel' ? 'F16' : 'F32';
        const options: QuantizeOptions = { scheme, scale, axes, scaleDtype, ...grain };
        const what = `[${shape}] ${axes} ${grain.granularity}`;
        const whole = quantizeTensor(kernels, weights, shape, options);
        const values = dequantizeTensor(kernels, whole);
        const direct = kernels.difference(weights, values);
        for (const most of [1, 1e6]) {
          const shares: number[] = [];
          const read = (from: number, to: number) => weights.slice(from, to);
          const onSlice = (share: number) => shares.push(share);
          const { tensor, difference } = quantizeInSlices(kernels, read, shape, options, 't', onSlice, most);
          assert.equal(tensor, whole, what);
          assert.ok(Math.abs(difference.signal - direct.signal) <= 1e-5 * direct.signal, what);
          assert.ok(Math.abs(difference.noise - direct.noise) <= 1e-5 * direct.noise, what);
          assert.is(difference.maxError, direct.maxError, what);
          assert.ok((shares[0] as number) > 0 && shares.at(-1) === 1, what);
          assert.ok(
            shares.every((share, i) => share <= 1 && share >= (shares[i - 1] ?? 0)),
            what,
          );
          assert.is(new Set(shares).size, shares.length, `${what}: each slice is a step on`);
          const again = new Float32Array(weights.length);
          for (const piece of decodedSlices(kernels, tensor, most)) again.set(piece.values, piece.from);
          assert.equal(again, values, what);
        }
      }
  });

test('decoded slices follow each other, in memory that is used again', () => {
  const tensor = quantizeTensor(kernels, numbers(1000), [100, 10], {
    scheme: 'int4',
    granularity: 'group',
    groupSize: 32,
  });
  const pieces = [...decodedSlices(kernels, tensor, 64)];
  assert.equal(
    pieces.map(({ from, values }) => [from, values.length]),
    [
      [0, 320],
      [320, 320],
      [640, 320],
      [960, 40],
    ],
  );
  assert.is(new Set(pieces.map(({ values }) => values.buffer)).size, 1);
  assert.is(pieces[0]?.values.buffer.byteLength, 4 * 320);
  assert.is([...decodedSlices(kernels, tensor)].length, 1);
});

test('a weight that is not finite is named with its index in the tensor; options are checked', () => {
  const weights = numbers(1000);
  weights[777] = Number.NaN;
  const read = (from: number, to: number) => weights.slice(from, to);
  for (const [scheme, scale] of RULES)
    for (const grain of GRAINS)
      assert.throws(
        () =>
          quantizeInSlices(kernels, read, [100, 10], { scheme, scale, ...grain }, 'tensor t', undefined, 64),
        (error: BitnibbleError) =>
          error.code === 'not-finite' && /got NaN at index 777 \(tensor t\)/.test(error.message),
      );
  assert.throws(
    () => quantizeInSlices(kernels, read, [100, 10], { scheme: 'int4' }),
    /index 777 \(tensor\)$/,
  );
  const wrong = { scheme: 'int4', scale: 'calibrated' } as const;
  throws(
    () => quantizeInSlices(kernels, read, [100, 10], wrong, 'tensor t'),
    RangeError,
    '"scale" expected a rule that needs no data, got "calibrated" (tensor t)',
  );
  throws(() => quantizeInSlices(kernels, read, [100, 10], { scheme: 'int4', axes: [2] }, 't'), RangeError);
});

test('means of weights whose sums overflow float32', () => {
  const weights = new Float32Array(900).fill(3e38);
  const read = (from: number, to: number) => weights.slice(from, to);
  for (const [shape, axes] of [
    [[300, 3], [1]],
    [[3, 300], [0]],
    [[30, 3, 10], [1]],
  ] as const) {
    const options = { scheme: 'binary', granularity: 'channel', axes } as const;
    const { tensor } = quantizeInSlices(kernels, read, shape, options, 't', undefined, 64);
    assert.equal(tensor, quantizeTensor(kernels, weights, shape, options));
    assert.equal(tensor.scales, new Float32Array(3).fill(3e38));
  }
});

test.run();
