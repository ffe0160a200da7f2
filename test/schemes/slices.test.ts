// In slices or whole, on small tensors; test/slow/slices.test.ts has more shapes, larger ones and every kind of scale.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { BitnibbleError } from '../../src/errors.js';
import { dequantizeTensor, ENCODERS, quantizeTensor } from '../../src/schemes/quantize.js';
import { decodedSlices, isLarge, quantizeInSlices } from '../../src/schemes/slices.js';
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
